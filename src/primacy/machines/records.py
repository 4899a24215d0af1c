"""The records that the ledger holds: who is master and vice, and what is known of each node.

Records are JSON, so that an operator can read them with the ledger's own tools. Each carries `format`; a newer one
than this code knows is refused, never guessed at.  The mastership record is the configuration of PacificA (Lin et
al., 2008): the ledger decides it by one swap on its revision, the data goes straight from primary to secondary.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from primacy.errors import ConfigError
from primacy.machines.ids import Member

FORMAT = 1
MASTERSHIP = "mastership"
OPERATION = "operation"
NODES = "nodes/"
CONFIG = "config"
ENDED_KEPT = 16
CAUSE_BYTES_MAX = 300
"""A cause is a sentence; a record has to fit into a datagram, whatever an operator or a traceback says."""


class Vice(msgspec.Struct, frozen=True):
    """The node that mirrors the master. Only a vice with `ready` may claim when the master is lost."""

    node: str
    incarnation: str
    ready: bool

    @property
    def member(self) -> Member:
        """The life of the node that was appointed."""
        return Member(self.node, self.incarnation)


class Mastership(msgspec.Struct, frozen=True):
    """Who is master and vice.

    term: the number of this mastership. appointment: counts the vices of a term, so that a vice dropped and appointed
    again is another appointment. cause: the sentence that an operator reads. by: the member that wrote it.
    stopped: after an orderly stop of the whole cluster, the last (term, sequence) of each service's journal; then any
    eligible node whose journals are complete may claim.
    """

    term: int
    master: Member
    vice: Vice | None
    appointment: int
    cause: str
    by: Member
    stopped: dict[str, tuple[int, int]] | None = None
    format: int = FORMAT

    def is_master(self, member: Member) -> bool:
        """Whether the record names this life of this node as master."""
        return self.master == member

    def is_vice(self, member: Member) -> bool:
        """Whether the record names this life of this node as vice, ready or not."""
        return self.vice is not None and self.vice.member == member

    @property
    def ready_vice(self) -> Member | None:
        """The vice that may claim, if one is named."""
        return self.vice.member if self.vice is not None and self.vice.ready else None


class NodeRecord(msgspec.Struct, frozen=True):
    """What persists of a node over restarts: its place on the ladder, set by operators' functions."""

    eligible: bool = True
    available: bool = True
    format: int = FORMAT


class Operation(msgspec.Struct, frozen=True):
    """One function of the cluster, from its intent to its outcome.

    id: chosen by who asks, so that asking again is the same request. node: the node that it is about. by: whose
    coordinator accepted it, in which term. outcome: empty while it is in progress; done | refused | failed, with all
    reasons and the result afterwards.
    """

    id: str
    function: str
    node: str
    reason: str
    by: str
    term: int
    options: dict[str, str] = {}
    outcome: str = ""
    reasons: tuple[str, ...] = ()
    result: dict[str, str | int | float] = {}


class Operations(msgspec.Struct, frozen=True):
    """The function in progress, and the last ones that ended, the newest last."""

    current: Operation | None = None
    ended: tuple[Operation, ...] = ()
    format: int = FORMAT

    def known(self, id: str) -> Operation | None:
        """The operation with this id, if it is in progress or was among the last that ended."""
        if self.current is not None and self.current.id == id:
            return self.current
        return next((each for each in self.ended if each.id == id), None)

    def with_outcome(
        self, outcome: str, reasons: tuple[str, ...], result: dict[str, str | int | float]
    ) -> Operations:
        """These operations when the current one has ended so."""
        assert self.current is not None
        ended = msgspec.structs.replace(
            self.current, outcome=outcome, reasons=tuple(brief(r) for r in reasons), result=result
        )
        return Operations(None, (*self.ended, ended)[-ENDED_KEPT:])


R = TypeVar("R", Mastership, NodeRecord, Operations)

_encoder = msgspec.json.Encoder()
_mastership = msgspec.json.Decoder(Mastership)
_node = msgspec.json.Decoder(NodeRecord)
_operations = msgspec.json.Decoder(Operations)


def brief(text: str) -> str:
    """Return a text of whatever length as one line that fits into a record: of a traceback the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > 1:
        lines = lines[-1:] if lines[0].startswith("Traceback") else [lines[0], lines[-1]]
    line = ": ".join(line.rstrip(":") for line in lines)
    data = line.encode("utf-8", "replace")
    if len(data) <= CAUSE_BYTES_MAX:
        return data.decode()
    return data[: CAUSE_BYTES_MAX - 3].decode("utf-8", "ignore") + "..."


def encode(record: Mastership | NodeRecord | Operations) -> bytes:
    """Return the record as JSON bytes."""
    return _encoder.encode(record)


def decode_mastership(data: bytes) -> Mastership:
    """Return the mastership record in `data`; ConfigError when it is damaged or of a newer format."""
    try:
        record = _mastership.decode(data)
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            "ledger key mastership", repr(data[:80]), f"a mastership record ({error})"
        ) from error
    return _known(record, "mastership")


def decode_node(data: bytes, node: str) -> NodeRecord:
    """Return the record of a node in `data`; ConfigError when it is damaged or of a newer format."""
    try:
        record = _node.decode(data)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"ledger key nodes/{node}", repr(data[:80]), f"a node record ({error})") from error
    return _known(record, f"nodes/{node}")


def decode_operations(data: bytes) -> Operations:
    """Return the functions in `data`; ConfigError when the record is damaged or of a newer format."""
    try:
        record = _operations.decode(data)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"ledger key {OPERATION}", repr(data[:80]), f"operations ({error})") from error
    return _known(record, OPERATION)


def _known(record: R, key: str) -> R:
    if record.format > FORMAT:
        raise ConfigError(
            f"ledger key {key}", f"format {record.format}", f"at most {FORMAT}: upgrade this node first"
        )
    return record
