"""Typed events: every transition that an operator may care about, with its cause.

The log line, the event stream, the metric and the row on a page are renderings of one event. `sentence()` is what
an operator reads.  INFO is for changes, never for beats.
"""

from __future__ import annotations

from typing import Any

import msgspec

from primacy.machines.event_base import Base
from primacy.machines.events_change import ChangeBegan, ChangeEnded, ChangeStepEnded
from primacy.machines.events_decision import Decided
from primacy.machines.events_node import (
    LedgerChanged,
    NodeStarted,
    NodeStopped,
    RecordEnded,
    RestartAsked,
    SchedulingGap,
    TableTaken,
)
from primacy.machines.events_operator import (
    ClaimHeld,
    MaintenanceBegan,
    MaintenanceEnded,
    MaintenanceEndsSoon,
    MasterForced,
)


class MasterElected(Base, frozen=True, kw_only=True):
    """A node became master of a new term."""

    node: str
    how: str
    cause: str

    def sentence(self) -> str:
        """Return the event in words."""
        return f"{self.node} is master of term {self.term} by {self.how}: {self.cause}"


class MasterDeposed(Base, frozen=True, kw_only=True):
    """This node is no longer master: the record names another one."""

    node: str
    by: str
    cause: str

    def sentence(self) -> str:
        """Return the event in words."""
        return f"{self.node} is no longer master; {self.by} is, since term {self.term}: {self.cause}"


class ViceAppointed(Base, frozen=True, kw_only=True):
    """A vice was chosen; it has to catch up before it is ready."""

    node: str
    appointment: int

    def sentence(self) -> str:
        """Return the event in words."""
        return f"{self.node} was appointed vice of term {self.term} and catches up"


class ViceInStep(Base, frozen=True, kw_only=True):
    """The vice mirrors everything and may claim from now on."""

    node: str
    appointment: int

    def sentence(self) -> str:
        """Return the event in words."""
        return f"{self.node} is in step: the ready vice of term {self.term}"


class ViceDropped(Base, frozen=True, kw_only=True):
    """The master goes on without its vice."""

    node: str
    cause: str

    def sentence(self) -> str:
        """Return the event in words."""
        return f"{self.node} is no longer vice of term {self.term}: {self.cause}"


class ClaimBegan(Base, frozen=True, kw_only=True):
    """The vice sealed itself and sends its claim."""

    node: str
    cause: str
    silence_ns: int

    def sentence(self) -> str:
        """Return the event in words."""
        silence = f" (last beat {self.silence_ns / 1e6:.1f} ms ago)" if self.silence_ns else ""
        return f"{self.node} claims term {self.term}: {self.cause}{silence}"


class FormationWaits(Base, frozen=True, kw_only=True):
    """No master lives and this node may not or should not claim now. passing: the wait ends by itself."""

    node: str
    reason: str
    passing: bool = False

    def sentence(self) -> str:
        """Return the event in words."""
        return f"{self.node} finds no master and does not claim: {self.reason}"


class LeaseLapsed(Base, frozen=True, kw_only=True):
    """The vice's answers stopped: this master answers nobody until the vice is out of the record."""

    node: str
    vice: str

    def sentence(self) -> str:
        """Return the event in words."""
        return f"{self.node} heard nothing from its vice {self.vice} for a lease: it is silent until this is settled"


class ObituaryHeard(Base, frozen=True, kw_only=True):
    """A guardian's word that a member's processes are all dead."""

    node: str
    incarnation: str

    def sentence(self) -> str:
        """Return the event in words."""
        return (
            f"{self.node} is dead: its guardian says that all processes of {self.incarnation[:8]} have ended"
        )


class LinkChanged(Base, frozen=True, kw_only=True):
    """A link to a peer went up or down, seen by arrivals. others_up: how many other links to it carry traffic."""

    node: str
    peer: str
    link: int
    up: bool
    others_up: int = 0

    def sentence(self) -> str:
        """Return the event in words."""
        change = f"link {self.link} between {self.node} and {self.peer} is {'up' if self.up else 'down'}"
        return f"{change}; {self.others_up} other goes on" if self.others_up and not self.up else change


class NodeChanged(Base, frozen=True, kw_only=True):
    """A peer became reachable (its first link) or unreachable (its last link)."""

    node: str
    peer: str
    reachable: bool

    def sentence(self) -> str:
        """Return the event in words."""
        if self.reachable:
            return f"{self.node} hears {self.peer}"
        return f"{self.node} hears nothing from {self.peer} any more, on any link"


class LevelCompleted(Base, frozen=True, kw_only=True):
    """All callbacks of one level have completed on a node. operation: of the cluster, that it belongs to, if any."""

    node: str
    function: str
    level: int
    services: list[str] = []
    operation: str = ""

    def sentence(self) -> str:
        """Return the event in words."""
        services = f" ({', '.join(self.services)})" if self.services else ""
        return f"{self.node} completed level {self.level} of {self.function}{services}"


