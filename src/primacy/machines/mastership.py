"""The cluster membership monitor (CMM): who is master, who is vice, and what this node may do meanwhile.

One `Monitor` runs on every node. It takes one input at a time (membership.py) and returns effects in the order to
obey them. It decides by three things only: the mastership record in the ledger, changed by swaps on its revision; the
lease and the grace, which compare a node's clock with itself; obituaries, which prove a death. It never decides by a
connection that closed or by the wall clock, and it needs the ledger only to change the record: while master and vice
hear each other, the ledger's absence changes nothing.

Invariants (S1, S6, S7 of the assurance page): at most one node holds a term; a claim comes from the ready vice, from
formation or by force; one incarnation never acts on the rights of another. While a swap of this node is not settled
it has only the rights that the old record and the new one both give it.

The rules of each role stand in master.py, vice.py and forming.py; this file holds what they share: the known
record, the open swap, the lease page's gate. Source: PacificA (Lin et al., 2008); Vertical Paxos (Lamport et al.,
2009) for reconfiguration through an outside configuration service.
"""

from __future__ import annotations  # noqa: I001  (inputs and effects stand in one block)

import msgspec

from primacy.machines import messages
from primacy.machines.announcing import Announcer
from primacy.machines.deciding import Decisions
from primacy.machines.events import MasterDeposed, MasterElected, ObituaryHeard
from primacy.machines.forcing import ForceDuty
from primacy.machines.formation import Positions
from primacy.machines.forming import MemberDuty
from primacy.machines.ids import NEVER_NS, Member
from primacy.machines.master import MasterDuty
from primacy.machines.membership import (
    Adopted, Became, Closed, EchoWanted, Effect, Force, Gap, Grant, HandOver, Health, Input, Joined, KeepBack,
    Learned, Leaving, Linked, Maintenance, NodeEntry, Publish, Read, ReadFailed, Received, Renew, Retimed, Send,
    Serving, Stalled, StopCluster,
    SwapAnswer, Swapped, SwapRecord, TableChanged, Wake,
)  # fmt: skip
from primacy.machines.peers import Peers
from primacy.machines.records import Mastership, brief
from primacy.machines.swap import Outcome, Purpose, Swap
from primacy.machines.timing import Timing, covers
from primacy.machines.vice import ViceDuty

MASTER, VICE, MEMBER = "master", "vice", "member"
_HOW = {
    Purpose.CLAIM: "failover",
    Purpose.FORM: "formation",
    Purpose.RENEW: "restart",
    Purpose.FORCE: "force",
}


