"""What a member that is neither master nor vice does: it waits, and takes part in formation when no master lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from primacy.machines.events import ClaimBegan, FormationWaits
from primacy.machines.formation import Candidate, Form, View, decide
from primacy.machines.membership import Publish
from primacy.machines.swap import Purpose

if TYPE_CHECKING:
    from primacy.machines.mastership import Monitor


class MemberDuty:
    """State of this node as a member without a role in the record."""

    def __init__(self, monitor: Monitor) -> None:
        self._cmm = monitor
        self.waits_for = ""  # the reason published last

    def consider(self) -> None:
        """Claim by formation if this node may and should. No swap is open."""
        cmm = self._cmm
        if cmm.positions is None or not cmm.peers.own.may_lead:
            return
        if not self._record_is_fresh():
            return
        decision = decide(self._view())
        if isinstance(decision, Form):
            if cmm.paused():
                return
            cmm.emit(
                Publish(ClaimBegan(term=cmm.term + 1, node=cmm.me.node, cause=decision.cause, silence_ns=0))
            )
            cmm.begin(Purpose.FORM, cmm.new_term(decision.cause))
            return
        cmm.wake(cmm.now_ns + cmm.timing.beat_ns)
        if decision.reason != self.waits_for and cmm.now_ns - cmm.sign_ns >= cmm.timing.grace_ns:
            self.waits_for = decision.reason
            waits = FormationWaits(
                term=cmm.term, node=cmm.me.node, reason=decision.reason, passing=decision.passing
            )
            cmm.emit(Publish(waits))

    def _record_is_fresh(self) -> bool:
        """Whether no master is heard any more, and the record was read since; read it when that is so."""
        cmm = self._cmm
        silent_ns = cmm.sign_ns + (cmm.timing.silence_ns if cmm.signed else 0)
        if cmm.now_ns < silent_ns:
            cmm.wake(silent_ns)
            return False
        if cmm.checked_ns < cmm.sign_ns:
            cmm.read()
            return False
        return True

    def _view(self) -> View:
        cmm = self._cmm
        assert cmm.positions is not None
        me = Candidate(cmm.me, cmm.peers.own.priority, cmm.positions)
        others = cmm.peers.candidates(cmm.now_ns, cmm.timing.formation_ns)
        return View(
            me=cmm.me,
            record=cmm.record,
            eligible=frozenset({p.entry.id for p in cmm.peers if p.entry.may_lead} | {cmm.me.node}),
            heard=(me, *others),
            since_start_ns=cmm.now_ns - cmm.started_ns,
            waited_ns=cmm.now_ns - cmm.sign_ns,
            window_ns=cmm.timing.formation_ns,
            grace_ns=cmm.timing.grace_ns,
            dead=frozenset(cmm.dead),
            volatile=cmm.volatile,
            availability=cmm.availability,
        )
