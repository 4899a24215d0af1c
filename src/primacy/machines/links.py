"""Which links to which peers are up, and which peers are reachable, judged by what arrives. Pure.

A link to a peer is up from an arrival until `silence_ns` without another one. A peer is reachable while a
link to it is up: the first link up makes it reachable, the last link down unreachable. Each change is
returned once, in order: a link's change before the peer's that follows from it.

Never in here: a decision about roles. A lease and a grace have clocks of their own; who hears nothing for
`silence_ns` learns only that.
"""

from __future__ import annotations

from msgspec import Struct


class LinkUp(Struct, frozen=True, tag=True):
    """Something has arrived on a link that was down."""

    peer: str
    link: int


class LinkDown(Struct, frozen=True, tag=True):
    """Nothing has arrived on a link for too long, or it was taken down."""

    peer: str
    link: int
    silent_ns: int
    """Since the last arrival."""


class PeerReachable(Struct, frozen=True, tag=True):
    """The first link to this peer is up."""

    peer: str


class PeerUnreachable(Struct, frozen=True, tag=True):
    """The last link to this peer is down."""

    peer: str


Change = LinkUp | LinkDown | PeerReachable | PeerUnreachable


class Links:
    """The links to all peers, as one node sees them."""

    def __init__(self, silence_ns: int) -> None:
        """`silence_ns`: after how long without an arrival a link is down, unless `expect` says otherwise."""
        assert silence_ns > 0
        self._silence_ns = silence_ns
        self._silence_of: dict[str, int] = {}
        self._heard: dict[str, dict[int, int]] = {}  # peer -> link that is up -> time of its last arrival

    def retime(self, silence_ns: int) -> None:
        """From now on a link is down after another silence."""
        assert silence_ns > 0
        self._silence_ns = silence_ns

    def expect(self, peer: str, silence_ns: int) -> None:
        """Judge this peer by another silence: who is beaten more seldom is silent for longer."""
        assert silence_ns > 0
        self._silence_of[peer] = silence_ns

    def arrived(self, peer: str, link: int, now_ns: int) -> list[Change]:
        """Take note of an authentic arrival (a duplicate is one, too)."""
        links = self._heard.setdefault(peer, {})
        known = link in links
        links[link] = now_ns
        if known:
            return []
        changes: list[Change] = [LinkUp(peer, link)]
        if len(links) == 1:
            changes.append(PeerReachable(peer))
        return changes

    def tick(self, now_ns: int) -> list[Change]:
        """Judge all links by the time; the driver does not call this before it has read what waits for it."""
        changes: list[Change] = []
        for peer, links in self._heard.items():
            silence_ns = self._silence_of.get(peer, self._silence_ns)
            for link in [link for link, heard_ns in links.items() if now_ns - heard_ns >= silence_ns]:
                changes += self._lose(peer, link, now_ns)
        return changes

    def due_ns(self) -> int | None:
        """When `tick` has something to say at the earliest; None: no link is up."""
        dues = [
            min(links.values()) + self._silence_of.get(peer, self._silence_ns)
            for peer, links in self._heard.items()
            if links
        ]
        return min(dues, default=None)

    def take_down(self, link: int, now_ns: int) -> list[Change]:
        """An operator has taken this link of ours down: it is down to every peer, at once."""
        changes: list[Change] = []
        for peer, links in self._heard.items():
            if link in links:
                changes += self._lose(peer, link, now_ns)
        return changes

    def forget(self, peer: str, now_ns: int) -> list[Change]:
        """The peer is no member any more, or begins a new life: all its links are down."""
        changes: list[Change] = []
        for link in list(self._heard.get(peer, {})):
            changes += self._lose(peer, link, now_ns)
        self._heard.pop(peer, None)
        self._silence_of.pop(peer, None)
        return changes

    def up(self, peer: str) -> list[int]:
        """The links to this peer that are up, in order."""
        return sorted(self._heard.get(peer, {}))

    def reachable(self, peer: str) -> bool:
        """A link to this peer is up."""
        return bool(self._heard.get(peer))

    def _lose(self, peer: str, link: int, now_ns: int) -> list[Change]:
        links = self._heard[peer]
        lost: list[Change] = [LinkDown(peer, link, now_ns - links.pop(link))]
        if not links:
            lost.append(PeerUnreachable(peer))
        return lost