class Monitor:
    """The machine of one incarnation of one node.

    me: this life of this node. nodes: the configuration table. volatile: some centralized service keeps its state in
    memory only. availability: `cold_start = "availability"`.
    """

    def __init__(
        self,
        me: Member,
        cluster: str,
        timing: Timing,
        nodes: tuple[NodeEntry, ...],
        now_ns: int,
        *,
        volatile: bool = False,
        availability: bool = False,
    ) -> None:
        self.me, self.cluster, self.timing = me, cluster, timing
        self.volatile, self.availability = volatile, availability
        self.peers = Peers(me, nodes)
        self.dead: set[str] = set()  # incarnations with an obituary
        self.positions: Positions | None = None
        self.health = Health(now_ns=now_ns, able=False, healthy=True, appointment=0)
        self.now_ns = self.started_ns = now_ns
        self.revision = 0
        self.record: Mastership | None = None
        self.swap: Swap | None = None
        self.master = MasterDuty(self)
        self.vice = ViceDuty(self)
        self.member = MemberDuty(self)
        self.force = ForceDuty(self)
        self.maintenance = Maintenance(now_ns=now_ns)
        self.announcer = Announcer(self)
        self.decisions = Decisions(me.node, lambda event: self.emit(Publish(event)))
        self.judge_ns = now_ns  # before this instant nobody is judged by the clock
        self.sign_ns = now_ns  # last sign of life of a master (at first: this node's own start)
        self.signed = False  # a master has been heard at all
        self.checked_ns = -1  # when the last answered read was asked
        self._read_asked_ns: int | None = None
        self._read_again_ns = now_ns
        self._pause_until_ns = now_ns  # no change of the record is tried before
        self._granted = (0, NEVER_NS)
        self._waiting_for = ""
        self.served_term = 0
        self._token = 0
        self._out: list[Effect] = []
        self._wake_ns = 0

    # ---- the machine ----

    @property
    def role(self) -> str:
        """master | vice | member: what the known record says of this very incarnation."""
        if self.record is None:
            return MEMBER
        if self.record.is_master(self.me):
            return MASTER
        return VICE if self.record.is_vice(self.me) else MEMBER

    @property
    def term(self) -> int:
        """Term of the known record; 0 when there is none."""
        return self.record.term if self.record is not None else 0

    def step(self, event: Input) -> list[Effect]:
        """Take one input; return the effects, in the order to obey them.  Never raises on input."""
        self._out = []
        self.now_ns = event.now_ns
        self._wake_ns = event.now_ns + self.timing.member_ns
        match event:
            case Received(sender=sender, message=message):
                self._receive(sender, message)
            case EchoWanted():
                self.master.beat_now()
            case Learned(revision=revision, record=record, asked_ns=asked_ns):
                self._learned(revision, record, asked_ns)
            case ReadFailed():
                self._read_asked_ns = None
                self.force.read_failed()
            case Swapped(token=token, answer=answer, revision=revision):
                self._swapped(token, answer, revision)
            case Gap():
                self.judge_ns = event.now_ns + self.timing.beat_ns
            case Health():
                self.health = event
                self.positions = event.positions or self.positions if event.complete else None
            case TableChanged(nodes=nodes):
                self.peers.replace(nodes)
            case Retimed(timing=timing, availability=availability):
                self.timing = timing
                self.availability = self.availability if availability is None else availability
                self.master.retimed()
                self.vice.retimed()
            case Joined(term=term, appointment=appointment):
                self.master.joined(term, appointment)
            case Stalled():
                self.master.stalled(event)
            case Serving(term=term):
                self.master.serves(term)
            case HandOver():
                self.master.hand_over(event)
            case Renew():
                self.master.renew(event)
            case StopCluster(positions=positions):
                self.master.stop(positions)
            case Leaving(member=member):
                self.master.leaving(member)
            case KeepBack(node=node, why=why):
                self.master.keep_back(node, why)
            case Linked(up=up):
                self.master.linked = up
            case Force():
                self.force.asked(event)
            case Maintenance():
                self.maintenance = event
        self._consider()
        self.announcer.consider()
        self.regrant()
        self.emit(Wake(self._wake_ns))
        return self._out

    def _consider(self) -> None:
        self.force.consider()
        if self.swap is not None:
            self._pursue_swap(self.swap)
        elif self.role == MASTER:
            self.master.consider()
        elif self.role == VICE:
            self.vice.consider()
        else:
            self.member.consider()
        if self.role == MASTER:
            self.master.beat()

    # ---- what the duties use ----

    def emit(self, effect: Effect) -> None:
        """Add an effect after the ones before."""
        self._out.append(effect)

    def wake(self, at_ns: int) -> None:
        """Ask for a tick at this instant at the latest; what was to be done at one that has passed is done or waits."""
        if at_ns > self.now_ns:
            self._wake_ns = min(self._wake_ns, at_ns)

    def judges(self) -> bool:
        """Whether the clock may be held against others now (not within a beat after a gap of this agent's own)."""
        if self.now_ns < self.judge_ns:
            self.wake(self.judge_ns)
            return False
        return True

    def paused(self) -> bool:
        """Whether a change of the record was just refused by an unavailable ledger: try again a beat later."""
        self.wake(self._pause_until_ns)
        return self.now_ns < self._pause_until_ns

    def read(self) -> None:
        """Read the record, unless a read is under way or one has failed a moment ago."""
        if self._read_asked_ns is None and self.now_ns >= self._read_again_ns:
            self._read_asked_ns = self.now_ns
            self._read_again_ns = self.now_ns + self.timing.beat_ns
            self.emit(Read())
        else:
            self.wake(self._read_again_ns)

    def begin(self, purpose: Purpose, record: Mastership) -> None:
        """Send a swap on the known revision.  From here until it is settled the gate counts both records."""
        assert self.swap is None, "one swap at a time"
        record = msgspec.structs.replace(record, cause=brief(record.cause))
        self._token += 1
        self.swap = Swap(purpose, self.revision, record, self._token)
        self.regrant()
        self.emit(SwapRecord(self.revision, record, self._token))

    def regrant(self) -> None:
        """Write the lease page if what it must say has changed."""
        granted = (
            (self.term, self.master.valid_until_ns()) if self.role == MASTER else (self._granted[0], NEVER_NS)
        )
        if granted != self._granted:
            same = granted[0] == self._granted[0]
            assert same or self._granted[1] == NEVER_NS, "an ended term grants nothing"
            self._granted = granted
            self.emit(Grant(*granted))

    # ---- the swap ----

    def _pursue_swap(self, swap: Swap) -> None:
        if swap.conflicted:
            self.read()
        elif swap.due(self.now_ns):
            swap.under_way = True
            self._token += 1
            swap.token = self._token
            self.emit(SwapRecord(swap.expect, swap.record, swap.token))
        elif not swap.under_way:
            self.wake(swap.repeat_ns)

    def _swapped(self, token: int, answer: SwapAnswer, revision: int) -> None:
        swap = self.swap
        if swap is None or swap.token != token:
            return  # settled meanwhile by a newer revision
        again_ns = self.now_ns + self.timing.beat_ns
        match answer:
            case SwapAnswer.DONE:
                self._learn(revision, swap.record)
            case SwapAnswer.CONFLICT:
                swap.conflict()
                self._read_again_ns = self.now_ns
            case SwapAnswer.UNCERTAIN:
                swap.unclear(again_ns)
            case SwapAnswer.UNAVAILABLE:
                outcome = swap.unavailable(again_ns)
                if outcome is not None:
                    self._close(swap, outcome)

    def _close(self, swap: Swap, outcome: Outcome) -> None:
        self.swap = None
        if outcome is not Outcome.DONE:
            self.vice.unseal()
        if swap.purpose is Purpose.FORCE:
            self.force.closed(outcome)
        if outcome is Outcome.NOT_WRITTEN:
            self._pause_until_ns = self.now_ns + self.timing.beat_ns  # the ledger was unavailable
        self.emit(Closed(swap.purpose, outcome))

    # ---- the record ----

    def _learned(self, revision: int, record: Mastership | None, asked_ns: int | None) -> None:
        if asked_ns is not None:
            self._read_asked_ns = None
            self.checked_ns = max(self.checked_ns, asked_ns)
        if record is not None:
            self._learn(revision, record)

    def _learn(self, revision: int, record: Mastership) -> None:
        """Adopt a record of the ledger if it is newer than the known one; older news is no news."""
        if revision <= self.revision:
            return
        swap = self.swap
        outcome = swap.learned(revision, record) if swap is not None else None
        old, old_role = self.record, self.role
        self.revision, self.record = revision, record
        if old is not None:
            self.sign_ns, self.signed = self.now_ns, True  # somebody has just written it
        self.member.waits_for = ""
        how = "switchover"
        if swap is not None and outcome is not None:
            self.swap = None
            how = _HOW.get(swap.purpose, how) if outcome is Outcome.DONE else how
        self.emit(Adopted(revision, record))
        self._change_role(old, old_role, how)
        if swap is not None and outcome is not None:
            self._close(swap, outcome)
            if swap.purpose is Purpose.HANDOVER and outcome is Outcome.DONE:
                self.announcer.handed_over()

    def _change_role(self, old: Mastership | None, old_role: str, how: str) -> None:
        record, role = self.record, self.role
        assert record is not None
        if old_role == MASTER and (role != MASTER or (old is not None and old.term != record.term)):
            assert old is not None
            self.emit(Grant(old.term, NEVER_NS))
            self._granted = (old.term, NEVER_NS)
            if role != MASTER:
                by = record.master.node
                self.emit(
                    Publish(MasterDeposed(term=record.term, node=self.me.node, by=by, cause=record.cause))
                )
        if old_role == VICE and role != VICE:
            self.vice.end()
        clean = how == "switchover" and record.ready_vice is not None
        if role == MASTER:
            if old_role == MASTER and old is not None and old.term == record.term:
                self.master.record_changed(old)
                return
            self.master.begin_term()
            self.emit(Became(MASTER, how, self.revision, record, clean))
            self.emit(
                Publish(MasterElected(term=record.term, node=self.me.node, how=how, cause=record.cause))
            )
        elif role == VICE:
            self.vice.record_changed(old if old_role == VICE else None, clean and old_role == MASTER)
        elif old_role != MEMBER:
            self.emit(
                Became(MEMBER, "dropped" if old_role == VICE else "deposed", self.revision, record, False)
            )

    # ---- messages ----

    def _receive(self, sender: Member, message: messages.Message) -> None:
        if isinstance(message, messages.Hello):
            self.announcer.greeted(message)
            return
        if isinstance(message, messages.Obituary):
            if message.member == sender:  # nobody speaks for another
                self._bury(sender)
            return
        if self.peers.heard(sender, self.now_ns) is None:
            return
        if self.record is not None and sender == self.record.master:
            self.sign_ns, self.signed = self.now_ns, True
        match message:
            case messages.Beat():
                self._beaten(sender, message)
            case messages.Echo():
                self.master.echoed(sender, message)
            case messages.Announce(revision=revision, record=record, version=version):
                self.emit(Send(sender.node, messages.Heard(version, sender.incarnation)))
                self._learn(revision, record)
                self.announcer.told(sender, message)
            case messages.Heard():
                self.announcer.heard(sender, message)

    def _beaten(self, sender: Member, beat: messages.Beat) -> None:
        """Answer a beat. Only a vice that knows itself as such, and is not sealed, makes a promise."""
        record = self.record
        if record is None or beat.term > record.term or beat.revision > self.revision:
            # the master sees that this node is behind, and announces
            self.emit(Send(sender.node, self._echo(beat, False)))
        elif sender == record.master and beat.term == record.term:
            self.announcer.beaten()
            if self.role == VICE:
                if covers(self.timing.grace_ns, beat.lease_ns) and self.vice.acknowledges():
                    self.emit(Send(sender.node, self._echo(beat, True)))
            else:
                self.emit(Send(sender.node, self._echo(beat, False)))
        else:
            self.announcer.tell(sender.node)  # a deposed master

    def _echo(self, beat: messages.Beat, promise: bool) -> messages.Echo:
        appointment = self.record.appointment if self.record is not None else 0
        broken = self.health.appointment == appointment and not self.health.healthy
        able = self.health.able and covers(self.timing.grace_ns, beat.lease_ns)
        return messages.Echo(beat.term, self.revision, beat.sent_ns, promise, able, not broken, appointment)

    def _bury(self, member: Member) -> None:
        if member.incarnation not in self.dead:
            self.dead.add(member.incarnation)
            self.emit(
                Publish(ObituaryHeard(term=self.term, node=member.node, incarnation=member.incarnation))
            )

    def new_term(self, cause: str) -> Mastership:
        """The record of a claim: the next term, this node alone."""
        appointment = self.record.appointment + 1 if self.record is not None else 1
        return Mastership(self.term + 1, self.me, None, appointment, cause, self.me)
