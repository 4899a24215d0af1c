"""A primary's host died at the master: hand over at once; when nobody can take over, go on here in a new term.

The node is not dead, only one of its servers is. What cannot be told from the disk of this node (a `memory` service's
acknowledged state that was nowhere else) is not guessed: then this life of the node ends, and the others decide. While
the cluster is in maintenance mastership does not move by itself: the master goes on here, or, where its disk does not
have everything, waits for the end of maintenance or for an operator's switchover. Until it is settled no new process of
this node becomes primary: in the term that is to end it could only guess what the old one had acknowledged.  Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from primacy.machines import membership
from primacy.machines.coordination import Abandon, Publish
from primacy.machines.deciding import Decisions
from primacy.machines.ids import MS
from primacy.machines.rulings import EndLife, GoOn, HandOver, RescueView, Stay, TryAgain, rescue
from primacy.machines.sequence import Wait
from primacy.machines.swap import Outcome, Purpose

if TYPE_CHECKING:
    from primacy.machines.coordinator import Coordinator

RETRY_NS = 50 * MS


class Rescue:
    """The loss of a primary that is not settled yet; `lost` says which, and is empty when there is none."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._ssc = coordinator
        self.lost = ""
        self._asked = ""  # what the monitor was asked for: handover | renew
        self._in_place = False
        self._on_disk = True
        self._ordered = False  # an operator wants the hand-over, maintenance or not
        self._stays = ""  # why nothing is done
        self._since_ns = 0
        self._retry_ns = 0
        self._decisions = Decisions(coordinator.node, lambda event: coordinator.emit(Publish(event)))

    def begin(self, lost: str, *, in_place: bool, on_disk: bool = True) -> None:
        """A primary was lost here; `lost` is the sentence for the record. in_place: do not ask the vice. on_disk: all
        that it acknowledged is on the disk of this node."""
        if not self.lost:
            self._in_place = self._on_disk = True
            self._since_ns = self._ssc.now_ns
        self._in_place, self._on_disk = self._in_place and in_place, self._on_disk and on_disk
        self.lost, self._asked, self._retry_ns = lost, "", self._ssc.now_ns
        self._stays = ""

    def forget(self) -> None:
        """This node's place is another one: what was lost is settled."""
        self.lost, self._asked, self._stays, self._ordered = "", "", "", False

    def order(self) -> None:
        """An operator wants the vice to take over, maintenance or not."""
        assert self._stays, "an order is about a loss of which nothing is done"
        self._ordered, self._stays = True, ""

    def closed(self, purpose: Purpose, outcome: Outcome) -> None:
        """A change of the record was settled."""
        if self._asked and outcome is not Outcome.DONE and purpose in (Purpose.HANDOVER, Purpose.RENEW):
            self._decide(purpose.value)

    def proceed(self) -> None:
        """Ask for the hand-over, or for the new term, once; again after a while when it could not be written."""
        ssc = self._ssc
        if not self.lost or ssc.role != "master" or self._asked or (self._stays and ssc.held):
            return
        if ssc.switchover.phase == "swapping":
            return  # its own hand-over is settled first
        if ssc.now_ns < self._retry_ns:
            ssc.wake(self._retry_ns)
            return
        self._decide("")

    @property
    def stays(self) -> bool:
        """Whether nothing is done about the loss because the cluster is in maintenance."""
        return bool(self._stays and self._ssc.held)

    def waits(self) -> list[Wait]:
        """What is waited for while nothing is done."""
        return [Wait(self._stays, self._since_ns)] if self.stays else []

    def _decide(self, tried: str) -> None:
        ssc = self._ssc
        view = RescueView(
            lost=self.lost,
            tried=tried,
            in_place=self._in_place,
            on_disk=self._on_disk,
            ready_vice=ssc.record is None or ssc.record.ready_vice is not None,
            held="" if self._ordered else ssc.held_here,
        )
        verdict = rescue(view)
        match verdict:
            case HandOver(cause=cause):
                self._asked = Purpose.HANDOVER.value
                now_ns, term = ssc.now_ns, ssc.term
                ssc.feed(membership.HandOver(now_ns=now_ns, term=term, in_step=False, cause=cause))
            case GoOn(cause=cause):
                self._asked = Purpose.RENEW.value
                if tried:
                    ssc.recovery.nobody_takes_over()
                ssc.servers.start_now()
                ssc.feed(membership.Renew(now_ns=ssc.now_ns, term=ssc.term, cause=cause))
            case TryAgain():
                self._asked, self._retry_ns = "", ssc.now_ns + RETRY_NS
                return
            case Stay(reason=reason):
                self._asked, self._stays = "", reason
        self._decisions.note("rescue", ssc.term, (ssc.term, self.lost), view, verdict)
        if isinstance(verdict, EndLife):
            ssc.emit(Abandon(verdict.cause))
