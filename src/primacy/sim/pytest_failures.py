"""How a failing test of a simulated cluster is told: with few faults, as lines to paste, and how to run it again.

The test is run again as pytest runs it, with its fixtures set up anew, and other faults in the place of those that
`chaos` drew. A run counts as the same failure when the same clause is violated, or an error of the same type comes from
the same line of the test. Only the last run is reported: the one with the fewest faults.
"""

from __future__ import annotations

import traceback

import pytest
from _pytest.runner import runtestprotocol  # (the way of every plug-in that runs a test again)

from primacy.sim.authors.kept import Drawn, Kept, drawn_in, lines, write
from primacy.sim.authors.report import TOLD_MAX, Violated
from primacy.sim.authors.shorten import Shortened, shorten
from primacy.sim.pytest_plugin import KEPT_IN, Run, name_of, run_key, told_key

_FROM_TIMEOUT = "from pytest-timeout"
Signature = tuple[str, ...]


class Failures:
    """One test, from its first run to its report."""

    def __init__(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        self._item, self._nextitem = item, nextitem
        self._config = item.config
        self._reports: list[pytest.TestReport] = []

    def run(self) -> None:
        """Run the test, and report it."""
        try:
            run = self._once(None)
            if run.failure is not None and any(report.failed for report in self._reports):
                self._told(run)
        finally:
            for report in self._reports:
                self._item.ihook.pytest_runtest_logreport(report=report)

    def _once(self, given: tuple[Drawn, ...] | None) -> Run:
        run = self._item.stash[run_key] = Run(given)
        self._item._report_sections.clear()
        reports = runtestprotocol(self._item, log=False, nextitem=self._nextitem)
        self._reports = reports
        return run

    # ---- fewer faults ----

    def _told(self, run: Run) -> None:
        """Tell a failure. Of a test that fails with many seeds, only the first one is made shorter."""
        text, faults = self._again(run), _drawn(run)
        test, told = self._test(run), self._config.stash[told_key]
        if test in told:
            self._add("primacy: seed", [*text, "not shortened: another run of this test is"])
            return
        if run.kept is None:
            told.add(test)
            shortened = self._shortened(run)
            if shortened is not None:
                text.append(shortened.sentence())
                faults = shortened.faults
        text += self._with(run, faults)
        text += self._kept(run, faults)
        run = self._item.stash[run_key]  # of all that were made, the one that is reported
        if not isinstance(run.failure, Violated):
            for cluster in run.clusters:
                title = f"primacy: timeline of cluster {run.clusters.index(cluster) + 1}, seed {cluster.seed}"
                self._add(title, cluster.timeline()[-TOLD_MAX:])
        self._add("primacy: seed", text)

    def _shortened(self, run: Run) -> Shortened | None:
        """Look for fewer faults, unless that is not wanted; afterwards the reports are those of the shortest run."""
        seconds: float = self._config.getoption("primacy_shorten")
        if not seconds or not run.clusters or self._config.getoption("usepdb", False) or _by_timeout(run):
            return None
        cancel = getattr(self._item.ihook, "pytest_timeout_cancel_timer", None)
        if cancel is not None:  # the limit of pytest-timeout is for one run
            cancel(item=self._item)
        first, wanted, drawn = self._reports, self._signature(run), _drawn(run)
        shortened = shorten(drawn, lambda faults: self._signature(self._once(faults)) == wanted, seconds)
        if not shortened.again or self._signature(self._once(shortened.faults)) != wanted:
            self._reports, self._item.stash[run_key] = first, run
        return shortened

    def _signature(self, run: Run) -> Signature:
        """Return what tells this failure from others, nothing when there is none."""
        error = run.failure
        if error is None:
            return ()
        if isinstance(error, Violated):
            return ("violated", error.clause)
        frames = [
            each
            for each in traceback.extract_tb(error.__traceback__)
            if each.filename == str(self._item.path)
        ]
        return (type(error).__name__, str(frames[-1].lineno) if frames else "")

    # ---- words ----

    def _add(self, title: str, text: list[str]) -> None:
        failed = next(report for report in self._reports if report.failed)
        failed.sections.append((title, "\n".join(text)))

    def _again(self, run: Run) -> list[str]:
        if run.kept is not None:
            return [
                f"{run.seed}: the kept run {run.kept.name}; run it again with pytest '{self._item.nodeid}'"
            ]
        return [f"{run.seed}: run it again with pytest '{self._test(run)}' --primacy-seed={run.seed}"]

    def _test(self, run: Run) -> str:
        """Return the test's id without the seed that `--primacy-runs` has put into it."""
        test, bracket, rest = self._item.nodeid.partition("[")
        parts = [part for part in rest.removesuffix("]").split("-") if part != f"seed{run.seed}"]
        return f"{test}[{'-'.join(parts)}]" if bracket and parts else test

    def _with(self, run: Run, faults: tuple[Drawn, ...]) -> list[str]:
        """Return the faults in words, and the lines that give them to the test."""
        if not faults:
            return []
        seeds = ", ".join(str(cluster.seed) for cluster in run.clusters)
        return [
            "faults (times count from the call of chaos):",
            *(f"  {fault.sentence()}" for fault in faults),
            f"the same run, by the test itself (primacy_cluster(..., seed={seeds})):",
            *(f"    {line}" for line in lines(faults)),
        ]

    def _kept(self, run: Run, faults: tuple[Drawn, ...]) -> list[str]:
        if run.kept is not None or run.seed is None:
            return []
        if not self._config.getoption("primacy_keep"):
            return [
                f"to keep it in {KEPT_IN}/, so that it runs with this test from now on: add --primacy-keep"
            ]
        told = str(run.failure).partition("\n")[0]
        path = write(self._item.path.parent / KEPT_IN, Kept(name_of(self._item), run.seed, faults, told))
        return [f"kept in {path.parent.name}/{path.name}: it runs with this test from now on"]


def _drawn(run: Run) -> tuple[Drawn, ...]:
    """Return what `chaos` has come to in this run."""
    return tuple(
        fault for number, cluster in enumerate(run.clusters) for fault in drawn_in(number, cluster.drawn)
    )


def _by_timeout(run: Run) -> bool:
    """Whether the run was ended because it did not end: another one would hang, too."""
    return _FROM_TIMEOUT in str(run.failure)
