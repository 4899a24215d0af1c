"""A primary's host died at the master: hand over at once; when nobody can take over, go on here in a new term.

The node is not dead, only one of its servers is. What cannot be told from the disk of this node (a `memory` service's
acknowledged state that was nowhere else) is not guessed: then this life of the node ends, and the others decide. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from primacy.machines import membership
from primacy.machines.coordination import Abandon
from primacy.machines.ids import MS
from primacy.machines.swap import Outcome, Purpose

if TYPE_CHECKING:
    from primacy.machines.coordinator import Coordinator

RETRY_NS = 50 * MS


class Rescue:
    """The loss of a primary that is not settled yet; `lost` says which, and is empty when there is none."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._ssc = coordinator
        self.lost = ""
        self._asked = False
        self._in_place = False
        self._retry_ns = 0

    def begin(self, lost: str, *, in_place: bool) -> None:
        """A primary was lost here; `lost` is the sentence for the record. in_place: do not ask the vice."""
        self._in_place = in_place and (self._in_place or not self.lost)
        self.lost, self._asked, self._retry_ns = lost, False, self._ssc.now_ns

    def forget(self) -> None:
        """This node's place is another one: what was lost is settled."""
        self.lost, self._asked = "", False

    def closed(self, purpose: Purpose, outcome: Outcome) -> None:
        """A change of the record was settled."""
        ssc = self._ssc
        if not self._asked or outcome is Outcome.DONE:
            return
        if purpose is Purpose.HANDOVER and self._may_renew():
            ssc.recovery.nobody_takes_over()
            self._renew()
        elif purpose is Purpose.HANDOVER and ssc.record is not None and ssc.record.ready_vice is None:
            ssc.emit(Abandon(f"{self.lost}, and what it kept in memory is nowhere else"))
        elif purpose in (Purpose.HANDOVER, Purpose.RENEW):
            self._asked = False
            self._retry_ns = ssc.now_ns + RETRY_NS

    def proceed(self) -> None:
        """Ask for the hand-over, or for the new term, once; again after a while when it could not be written."""
        ssc = self._ssc
        if not self.lost or ssc.role != "master" or self._asked:
            return
        if ssc.now_ns < self._retry_ns:
            ssc.wake(self._retry_ns)
            return
        self._asked = True
        if self._in_place and self._may_renew():
            self._renew()
        else:
            ssc.feed(membership.HandOver(now_ns=ssc.now_ns, term=ssc.term, in_step=False, cause=self.lost))

    def _may_renew(self) -> bool:
        """With `memory` durability what was acknowledged may be on no disk of this node: then it may not go on."""
        lost = [s for s in self._ssc.servers.centralized if s.process != "open"]
        return all(s.kept or not s.row.volatile for s in lost)

    def _renew(self) -> None:
        ssc = self._ssc
        ssc.servers.start_now()
        ssc.feed(membership.Renew(now_ns=ssc.now_ns, term=ssc.term, cause=self.lost))
