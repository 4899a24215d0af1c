"""Makes a failing test's list of drawn faults shorter, within a bounded time.

The test is run again and again, with a part of the faults in the place of those that were drawn; `sim/shrink.py` says
which part comes next. First it is run with all of them: a test that does not fail again in the same way is not the
same run twice, and nothing could be learned from leaving faults out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import cast

from primacy.sim.authors.kept import Drawn
from primacy.sim.faults import Faults
from primacy.sim.shrink import Shrinker


class Shortened:
    """What came of it. faults: which are enough, or all of them; runs, took_s: what it has cost."""

    def __init__(self, drawn: tuple[Drawn, ...]) -> None:
        self.drawn = self.faults = drawn
        self.runs, self.took_s = 0, 0.0
        self.again = True
        """Whether the test fails in the same way when it is run again with the same faults."""
        self.in_time = True

    def sentence(self) -> str:
        """Say what came of it."""
        cost = f"{self.runs} runs, {self.took_s:.1f} s"
        if not self.again:
            return (
                "not shortened: run once more with the same seed and the same faults, the test does not fail in this "
                "way; something in it, or in the service, is not the same from run to run (what a module, a class or a "
                "fixture keeps; the clock; chance; the order of a set, which PYTHONHASHSEED settles)"
            )
        if not self.drawn:
            return "chaos has drawn no fault: it fails by what the test itself does"
        if not self.faults:
            none = f"none of the {len(self.drawn)} faults that chaos drew is needed"
            return f"{none}: it fails without chaos, too ({cost})"
        late = "" if self.in_time else "; the time was up: --primacy-shorten=SECONDS gives more"
        enough = "is enough" if len(self.faults) == 1 else "are enough"
        return f"{len(self.faults)} of the {len(self.drawn)} faults that chaos drew {enough} ({cost}{late})"


def shorten(
    drawn: tuple[Drawn, ...], fails: Callable[[tuple[Drawn, ...]], bool], seconds: float
) -> Shortened:
    """Shorten a list. fails: runs the test with these faults; whether it fails in the same way."""
    shortened = Shortened(drawn)
    clock = time.monotonic
    began_s = clock()

    def once(faults: Faults) -> bool:
        if clock() - began_s > seconds:
            shortened.in_time = False
            return False
        shortened.runs += 1
        return fails(cast(tuple[Drawn, ...], faults))

    shortened.runs, shortened.again = 1, fails(drawn)
    if shortened.again and drawn:
        shortened.faults = cast(tuple[Drawn, ...], Shrinker(once).shrink(drawn))
    shortened.took_s = clock() - began_s
    return shortened
