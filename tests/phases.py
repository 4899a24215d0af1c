"""Run the rungs of the tests one after another, each in a pytest of its own, and say honestly how it went.

`make test` runs all of them; `make test PHASE="unit sim"` some. Cheap rungs come first, and a rung that fails
does not stop the next, so that one run tells everything. The last line counts every test of every rung; the
exit status is zero only if each rung ran tests and none failed, within the time that the whole run may take.

One seed holds for all rungs: the environment's `SEED`, or a fresh one, printed first and last.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_BUDGET_S = 12 * 60  # what the whole run should take at most on two quiet cores; more is told, not failed
_DEADLINE_S = 25 * 60  # a run that hangs is ended
_INTERRUPT_GRACE_S = 20
_IN_PARALLEL = ("-n", "2")


@dataclass(frozen=True)
class Phase:
    """One rung: its name, its folders, and how pytest is to run them."""

    name: str
    says: str
    folders: tuple[str, ...]
    options: tuple[str, ...] = ()


@dataclass
class Outcome:
    """What one rung came to. `problem` is empty when it passed."""

    phase: Phase
    problem: str = ""
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    took_s: float = field(default=0.0)


PHASES = (
    Phase("unit", "house rules, and every module by itself", ("tests/rules", "tests/unit"), _IN_PARALLEL),
    Phase("contract", "one suite for every engine", ("tests/contract",)),
    Phase("sim", "whole clusters in virtual time, with faults", ("tests/sim",), _IN_PARALLEL),
    Phase(
        "cluster",
        "real processes, two files of tests at a time",
        ("tests/cluster",),
        (*_IN_PARALLEL, "--dist", "loadfile"),
    ),
)


def main(names: list[str]) -> int:
    """Run the named phases (all, if none is named); return the exit status."""
    unknown = set(names) - {phase.name for phase in PHASES}
    if unknown:
        print(f"no such phase: {' '.join(sorted(unknown))}; there are: {' '.join(p.name for p in PHASES)}")
        return 2
    seed = os.environ.get("SEED") or str(secrets.randbits(32))
    deadline_s = time.monotonic() + _DEADLINE_S
    print(f"Python {sys.version.split()[0]}, seed {seed} (replay with: make test SEED={seed})", flush=True)
    chosen = [phase for phase in PHASES if not names or phase.name in names]
    outcomes = []
    for number, phase in enumerate(chosen, 1):
        print(f"\n##### {number} of {len(chosen)}: {phase.name} ({phase.says})\n", flush=True)
        outcomes.append(run(phase, seed, deadline_s))
    return report(outcomes, seed)


def run(phase: Phase, seed: str, deadline_s: float) -> Outcome:
    """Run one phase until it ends, or until the deadline, at which pytest is interrupted and then killed."""
    started_s = time.monotonic()
    outcome = Outcome(phase)
    with tempfile.TemporaryDirectory(prefix="primacy-phase-") as folder:
        record = Path(folder) / "junit.xml"
        command = [sys.executable, "-m", "pytest", "--junitxml", str(record), *phase.options, *phase.folders]
        process = subprocess.Popen(
            command,
            cwd=_ROOT,
            env={**os.environ, "SEED": seed},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            status = process.wait(timeout=max(0.0, deadline_s - time.monotonic()))
            outcome.problem = "" if status == 0 else explain(status)
        except subprocess.TimeoutExpired:
            outcome.problem = f"stopped: all phases together may take {_DEADLINE_S // 60} minutes"
        finally:
            end(process)
        count(record, outcome)
    outcome.took_s = time.monotonic() - started_s
    if not outcome.problem and (outcome.failed or not outcome.passed):
        outcome.problem = "its record does not bear out its exit status"
    return outcome


def explain(status: int) -> str:
    """Say what an exit status of pytest means."""
    if status < 0:
        return f"pytest was killed by {signal.Signals(-status).name}"
    return {1: "tests failed", 2: "interrupted, or not collected", 5: "no test was found"}.get(
        status, f"pytest ended with status {status}"
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt pytest so that its fixtures clean up; kill its session if that takes too long."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=_INTERRUPT_GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def count(record: Path, outcome: Outcome) -> None:
    """Add up the suites of a JUnit record; a phase that left none counts as nothing passed."""
    try:
        suites = ET.parse(record).getroot().iter("testsuite")
    except (OSError, ET.ParseError):
        return
    for suite in suites:
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped = int(suite.get("skipped", 0))
        outcome.failed += failed
        outcome.skipped += skipped
        outcome.passed += max(0, int(suite.get("tests", 0)) - failed - skipped)


def report(outcomes: list[Outcome], seed: str) -> int:
    """Print a line for each phase and one for all; return the exit status."""
    print("\n##### all phases")
    for outcome in outcomes:
        verdict = f"FAILED: {outcome.problem}" if outcome.problem else "ok"
        print(f"{outcome.phase.name:<9} {outcome.took_s:6.1f} s  {outcome.passed:5} passed  {verdict}")
    broken = [outcome for outcome in outcomes if outcome.problem]
    took_s = sum(outcome.took_s for outcome in outcomes)
    slow = f" (longer than the {_BUDGET_S // 60} minutes that it should take)" if took_s > _BUDGET_S else ""
    print(f"took {took_s:.1f} s{slow}, seed {seed}")
    if broken:
        print(f"FAILED: {' '.join(o.phase.name for o in broken)}; again with: make test SEED={seed}")
    passed = sum(outcome.passed for outcome in outcomes)
    skipped = sum(outcome.skipped for outcome in outcomes)
    failed = sum(max(outcome.failed, int(bool(outcome.problem))) for outcome in outcomes)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""), flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
