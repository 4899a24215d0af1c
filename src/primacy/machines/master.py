"""What a master does: it beats, holds its lease, and changes the vice in the record.

The gate: if the record, *or an unsettled swap of its own*, names a ready vice, the master answers only while it holds
that vice's lease; else it answers alone. While it drops its vice, hands over or stops it answers nobody until the
swap is settled.  A vice becomes ready in this order only: every reply waits for it; it acknowledged everything up to
that moment, in this appointment; the master holds its lease; then `ready` is sent.  A master all of whose links an
operator took down drops nobody: it is the one that is cut off, and its vice claims, though both reach the ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from primacy.machines.events import LeaseLapsed, ViceAppointed, ViceDropped, ViceInStep
from primacy.machines.formation import Positions
from primacy.machines.ids import FOREVER_NS, NEVER_NS, Member
from primacy.machines.lease import Lease
from primacy.machines.membership import (
    Alone,
    Appointed,
    Closed,
    HandOver,
    Publish,
    Renew,
    Send,
    Stalled,
    ViceReady,
)
from primacy.machines.messages import Beat, Echo
from primacy.machines.records import Mastership, Vice
from primacy.machines.swap import Outcome, Purpose

if TYPE_CHECKING:
    from primacy.machines.mastership import Monitor

_SILENT = {Purpose.HANDOVER, Purpose.RENEW, Purpose.STOP}


class MasterDuty:
    """State of this node as master; meaningful only while the record names this incarnation as master."""

    def __init__(self, monitor: Monitor) -> None:
        self._cmm = monitor
        self.lease = Lease(monitor.timing.lease_ns)
        self.serving_term = 0
        self.kept_back: dict[str, str] = {}  # nodes that a function is about to take down: why
        self._joined = 0  # the appointment whose vice has joined every mirror
        self._unfit: dict[int, str] = {}  # appointment -> why its vice must go
        self._appointed_ns = 0
        self._beat_ns = 0
        self._member_beat_ns = 0
        self._reread_ns = 0
        self._lapsed = 0  # the appointment whose lapse was published
        self.linked = True  # not every link of this node is down

    # ---- the gate ----

    def valid_until_ns(self) -> int:
        """Until when this master's primaries may answer: what the lease page must say now."""
        cmm, record = self._cmm, self._record
        swap = cmm.swap
        ready = record.ready_vice is not None
        if record.stopped is not None or (swap is not None and swap.purpose in _SILENT):
            return NEVER_NS
        if swap is not None and swap.purpose is Purpose.DROP and ready:
            return NEVER_NS
        ready = ready or (swap is not None and swap.record.ready_vice is not None)
        return self.lease.until_ns if ready else FOREVER_NS

    # ---- inputs ----

    def begin_term(self) -> None:
        """This node has just become master."""
        now_ns = self._cmm.now_ns
        self.lease.forget()
        self._joined, self._unfit, self._lapsed = 0, {}, 0
        self.kept_back.clear()
        self._appointed_ns = now_ns
        self._beat_ns = self._member_beat_ns = now_ns
        self._reread_ns = now_ns + self._cmm.timing.grace_ns

    def record_changed(self, old: Mastership) -> None:
        """The record of this term changed by a swap of this master's own."""
        cmm, record = self._cmm, self._record
        vice = record.vice
        if vice is None:
            if old.vice is not None:
                self._dropped(old.vice)
        elif record.appointment != old.appointment:
            self.lease.forget()
            self._appointed_ns = self._beat_ns = cmm.now_ns
            cmm.emit(Appointed(record.term, record.appointment, vice.member))
            cmm.emit(Publish(ViceAppointed(term=record.term, node=vice.node, appointment=record.appointment)))
        elif vice.ready:
            cmm.emit(ViceReady(record.term, record.appointment))
            cmm.emit(Publish(ViceInStep(term=record.term, node=vice.node, appointment=record.appointment)))

    def echoed(self, sender: Member, echo: Echo) -> None:
        """A member answered a beat; the vice's answer is a promise of its silence."""
        cmm = self._cmm
        peer = cmm.peers.get(sender.node)
        if peer is None or cmm.role != "master" or echo.term != cmm.term:
            return
        peer.able = echo.able
        if echo.revision < cmm.revision:
            cmm.announcer.tell(sender.node)
        if echo.sent_ns > cmm.now_ns:
            return  # no beat of this life was sent so late: an answer to nothing promises nothing
        if echo.vice and self._record.is_vice(sender) and echo.appointment == self._record.appointment:
            self.lease.echoed(echo.sent_ns)
            if not echo.healthy:
                self._unfit[echo.appointment] = "its servers do not mirror"

    def joined(self, term: int, appointment: int) -> None:
        """Every primary holds its replies for this vice, and it has caught up."""
        if term == self._cmm.term:
            self._joined = appointment

    def stalled(self, event: Stalled) -> None:
        """A mirror waited too long for a vice that may still beat."""
        if event.term == self._cmm.term:
            self._unfit[event.appointment] = f"the mirror of {event.service} stalled"

    def serves(self, term: int) -> None:
        """The last level is complete: announce it; from now on a vice may be appointed."""
        if term == self._cmm.term and self._cmm.role == "master":
            self.serving_term = term
            self._cmm.announcer.news()

    def retimed(self) -> None:
        """Other times: a shorter lease counts at once, a longer one from the next echo on; so beat at once."""
        self.lease.lease_ns = self._cmm.timing.lease_ns
        self.lease.until_ns = min(self.lease.until_ns, self._cmm.now_ns + self.lease.lease_ns)
        self._beat_ns = self._member_beat_ns = self._cmm.now_ns

    def leaving(self, member: Member) -> None:
        """A member leaves in order: appoint it no more, and drop it when it is the vice."""
        peer = self._cmm.peers.get(member.node)
        if peer is not None and peer.incarnation == member.incarnation:
            peer.leaving = True

    def keep_back(self, node: str, why: str) -> None:
        """Appoint this node no more; or, without a reason, again."""
        if why:
            self.kept_back[node] = why
        else:
            self.kept_back.pop(node, None)

    def hand_over(self, event: HandOver) -> None:
        """Make the ready vice master. in_step: this node's servers are complete and become its ready secondaries;
        otherwise the new master begins alone and appoints whom it finds fit."""
        cmm = self._cmm
        possible = cmm.role == "master" and event.term == cmm.term and cmm.swap is None
        to = self._record.ready_vice if possible else None
        if to is None or not self.lease.held(cmm.now_ns):
            cmm.emit(Closed(Purpose.HANDOVER, Outcome.NOT_WRITTEN))
            return
        vice = Vice(cmm.me.node, cmm.me.incarnation, ready=True) if event.in_step else None
        record = Mastership(cmm.term + 1, to, vice, self._record.appointment + 1, event.cause, cmm.me)
        cmm.begin(Purpose.HANDOVER, record)

    def renew(self, event: Renew) -> None:
        """Go on in a new term, alone: a primary's process was lost here and nobody can take over."""
        cmm = self._cmm
        if cmm.role != "master" or event.term != cmm.term or cmm.swap is not None or not self.linked:
            cmm.emit(Closed(Purpose.RENEW, Outcome.NOT_WRITTEN))
            return
        cmm.begin(Purpose.RENEW, cmm.new_term(event.cause))

    def stop(self, positions: Positions) -> None:
        """Write the orderly stop of the cluster: all data is synced up to these positions."""
        cmm = self._cmm
        if cmm.role != "master" or cmm.swap is not None:
            cmm.emit(Closed(Purpose.STOP, Outcome.NOT_WRITTEN))
            return
        cause = "the cluster was stopped in order"
        cmm.begin(Purpose.STOP, self._next(None, cause, stopped=positions))

    # ---- what to do now ----

    def beat(self) -> None:
        """Send what is due: the vice's beat often, the other members' seldom."""
        cmm, now_ns = self._cmm, self._cmm.now_ns
        vice = self._record.vice
        message = Beat(cmm.term, cmm.revision, now_ns, cmm.timing.lease_ns)
        if vice is not None and now_ns >= self._beat_ns:
            cmm.emit(Send(vice.node, message))
            self._beat_ns = now_ns + cmm.timing.beat_ns
        if now_ns >= self._member_beat_ns:
            for peer in cmm.peers:
                if vice is None or peer.entry.id != vice.node:
                    cmm.emit(Send(peer.entry.id, message))
            self._member_beat_ns = now_ns + cmm.timing.member_ns
        if vice is not None:
            cmm.wake(self._beat_ns)
        cmm.wake(self._member_beat_ns)

    def beat_now(self) -> None:
        """Send the vice a beat at once (a reader waits for its echo)."""
        self._beat_ns = self._cmm.now_ns

    def consider(self) -> None:
        """Decide on the next change of the record, if one is due. No swap is open."""
        cmm, record = self._cmm, self._record
        if record.stopped is not None:
            return
        if record.vice is None:
            self._consider_alone()
            return
        why = self._why_drop(record.vice)
        if why and not self.linked:
            return  # it is this node that is cut off: a ready vice claims, and clients reach that one
        if why:
            if not record.vice.ready and record.appointment not in self._unfit:
                self._unfit[record.appointment] = why  # it cannot claim, and never will in this appointment:
                cmm.emit(Alone(record.term))  # no reply needs to wait for the ledger
            if not cmm.paused():
                cmm.begin(Purpose.DROP, self._next(None, why))
        elif not record.vice.ready and self._joined == record.appointment and self.lease.held(cmm.now_ns):
            self._make_ready(record.vice)

    def _make_ready(self, vice: Vice) -> None:
        if not self._cmm.paused():
            ready = msgspec.structs.replace(vice, ready=True)
            self._cmm.begin(Purpose.READY, self._next(ready, f"{ready.node} is in step"))

    def _consider_alone(self) -> None:
        cmm = self._cmm
        if cmm.now_ns >= self._reread_ns:
            self._reread_ns = cmm.now_ns + cmm.timing.grace_ns
            cmm.read()  # a master alone looks whether somebody was made master by force
        cmm.wake(self._reread_ns)
        if self.serving_term != cmm.term or cmm.paused():
            return
        peer = cmm.peers.next_vice(cmm.now_ns, cmm.timing.silence_ns, cmm.dead, self.kept_back)
        if peer is not None:
            vice = Vice(peer.entry.id, peer.incarnation, ready=False)
            appointment = self._record.appointment + 1
            cmm.begin(Purpose.APPOINT, self._next(vice, f"{vice.node} is appointed vice", appointment))

    def _why_drop(self, vice: Vice) -> str:
        """Return why the vice must go, or nothing. By the clock only when this agent itself was on time."""
        cmm, record = self._cmm, self._record
        peer = cmm.peers.get(vice.node)
        if vice.incarnation in cmm.dead:
            return f"the processes of {vice.node} are dead"
        if peer is None or not peer.entry.eligible:
            return f"{vice.node} is no eligible node of the table any more"
        if not peer.entry.available:
            return f"{vice.node} is a spare by its record"
        if vice.node in self.kept_back:
            return self.kept_back[vice.node]
        if peer.leaving and peer.incarnation == vice.incarnation:
            return f"{vice.node} leaves in order"
        if record.appointment in self._unfit:
            return f"{vice.node}: {self._unfit[record.appointment]}"
        end_ns = max(self.lease.until_ns, self._appointed_ns + cmm.timing.lease_ns)
        cmm.wake(end_ns)
        if cmm.now_ns < end_ns or not cmm.judges():
            return ""
        if vice.ready and self._lapsed != record.appointment:
            self._lapsed = record.appointment
            cmm.emit(Publish(LeaseLapsed(term=record.term, node=cmm.me.node, vice=vice.node)))
        return f"{vice.node} did not answer for a lease"

    def _dropped(self, vice: Vice) -> None:
        cmm, record = self._cmm, self._record
        peer = cmm.peers.get(vice.node)
        if peer is not None and peer.incarnation == vice.incarnation:
            peer.rest_until_ns = cmm.now_ns + cmm.timing.member_ns
        cmm.emit(Alone(record.term))
        cmm.emit(Publish(ViceDropped(term=record.term, node=vice.node, cause=record.cause)))

    def _next(
        self, vice: Vice | None, cause: str, appointment: int | None = None, stopped: Positions | None = None
    ) -> Mastership:
        """The record of the same term with another vice."""
        record = self._record
        number = record.appointment if appointment is None else appointment
        return Mastership(record.term, record.master, vice, number, cause, self._cmm.me, stopped)

    @property
    def _record(self) -> Mastership:
        record = self._cmm.record
        assert record is not None
        return record
