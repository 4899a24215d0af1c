"""What a simulated node sees of the world, and who looks on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from primacy.machines import membership as cmm
from primacy.machines.events import Event
from primacy.machines.ids import Member
from primacy.machines.swap import Purpose
from primacy.sim.host_process import Observer
from primacy.sim.levels import Levels
from primacy.sim.line import Ledger
from primacy.sim.network import Network
from primacy.sim.scheduler import Scheduler
from primacy.sim.settings import Settings

if TYPE_CHECKING:
    from primacy.sim.node import Node


class Watcher(Observer, Protocol):
    """Who looks on: the checkers and the timeline. levels: who looks at callbacks."""

    levels: Levels

    def granted(self, member: Member, effect: cmm.Grant, page_valid: bool) -> None:
        """An agent has written a primary's lease page."""

    def swapping(self, member: Member, effect: cmm.SwapRecord, page_valid: bool, purpose: Purpose) -> None:
        """An agent sends a swap. page_valid: its primaries may answer meanwhile."""

    def acknowledging(self, member: Member, effect: cmm.Acknowledge) -> None:
        """An agent lets its secondaries acknowledge."""

    def published(self, node: str, event: Event) -> None:
        """An agent publishes an event for operators."""

    def gone(self, host: Any) -> None:
        """A host process is no more."""

    def note(self, place: str, sentence: str) -> None:
        """Something worth a line in the timeline has happened."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """See the module."""

    scheduler: Scheduler
    network: Network
    ledger: Ledger
    watcher: Watcher
    settings: Settings
    nodes: dict[str, Node]
