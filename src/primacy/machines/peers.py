"""What a membership monitor knows of the other nodes: their present life, what they said of themselves, and when.

Nothing here gives or takes a right: a peer's silence matters to roles only through lease and grace.  Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from primacy.machines.formation import Candidate, Positions
from primacy.machines.ids import FOREVER_NS, Member
from primacy.machines.membership import NodeEntry
from primacy.machines.messages import Hello
from primacy.machines.rulings import AppointView, ViceCandidate

NEVER_HEARD = -(1 << 62)
NOBODY_KEPT_BACK: Mapping[str, str] = {}


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
        self._take(nodes)

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._peers.values())

    @property
    def may_lead(self) -> frozenset[str]:
        """The nodes of the table that may be master or vice, and this one."""
        return frozenset({p.entry.id for p in self if p.entry.may_lead} | {self.me.node})

    def get(self, node: str) -> Peer | None:
        """The peer with this id, if the table has it."""
        return self._peers.get(node)

    def replace(self, nodes: Iterable[NodeEntry]) -> None:
        """A new table: keep what is known of nodes that stay. Once this node is not in it any more nobody hears it:
        it may not lead."""
        self.own = NodeEntry(self.me.node, eligible=False, available=False)
        self._take(nodes)

    def _take(self, nodes: Iterable[NodeEntry]) -> None:
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

    def vice_view(
        self, now_ns: int, silence_ns: int, dead: set[str], kept_back: Mapping[str, str] = NOBODY_KEPT_BACK
    ) -> AppointView:
        """What is known of every node that might become vice now; rulings.appoint chooses. kept_back: by id, why."""
        return AppointView(
            silence_ns,
            tuple(
                ViceCandidate(
                    p.entry.id,
                    p.incarnation,
                    p.entry.priority,
                    p.entry.eligible,
                    p.entry.available,
                    kept_back.get(p.entry.id, ""),
                    p.able,
                    p.leaving,
                    p.incarnation in dead,
                    min(now_ns - p.heard_ns, FOREVER_NS),
                    max(0, p.rest_until_ns - now_ns),
                )
                for p in self
            ),
        )
