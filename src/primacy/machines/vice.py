"""What a vice does: it answers beats, and claims when the master is lost.

Each answer is a promise: no claim before a whole grace after the receipt of that beat. So it seals first
(acknowledges nothing more of this term, beats or mirror) and claims then; the seal ends when the claim is settled.
It reads the record before it claims by the clock, as soon as a lease has passed without a beat, so that a vice that
cannot reach the ledger neither seals nor claims. An obituary of the master's incarnation replaces the grace. The rule
itself is rulings.claim; what stands here is its inputs, and what follows from its verdict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from primacy.machines.events import ClaimBegan
from primacy.machines.events_operator import ClaimHeld
from primacy.machines.lease import Grace
from primacy.machines.membership import Acknowledge, Became, Publish, Seal
from primacy.machines.records import Mastership
from primacy.machines.rulings import Claim, ClaimView, Hold, claim
from primacy.machines.swap import Purpose

if TYPE_CHECKING:
    from primacy.machines.mastership import Monitor


class ViceDuty:
    """State of this node as vice; meaningful only while the record names this incarnation as vice."""

    def __init__(self, monitor: Monitor) -> None:
        self._cmm = monitor
        self.grace = Grace(monitor.timing.lease_ns, monitor.timing.grace_ns, monitor.now_ns)
        self.sealed = False
        self.waits_for = ""  # why it does not claim although the master is lost
        self._term = 0

    def record_changed(self, old: Mastership | None, clean: bool) -> None:
        """The record names this node as vice. old: the record before, if it was vice already."""
        cmm, record = self._cmm, self._record
        if old is not None and (old.term, old.appointment) == (record.term, record.appointment):
            return  # only `ready` changed
        if old is not None:
            self.end()
        self.waits_for = ""
        self.grace.begin(cmm.now_ns)
        self.sealed = False
        self._term = record.term
        cmm.emit(Became("vice", "switchover" if clean else "appointment", cmm.revision, record, clean))
        cmm.emit(Acknowledge(record.term))

    def end(self) -> None:
        """This node is vice no longer, or in another appointment: acknowledge nothing of it any more."""
        if not self.sealed:
            self._cmm.emit(Seal(self._term))
        self.sealed = False

    def acknowledges(self) -> bool:
        """A beat of the master has come: answer it? If so the grace begins anew."""
        if self.sealed:
            return False
        self.grace.restart(self._cmm.now_ns)
        self.waits_for = ""
        return True

    def seal(self) -> None:
        """Acknowledge nothing of this term any more: a claim is about to be sent."""
        self.sealed = True
        self._cmm.emit(Seal(self._term))

    def retimed(self) -> None:
        """Other times: a longer grace counts at once, a shorter one when what was promised is over."""
        self.grace.retimed(self._cmm.timing.lease_ns, self._cmm.timing.grace_ns)

    def unseal(self) -> None:
        """The claim is settled and was not written: acknowledge again; the next answered beat restarts the grace."""
        if self.sealed and self._cmm.role == "vice":
            self.sealed = False
            self._cmm.emit(Acknowledge(self._term))

    def consider(self) -> None:
        """Claim if the master is lost. No swap is open."""
        cmm, record, now_ns = self._cmm, self._record, self._cmm.now_ns
        ready = record.ready_vice == cmm.me
        dead, held = record.master.incarnation in cmm.dead, cmm.maintenance.cluster
        if not held:
            self.waits_for = ""
        cmm.wake(self.grace.since_ns + self.grace.lease_ns)
        if not dead and not self.grace.doubtful(now_ns):
            return  # what the rule says as well, at every beat
        view = ClaimView(
            master=record.master.node,
            ready=ready,
            master_dead=dead,
            silence_ns=now_ns - self.grace.since_ns,
            lease_ns=self.grace.lease_ns,
            grace_ns=self.grace.owed_ns,
            on_time=cmm.judges(),
            record_read=cmm.checked_ns > self.grace.since_ns,
            held=held,
        )
        verdict = claim(view)
        if isinstance(verdict, Claim):
            self._claim(view, verdict)
        elif verdict.lost:
            self._hold(view, verdict)
        elif verdict.read:
            cmm.read()
        else:
            cmm.wake(self.grace.since_ns + self.grace.owed_ns)

    def _hold(self, view: ClaimView, verdict: Hold) -> None:
        """The cluster is in maintenance: claim nothing, and tell once that the master is lost."""
        cmm = self._cmm
        if not self.waits_for:
            self.waits_for = verdict.reason
            cmm.emit(Publish(ClaimHeld(term=cmm.term, node=cmm.me.node, reason=verdict.reason)))
            cmm.decisions.note("claim", cmm.term, cmm.revision, view, verdict)

    def _claim(self, view: ClaimView, verdict: Claim) -> None:
        cmm, term, silence_ns = self._cmm, self._cmm.term + 1, view.silence_ns
        if cmm.paused():
            return
        self.seal()
        cmm.emit(Publish(ClaimBegan(term=term, node=cmm.me.node, cause=verdict.cause, silence_ns=silence_ns)))
        cmm.begin(Purpose.CLAIM, cmm.new_term(verdict.cause))
        cmm.decisions.note("claim", cmm.term, cmm.revision, view, verdict)

    @property
    def _record(self) -> Mastership:
        record = self._cmm.record
        assert record is not None
        return record
