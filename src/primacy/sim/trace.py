"""The records of a real cluster, replayed through the machines and judged by the checkers.

    python -m primacy.sim.trace FILE|DIRECTORY... [--json]

Every agent with the boot parameter `record` writes what its two machines were given and what they answered. Here each
recorded life is given to fresh machines, which must answer the same (trace_replay.py); then all lives together are
judged: one holder of each term, claims, rights, levels in order, one outcome of each request (trace_checks.py,
trace_levels.py). What could not be judged is told, with the reason.

Exit status: 0 nothing was violated, and all machines answered the same; 1 something was violated, or a machine of the
same source answers otherwise; 2 a record cannot be read; 3 nothing was violated, but this version's machines answer
otherwise than those of the version that recorded.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from primacy import source
from primacy.errors import ConfigError
from primacy.machines.ids import SECOND, Member
from primacy.sim import trace_checks, trace_files
from primacy.sim.trace_checks import Finding
from primacy.sim.trace_facts import Facts
from primacy.sim.trace_levels import Levels
from primacy.sim.trace_replay import CODE, Replay

HOLDS, VIOLATED, UNREADABLE, OTHERWISE = 0, 1, 2, 3
PROGRESS_STEPS = 20_000
FINDINGS_MAX = 100
CLAUSES = ("S1", "S5", "S6", "S7", "one outcome", "same effects", "driver", "record")


class LifeReport(Struct, frozen=True):
    """What became of one recorded life. same: how many steps have had the same effects, of `inputs`.

    replay: same | differs | other version | not replayed. why: of anything but `same`. ends: how its record ends.
    """

    node: str
    incarnation: str
    version: str
    seconds: float
    inputs: int
    same: int
    replay: str
    why: str
    ends: str


class Violation(Struct, frozen=True):
    """What is not true: the clause, and the sentence."""

    clause: str
    text: str


class Report(Struct, frozen=True):
    """What the check of some records has found. status: the exit status."""

    status: int
    lives: list[LifeReport]
    inputs: int
    terms: int
    revisions: int
    violations: list[Violation]
    unchecked: list[str]
    version: str = source.VERSION


Progress = Callable[[str], None]


def check(paths: Sequence[Path], progress: Progress = lambda line: None) -> Report:
    """Replay and judge the records in these files and directories; ConfigError: there is none, or one is no record."""
    return _Check(trace_files.lives(paths), progress).run()


class _Check:
    def __init__(self, lives: list[trace_files.Life], progress: Progress) -> None:
        self._lives, self._progress = lives, progress
        self._facts = Facts()
        self._violations: list[Violation] = []
        self._unchecked: list[str] = []
        self._levels = Levels(self._fail)
        self._told: list[LifeReport] = []
        self._inputs = 0

    def run(self) -> Report:
        """Read all lives, one after the other, then judge them together."""
        whole = frozenset(member for life in self._lives if (member := self._life(life)) is not None)
        self._levels.finish(whole)
        for finding in trace_checks.findings(self._facts):
            self._fail(finding)
        status = HOLDS
        if any(each.replay == "other version" for each in self._told):
            status = OTHERWISE
        if self._violations:
            status = VIOLATED
        return Report(
            status=status,
            lives=self._told,
            inputs=self._inputs,
            terms=len({rows[0][0].term for rows in self._facts.records.values()}),
            revisions=len(self._facts.records),
            violations=self._violations,
            unchecked=self._unchecked + trace_checks.unchecked(self._facts),
        )

    def _life(self, life: trace_files.Life) -> Member | None:
        """Read one life; return who it was, if the record holds all that it did."""
        replay = Replay(life)
        if not replay.unread:
            beginning = replay.beginning
            self._facts.begins(
                life.member,
                life.head.clock,
                beginning.now_ns,
                beginning.volatile,
                beginning.availability,
            )
        for step in replay.steps():
            self._facts.saw(step)
            self._levels.saw(step)
            self._inputs += 1
            if self._inputs % PROGRESS_STEPS == 0:
                self._progress(f"{self._inputs} inputs, {len(self._told)} of {len(self._lives)} lives read")
        self._judge(life, replay)
        return life.member if life.whole and life.ends.startswith("with") and not replay.unread else None

    def _judge(self, life: trace_files.Life, replay: Replay) -> None:
        who, verdict, why = life.member, "same", ""
        for text in life.altered:
            self._fail(Finding("record", f"{who}: {text}"))
        for text in replay.wrong:
            self._fail(Finding("driver", f"{who}: {text}"))
        if replay.otherwise:
            verdict = "other version"
            why = (
                f"{replay.difference}. The record is of version {life.head.version} (source {life.head.code or '?'}), "
                f"this is {source.VERSION} (source {CODE}): it decides otherwise"
            )
        elif replay.difference:
            verdict, why = "differs", replay.difference
            self._fail(Finding("same effects", f"{who}: {replay.difference}"))
        elif replay.unread:
            verdict, why = "not replayed", f"another version's: {replay.unread}"
        elif not life.whole:
            verdict, why = "not replayed", "its first files are gone (the oldest go first at the size limit)"
        if verdict in ("not replayed", "other version"):
            self._unchecked.append(f"whether {who} answers the same again: {why}")
        if not life.ends.startswith("with"):
            self._unchecked.append(f"{who}: its record ends {life.ends}; what it did after that")
        seconds = (replay.last_ns - replay.began_ns) / SECOND
        node, incarnation = who.node, who.incarnation
        told = LifeReport(
            node, incarnation, life.head.version, seconds, life.count, replay.same, verdict, why, life.ends
        )
        self._told.append(told)

    def _fail(self, finding: Finding) -> None:
        if len(self._violations) < FINDINGS_MAX:
            self._violations.append(Violation(finding.clause, finding.text))


def render(report: Report) -> str:
    """Return a report as an operator reads it."""
    lines = []
    for each in report.lives:
        verdict = {
            "same": f"{each.same} inputs replayed, all effects the same",
            "differs": f"the same effects for {each.same} inputs, then others",
            "other version": f"the same effects for {each.same} inputs, then another version decides otherwise",
            "not replayed": f"{each.inputs} inputs, not replayed",
        }[each.replay]
        lines.append(
            f"{each.node}/{each.incarnation[:8]}: {each.seconds:.1f} s, {verdict}; it ends {each.ends}"
        )
    lines += [f"not checked: {text}" for text in report.unchecked]
    lines += [f"VIOLATED {each.clause}: {each.text}" for each in report.violations]
    summary = (
        f"{len(report.lives)} lives, {report.inputs} inputs, {report.terms} terms, "
        f"{report.revisions} revisions of the record"
    )
    outcome = {
        HOLDS: f"nothing is violated (checked: {', '.join(CLAUSES)})",
        VIOLATED: f"{len(report.violations)} violations",
        OTHERWISE: "nothing is violated, but this version decides otherwise than the one that recorded",
    }[report.status]
    return "\n".join([*lines, f"{summary}: {outcome}"])


def execute(paths: Sequence[str], *, as_json: bool) -> int:
    """Check records, tell what was found, and return the exit status: what the command line does."""
    try:
        report = check([Path(path) for path in paths], _say)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return UNREADABLE
    text = msgspec.json.encode(report).decode() if as_json else render(report)
    sys.stdout.write(text + "\n")
    return report.status


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def main(arguments: Sequence[str]) -> int:
    """Run what the command line says."""
    about = "Replay what real agents recorded, and judge it."
    parser = argparse.ArgumentParser(prog="python -m primacy.sim.trace", description=about)
    parser.add_argument("path", nargs="+", help="a file of a record, or a directory with such files")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of sentences")
    options = parser.parse_args(arguments)
    return execute(options.path, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
