"""Makes the faults of a list happen in a simulated cluster, and ends them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from primacy.machines.ids import MS
from primacy.machines.maintenance import PREFIX, Notice, decode
from primacy.sim.asked import Asked
from primacy.sim.faults import Fault
from primacy.sim.host_process import HostProcess
from primacy.sim.inject_world import begin
from primacy.sim.network import LINKS, Network, Wire
from primacy.sim.node import Node
from primacy.sim.operator import AGAIN_MS, Request, ask_force, maintain
from primacy.sim.operator_changes import Reconfiguration
from primacy.sim.process import Process

if TYPE_CHECKING:
    from primacy.sim.world import World

Undo = Callable[[], None]


class Injector:
    """Every fault that has begun is undone once: at its own end, or by `heal`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._undo: dict[int, Undo] = {}
        self._number = 0
        self._healed = False

    def schedule(self, faults: Iterable[Fault]) -> None:
        """Let each fault begin at its time."""
        for fault in faults:
            self._world.scheduler.at(fault.at_ms * MS, self._begin, fault)

    def heal(self) -> None:
        """End all faults, and begin none any more."""
        self._healed = True
        for number in list(self._undo):
            self._end(number)
        for node in self._world.nodes.values():
            node.power_on()
            node.guardian.deliver(node.start)

    def tend(self) -> None:
        """After the end of all faults somebody looks after the cluster: nodes that have left are started again, and
        maintenance that was written only after it had been ended (a late swap) is ended once more."""
        world = self._world
        for node in world.nodes.values():
            if node.agent is None:
                node.guardian.deliver(node.start)
        for key, value in world.ledger.values.items():
            scope = key.removeprefix(PREFIX)
            if key.startswith(PREFIX) and self._is_on(scope, decode(value, scope)):
                for node in world.nodes.values():
                    maintain(node, scope, on=False, for_ms=0)

    def _begin(self, fault: Fault) -> None:
        if self._healed:
            return
        undo = self._apply(fault)
        if undo is None:
            return
        self._world.checkers.note("fault", fault.sentence())
        self._hold(undo, None if fault.kind == "stop" or fault.for_ms < 0 else fault.for_ms)

    def _hold(self, undo: Undo, for_ms: int | None) -> None:
        """Undo it when its time is over; None: when everything heals."""
        self._number += 1
        self._undo[self._number] = undo
        if for_ms is not None:
            self._world.scheduler.after(for_ms * MS, self._end, self._number)

    def _end(self, number: int) -> None:
        undo = self._undo.pop(number, None)
        if undo is not None:
            undo()

    # ---- who is meant ----

    def _node(self, name: str) -> Node | None:
        world, record = self._world, self._world.ledger.record
        if name == "master":
            name = record.master.node if record is not None else ""
        elif name == "vice":
            name = record.vice.node if record is not None and record.vice is not None else ""
        return world.nodes.get(name)

    # ---- kinds ----

    def _apply(self, fault: Fault) -> Undo | None:
        """Begin a fault; return how it ends, or None when it means nobody now."""
        world = self._world
        if fault.kind == "ledger" and fault.node == "*":
            return _all([self._ledger(name, fault.what) for name in world.nodes])
        node = self._node(fault.node or "master")
        if node is None:
            return None
        match fault.kind:
            case "crash":
                node.agent_crash(fault.what, int(fault.amount) * MS, fault.for_ms * MS)
            case "power":
                node.power_loss(fault.what)
                return node.power_on
            case "freeze":
                return _freeze(node.processes(fault.what), fault)
            case "stop":
                return self._stop(node, fault)
            case "kill":
                host = node.host(fault.what)
                if host is not None:
                    node.host_crash(host)
            case "mood":
                return self._mood(node, fault)
            case "switchover" | "ask":
                self._ask(node, fault)
                return self._start_all if fault.what == "shutdown" else _nothing
            case "configure":
                self._configure(node, fault)
            case "leave":
                if node.agent is not None:
                    node.agent.deliver(node.agent.depart, "the system asked it to stop")
                return _start(node)
            case "maintain":
                maintain(node, fault.peer or "cluster", on=True, for_ms=int(fault.amount))
                return lambda: self._end_maintenance(node, fault)
            case "ledger":
                return self._ledger(node.id, fault.what)
            case "watch":
                line = world.ledger.line(node.id)
                line.watch_delay_ns = int(fault.amount) * MS
                return lambda: setattr(line, "watch_delay_ns", 0)
            case "disk":
                return _slow_disk(node, int(fault.amount))
            case "obituary":
                node.repeat_obituary()
            case "force":
                until_ms = min(fault.for_ms, world.plan.heal_ms - fault.at_ms)
                ask_force(node, word=fault.what == "word", for_ms=until_ms)
            case "client":
                network = world.network
                pairs = ((fault.peer, node.id), (node.id, fault.peer))
                return _all([_cut(network, source, target, -1) for source, target in pairs])
            case "hold" | "half-open" | "full" | "damage" | "wall":
                return begin(world, node, fault)
            case _:
                return self._network(node, fault)
        return _nothing

    def _ledger(self, node: str, mode: str) -> Undo:
        modes = self._world.ledger.line(node).modes
        modes.append(mode)
        return lambda: modes.remove(mode)

    def _stop(self, node: Node, fault: Fault) -> Undo | None:
        process_name, effect = fault.what.split(":")
        process = node.agent if process_name == "agent" else node.host()
        if process is None:
            return None

        def stop() -> None:
            self._world.checkers.note("fault", f"{fault.then} of {node.id} right before {effect}")
            if fault.then == "freeze":
                self._hold(_freeze(node.processes("node"), fault), fault.for_ms)
            elif fault.then == "crash" and isinstance(process, HostProcess):
                node.host_crash(process)
            elif fault.then == "crash":
                node.agent_crash("sent", 0, fault.for_ms * MS)
            else:
                node.power_loss()
                self._hold(node.power_on, fault.for_ms)

        process.arm(effect, stop)
        return lambda: process.disarm(effect)

    def _mood(self, node: Node, fault: Fault) -> Undo:
        moods = node.moods.setdefault(fault.peer or self._world.settings.subject, [])
        moods.append(fault.what)
        return lambda: moods.remove(fault.what)

    def _ask(self, node: Node, fault: Fault) -> None:
        """An operator asks this node for a function; nodes that end for it are started again when all heals."""
        requests = self._world.checkers.truth.requests
        verb = fault.what or "switchover"
        asked = Asked(f"{verb}-{len(requests) + 1}", verb, fault.peer)
        requests.append(asked)
        Request(node, asked).begin()

    def _configure(self, node: Node, fault: Fault) -> None:
        """An operator asks this node for a change of the configuration."""
        requests = self._world.checkers.truth.changes.requests
        asked = Asked(f"c{len(requests) + 1}", "configure", fault.peer)
        requests.append(asked)
        Reconfiguration(node, asked, fault).begin()

    def _start_all(self) -> None:
        """Nodes that have left are started again."""
        for node in self._world.nodes.values():
            node.guardian.deliver(node.start)

    def _end_maintenance(self, node: Node, fault: Fault) -> None:
        """Again and again, at any node, until the ledger says so."""
        scope = fault.peer or "cluster"
        value = self._world.ledger.values.get(PREFIX + scope)
        if value is None or not self._is_on(scope, decode(value, scope)):
            return
        if node.agent is None:
            node = self._world.nodes[self._world.plan.ids[0]]
        maintain(node, scope, on=False, for_ms=0)
        self._world.scheduler.after(AGAIN_MS * MS, self._end_maintenance, node, fault)

    def _is_on(self, scope: str, notice: Notice) -> bool:
        """Whether it has not been ended, nor has ended by itself at every node that runs."""
        agents = [node.agent for node in self._world.nodes.values() if node.agent is not None]
        ends = notice.until_wall_ns != 0
        return notice.on and (not ends or any(agent.keeper.is_on(scope) for agent in agents))

    def _network(self, node: Node, fault: Fault) -> Undo | None:
        network, world = self._world.network, self._world
        if fault.kind in ("isolate", "clients", "unlink"):
            nodes = list(world.nodes) if fault.kind != "clients" else []
            clients = [client.name for client in world.clients] if fault.kind != "isolate" else []
            others = [other for other in (*nodes, *clients) if other != node.id]
            pairs = [pair for other in others for pair in ((node.id, other), (other, node.id))]
            told = [_unlinked(node)] if fault.kind == "unlink" else []
            return _all(told + [_cut(network, a, b, -1) for a, b in pairs])
        peer = self._node(fault.peer)
        if peer is None or peer is node:
            return None
        if fault.kind == "cut":
            return _cut(network, node.id, peer.id, fault.link)
        if fault.kind == "filter":
            return _all([_filter(network, a, b) for a, b in ((node.id, peer.id), (peer.id, node.id))])
        links = range(LINKS) if fault.link < 0 else (fault.link,)
        wires = [network.route(node.id, peer.id).wires[link] for link in links]
        return _all([_spoil(wire, fault) for wire in wires])


