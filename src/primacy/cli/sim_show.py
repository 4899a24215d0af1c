"""How `primacy sim` shows what it does: a bar on a terminal, else a line now and then; and the summaries."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any, Protocol

from primacy.cli.common import say

if TYPE_CHECKING:
    from primacy.cli.sim_pool import Tally
    from primacy.sim.jobs import Edges, Hunted

LINE_EVERY_S = 5.0
NEVER_SHOWN = 30


class Progress(Protocol):
    """Who is told of each step."""

    def step(self, text: str) -> None:
        """One more is done; `text` is how things stand now."""


@contextmanager
def progress(what: str, total: int) -> Iterator[Progress]:
    """Show the progress of so many steps on standard error, if anybody looks."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Rich

        text = TextColumn("{task.fields[text]}")
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), text, TimeRemainingColumn())
        with Rich(*columns, console=Console(stderr=True)) as bar:
            yield _Bar(bar, bar.add_task(what, total=total, text=""))
    else:
        yield _Lines(what, total)


class _Bar:
    def __init__(self, bar: Any, task: Any) -> None:
        self._bar, self._task = bar, task

    def step(self, text: str) -> None:
        """Draw the bar anew (it limits itself how often)."""
        self._bar.update(self._task, advance=1, text=text)


class _Lines:
    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0
        self._again_s = time.monotonic() + LINE_EVERY_S

    def step(self, text: str) -> None:
        """Write a line, unless the last one is younger than five seconds."""
        self._done += 1
        if time.monotonic() >= self._again_s:
            self._again_s = time.monotonic() + LINE_EVERY_S
            say(f"{self._what}: {self._done} of {self._total}, {text}")


# ---- runs ----


def figures(tally: Tally, took_s: float) -> dict[str, Any]:
    """Return what all counted runs of a campaign came to."""
    runs = tally.counted()
    simulated_s = sum(r.simulated_ns for r in runs) / 1e9
    return {
        "runs": len(runs),
        "simulated_s": round(simulated_s, 3),
        "took_s": round(took_s, 2),
        "rate": round(simulated_s / took_s, 1) if took_s else 0.0,
        "events": sum(r.events for r in runs),
        "operations": sum(r.operations for r in runs),
        "terms": sum(r.terms for r in runs),
        "waits": sum(r.waits for r in runs),
    }


def coverage(edges: Edges | None) -> dict[str, Any] | None:
    """Return how many edges of the machines were taken, and which never, with the reasons that are known."""
    from primacy.sim.coverage import percent, unreached, why

    if edges is None:
        return None
    known = unreached()
    return {
        "edges": len(edges.taken) + len(edges.never),
        "taken": len(edges.taken),
        "percent_of_reachable": round(percent(len(edges.taken), edges.never), 2),
        "never": {edge: each.reason if (each := why(edge, known)) else "" for edge in edges.never},
    }


def summary(found: dict[str, Any]) -> list[str]:
    """Return the figures of a campaign in words."""
    violated = found["violated"]
    verdict = f"seed {violated['seed']} failed" if violated else "nothing was violated"
    lines = [
        f"{found['runs']} runs from seed {found['seed']}{' (interrupted)' if found['interrupted'] else ''}: {verdict}",
        f"{found['simulated_s']:.0f} simulated seconds in {found['took_s']:.1f} s with {found['jobs']} processes: "
        f"{found['rate']:.0f} a second",
        f"{found['events']} events, {found['operations']} operations of clients, {found['terms']} terms; "
        f"{found['waits']} runs ended waiting for the operator",
    ]
    covered = found["coverage"]
    if covered is not None:
        lines += _covered(covered)
    return lines


def _covered(covered: dict[str, Any]) -> list[str]:
    open_edges = [edge for edge, reason in covered["never"].items() if not reason]
    lines = [
        f"{covered['taken']} of {covered['edges']} edges of the machines were taken: "
        f"{covered['percent_of_reachable']:g} % of those that a run can take; "
        f"{len(covered['never']) - len(open_edges)} of the others have a reason"
    ]
    lines += [f"  never taken: {edge}" for edge in open_edges[:NEVER_SHOWN]]
    if len(open_edges) > NEVER_SHOWN:
        lines.append(f"  and {len(open_edges) - NEVER_SHOWN} more (--json lists all)")
    return lines


# ---- planted bugs ----


def hunted(found: Hunted) -> str:
    """Return what came of one hunt in words."""
    if found.found:
        return f"{found.name}: found in run {found.runs}: {found.text}"
    if found.why:
        return f"{found.name}: does not count: {found.why}"
    return f"{found.name}: NOT FOUND in {found.runs} runs"


def hunts(found: list[Hunted], order: list[str]) -> dict[str, Any]:
    """Return what came of all hunts, in the order of the names."""
    by_name = {each.name: each for each in found}
    rows = [by_name[name] for name in order if name in by_name]
    counts = [each.runs for each in rows if each.found]
    return {
        "mutants": [
            {"name": r.name, "found": r.found, "runs": r.runs, "clause": r.clause, "serves": not r.why}
            for r in rows
        ],
        "median_runs": median(counts) if counts else None,
    }
