"""Which links are up and which nodes are members now, judged by what arrives; events for every change.

Beats travel in a star: the master hears every member, and a member hears its master. So a master watches all nodes,
any other node watches the master alone; of the rest it knows nothing and says nothing.  Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from primacy.machines.events import Event, LinkChanged, NodeChanged
from primacy.machines.links import Change, LinkDown, Links, LinkUp, PeerReachable, PeerUnreachable


class LinkWatch:
    """The links of one node. on_members: the nodes that can be reached, this one included, have changed."""

    def __init__(
        self, node: str, silence_ns: int, publish: Callable[[Event], None], on_members: Callable[[], None]
    ) -> None:
        self._node = node
        self._links = Links(silence_ns)
        self._publish = publish
        self._on_members = on_members
        self._watched: frozenset[str] = frozenset()
        self.term = 0
        self.members: tuple[str, ...] = (node,)

    def watch(self, peers: frozenset[str], term: int, now_ns: int) -> None:
        """From now on these peers are expected to be heard; what was known of others is forgotten silently."""
        self.term = term
        for peer in self._watched - peers:
            self._links.forget(peer, now_ns)
        self._watched = peers
        self._members_changed()

    def retime(self, silence_ns: int) -> None:
        """From now on a link is down after another silence."""
        self._links.retime(silence_ns)

    def arrived(self, peer: str, link: int, now_ns: int) -> None:
        """Something authentic has arrived."""
        if peer in self._watched:
            self._changed(self._links.arrived(peer, link, now_ns))

    def judge(self, now_ns: int) -> None:
        """Time has passed; what waited in the sockets was read."""
        self._changed(self._links.tick(now_ns))

    def buried(self, peer: str, now_ns: int) -> None:
        """All processes of the peer are dead."""
        self._changed(self._links.forget(peer, now_ns))

    def taken_down(self, link: int, now_ns: int) -> None:
        """An operator took this link of the node down."""
        self._changed(self._links.take_down(link, now_ns))

    def up(self, peer: str) -> list[int]:
        """The links to this peer that are up."""
        return self._links.up(peer)

    def _changed(self, changes: list[Change]) -> None:
        for change in changes:
            match change:
                case LinkUp(peer=peer, link=link):
                    self._publish(self._link(peer, link, True))
                case LinkDown(peer=peer, link=link):
                    self._publish(self._link(peer, link, False))
                case PeerReachable(peer=peer):
                    self._publish(NodeChanged(term=self.term, node=self._node, peer=peer, reachable=True))
                case PeerUnreachable(peer=peer):
                    self._publish(NodeChanged(term=self.term, node=self._node, peer=peer, reachable=False))
                case _:
                    assert_never(change)
        if changes:
            self._members_changed()

    def _link(self, peer: str, link: int, up: bool) -> LinkChanged:
        others = len(self._links.up(peer)) - up
        return LinkChanged(term=self.term, node=self._node, peer=peer, link=link + 1, up=up, others_up=others)

    def _members_changed(self) -> None:
        reachable = (p for p in self._watched if self._links.reachable(p))
        members = tuple(sorted({self._node, *reachable}))
        if members != self.members:
            self.members = members
            self._on_members()
