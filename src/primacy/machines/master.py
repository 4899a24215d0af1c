"""What a master does: it beats, holds its lease, and changes the vice in the record.

The gate: if the record, *or an unsettled swap of its own*, names a ready vice, the master answers only while it holds
that vice's lease; else it answers alone. While it drops its vice, hands over or stops it answers nobody until the
swap is settled.  A vice becomes ready in this order only: every reply waits for it; it acknowledged everything up to
that moment, in this appointment; the master holds its lease; then `ready` is sent.  A master all of whose links an
operator took down drops nobody: it is the one that is cut off, and its vice claims, though both reach the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from primacy.machines import rulings
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
from primacy.machines.rulings import Appoint, Drop, DropView, MakeReady, ReadyView
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
        """Other times: a shorter lease counts from now on, a longer one from the next beat on; so beat at once."""
        self.lease.retimed(self._cmm.timing.lease_ns, self._cmm.now_ns)
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

    def why_kept_back(self) -> Mapping[str, str]:
        """The nodes that get no role now, and why: a function takes them down, or they are in maintenance."""
        maintained = self._cmm.maintenance.nodes
        return (
            {n: f"{n} is in maintenance" for n in maintained} | self.kept_back
            if maintained
            else self.kept_back
        )

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
        view = self._drop_view(record.vice)
        verdict = rulings.drop(view)
        if verdict.lapsed and record.vice.ready and self._lapsed != record.appointment:
            self._lapsed = record.appointment
            cmm.emit(Publish(LeaseLapsed(term=record.term, node=cmm.me.node, vice=record.vice.node)))
        if isinstance(verdict, Drop):
            self._drop(record.vice, view, verdict)
        elif verdict.fit and not record.vice.ready:
            self._consider_ready(record.vice)

    def _drop(self, vice: Vice, view: DropView, verdict: Drop) -> None:
        cmm, record = self._cmm, self._record
        if not vice.ready and record.appointment not in self._unfit:
            # it cannot claim, and never will in this appointment: no reply needs to wait for the ledger
            self._unfit[record.appointment] = verdict.cause
            cmm.emit(Alone(record.term))
        if not cmm.paused():
            cmm.begin(Purpose.DROP, self._next(None, verdict.cause))
            cmm.decisions.note("drop", cmm.term, cmm.revision, view, verdict)

    def _consider_ready(self, vice: Vice) -> None:
        cmm, joined = self._cmm, self._joined == self._record.appointment
        view = ReadyView(vice.node, joined, self.lease.held(cmm.now_ns))
        verdict = rulings.ready(view)
        if isinstance(verdict, MakeReady) and not cmm.paused():
            named = msgspec.structs.replace(vice, ready=True)
            cmm.begin(Purpose.READY, self._next(named, verdict.cause))
            cmm.decisions.note("ready", cmm.term, cmm.revision, view, verdict)

    def _consider_alone(self) -> None:
        cmm = self._cmm
        if cmm.now_ns >= self._reread_ns:
            self._reread_ns = cmm.now_ns + cmm.timing.grace_ns
            cmm.read()  # a master alone looks whether somebody was made master by force
        cmm.wake(self._reread_ns)
        if self.serving_term != cmm.term or cmm.paused():
            return
        view = cmm.peers.vice_view(cmm.now_ns, cmm.timing.silence_ns, cmm.dead, self.why_kept_back())
        verdict = rulings.appoint(view)
        if isinstance(verdict, Appoint):
            vice = Vice(verdict.node, verdict.incarnation, ready=False)
            appointment = self._record.appointment + 1
            cmm.begin(Purpose.APPOINT, self._next(vice, verdict.cause, appointment))
            cmm.decisions.note("appoint", cmm.term, cmm.revision, view, verdict)

    def _drop_view(self, vice: Vice) -> DropView:
        cmm, peer = self._cmm, self._cmm.peers.get(vice.node)
        end_ns = max(self.lease.until_ns, self._appointed_ns + cmm.timing.lease_ns)
        cmm.wake(end_ns)
        return DropView(
            vice.node,
            vice.incarnation in cmm.dead,
            peer is not None and peer.entry.eligible,
            peer is not None and peer.entry.available,
            self.why_kept_back().get(vice.node, ""),
            peer is not None and peer.leaving and peer.incarnation == vice.incarnation,
            self._unfit.get(self._record.appointment, ""),
            cmm.now_ns - end_ns,
            cmm.judges(),
            self.linked,
        )

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
