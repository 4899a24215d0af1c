"""Being made master by force: what the monitor does when an operator asks this node for it.

The record is read first, and every decision rests on that reading; the rules are those of last_resort.py. A vice that
is not ready seals itself before the swap is sent, as one that claims. Each request has exactly one answer: refused
with all reasons, possible (a dry run), or how its swap was settled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from primacy.machines.events import ClaimBegan
from primacy.machines.events_operator import MasterForced
from primacy.machines.last_resort import View, decide, may_lose, proof, reasons_against
from primacy.machines.membership import Force, ForceAnswered, Publish
from primacy.machines.records import brief
from primacy.machines.swap import Outcome, Purpose

if TYPE_CHECKING:
    from primacy.machines.mastership import Monitor

_UNDER_WAY = "a change of the mastership record is under way: ask again"
_NO_LEDGER = "the ledger does not answer: without it nobody can be made master"
_CHANGED = "the mastership record has changed since this was asked: ask again"


class ForceDuty:
    """The request for force that is not answered yet, if any."""

    def __init__(self, monitor: Monitor) -> None:
        self._cmm = monitor
        self._asked: Force | None = None
        self._event: MasterForced | None = None

    def asked(self, event: Force) -> None:
        """An operator wants this node to be master."""
        if self._asked is not None or self._cmm.swap is not None:
            self._cmm.emit(ForceAnswered(event.id, "refused", (_UNDER_WAY,)))
        else:
            self._asked = event

    def read_failed(self) -> None:
        """The record could not be read. Once the swap is sent, only how it is settled is an answer."""
        if self._event is None:
            self._answer("refused", (_NO_LEDGER,))

    def consider(self) -> None:
        """Decide, once the record was read since the request came."""
        cmm, event = self._cmm, self._asked
        if event is None or self._event is not None:
            return
        if cmm.checked_ns < event.now_ns:
            cmm.read()
            return
        view = self._view(event)
        reasons = reasons_against(view)
        if not reasons and (cmm.record is None or cmm.record.master != event.recorded):
            reasons = (_CHANGED,)  # what was proven was proven of another master
        if not reasons and cmm.swap is not None:
            reasons = (_UNDER_WAY,)
        if reasons:
            self._answer("refused", reasons)
        elif event.dry_run:
            self._answer("possible", (), may_lose(view))
        else:
            self._begin(event, view)

    def closed(self, outcome: Outcome) -> None:
        """The swap is settled."""
        event, self._event = self._event, None
        assert event is not None, "a swap by force has an event"
        if outcome is Outcome.DONE:
            self._cmm.emit(Publish(event))
            self._answer("done", (), event.may_lose)
        elif outcome is Outcome.LOST:
            self._answer("refused", ("another change of the mastership record came first",))
        else:
            self._answer("refused", (_NO_LEDGER,))

    def _begin(self, event: Force, view: View) -> None:
        cmm, record = self._cmm, view.record
        assert record is not None
        shown, former = proof(view), record.master.node
        dead = f"; declared {former} dead" if event.assume_dead else ""
        cause = (
            f"forced by {event.by}{dead}: {event.reason}" if event.reason else f"forced by {event.by}{dead}"
        )
        self._event = MasterForced(
            term=cmm.term + 1,
            node=cmm.me.node,
            former=former,
            proof=shown,
            by=event.by,
            reason=event.reason,
            may_lose=may_lose(view),
        )
        if cmm.role == "vice":
            cmm.vice.seal()
        silence_ns = cmm.now_ns - cmm.sign_ns
        began = ClaimBegan(term=cmm.term + 1, node=cmm.me.node, cause=brief(cause), silence_ns=silence_ns)
        cmm.emit(Publish(began))
        cmm.begin(Purpose.FORCE, cmm.new_term(cause))
        cmm.decisions.note("force", cmm.term, cmm.revision, view, decide(view))

    def _answer(self, kind: str, reasons: tuple[str, ...], lost: str = "") -> None:
        event, self._asked = self._asked, None
        if event is not None:
            self._cmm.emit(ForceAnswered(event.id, kind, reasons, self._cmm.term, lost))

    def _view(self, event: Force) -> View:
        cmm, record = self._cmm, self._cmm.record
        eligible = cmm.peers.may_lead - (frozenset() if cmm.peers.own.may_lead else {cmm.me.node})
        master_silent_ns = vice_silent_ns = None
        if record is not None and cmm.signed:
            master_silent_ns = cmm.now_ns - cmm.sign_ns
        vice = record.ready_vice if record is not None else None
        peer = cmm.peers.get(vice.node) if vice is not None else None
        if vice is not None and peer is not None and peer.member == vice:
            vice_silent_ns = cmm.now_ns - max(peer.heard_ns, peer.hello_ns)  # its life is known: it was heard
        return View(
            me=cmm.me,
            role=cmm.role,
            record=record,
            eligible=eligible,
            positions=cmm.positions,
            master_silent_ns=master_silent_ns,
            vice_silent_ns=vice_silent_ns,
            since_start_ns=cmm.now_ns - cmm.started_ns,
            silence_ns=cmm.timing.silence_ns,
            on_time=cmm.judges(),
            dead=frozenset(cmm.dead),
            volatile=cmm.volatile,
            assume_dead=event.assume_dead,
            witnesses=event.witnesses,
            held=bool(cmm.maintenance.cluster),
            maintained=cmm.maintenance.nodes,
        )
