"""What a membership monitor knows of the other nodes: their present life, what they said of themselves, and when.

Nothing here gives or takes a right: a peer's silence matters to roles only through lease and grace.  Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from primacy.machines.formation import Candidate, Positions
from primacy.machines.ids import Member
from primacy.machines.membership import NodeEntry
from primacy.machines.messages import Hello

NEVER_HEARD = -(1 << 62)


@dataclass(slots=True)
class Peer:
    """One other node of the table. `entry`: its row; the rest belongs to its present incarnation."""

    entry: NodeEntry
    incarnation: str = ""
    heard_ns: int = NEVER_HEARD  # any message
    hello_ns: int = NEVER_HEARD
    positions: Positions | None = None
    able: bool = False  # said in an echo: its servers are initialized
    leaving: bool = False
    rest_until_ns: int = NEVER_HEARD  # not appointed again before, after it was dropped
    acknowledged_version: int = 0  # the last announcement that it acknowledged
    announced_ns: int = NEVER_HEARD

    @property
    def member(self) -> Member:
        """Its present life; the incarnation is empty before it was heard."""
        return Member(self.entry.id, self.incarnation)

    def reborn(self, incarnation: str) -> None:
        """A new incarnation was heard: forget all that the former one said."""
        self.incarnation = incarnation
        self.heard_ns = self.hello_ns = self.rest_until_ns = self.announced_ns = NEVER_HEARD
        self.positions = None
        self.able = self.leaving = False
        self.acknowledged_version = 0


class Peers:
    """All other nodes of the table by id."""

    def __init__(self, me: Member, nodes: Iterable[NodeEntry]) -> None:
        self.me = me
        self.own = NodeEntry(me.node)
        self._peers: dict[str, Peer] = {}
        self.replace(nodes)

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._peers.values())

    def get(self, node: str) -> Peer | None:
        """The peer with this id, if the table has it."""
        return self._peers.get(node)

    def replace(self, nodes: Iterable[NodeEntry]) -> None:
        """A new table: keep what is known of nodes that stay."""
        kept: dict[str, Peer] = {}
        for entry in sorted(nodes, key=lambda n: n.id):
            if entry.id == self.me.node:
                self.own = entry
                continue
            peer = self._peers.get(entry.id) or Peer(entry)
            peer.entry = entry
            kept[entry.id] = peer
        self._peers = kept

    def heard(self, sender: Member, now_ns: int) -> Peer | None:
        """Note an authenticated message; None when the sender is no node of the table."""
        peer = self._peers.get(sender.node)
        if peer is None:
            return None
        if peer.incarnation != sender.incarnation:
            peer.reborn(sender.incarnation)
        peer.heard_ns = now_ns
        return peer

    def greeted(self, hello: Hello, now_ns: int) -> Peer | None:
        """Note a hello: sealed with the cluster's key only, it is a word of its sender and no proof."""
        peer = self._peers.get(hello.member.node)
        if peer is None:
            return None
        if peer.incarnation != hello.member.incarnation:
            peer.reborn(hello.member.incarnation)
        peer.hello_ns = now_ns
        peer.positions = hello.positions
        return peer

    def candidates(self, now_ns: int, lately_ns: int) -> list[Candidate]:
        """The eligible peers that said hello lately and know their journals."""
        return [
            Candidate(p.member, p.entry.priority, p.positions)
            for p in self
            if p.entry.may_lead and p.positions is not None and now_ns - p.hello_ns < lately_ns
        ]

    def next_vice(
        self, now_ns: int, silence_ns: int, dead: set[str], kept_back: Collection[str] = ()
    ) -> Peer | None:
        """The best node that may be appointed vice now: the highest priority, then the first id."""
        fit = [
            p
            for p in self
            if p.able
            and p.entry.may_lead
            and not p.leaving
            and p.entry.id not in kept_back
            and p.incarnation not in dead
            and now_ns - p.heard_ns < silence_ns
            and now_ns >= p.rest_until_ns
        ]
        return min(fit, key=lambda p: (-p.entry.priority, p.entry.id), default=None)
