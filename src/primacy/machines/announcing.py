"""Telling the others: announcements of the record, repeated until acknowledged or superseded, and hellos.

A full socket buffer keeps the *oldest* datagrams, so a node that was frozen must hear the news again after it has
thawed: the master repeats its announcement to every node of the table until that node's present life acknowledged
the newest version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from primacy.machines.ids import MS, Member
from primacy.machines.membership import Greet, Send, Served
from primacy.machines.messages import WIRE_MAX, WIRE_MIN, Announce, Heard, Hello

if TYPE_CHECKING:
    from primacy.machines.mastership import Monitor

GREET_MS_MAX = 100
GREETED_MAX = 8


class Announcer:
    """What this node has told its peers, and what it has yet to tell them."""

    def __init__(self, monitor: Monitor) -> None:
        self._cmm = monitor
        self._version = 0
        self._told = (0, 0)  # (revision, serving term) of the newest version
        self._greet_ns = monitor.now_ns
        self._handed_over = False  # the new master does not know it yet, as far as this node knows
        self._hand_ns = 0

    def news(self) -> None:
        """Something new is to be announced (the revision is noticed by itself)."""
        self._told = (-1, 0)

    def tell(self, node: str) -> None:
        """Send the known record to one node now (it is behind, or believes that it is still master)."""
        self._cmm.emit(Send(node, self._announcement()))

    def handed_over(self) -> None:
        """This node made another one master: tell it now and every beat, until it beats."""
        self._handed_over, self._hand_ns = True, self._cmm.now_ns

    def beaten(self) -> None:
        """The master of the known term beats: it knows."""
        self._handed_over = False

    def heard(self, sender: Member, message: Heard) -> None:
        """A peer's present life acknowledged an announcement of this present life."""
        peer = self._cmm.peers.get(sender.node)
        if peer is not None and message.life == self._cmm.me.incarnation:
            peer.acknowledged_version = max(peer.acknowledged_version, message.version)

    def greeted(self, hello: Hello) -> None:
        """A node of this cluster says hello; one that has not heard this node's present life is greeted back."""
        cmm = self._cmm
        if hello.cluster != cmm.cluster:
            return
        peer = cmm.peers.greeted(hello, cmm.now_ns)
        if peer is not None and cmm.me.incarnation not in hello.seen:
            self.greet((peer.entry.id,))

    def told(self, sender: Member, announce: Announce) -> None:
        """A master announced its record, which is known by now; perhaps it serves, too."""
        cmm = self._cmm
        news = announce.record.term == cmm.term != cmm.served_term
        if announce.serving and news and sender == announce.record.master:
            cmm.served_term = cmm.term
            cmm.emit(Served(cmm.term))

    def consider(self) -> None:
        """Send what is due."""
        cmm = self._cmm
        if cmm.role == "master":
            self._announce()
        elif self._handed_over and cmm.record is not None:
            if cmm.now_ns >= self._hand_ns:
                self._hand_ns = cmm.now_ns + cmm.timing.beat_ns
                self.tell(cmm.record.master.node)
            cmm.wake(self._hand_ns)
        if cmm.now_ns >= self._greet_ns:
            alone = cmm.role == "member" and cmm.now_ns - cmm.sign_ns >= cmm.timing.grace_ns
            searching = cmm.record is None or alone
            if wanted := self._strangers(searching):
                self.greet(wanted)
            pause_ns = min(GREET_MS_MAX * MS, 2 * cmm.timing.beat_ns) if searching else cmm.timing.member_ns
            self._greet_ns = cmm.now_ns + pause_ns
        cmm.wake(self._greet_ns)

    def _strangers(self, searching: bool) -> tuple[str, ...]:
        """Whom to greet: who seeks a master, all that could be one; the master, who is absent; a node in touch, nobody.

        Two nodes that are not eligible never have anything to say to each other, and who hears its master is found
        by that one: so what hellos cost grows with the number of nodes, not with its square.
        """
        cmm = self._cmm
        if searching:
            return tuple(p.entry.id for p in cmm.peers if cmm.peers.own.eligible or p.entry.eligible)
        in_touch = cmm.role != "master" and cmm.now_ns - cmm.sign_ns < cmm.timing.silence_ns
        if in_touch:
            return ()
        return tuple(p.entry.id for p in cmm.peers if cmm.now_ns - p.heard_ns >= cmm.timing.silence_ns)

    def greet(self, nodes: tuple[str, ...]) -> None:
        """Say hello to these nodes, to so many at a time that a hello with the names of all fits into a datagram."""
        cmm = self._cmm
        own = cmm.peers.own
        for first in range(0, len(nodes), GREETED_MAX):
            some = nodes[first : first + GREETED_MAX]
            seen = [p.incarnation for p in cmm.peers if p.incarnation and p.entry.id in some]
            hello = Hello(
                cmm.me,
                cmm.cluster,
                WIRE_MIN,
                WIRE_MAX,
                own.eligible,
                own.available,
                own.priority,
                cmm.positions,
                seen,
            )
            cmm.emit(Greet(some, hello))

    def _announce(self) -> None:
        cmm = self._cmm
        state = (cmm.revision, cmm.master.serving_term)
        if state != self._told:
            self._told = state
            self._version += 1
            for peer in cmm.peers:
                peer.announced_ns = 0
        for peer in cmm.peers:
            if peer.acknowledged_version >= self._version:
                continue
            vice = (
                cmm.record is not None
                and cmm.record.vice is not None
                and peer.entry.id == cmm.record.vice.node
            )
            lately = cmm.now_ns - peer.heard_ns < cmm.timing.silence_ns
            pause_ns = cmm.timing.beat_ns if vice or lately else cmm.timing.member_ns
            if not peer.announced_ns or cmm.now_ns - peer.announced_ns >= pause_ns:
                peer.announced_ns = cmm.now_ns
                cmm.emit(Send(peer.entry.id, self._announcement()))
            cmm.wake(peer.announced_ns + pause_ns)

    def _announcement(self) -> Announce:
        cmm = self._cmm
        assert cmm.record is not None, "who tells has a record"
        serving = cmm.role == "master" and cmm.master.serving_term == cmm.term
        return Announce(cmm.revision, cmm.record, serving, self._version)
