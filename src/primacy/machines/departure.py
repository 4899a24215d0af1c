"""Leaving: a node, or the whole cluster, shuts down in order.

A master with a ready vice switches over first; a vice asks its master for another one; then the shutdown callbacks
run in descending levels, the servers end when all have reported, and the agent ends last. The whole cluster stops
from its master: calls are held, the mirrors drained, and the record says up to where all data is complete, so that
any node that has it may form the cluster again; so does a master that has to leave without a ready vice, for itself
alone. A switchover that is in progress already is the one that it needs; a node that becomes master while it leaves,
or is just restarting a primary, serves first, for a while, and hands over then.  Every phase has a deadline; then the
next one begins.  What the machine does when its node has left (`then`) goes along with the word to leave, and out with
the word that the agent ends.  Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from primacy.machines import host_wire, membership, peer_wire
from primacy.machines.coordination import Answer, Asked, End, Facts, KillHost, Publish, TellNode, ToHost
from primacy.machines.driving import facts_of
from primacy.machines.events_node import NodeStopped
from primacy.machines.ids import SECOND
from primacy.machines.preconditions import Refuse, Request, Situation
from primacy.machines.runs import Frame
from primacy.machines.sequence import Wait, patience_ns, plan
from primacy.machines.swap import Outcome, Purpose

if TYPE_CHECKING:
    from primacy.machines.coordinator import Coordinator

FUNCTION = "shutdown"
LEAVE_NS_MAX = 3 * SECOND
STOP_NS_MAX = 10 * SECOND
STOP_TRIES = 3
HAND_ON_NS_MAX = 10 * SECOND  # so long a master that leaves waits for its own service, or for another vice
_STAYS = ("", "switching", "waiting")  # the node still does its part in the cluster


class Departure:
    """The departure in progress, if any. `under_way`: the servers of this node are ending."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._ssc = coordinator
        self.phase = ""
        self._reason = ""
        self._then: peer_wire.Then = ""
        self._request: int | None = None
        self._deadline_ns = 0
        self._waiting: set[str] = set()
        self._positions: dict[str, tuple[int, int]] = {}
        self._tries = 0
        self._joined = False  # the switchover that it waits for was begun for another reason

    @property
    def under_way(self) -> bool:
        """Whether servers are ending: nothing is started or assigned any more."""
        return self.phase not in _STAYS

    # ---- inputs ----

    def asked(self, event: Asked) -> None:
        """An operator wants the whole cluster shut down (arguments: reason, dry_run). At the master."""
        ssc = self._ssc
        busy = f"a shutdown is in progress ({self.phase})" if self.phase else ""
        # a cluster that does not serve, or where a change is under way, may be shut down all the same
        facts = msgspec.structs.replace(event.facts, swap_open=False)
        verdict = ssc.functions.judged(event, Request("shutdown", None, facts, Situation(True, busy, False)))
        if isinstance(verdict, Refuse):
            ssc.emit(Answer(event.id, "refused", {}, verdict.reasons))
        elif event.arguments.get("dry_run"):
            ssc.emit(Answer(event.id, "done", {"possible": True}))
        else:
            why = event.arguments.get("reason") or "asked for by an operator"
            self._then = event.arguments.get("then") or ""
            self._stop_serving(why, request=event.id)

    def begin(
        self,
        reason: str,
        *,
        stopped: bool,
        facts: Facts | None = None,
        then: peer_wire.Then = "",
    ) -> None:
        """Leave: this node's own departure. stopped: the orderly stop of the cluster is in the record."""
        if self.phase:
            self._then = self._then or then  # it leaves already; what its machine is to do still counts
            return
        self._then = then
        self._reason = reason
        self._deadline_ns = self._ssc.now_ns + HAND_ON_NS_MAX
        if stopped or self._ssc.record is None:
            self._callbacks()
        else:
            self._hand_on(facts or facts_of(self._ssc))

    def told(self, sender: str, message: peer_wire.EndNode) -> None:
        """The master wants a life of this node to leave; a later one tells that it is over."""
        ssc = self._ssc
        if message.life and message.life != ssc.me.incarnation:
            ssc.emit(TellNode(sender, peer_wire.FunctionDone(message.operation, "done")))
        else:
            self.begin(message.reason, stopped=message.stopped, then=message.then)

    def quiesced(self, service: str, message: host_wire.Quiesced) -> None:
        """A primary holds new calls and is drained up to here.

        What it says for a switchover that was undone meanwhile may come only now: it has gone on since then.
        """
        if self.phase != "quiescing" or message.handing_over:
            return
        self._waiting.discard(service)
        self._positions[service] = (message.entry_term, message.sequence)
        if not self._waiting:
            self._write_stop()

    def closed(self, purpose: Purpose, outcome: Outcome) -> None:
        """The orderly stop was written, or not."""
        if purpose is not Purpose.STOP or self.phase != "recording":
            return
        if outcome is not Outcome.DONE and self._tries < STOP_TRIES:
            self._deadline_ns = self._ssc.now_ns + SECOND // 10
        else:
            self._stopped(outcome is Outcome.DONE)

    def stopped(self, service: str) -> None:
        """A host's process has ended; when it was still to be drained, nobody can say how far it was."""
        if self.phase == "quiescing" and service in self._waiting:
            self._deadline_ns = self._ssc.now_ns
        self._waiting.discard(service)

    def proceed(self) -> None:
        """Time has passed, or something happened."""
        late = self._ssc.now_ns >= self._deadline_ns
        match self.phase:
            case "leaving" if self._ssc.role == "master":  # it has taken over before it was let go
                self.phase, self._deadline_ns = "waiting", self._ssc.now_ns + HAND_ON_NS_MAX
            case "waiting" if late or self._may_hand_on():
                self._hand_on(facts_of(self._ssc), last=late)
            case "leaving" if late or self._ssc.role == "member":
                self._callbacks()
            case "quiescing" if late:
                self._stopped(False)
            case "recording" if late:
                self._write_stop()
            case "callbacks" if late:
                self._ssc.runs.cancel(FUNCTION)
                self._end_hosts()
            case "ending" if late or not self._waiting:
                self._end()
            case "" | "switching" | "ended":
                return
        if self.phase not in ("", "ended"):
            self._ssc.wake(self._deadline_ns)

    def cut_short(self) -> None:
        """A callback's failure was escalated: leave out the levels that are left."""
        assert self.phase == "callbacks", "only the callbacks of this departure are cut short"
        self._ssc.runs.cancel(FUNCTION)
        self._end_hosts()

    def waits(self) -> list[Wait]:
        """Who is waited for before the callbacks, and after them."""
        match self.phase:
            case "leaving":
                what = ["the master to let this vice go"]
            case "quiescing":
                what = [
                    f"{service} to finish the calls that it has accepted" for service in sorted(self._waiting)
                ]
            case "recording":
                what = ["the ledger to record the orderly stop"]
            case "waiting":
                what = ["this master to serve and to have a ready vice, before it hands over and leaves"]
            case "ending":
                what = [f"the host of {service} to end" for service in sorted(self._waiting)]
            case _:
                what = []
        return [Wait(each, 0, self._deadline_ns, FUNCTION) for each in what]

    # ---- phases ----

    def _may_hand_on(self) -> bool:
        """Whether what it waits for has come: its role is another's, or the vice is ready to take it."""
        ssc = self._ssc
        ready = ssc.record is not None and ssc.record.ready_vice is not None
        return ssc.role != "master" or bool(ssc.switchover.phase) or (ready and not ssc.switchover.busy)

    def _hand_on(self, facts: Facts, *, last: bool = False) -> None:
        """Give this node's role up: to the vice, to another one, or by an orderly stop. last: wait for nothing more."""
        ssc = self._ssc
        restarts = ssc.serving.own_term and not ssc.serving.serves  # it goes on in a new term just now
        recovers = ssc.switchover.busy and not ssc.rescue.stays
        settling = restarts or recovers or self.phase == "waiting"
        if ssc.role != "master":
            self._leave()
        elif ssc.switchover.phase:
            self.phase, self._joined = "switching", True
            ssc.switchover.join(self._switched)
        elif facts.vice_ready and not ssc.switchover.reasons(facts):
            self.phase = "switching"
            ssc.switchover.begin(facts, f"{ssc.node} shuts down: {self._reason}", self._switched)
        elif settling and not last:
            self.phase = "waiting"
        else:
            self._stop_serving(self._reason)

    def _stop_serving(self, reason: str, request: int | None = None) -> None:
        """End mastership with an orderly stop in the record. request: an operator's; then all nodes leave."""
        everyone = request is not None
        self._ssc.switchover.give_way("the cluster is shut down" if everyone else f"{self._ssc.node} leaves")
        self.phase, self._reason, self._request = "quiescing", reason, request
        self._deadline_ns = self._ssc.now_ns + STOP_NS_MAX
        servers = self._ssc.servers.centralized
        self._waiting = {s.service for s in servers}
        self._ssc.primaries(host_wire.Quiesce(self._ssc.term))
        unknown = any(s.held or s.process != "open" for s in servers)  # nobody can say how far it is
        if unknown or not servers or self._ssc.serving.own_term != self._ssc.term:
            self._stopped(False)

    def _switched(self, done: bool, why: str) -> None:
        self.phase = ""
        if done or self._ssc.role != "master":
            self._leave()
        elif self._joined or self._ssc.switchover.busy or not self._ssc.serving.serves:
            self._joined = False  # it was not its own, or something came between: one of its own may succeed
            self._hand_on(facts_of(self._ssc))
        else:
            self._stop_serving(self._reason)

    def _leave(self) -> None:
        assert self._ssc.record is not None
        self.phase = "leaving"
        self._deadline_ns = self._ssc.now_ns + LEAVE_NS_MAX
        self._ssc.emit(TellNode(self._ssc.record.master.node, peer_wire.Leave(self._reason)))

    def _write_stop(self) -> None:
        self.phase = "recording"
        self._tries += 1
        self._deadline_ns = self._ssc.now_ns + STOP_NS_MAX
        self._ssc.feed(membership.StopCluster(now_ns=self._ssc.now_ns, positions=self._positions))

    def _stopped(self, written: bool) -> None:
        if self._request is not None:
            result = {"stopped": list(self._ssc.members), "recorded": written}
            self._ssc.emit(Answer(self._request, "done", result))
            self._ssc.emit(TellNode(None, peer_wire.EndNode(self._reason, True, self._then)))
        self._callbacks()

    def _callbacks(self) -> None:
        self.phase = "callbacks"
        self._ssc.serving.end_reconnect()
        servers = list(self._ssc.servers.by_service.values())
        steps = plan(FUNCTION, self._ssc.servers.callbacks(servers))
        self._deadline_ns = self._ssc.now_ns + patience_ns(steps) + STOP_NS_MAX
        self._ssc.runs.begin(
            FUNCTION,
            FUNCTION,
            steps,
            Frame(self._reason, "available", "offline"),
            lambda _: self._end_hosts(),
            descending=True,
        )

    def _end_hosts(self) -> None:
        self.phase = "ending"
        self._deadline_ns = self._ssc.now_ns + STOP_NS_MAX
        self._waiting = set()
        for server in self._ssc.servers.by_service.values():
            if server.process == "open":
                self._waiting.add(server.service)
                self._ssc.emit(ToHost(server.service, host_wire.Stop()))
            elif server.process != "none":
                self._ssc.emit(KillHost(server.service))
        if not self._waiting:
            self._end()

    def _end(self) -> None:
        self.phase = "ended"
        cause = f"{self._reason}; its machine is to {self._then}" if self._then else self._reason
        self._ssc.emit(Publish(NodeStopped(term=self._ssc.term, node=self._ssc.node, cause=cause)))
        self._ssc.emit(End(self._reason, self._then))
