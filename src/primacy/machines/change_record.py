"""A change of the configuration table as the ledger holds it: the whole plan, from its intent to its outcome.

The intent holds everything that is needed to carry the change out: the table to write, the functions to ask for and
their order. It is written before anything else is done, by one swap; so whoever asked for it may die, and so may every
master that carries it out: the next one reads where it stands and goes on. Each step is marked when it has ended, and
never begun again. The request of a function has an id that follows from the change's, so it is one request however
often it is asked for.

    table (one swap)  ->  functions that add strength  ->  follow (restarts)  ->  functions that take strength away

One change at a time. A function that fails holds the functions after it; restarts still follow the table that stands,
because a node that starts anew would take it over anyhow.  Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from primacy.errors import ConfigError
from primacy.machines.records import brief

CHANGE = "change"
FORMAT = 1
ENDED_KEPT = 8
TABLE, FOLLOW, FUNCTION = "table", "follow", "function"
TAKES_AWAY = ("disqualify", "remove")


class ChangeStep(Struct, frozen=True):
    """One step, and how it ended.

    kind: table (it is written) | follow (every node goes by it) | function (with its name and its node). what: as an
    operator reads it. outcome: empty before its end; then done | failed | held (an earlier one failed: not begun).
    """

    kind: str
    what: str
    function: str = ""
    node: str = ""
    outcome: str = ""
    reasons: tuple[str, ...] = ()


class Change(Struct, frozen=True):
    """One change, in progress or ended.

    id: chosen by who asks, so that asking again is the same change. reason, by: why, and who asked. began_ms, since_ms:
    by the wall clock of the master that wrote it, when it and when its present step began; for people only. revision:
    of the table that it was made from. table: what is to be written, as JSON; not kept when the change has ended.
    outcome: empty while it is in progress; then done | failed | refused (nothing was changed) | replaced.
    """

    id: str
    reason: str
    by: str
    began_ms: int
    since_ms: int
    revision: int
    steps: tuple[ChangeStep, ...]
    table: str = ""
    outcome: str = ""
    reasons: tuple[str, ...] = ()

    @property
    def index(self) -> int:
        """Which step is the present one; the number of steps when all have ended."""
        return next((i for i, step in enumerate(self.steps) if not step.outcome), len(self.steps))

    @property
    def step(self) -> ChangeStep | None:
        """The present step; None when all have ended."""
        return self.steps[self.index] if self.index < len(self.steps) else None

    def operation(self, index: int) -> str:
        """The id of the request for the function of this step."""
        return f"{self.id}.{index + 1}"

    @property
    def leaving(self) -> tuple[str, ...]:
        """The nodes that the rest of the change takes away: nobody waits for one of them that is gone already."""
        return tuple(s.node for s in self.steps if not s.outcome and s.function in TAKES_AWAY)

    @property
    def sentence(self) -> str:
        """Which change this is, and who asked for it."""
        return f"change {self.id}, asked for by {self.by} ({self.reason})"

    def with_step(self, outcome: str, reasons: tuple[str, ...], wall_ms: int) -> Change:
        """This change when its present step has ended so; when that was its last, or ends it, the change has too."""
        index, steps = self.index, list(self.steps)
        reasons = tuple(brief(r) for r in reasons)
        steps[index] = msgspec.structs.replace(steps[index], outcome=outcome, reasons=reasons)
        if outcome == "failed":
            over = steps[index].kind == TABLE  # without its table nothing of a change is left
            for later in range(index + 1, len(steps)):
                if over or steps[later].kind == FUNCTION:
                    steps[later] = msgspec.structs.replace(steps[later], outcome="held")
        went_on = msgspec.structs.replace(self, steps=tuple(steps), since_ms=wall_ms)
        if went_on.step is not None:
            return went_on
        failed = [s for s in steps if s.outcome == "failed"]
        why = tuple(r if s.kind == TABLE else f"{s.what}: {r}" for s in failed for r in s.reasons)
        outcome = "done" if not failed else "refused" if failed[0].kind == TABLE else "failed"
        return msgspec.structs.replace(went_on, outcome=outcome, reasons=why, table="")


class Changes(Struct, frozen=True):
    """The change in progress, and the last ones that ended, the newest last."""

    current: Change | None = None
    ended: tuple[Change, ...] = ()
    format: int = FORMAT

    def known(self, id: str) -> Change | None:
        """The change with this id, if it is in progress or was among the last that ended."""
        return next(
            (each for each in (self.current, *self.ended) if each is not None and each.id == id), None
        )

    def with_current(self, change: Change) -> Changes:
        """These changes when the current one stands so: in progress still, or ended."""
        if not change.outcome:
            return Changes(change, self.ended)
        return Changes(None, (*self.ended, change)[-ENDED_KEPT:])

    def begun(self, change: Change) -> Changes:
        """These changes when this one begins; it takes the place of one that is in progress."""
        return Changes(change, self.dropped(change.sentence).ended)

    def dropped(self, instead: str) -> Changes:
        """These changes when something else takes the place of the current one, if there is one."""
        if self.current is None:
            return self
        left = tuple(
            step if step.outcome else msgspec.structs.replace(step, outcome="held")
            for step in self.current.steps
        )
        why = (f"{instead} took its place",)
        return self.with_current(
            msgspec.structs.replace(self.current, steps=left, outcome="replaced", reasons=why, table="")
        )


class _Stamp(Struct):
    """Of a configuration table only this: which change it comes from."""

    change: str = ""


_encoder = msgspec.json.Encoder()
_changes = msgspec.json.Decoder(Changes)
_stamp = msgspec.json.Decoder(_Stamp)


def encode(changes: Changes) -> bytes:
    """Return the record as JSON bytes."""
    return _encoder.encode(changes)


def decode(data: bytes) -> Changes:
    """Return the changes in `data`; ConfigError when the record is damaged or of a newer format."""
    try:
        record = _changes.decode(data)
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"ledger key {CHANGE}", repr(data[:80]), f"changes of the table ({error})"
        ) from error
    if record.format > FORMAT:
        want = f"at most {FORMAT}: upgrade this node first"
        raise ConfigError(f"ledger key {CHANGE}", f"format {record.format}", want)
    return record


def stamp(table: bytes | None) -> str:
    """Return the id of the change that this table in the ledger comes from; empty: none, or no table."""
    if table is None:
        return ""
    try:
        return _stamp.decode(table).change
    except (ValueError, RecursionError):
        return ""


def planned(
    *,
    writes: bool,
    detail: Iterable[str],
    first: Iterable[tuple[str, str]],
    follow: str,
    last: Iterable[tuple[str, str]],
) -> tuple[ChangeStep, ...]:
    """Return the steps of a change in order. writes: the table is another one. detail: what is altered at once.

    first, last: the functions (name, node) that add strength and that take it away. follow: what every node does then.
    """
    steps = []
    if writes:
        steps.append(ChangeStep(TABLE, "; ".join(["the table is written", *detail])))
    steps += [ChangeStep(FUNCTION, f"{name} {node}", name, node) for name, node in first]
    if writes:
        steps.append(ChangeStep(FOLLOW, follow))
    steps += [ChangeStep(FUNCTION, f"{name} {node}", name, node) for name, node in last]
    return tuple(steps)