def _nothing() -> None:
    """The fault ends by itself."""


def _start(node: Node) -> Undo:
    """The node is started again, in case that it has left."""
    return lambda: node.guardian.deliver(node.start)


def _all(undo: list[Undo]) -> Undo:
    def each() -> None:
        for one in undo:
            one()

    return each


def _cut(network: Network, source: str, target: str, link: int) -> Undo:
    network.cut(source, target, link, 1)
    return lambda: network.cut(source, target, link, -1)


def _unlinked(node: Node) -> Undo:
    """The agent knows that its links are down, because an operator took them down; its next life begins with all."""
    agent = node.agent
    if agent is None:
        return _nothing
    agent.deliver(agent.linked, False)
    return lambda: agent.deliver(agent.linked, True)


def _filter(network: Network, source: str, target: str) -> Undo:
    route = network.route(source, target)
    route.filters += 1

    def undo() -> None:
        route.filters -= 1

    return undo


def _spoil(wire: Wire, fault: Fault) -> Undo:
    name = {"loss": "loss", "delay": "extra_ns", "duplicate": "duplication"}[fault.kind]
    amount = int(fault.amount * MS) if fault.kind == "delay" else fault.amount
    setattr(wire, name, getattr(wire, name) + amount)
    return lambda: setattr(wire, name, max(0, getattr(wire, name) - amount))


def _freeze(processes: list[Process], fault: Fault) -> Undo:
    """Freeze them together; which of them is scheduled first at the thaw is the fault's choice, too."""
    for process in processes:
        process.freeze()
    thawed = processes if fault.at_ms % 2 else processes[::-1]

    def thaw() -> None:
        for process in thawed:
            process.thaw()

    return thaw


def _slow_disk(node: Node, times: int) -> Undo:
    node.disk.slow = times
    return lambda: setattr(node.disk, "slow", 1)