class FunctionBegan(Base, frozen=True, kw_only=True):
    """A function begins on a node. operation: of the cluster, that it belongs to, if any."""

    node: str
    function: str
    cause: str
    operation: str = ""

    def sentence(self) -> str:
        """Return the event in words."""
        return f"{self.node} begins its levels of {self.function}: {self.cause}"


class FunctionEnded(Base, frozen=True, kw_only=True):
    """A function ended on a node: completed, refused, undone or failed."""

    node: str
    function: str
    outcome: str
    reasons: list[str] = []
    duration_ms: float = 0.0
    operation: str = ""

    def sentence(self) -> str:
        """Return the event in words."""
        if self.outcome == "completed":
            return f"{self.node} completed its levels of {self.function} in {self.duration_ms:.1f} ms"
        why = f": {'; '.join(self.reasons)}" if self.reasons else ""
        return f"{self.function} on {self.node} {self.outcome} after {self.duration_ms:.1f} ms{why}"


class OperationBegan(Base, frozen=True, kw_only=True):
    """The intent of a function of the cluster is in the ledger; node: which one it is about."""

    node: str
    operation: str
    function: str
    reason: str

    def sentence(self) -> str:
        """Return the event in words."""
        return f"{self.function} of {self.node} begins: {self.reason}"


class OperationEnded(Base, frozen=True, kw_only=True):
    """A function of the cluster has come to its end: done, refused or failed."""

    node: str
    operation: str
    function: str
    outcome: str
    reasons: list[str] = []

    def sentence(self) -> str:
        """Return the event in words."""
        why = f": {'; '.join(self.reasons)}" if self.reasons else ""
        return f"{self.function} of {self.node} is {self.outcome}{why}"


class CallbackFailed(Base, frozen=True, kw_only=True):
    """A callback did not complete."""

    node: str
    service: str
    function: str
    level: int
    callback: str
    reason: str
    meaning: str = ""

    def sentence(self) -> str:
        """Return the event in words."""
        then = f"; {self.meaning}" if self.meaning else ""
        return (
            f"{self.node}: {self.service}.{self.callback} ({self.function}, level {self.level}) "
            f"did not complete: {self.reason}{then}"
        )


class ServerChanged(Base, frozen=True, kw_only=True):
    """A server of a service changed its state on a node. appointment: of the vice, when it mirrors from now on."""

    node: str
    service: str
    old: str
    new: str
    appointment: int = 0

    def sentence(self) -> str:
        """Return the event in words."""
        return f"{self.service} on {self.node} is {self.new} now (was {self.old})"


class ServerDied(Base, frozen=True, kw_only=True):
    """The host process of a server ended or failed."""

    node: str
    service: str
    reason: str
    action: str

    def sentence(self) -> str:
        """Return the event in words."""
        return f"the host of {self.service} on {self.node} {self.reason}: {self.action}"


class RecoveryStep(Base, frozen=True, kw_only=True):
    """A rung of the recovery ladder: what a server's failures on this node recommended, and what was applied."""

    node: str
    service: str
    reason: str
    failures: int
    recommended: str
    applied: str

    def sentence(self) -> str:
        """Return the event in words."""
        return (
            f"recovery of {self.service} on {self.node} after failure {self.failures} ({self.reason}): "
            f"recommended {self.recommended}, applied {self.applied}"
        )


class InService(Base, frozen=True, kw_only=True):
    """The master's last level is complete: every primary serves."""

    node: str
    function: str

    def sentence(self) -> str:
        """Return the event in words."""
        return f"the cluster is in service: {self.node} serves term {self.term} after {self.function}"


class ServiceNote(Base, frozen=True, kw_only=True):
    """A host tells something of its service: a journal set aside, a snapshot sent, digests that differ."""

    node: str
    service: str
    kind: str
    text: str

    def sentence(self) -> str:
        """Return the event in words."""
        return f"{self.service} on {self.node}: {self.text}"


Event = (
    MasterElected | MasterDeposed | ViceAppointed | ViceInStep | ViceDropped | ClaimBegan | FormationWaits
    | LeaseLapsed | ObituaryHeard | LinkChanged | NodeChanged | LevelCompleted | FunctionBegan | FunctionEnded
    | OperationBegan | OperationEnded | CallbackFailed | ServerChanged | ServerDied | RecoveryStep | InService
    | ServiceNote | NodeStarted | NodeStopped | SchedulingGap | LedgerChanged | RecordEnded | Decided
    | TableTaken | RestartAsked | MasterForced | ClaimHeld | MaintenanceBegan | MaintenanceEndsSoon | MaintenanceEnded
    | ChangeBegan | ChangeStepEnded | ChangeEnded
)  # fmt: skip


class Stamped(msgspec.Struct, frozen=True, kw_only=True):
    """An event as a node keeps it: who published it, its number there, and the wall clock (for people only)."""

    node: str
    incarnation: str
    number: int
    wall_ns: int
    event: Event

    def plain(self) -> dict[str, Any]:
        """Return it as a dictionary of plain values, with the sentence, for JSON and the event stream."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return fields | {"sentence": self.event.sentence()}
