"""From a new mastership to service: the master's sequence, `serving`, and the reconnect sequence on every node.

The master runs the sequence that made it master (failover, switchover) on its new primaries; when the last level is
complete they answer calls, and the monitor announces it. Every node, the master included, then tells its local
services where the primaries are and lets them reattach: once for each term, at one time, and not before.  Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from primacy.machines import host_wire, membership
from primacy.machines.coordination import Publish, ToHost
from primacy.machines.events import InService
from primacy.machines.runs import Frame
from primacy.machines.sequence import plan

if TYPE_CHECKING:
    from primacy.machines.coordinator import Coordinator
    from primacy.machines.servers import Server


class Serving:
    """own_term: the last term that this node served as master. term: the last one whose master is known to serve."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._ssc = coordinator
        self.own_term = 0
        self.term = 0
        self._began_term = 0  # the term whose failover or switchover sequence was begun
        self._reconnected_term = 0
        self._reattaching: set[str] = set()  # keys of the reconnect sequences begun for that term

    @property
    def begun(self) -> bool:
        """Whether the present term's sequence has begun here: a server that comes later is not in it."""
        return self._began_term == self._ssc.term

    @property
    def serves(self) -> bool:
        """Whether this node is master and serves its term."""
        return self._ssc.role == "master" and self.own_term == self._ssc.term

    def cancel(self) -> None:
        """This node's place is another one: the sequence of the former one ends."""
        for key in ("failover", "switchover"):
            self._ssc.runs.cancel(key)

    def proceed(self) -> None:
        """As master with every server primary: run the sequence that made it so, then serve."""
        self._begin()
        self._reconnect()

    def served(self, term: int) -> None:
        """The master of this term serves."""
        self.term = max(self.term, term)
        self._ssc.switchover.served(term)

    def tell_members(self) -> None:
        """Tell the primaries which nodes can be reached."""
        if self._ssc.role == "master":
            self._ssc.primaries(host_wire.Members(list(self._ssc.members)))

    def _begin(self) -> None:
        ssc, place = self._ssc, self._ssc.place
        if place is None or place.role != "master" or self._began_term == ssc.term or ssc.rescue.lost:
            return
        if place.record.term != ssc.term:
            return  # a newer record is known; what it makes of this node is told next
        if not ssc.servers.all_assigned():
            return
        self._began_term = ssc.term
        if place.how == "formation":
            self._serve("initialize")
            return
        function = "switchover" if place.how == "switchover" else "failover"
        record = place.record
        old_master = record.by.node if record.by != ssc.me else None
        ssc.runs.begin(
            function,
            function,
            plan(function, ssc.servers.callbacks(ssc.servers.centralized)),
            Frame(record.cause, "secondary", "primary", peer=old_master, clean=place.clean),
            lambda _: self._serve(function),
        )

    def _serve(self, function: str) -> None:
        ssc = self._ssc
        self.own_term = ssc.term
        ssc.primaries(host_wire.Serve(ssc.term))
        ssc.feed(membership.Serving(now_ns=ssc.now_ns, term=ssc.term))
        ssc.emit(Publish(InService(term=ssc.term, node=ssc.node, function=function)))
        self.tell_members()
        self.served(ssc.term)

    def _reconnect(self) -> None:
        """Once for each term that serves, and once for each process that comes later: tell it, and let it reattach."""
        ssc, term = self._ssc, self.term
        self.end_former_reconnect()
        if not term or term < ssc.term or not ssc.initialization.complete:
            return
        told = ("local", term, 0)
        due = [s for s in ssc.servers.local if s.ready and s.assigned != told]
        for server in due:
            server.assigned = told
            ssc.emit(ToHost(server.service, self._primaries_message(term)))
        if term > self._reconnected_term:
            self._reconnected_term = term
            self._reattach("reconnect", due, f"term {term} serves")
        else:
            for server in due:
                self._reattach(f"reconnect:{server.service}", [server], "its host was started again")

    def _reattach(self, key: str, servers: list[Server], cause: str) -> None:
        steps = plan("reconnect", self._ssc.servers.callbacks(servers))
        if steps:
            self._reattaching.add(key)
            self._ssc.runs.cancel(key)
            frame = Frame(cause, "available", "available")
            self._ssc.runs.begin(key, "reconnect", steps, frame, lambda _: None)

    def end_former_reconnect(self) -> None:
        """What was begun for an earlier term is over."""
        if max(self.term, self._ssc.term) > self._reconnected_term:
            self.end_reconnect()

    def end_reconnect(self) -> None:
        """Nothing here reattaches any more."""
        for key in self._reattaching:
            self._ssc.runs.cancel(key)
        self._reattaching.clear()

    def _primaries_message(self, term: int) -> host_wire.Primaries:
        assert self._ssc.record is not None
        master = self._ssc.record.master.node
        return host_wire.Primaries(term, master, self._ssc.addresses.get(master, {}))
