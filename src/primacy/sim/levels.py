"""S5: a level starts only after the previous level has completed on every party of its barrier.

What is looked at is what the coordinators order and hear: which callbacks they start, which they were told the end of,
or have given up. Causes tell the sequences of one node apart. Parties of a barrier are: all services of a node, for
each of its sequences; the recorded master, for the initialization of every other node; the new primaries, for the
reconnect sequence of a term.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from primacy.machines import host_wire
from primacy.machines.host_wire import Context
from primacy.machines.ids import Member
from primacy.machines.sequence import EVERY_LEVEL
from primacy.sim.host_process import HostProcess

if TYPE_CHECKING:
    from primacy.sim.node import Node

_UNDONE = "undone: "
_OF_THE_NODE = "the node starts"
_OF_A_HOST = "its host was started again"  # a sequence of that service alone
_TAKING_OVER = ("failover", "switchover")


class _Key(NamedTuple):
    """One sequence: of a life of a node."""

    member: Member
    function: str
    cause: str
    new_state: str


class Levels:
    """fail(clause, text): something is not true."""

    def __init__(self, fail: Callable[[str, str], None], nodes: dict[str, Node]) -> None:
        self._fail, self._nodes = fail, nodes
        # the masters that a node knew while it initialized: terms
        self._known: dict[_Key, dict[Member, int]] = {}
        self._running: dict[_Key, dict[tuple[HostProcess, int], int]] = {}
        self._where: dict[tuple[HostProcess, int], _Key] = {}
        self._levels: dict[_Key, list[int]] = {}  # the levels that were begun, in their order
        self._begun: dict[HostProcess, set[tuple[_Key, int, str]]] = {}
        self._completed: dict[Member, int] = {}  # how far a node's initialization is
        self._serving: set[int] = set()  # terms that were told to serve

    def ordered(self, host: HostProcess, message: host_wire.ToHost) -> None:
        """A coordinator tells a host something."""
        match message:
            case host_wire.Run(id=id, name=name, context=context):
                self._began(host, id, name, context)
            case host_wire.Cancel(id=id):
                self._ended(host, id)
            case host_wire.Serve(term=term):
                self._serve(host, term)

    def heard(self, host: HostProcess, message: host_wire.ToAgent) -> None:
        """A coordinator hears something of a host."""
        if isinstance(message, host_wire.Ran):
            self._ended(host, message.id)

    def initialized(self, member: Member) -> None:
        """A node has ended its sequence, with all the levels that a service that was lost did not come to."""
        self._completed[member] = EVERY_LEVEL

    def exited(self, host: HostProcess) -> None:
        """A coordinator hears that a host is gone: its level goes on without it."""
        for _, id in [each for each in self._where if each[0] is host]:
            self._ended(host, id)
        self._begun.pop(host, None)

    # ---- the rules ----

    def _began(self, host: HostProcess, id: int, name: str, context: Context) -> None:
        alone = f" ({host.service})" if context.cause == _OF_A_HOST else ""
        key = _Key(host.member, context.function, context.cause + alone, context.new_state)
        level = context.level
        running = self._running.setdefault(key, {})
        what = f"{host.service}.{name} ({context.function}, level {level}) begins on {host.member}"
        others = sorted({other for other in running.values() if other != level})
        if others:
            self._fail("S5", f"{what} while level {others[0]} is not complete")
        self._in_order(host, key, level, what)
        if context.function == "initialize" and context.cause == _OF_THE_NODE:
            self._after_the_master(host, key, level, what)
        if context.function == "reconnect" and context.term not in self._serving:
            self._fail("S5", f"{what} before term {context.term} serves")
        running[host, id], self._where[host, id] = level, key
        self._begun.setdefault(host, set()).add((key, level, name))

    def _in_order(self, host: HostProcess, key: _Key, level: int, what: str) -> None:
        descending = key.function == "shutdown" or (key.function, key.new_state) == (
            "switchover",
            "secondary",
        )
        if key.cause.startswith(_UNDONE):
            begun = self._levels.setdefault(key, [])
            if begun and not self._running[key] and level == begun[0]:
                begun.clear()  # the same was tried, refused and undone before
            former = key.function == "switchover" or descending  # undone in the other direction
            if begun and level != begun[-1] and (level < begun[-1]) == former:
                self._fail("S5", f"{what}: level {begun[-1]} was undone before it")
            begun.append(level)
            return
        before = self._begun.get(host, set())
        for each in host.description.callbacks:
            earlier = each.level > level if descending else each.level < level
            if each.function == key.function and earlier and (key, each.level, each.name) not in before:
                self._fail("S5", f"{what}, but {each.name} of level {each.level} has not been run")

    def _after_the_master(self, host: HostProcess, key: _Key, level: int, what: str) -> None:
        """Some life that this node knew as master since its sequence began has completed the level, or served."""
        agent = self._nodes[host.member.node].agent
        record = agent.monitor.record if agent is not None and agent.member == host.member else None
        known = self._known.setdefault(key, {})
        if record is not None:
            known[record.master] = record.term
        for master, term in known.items():
            if master == host.member or self._completed.get(master, 0) >= level or term in self._serving:
                return
        self._fail("S5", f"{what} before a master has completed that level")

    def _ended(self, host: HostProcess, id: int) -> None:
        key = self._where.pop((host, id), None)
        if key is None:
            return
        running = self._running[key]
        level = running.pop((host, id))
        if not running and key.function == "initialize":
            self._completed[key.member] = max(self._completed.get(key.member, 0), level)

    def _serve(self, host: HostProcess, term: int) -> None:
        self._serving.add(term)
        for key, running in self._taking_over(host):
            if running:
                names = ", ".join(sorted(each.service for each, _ in running))
                self._fail("S5", f"{host.member} serves term {term}, but {key.function} runs in {names}")

    def _taking_over(self, host: HostProcess) -> Iterator[tuple[_Key, dict[tuple[HostProcess, int], int]]]:
        for key, running in self._running.items():
            mine = key.member == host.member and key.function in _TAKING_OVER
            if mine and key.new_state == "primary" and not key.cause.startswith(_UNDONE):
                yield key, running
