"""A few membership monitors with an instant network and one ledger in memory: for table tests of their rules.

Time stands still unless a test moves it; every effect is obeyed at once unless a test holds it back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from primacy.machines import membership as m
from primacy.machines.ids import MS, Member
from primacy.machines.mastership import Monitor
from primacy.machines.messages import Message
from primacy.machines.records import Mastership
from primacy.machines.timing import PROFILES

TIMING = PROFILES["lan"]
N1, N2, N3 = (Member(f"n{i}", f"{i:032x}") for i in (1, 2, 3))
NODES = (m.NodeEntry("n1"), m.NodeEntry("n2"), m.NodeEntry("n3"))


class Cluster:
    """Monitors by node id. `cut`: pairs (from, to) between which nothing passes. `ledger_says`: None = works."""

    def __init__(self, *members: Member, nodes: tuple[m.NodeEntry, ...] = NODES) -> None:
        self.now_ns = 1_000 * MS
        self.revision, self.record = 0, None
        self.cut: set[tuple[str, str]] = set()
        self.ledger_says: Callable[[m.SwapRecord], m.SwapAnswer | None] = lambda swap: None
        self.readable = True
        self.effects: dict[str, list[m.Effect]] = {}
        self._queue: deque[tuple[str, m.Input]] = deque()
        self._busy = False
        self.monitors: dict[str, Monitor] = {}
        self.held_swaps: list[tuple[str, m.SwapRecord]] = []
        for member in members:
            self.join(member, nodes)
        for member in members:
            self.give(member.node, m.Tick(now_ns=self.now_ns))

    def join(self, member: Member, nodes: tuple[m.NodeEntry, ...] = NODES) -> Monitor:
        """Start a life of a node; its servers are initialized and empty."""
        monitor = Monitor(member, "c", TIMING, nodes, self.now_ns)
        self.monitors[member.node] = monitor
        self.effects[member.node] = []
        self.give(
            member.node,
            m.Health(now_ns=self.now_ns, able=True, healthy=True, appointment=0, positions={"s": (0, 0)}),
        )
        return monitor

    def give(self, node: str, event: m.Input) -> list[m.Effect]:
        """Give one input; obey its effects, then what follows from them, in the order in which it came about."""
        self._queue.append((node, event))
        if self._busy:
            return []
        self._busy = True
        first: list[m.Effect] | None = None
        try:
            while self._queue:
                to, given = self._queue.popleft()
                if to not in self.monitors:
                    continue
                effects = self.monitors[to].step(given)
                first = effects if first is None else first
                self.effects[to] += effects
                for effect in effects:
                    self._obey(to, effect)
        finally:
            self._busy = False
        return first or []

    def _obey(self, node: str, effect: m.Effect) -> None:
        match effect:
            case m.Send(node=to, message=message):
                self.deliver(node, to, message)
            case m.Greet(nodes=nodes, message=message):
                for to in nodes:
                    self.deliver(node, to, message)
            case m.Read():
                if self.readable:
                    self.give(
                        node,
                        m.Learned(
                            now_ns=self.now_ns,
                            revision=self.revision,
                            record=self.record,
                            asked_ns=self.now_ns,
                        ),
                    )
                else:
                    self.give(node, m.ReadFailed(now_ns=self.now_ns))
            case m.SwapRecord():
                self.swap(node, effect)

    def deliver(self, node: str, to: str, message: Message) -> None:
        """Deliver a message now, unless it is cut off."""
        if to in self.monitors and (node, to) not in self.cut:
            sender = self.monitors[node].me
            self.give(to, m.Received(now_ns=self.now_ns, sender=sender, message=message))

    def swap(self, node: str, swap: m.SwapRecord) -> None:
        """Answer a swap as the ledger (or the test) says."""
        said = self.ledger_says(swap)
        if said is None:
            said = m.SwapAnswer.DONE if self.write(swap) else m.SwapAnswer.CONFLICT
        else:
            self.held_swaps.append((node, swap))
        self.give(node, m.Swapped(now_ns=self.now_ns, token=swap.token, answer=said, revision=self.revision))

    def write(self, swap: m.SwapRecord) -> bool:
        """Write it if its expected revision is the ledger's."""
        if swap.expect != self.revision:
            return False
        self.revision, self.record = self.revision + 1, swap.record
        return True

    def run(self, ms: float, *nodes: str) -> None:
        """Let time pass in steps of 5 ms on these nodes (all)."""
        end_ns = self.now_ns + int(ms * MS)
        while self.now_ns < end_ns:
            self.now_ns += 5 * MS
            for node in nodes or tuple(self.monitors):
                self.give(node, m.Tick(now_ns=self.now_ns))

    def took(self, node: str, kind: type) -> list:
        """The effects of a kind that a node has had so far."""
        return [e for e in self.effects[node] if isinstance(e, kind)]

    def until_ns(self, node: str) -> int:
        """What stands in the lease page of the node's present term."""
        grants = self.took(node, m.Grant)
        return grants[-1].until_ns if grants else 0

    def serve(self, node: str) -> None:
        """The node's coordinator says that every primary serves."""
        self.give(node, m.Serving(now_ns=self.now_ns, term=self.monitors[node].term))

    def join_mirrors(self, node: str) -> None:
        """The node's primaries say that the vice has joined."""
        record = self.monitors[node].record
        assert record is not None
        self.give(node, m.Joined(now_ns=self.now_ns, term=record.term, appointment=record.appointment))

    def formed(self) -> Mastership:
        """Form the cluster: n1 master and serving, n2 its ready vice; return the record."""
        self.run(20)
        self.serve("n1")
        self.run(600)
        self.join_mirrors("n1")
        self.run(100)
        assert self.record is not None
        return self.record
