"""What must be true after every step of a simulated cluster; the first thing that is not ends the run.

S1  at most one node holds a term: no two processes may answer as primary, and once the record names a new term no
    lease page of an older one is valid.
S2  no call that was sent after a new term's first reply is answered from an older term.
S3  an acknowledged operation is in the state of every later primary; replicas agree at their checkpoints.
S4  replies are linearizable, and each operation is in the state once.
S6  a claim comes from the ready vice, from formation, by force, or was handed over; within a term only its master
    writes. By force only when the recorded master is dead, or was declared dead by word: towards such a one, and only
    towards it, S1, S2 and S3 need not hold.
R4  a vice acknowledges nothing that is mirrored while a claim of its own is sent and not settled.
R6  no master makes a vice ready that never gives it a lease (it would be silent for nothing).
S7  one incarnation never acts on the rights of another.
W1  a watch tells what was published, in order and without a gap, whoever serves.
C1  a datagram reaches its receiver's machines by its first copy, and by no other.
S5 and S8, and that every request has one true outcome, are in levels.py and truth.py.

The checkers see everything (true time, every node, the ledger itself) and change nothing.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from dataclasses import dataclass

from primacy.machines import membership as cmm
from primacy.machines.call_wire import ToClient
from primacy.machines.events import Event, FunctionEnded
from primacy.machines.events_decision import Decided
from primacy.machines.ids import FOREVER_NS, Member
from primacy.machines.membership import NodeEntry
from primacy.machines.mirror import Primary
from primacy.machines.records import Mastership
from primacy.machines.swap import Purpose
from primacy.sim.excuses import Excuses
from primacy.sim.host import Host
from primacy.sim.host_process import HostProcess, Observer
from primacy.sim.levels import Levels
from primacy.sim.line import Ledger
from primacy.sim.linearizability import Model, Record, Verdict, check
from primacy.sim.logbook import Logbook
from primacy.sim.node import Node
from primacy.sim.plan import HEAL_MS, Plan
from primacy.sim.scheduler import Scheduler
from primacy.sim.truth import Truth
from primacy.sim.watches import Told

EVENTS_MAX = 1_500_000
_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Violation:
    """What is not true, and when that was seen."""

    clause: str
    text: str
    at_ns: int

    def __str__(self) -> str:
        return f"{self.clause} violated at {self.at_ns / 1e6:.3f} ms: {self.text}"


class Checkers(Observer):
    """All checkers of one run, and its timeline."""

    def __init__(
        self,
        scheduler: Scheduler,
        nodes: dict[str, Node],
        ledger: Ledger,
        plan: Plan,
        table: tuple[NodeEntry, ...],
    ) -> None:
        self.violation: Violation | None = None
        self.timeline: list[tuple[int, str, str]] = []
        self.bugs: list[str] = []
        self.fingerprint = 0  # of the times of all events: two runs with the same one are the same run
        self._leaseless: set[tuple[int, int]] = set()  # (term, appointment) ready before any lease was held
        self._scheduler, self._nodes, self._ledger = scheduler, nodes, ledger
        self._plan = plan
        self._events_max = EVENTS_MAX * max(1, plan.heal_ms // HEAL_MS)
        self._first_reply_ns: dict[int, int] = {}
        self._acknowledged: dict[str, int] = {}  # name -> the term that acknowledged it first
        self._alone: set[str] = set()  # names acknowledged by a host that knows of no ready vice
        self._serving: dict[str, list[Host]] = {}  # service -> hosts that were told to serve and are not gone
        self._latest: Host | None = None  # the logbook's primary that serves the highest term
        self.forgiven = False  # a formation by availability has lost acknowledged operations: it may
        self._ledger_term = 0
        self._claims: dict[Member, int] = {}  # the last claim that each life has sent: the token of its swap
        # (term, who) asked by force: on the operator's word?
        self._forced: dict[tuple[int, Member], bool] = {}
        self.excuses = Excuses(plan)
        self._digests: dict[tuple[str, int, int], bytes] = {}
        self.levels = Levels(self.fail, nodes)
        self.truth = Truth(self.fail, lambda sentence: self.note("ledger", sentence), ledger, table)
        ledger.written, ledger.changed = self.written, self.truth.changed

    def note(self, place: str, sentence: str) -> None:
        """Add a line to the timeline."""
        self.timeline.append((self._scheduler.now_ns, place, sentence))

    def fail(self, clause: str, text: str) -> None:
        """Something is not true; only the first is kept."""
        if self.violation is None:
            self.violation = Violation(clause, text, self._scheduler.now_ns)
            self.note("", str(self.violation))

    def bug(self, process: str, error: Exception) -> None:
        """A process has ended because of a bug in its own code; the run goes on, to see what comes of it."""
        text = f"{process} ends by a bug of its own: {type(error).__name__}: {error}"
        self.note("bug", text)
        self.bugs.append(text + "".join(traceback.format_tb(error.__traceback__)[-3:]))

    # ---- after every event ----

    def each(self) -> bool:
        """Check S1; return whether the run is over."""
        scheduler = self._scheduler
        self.fingerprint = (self.fingerprint * 1_000_003 ^ scheduler.now_ns) & _MASK
        if scheduler.count > self._events_max:
            self.fail("L1", f"{self._events_max} events: something spins")
        for hosts in self._serving.values():
            if len(hosts) > 1:
                self._one_of(hosts)
            for host in hosts:
                if host.term < self._ledger_term and host.holds() and not self.excuses.of(host):
                    self._outlived(host)
        return self.violation is not None

    def _outlived(self, host: Host) -> None:
        self.fail(
            "S1",
            f"{host.member} may answer in term {host.term} {self._validity(host)}; "
            f"the record is of term {self._ledger_term}",
        )

    def _one_of(self, hosts: list[Host]) -> None:
        """S1: of all that were told to serve one at most may answer."""
        holders = [host for host in hosts if host.holds() and not self.excuses.of(host)]
        if len(holders) > 1:
            both = " and ".join(f"{h.member} (term {h.term}, {self._validity(h)})" for h in holders[:2])
            self.fail("S1", f"two primaries may answer: {both}")

    def published(self, node: str, event: Event) -> None:
        """An agent has published an event."""
        if not isinstance(event, Decided):
            self.note(node, event.sentence())
        if isinstance(event, FunctionEnded) and event.function == "initialize":
            member = self._nodes[node].member
            if member is not None:
                self.levels.initialized(member)

    def gone(self, host: HostProcess) -> None:
        """A host process is no more."""
        hosts = self._serving.get(host.service, [])
        if host in hosts:
            hosts.remove(host)

    def _validity(self, host: Host) -> str:
        left_ns = host.page.valid_until_ns - host.clock.now_ns
        return "for ever" if left_ns > 1 << 60 else f"for {left_ns / 1e6:.3f} ms"

    # ---- the record ----

    def written(self, revision: int, old: Mastership | None, new: Mastership) -> None:
        """A swap was written: S6, and no older term may be answered from now on."""
        vice = (
            "no vice"
            if new.vice is None
            else f"{'ready' if new.vice.ready else 'not ready'} vice {new.vice.member}"
        )
        sentence = (
            f"revision {revision}: term {new.term}, master {new.master}, {vice}, by {new.by}: {new.cause}"
        )
        self.note("ledger", sentence)
        self._ledger_term = new.term
        self.excuses.changed(old, new)
        if old is not None and old.ready_vice is not None and (old.term, old.appointment) in self._leaseless:
            self.fail(
                "R6",
                f"{old.master} fell silent for {old.ready_vice}, which never gave it a lease: {sentence}",
            )
        why = self._not_allowed(old, new)
        if why:
            self.fail("S6", f"{why}: {sentence}")
        for node in self._nodes.values():
            for host in node.hosts:
                if not isinstance(host, Host) or self.excuses.of(host):
                    continue
                if host.alive and host.role == "primary" and host.term < new.term and host.answers():
                    self.fail(
                        "S1",
                        f"{host.member} may answer in term {host.term} {self._validity(host)}: {sentence}",
                    )

    def _not_allowed(self, old: Mastership | None, new: Mastership) -> str:
        if old is None:
            return "" if new.term == 1 and new.by == new.master else "the first record is not by its master"
        if new.term == old.term:
            return (
                "" if new.by == old.master == new.master else "only the master changes the record of its term"
            )
        if new.term != old.term + 1:
            return "a term was left out"
        if new.by == old.master:
            allowed = new.master in (old.master, old.ready_vice)
            return "" if allowed else "handed over to a node that is not the ready vice"
        if new.by != new.master:
            return "written by neither master"
        if (new.term, new.master) in self._forced:
            return self._not_forced(old, new)
        if new.master == old.ready_vice or old.stopped is not None:
            return ""
        if old.vice is not None and new.master == old.vice.member:
            return "a claim by a vice that is not ready"
        if self._plan.availability and self._dead(old.master):
            self._forgive(old, new)
            return ""
        if self._plan.durability == "memory":
            return "a formation although the state was in memory only"
        in_step = {old.master.node, old.ready_vice.node if old.ready_vice else ""}
        return "" if new.master.node in in_step else "a formation by a node that was not in step"

    def _not_forced(self, old: Mastership, new: Mastership) -> str:
        """A node was made master by force: was the old master dead, or declared to be?"""
        if not self._dead(old.master):
            if not self._forced[new.term, new.master]:
                return f"forced without proof, although {old.master} lives"
            self.excuses.declared.add(old.master)
        self._forgive(old, new)
        return ""

    def _dead(self, member: Member) -> bool:
        return self._nodes[member.node].member != member

    def _forgive(self, old: Mastership, new: Mastership) -> None:
        """Formation by availability, or force, may lose what was acknowledged, not what its node acknowledged alone."""
        self.forgiven = True
        for name in list(self._acknowledged):
            if name not in self._alone or new.master.node != old.master.node or old.ready_vice is not None:
                del self._acknowledged[name]

    # ---- rights ----

    def swapping(self, member: Member, effect: cmm.SwapRecord, page_valid: bool, purpose: Purpose) -> None:
        """S6: formation is for those who have no role. For R6: note who makes its vice ready without its lease."""
        record, known = effect.record, self._ledger.record
        if purpose is Purpose.FORCE:
            self._forced[record.term, member] = "declared" in record.cause
        if purpose in (Purpose.CLAIM, Purpose.FORCE):
            self._claims[member] = effect.token
        forms = purpose is Purpose.FORM
        if known is not None and forms and effect.expect == self._ledger.revision and known.master == member:
            self.fail("S6", f"{member} forms although the record names it as master")
        if known is None or record.term != known.term or known.ready_vice is not None:
            return
        if record.master == member == record.by and record.ready_vice is not None and not page_valid:
            self._leaseless.add((record.term, record.appointment))

    def granted(self, member: Member, effect: cmm.Grant, page_valid: bool) -> None:
        """S7: only the member that the record named as master of this term may let its primaries answer."""
        if page_valid and effect.until_ns < FOREVER_NS:
            self._leaseless = {
                (term, appointment) for term, appointment in self._leaseless if term != effect.term
            }
        if page_valid and effect.term < self._ledger_term and not self.excuses.cover(member, effect.term):
            self.fail(
                "S1", f"{member} grants itself term {effect.term}; the record is of term {self._ledger_term}"
            )
        if page_valid and not any(
            r.term == effect.term and r.master == member for _, r in self._ledger.history
        ):
            self.fail("S7", f"{member} grants itself term {effect.term}, of which it was never master")

    def acknowledged(self, host: Host, term: int) -> None:
        """R4: the seal holds for the mirror, too."""
        agent = self._nodes[host.member.node].agent
        if agent is None or agent.member != host.member or agent.monitor.swap is None:
            return
        swap = agent.monitor.swap
        if swap.record.term > term and swap.token == self._claims.get(host.member):
            self.fail(
                "R4",
                f"{host.member} acknowledges in term {term}, and has sent a claim of term {swap.record.term}",
            )

    def acknowledging(self, member: Member, effect: cmm.Acknowledge) -> None:
        """S7: only the member that the record named as vice in this term may acknowledge."""
        if not any(r.term == effect.term and r.is_vice(member) for _, r in self._ledger.history):
            self.fail("S7", f"{member} acknowledges in term {effect.term}, of which it was never vice")

    # ---- answers ----

    def answered(self, host: Host, sent_ns: int, message: ToClient, names: tuple[str, ...]) -> None:
        """S2, and S3 for what is acknowledged late."""
        term, now_ns = host.term, self._scheduler.now_ns
        if host.member in self.excuses.declared:
            return
        if term not in self._first_reply_ns:
            self._first_reply_ns[term] = now_ns
        for newer, first_ns in self._first_reply_ns.items():
            if newer > term and sent_ns > first_ns and not self.excuses.of(host):
                self.fail(
                    "S2",
                    f"{host.member} answers from term {term} a call sent at {sent_ns / 1e6:.3f} ms; "
                    f"term {newer} had replied at {first_ns / 1e6:.3f} ms",
                )
        alone = isinstance(host.machine, Primary) and not host.machine.is_ready
        for name in names:
            if name not in self._acknowledged and alone:
                self._alone.add(name)
            self._acknowledged.setdefault(name, term)
            latest = self._latest
            if latest is not None and latest.term > term and name not in _names(latest):
                self.fail(
                    "S3",
                    f"{host.member} acknowledges {name} in term {term}; {latest.member} serves without it",
                )

    def served(self, host: Host) -> None:
        """S3: everything acknowledged is there."""
        hosts = self._serving.setdefault(host.service, [])
        hosts[:] = [each for each in hosts if each.alive and each.serving and each is not host]
        hosts.append(host)
        if isinstance(host.object, Logbook):
            self._all_there(host)

    def _all_there(self, host: Host) -> None:
        names, told = _names(host), self._acknowledged
        self.note(host.member.node, f"serves term {host.term} with {len(names)} names")
        if self._latest is None or self._latest.term <= host.term:
            self._latest = host
        lost = [name for name, term in told.items() if term <= host.term and name not in names]
        if lost:
            some = ", ".join(f"{name} (acknowledged in term {told[name]})" for name in lost[:3])
            self.fail(
                "S3", f"{host.member} serves term {host.term} without {len(lost)} acknowledged names: {some}"
            )
        self._once(host)

    def checkpointed(self, host: Host, term: int, sequence: int, digest: bytes) -> None:
        """S3: the same entry, the same state, everywhere."""
        if self._digests.setdefault((host.service, term, sequence), digest) != digest:
            self.fail(
                "S3",
                f"the state of {host.service} on {host.member} after entry {sequence} of term {term} "
                "differs from another's",
            )
        self._once(host)

    def _once(self, host: Host) -> None:
        service = host.object
        if isinstance(service, Logbook) and service.doubled:
            self.fail("S4", f"{service.doubled[0]} is in the state of {host.member} twice")

    # ---- the end ----

    def watched(self, watches: Iterable[tuple[Told, Host | None]]) -> None:
        """W1: what each watch was told is what the service has published, nothing missed, nothing else."""
        if self.forgiven or self.excuses.declared:
            return
        for told, host in watches:
            wrong = told.judge(host.replica.events, str(host.member)) if host is not None else told.wrong
            if wrong:
                self.fail("W1", wrong)

    def finish(self, histories: list[tuple[list[Record], Model, str]]) -> None:
        """S4 for the whole history of each service, S3 for the last primary, and the truth of every outcome.

        histories: with the model, and what a client was told of a call that is not true.
        """
        self.truth.finish()
        for node in self._nodes.values():
            for host in node.hosts:
                if isinstance(host, Host) and host.holds():
                    self.served(host)
        if self.forgiven:
            return
        for history, model, untrue in histories:
            if untrue:
                self.fail("S4", untrue)
            finding = check(self.excuses.judged(history, model), model)
            if finding.verdict is not Verdict.LINEARIZABLE:
                self.fail("S4", finding.sentence())


def _names(host: Host) -> set[str]:
    service = host.object
    assert isinstance(service, Logbook)
    return service.names
