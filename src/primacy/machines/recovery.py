"""What follows when a server fails: its host ends, its health check says no, or one of its callbacks does not complete.

Every failure is judged once, by how often the server has failed on this node (`rungs.py`), and the next rung of the
ladder is applied: restart where it is, hand over to the vice, or keep it back here as *failed* for a while; each step
is an event that says what was recommended and what was applied, which may be less: nobody may be there to take over.
A server that is kept back holds up no other one: the others serve, in a term of their own, but without a ready vice,
since nobody can mirror all of them; when it has come up again, a new term begins with it. A node whose server
failed again and again takes no role for a growing pause.  While the cluster is in maintenance mastership does not move
by itself: the master restarts its servers where they are, whatever is recommended, and is not given up.  Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from primacy.machines import membership
from primacy.machines.coordination import Abandon, Publish
from primacy.machines.deciding import Decisions
from primacy.machines.driving import facts_of
from primacy.machines.events import RecoveryStep
from primacy.machines.ids import MS, ServerState
from primacy.machines.policies import Meaning
from primacy.machines.records import brief
from primacy.machines.rungs import History, Rung, decide

if TYPE_CHECKING:
    from primacy.machines.coordinator import Coordinator
    from primacy.machines.servers import Server

IN_PLACE = "restart in place"


class Recovery:
    """The recovery of this node's servers."""

    def __init__(self, coordinator: Coordinator, failures: dict[str, tuple[int, int]]) -> None:
        """failures: by service, how many in a row an earlier life of the node has counted, and the hand-overs."""
        self._ssc = coordinator
        self._decisions = Decisions(coordinator.node, lambda event: coordinator.emit(Publish(event)))
        self._histories: dict[str, History] = {}
        for service, counts in failures.items():
            server = coordinator.servers.by_service.get(service)
            if server is not None:
                self._history(service).recall(server.row.limits, *counts, coordinator.now_ns)
        # judged before its host has ended; None: the step was applied already
        self._judged: dict[str, Rung | None] = {}
        self._escalated: set[str] = set()
        self._open: dict[str, str] = {}  # a hand-over that is not settled: why, by service

    def counts(self) -> dict[str, tuple[int, int]]:
        """What a next life of this node is to know."""
        return {s: (h.failures, h.switchovers) for s, h in self._histories.items()}

    # ---- failures ----

    def callback_failed(self, service: str, meaning: Meaning, reason: str, where: str) -> None:
        """A callback did not complete for good; `where` names it."""
        server = self._ssc.servers.by_service.get(service)
        if server is None:
            return  # the service is being taken out of the table
        text = brief(f"{where} did not complete: {reason}")
        match meaning:
            case Meaning.UNDONE | Meaning.GOES_ON:
                return  # the sequence itself sees to it
            case Meaning.CUT_SHORT:
                self._ssc.departure.cut_short()
            case Meaning.NODE_OUT if self._held:
                self._ssc.servers.fail(server, f"was ended: {text}")
            case Meaning.NODE_OUT:
                self._judge(server, server.state, server.since_ns)
                self._node_out(service, text)
            case Meaning.RESTARTED | Meaning.RECOVERED | Meaning.HANDED_ON | Meaning.ENDED:
                if meaning is Meaning.HANDED_ON:
                    self._escalated.add(service)
                if meaning is not Meaning.RESTARTED and self._ssc.serving.own_term != self._ssc.term:
                    self._ssc.serving.cancel()  # it takes over in vain
                self._ssc.servers.fail(server, f"was ended: {text}")
            case _:
                assert_never(meaning)

    def unhealthy(self, service: str, failures: int, reason: str) -> None:
        """A primary's own health check has failed so often in a row: it is handed over in order, if that is due."""
        ssc = self._ssc
        server = ssc.servers.by_service[service]
        if server.process != "open" or server.row.local or service in self._judged or ssc.departure.under_way:
            return
        text = brief(f"failed its health check {failures} times in a row: {reason}")
        self._judged[service] = rung = self._judge(server, server.state, server.since_ns)
        facts = facts_of(ssc)
        joins = bool(ssc.switchover.phase)  # one that was asked for: to the same vice, with the same end
        if rung is not Rung.SWITCHOVER or self._held or not (joins or not ssc.switchover.reasons(facts)):
            ssc.servers.fail(server, f"was ended: {text}")
            return
        self._open[service] = text
        ended = lambda done, why: self._handed_over(server, text, done, why)  # noqa: E731
        if joins:
            ssc.switchover.join(ended)
        else:
            ssc.switchover.begin(facts, f"{service} on {ssc.node} {text}", ended)

    def exited(self, server: Server, before: ServerState, since_ns: int, reason: str) -> None:
        """A host's process has ended by itself, or was ended because it had failed. before: its server's state."""
        ssc = self._ssc
        service = server.service
        if server.row.local:
            return  # it is started again, with a growing delay; no role rests on it
        if service in self._judged:
            rung = self._judged.pop(service)
        else:
            rung = self._judge(server, before, since_ns)
        self._escalated.discard(service)
        held = self._held
        if before is ServerState.PRIMARY and ssc.role == "master":
            ssc.rescue.begin(
                f"the host of {service} on {ssc.node} {reason}",
                in_place=rung is not Rung.SWITCHOVER,
                on_disk=server.on_disk,
            )
        if before is ServerState.PRIMARY:
            ssc.switchover.interrupted(f"the host of {service} {reason}")
        if before not in (ServerState.OFFLINE, ServerState.SPARE):
            action = "the cluster is in maintenance: not handed over" if held else ""
            ssc.servers.died(server, reason, action or _ACTIONS[rung, before is ServerState.PRIMARY])
        if held and rung in (Rung.NODE_OUT, Rung.SWITCHOVER):
            self._hold(server, reason, rung, before)
        elif rung is Rung.NODE_OUT:
            self._node_out(service, reason)
        elif rung is Rung.SWITCHOVER:
            self._open[service] = reason
        elif rung is not None:
            self._publish(service, reason, rung.value, self._keep_back(server))

    # ---- what becomes of it ----

    def forget(self, service: str) -> None:
        """It was taken out of the table: nothing is recovered any more."""
        for book in (self._histories, self._judged, self._open):
            book.pop(service, None)
        self._escalated.discard(service)

    def nobody_takes_over(self) -> None:
        """The hand-over could not be written: this node goes on with the server itself."""
        for service in self._open:
            self._keep_back(self._ssc.servers.by_service[service])

    @property
    def _held(self) -> str:
        """Why this master is not given up now; empty when it may be, or when this node is none."""
        return self._ssc.held_here if self._ssc.role == "master" else ""

    def _hold(self, server: Server, reason: str, rung: Rung, before: ServerState) -> None:
        """The cluster is in maintenance: what would move mastership away from here is not applied."""
        history = self._histories[server.service]
        history.switchovers -= rung is Rung.SWITCHOVER
        if before is ServerState.PRIMARY and not server.on_disk:
            applied = "none: what it kept in memory is not on the disk of this node"
        else:
            applied = self._keep_back(server)
        self._publish(server.service, reason, rung.value, f"{applied}, for {self._held}")

    def became(self, place: membership.Became) -> None:
        """This node's place changed: what was to be handed over is settled; as master all that is up takes part."""
        for service, reason in self._open.items():
            server = self._ssc.servers.by_service[service]
            if place.role == "master":
                self._histories[service].switchovers -= 1
                where = f"kept back {self._pause_text(server)}" if server.held else IN_PLACE
                applied = f"{where}: nobody could take over"
            else:
                how = "switchover in order" if place.clean else "switchover at once"
                applied = f"{how}: {place.record.master.node} is master of term {place.record.term}"
            self._publish(service, reason, Rung.SWITCHOVER.value, applied)
        self._open.clear()
        for server in self._ssc.servers.centralized:
            if place.role != "master" or server.ready:
                server.held = False

    def proceed(self) -> None:
        """Bring in a server that was kept back and is up again: in a new term, where one has begun without it."""
        ssc = self._ssc
        for server in ssc.servers.centralized:
            if not server.held or not server.ready or ssc.rescue.lost:
                continue
            if ssc.serving.begun:
                ssc.rescue.begin(f"{server.service} on {ssc.node} is up again", in_place=True)
            else:
                server.held = False

    def able(self) -> bool:
        """Whether no server here rests after its failures: else this node takes no role."""
        until_ns = max((h.until_ns for h in self._histories.values()), default=0)
        if self._ssc.now_ns < until_ns:
            self._ssc.wake(until_ns)
            return False
        return True

    # ---- inside ----

    def _history(self, service: str) -> History:
        return self._histories.setdefault(service, History())

    def _judge(self, server: Server, state: ServerState, since_ns: int) -> Rung:
        history = self._history(server.service)
        limits = server.row.limits
        history.failed(limits, state, since_ns, self._ssc.now_ns)
        primary = state is ServerState.PRIMARY and self._ssc.role == "master"
        escalated = server.service in self._escalated
        view = history.view(server.service, limits, primary=primary, escalated=escalated)
        verdict = decide(view)
        self._decisions.note("recover", self._ssc.term, view, view, verdict)
        return history.rung(verdict)

    def _handed_over(self, server: Server, reason: str, done: bool, why: str) -> None:
        """The planned switchover has ended; the server that is not well starts anew in any case."""
        self._open.pop(server.service, None)
        self._judged.pop(server.service, None)
        if server.process == "open":
            self._judged[server.service] = None if done or self._ssc.role != "master" else Rung.SWITCHOVER
            also = "" if done else f" (no switchover in order: {why})"
            self._ssc.servers.fail(server, f"was ended: {reason}{also}")

    def _keep_back(self, server: Server) -> str:
        """Let the server rest if its failures call for that and the others can do without; return what is applied."""
        ssc = self._ssc
        history = self._histories[server.service]
        if history.until_ns <= ssc.now_ns:
            return IN_PLACE if ssc.role == "master" else "restart"
        if ssc.role != "master":
            return f"restart; {ssc.node} takes no role {self._pause_text(server)}"
        if not ssc.serving.term:
            return "restart; the cluster has not been in service yet and waits for it"
        server.held, server.restart_ns = True, history.until_ns
        return f"kept back {self._pause_text(server)}"

    def _pause_text(self, server: Server) -> str:
        pause_ns = self._histories[server.service].pause_ns(server.row.limits)
        return f"for {pause_ns / MS / 1000:g} s"

    def _node_out(self, service: str, reason: str) -> None:
        self._publish(service, reason, Rung.NODE_OUT.value, Rung.NODE_OUT.value)
        self._ssc.emit(Abandon(f"{service}: {reason}"))

    def _publish(self, service: str, reason: str, recommended: str, applied: str) -> None:
        event = RecoveryStep(
            term=self._ssc.term,
            node=self._ssc.node,
            service=service,
            reason=reason,
            failures=self._history(service).failures,
            recommended=recommended,
            applied=applied,
        )
        self._ssc.emit(Publish(event))


_ACTIONS: dict[tuple[Rung | None, bool], str] = {
    (Rung.RESTART, True): IN_PLACE,
    (Rung.SWITCHOVER, True): "switchover to the vice at once",
    (Rung.FAILED, True): "failed here too often: kept back",
    (Rung.NODE_OUT, True): "the node gives up its roles",
    (None, True): "started again",
    (Rung.RESTART, False): "started again",
    (Rung.SWITCHOVER, False): "started again",
    (Rung.FAILED, False): "started again",
    (Rung.NODE_OUT, False): "the node gives up its roles",
    (None, False): "started again",
}
