"""The coordinator under any inputs at all: it never raises, answers each request once, and is woken when it must be.

Hosts say anything, exit and come back; the record names anybody; operators ask for everything at any time.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from primacy.machines import coordination as c
from primacy.machines import host_wire as h
from primacy.machines import membership as m
from primacy.machines import peer_wire as p
from primacy.machines.coordinator import Coordinator
from primacy.machines.ids import MS, Function
from primacy.machines.records import Mastership, Vice
from primacy.machines.swap import Outcome, Purpose
from tests.unit.ssc_tools import ADDRESSES, N1, N2, N3, SERVICES

SMALL = st.integers(0, 4)
MEMBERS = st.sampled_from([N1, N2, N3])
HOSTS = st.sampled_from([s.id for s in SERVICES])
SECONDS = st.sampled_from([0.0, 0.5, 5.0, -1.0, float("inf"), float("nan"), 1e300])
CALLBACKS = st.lists(
    st.builds(
        h.Callback,
        st.sampled_from(["initialize", "failover", "switchover", "shutdown", "reconnect", "unheard of"]),
        st.integers(0, 3),
        st.sampled_from(["f", "g"]),
        SECONDS,
        st.sampled_from(["refuse", "retry", "restart", "escalate", "a policy of a later version"]),
        st.integers(-1, 2),
        SECONDS,
    ),
    max_size=5,
)
POSITIONS = st.dictionaries(HOSTS, st.tuples(SMALL, SMALL), max_size=2)
RECORDS = st.builds(
    Mastership,
    SMALL,
    MEMBERS,
    st.none() | st.builds(lambda who, ready: Vice(who.node, who.incarnation, ready), MEMBERS, st.booleans()),
    SMALL,
    st.just("any"),
    MEMBERS,
    st.none() | st.none() | st.none() | POSITIONS,
)
HOST_WORDS = st.one_of(
    st.builds(h.Opened, st.sampled_from(["naming", "no such service"]), CALLBACKS, SMALL, SMALL),
    st.builds(h.Opened, HOSTS, CALLBACKS, SMALL, SMALL),
    st.builds(h.Failed, st.just("import"), st.text(max_size=5)),
    st.builds(
        h.Ran, st.integers(0, 20), st.sampled_from(["done", "done", "refused", "?"]), st.text(max_size=3)
    ),
    st.builds(h.Joined, SMALL, SMALL, SMALL),
    st.builds(h.Quiesced, SMALL, SMALL, SMALL),
    st.builds(h.MirrorStalled, SMALL, SMALL),
    st.builds(h.Unhealthy, SMALL, SMALL, st.text(max_size=3)),
    st.builds(h.Note, st.just("x"), st.just("y")),
    st.builds(h.Stopped, SMALL, SMALL),
)
PEER_WORDS = st.one_of(
    st.builds(p.Progress, SMALL, st.sampled_from([*Function]), SMALL, st.booleans()),
    st.builds(p.Leave, st.just("x")),
)
EFFECTS = st.one_of(
    st.builds(m.Appointed, SMALL, SMALL, MEMBERS),
    st.builds(m.ViceReady, SMALL, SMALL),
    st.builds(m.Alone, SMALL),
    st.builds(m.Served, SMALL),
    st.builds(m.Closed, st.sampled_from(Purpose), st.sampled_from(Outcome)),
)
NODES = st.lists(st.sampled_from(["n1", "n2", "n3"]), max_size=3, unique=True).map(tuple)
FACTS = st.builds(
    c.Facts,
    role=st.sampled_from(["master", "vice", "member"]),
    term=SMALL,
    master=st.sampled_from(["n1", "n2", ""]),
    vice=st.sampled_from(["n2", "n1", ""]),
    vice_ready=st.booleans(),
    lease_held=st.booleans(),
    swap_open=st.booleans(),
    members=NODES,
    nodes=st.just(tuple(m.NodeEntry(n) for n in ("n1", "n2", "n3"))),
)
TARGETS = st.none() | st.sampled_from(["n1", "n2", "n9"])
COMMON = {
    "reason": st.just(""), "dry_run": st.booleans(), "operation": st.uuids(version=4).map(str),
}  # fmt: skip
ASKED = st.one_of(
    st.tuples(st.just("switchover"), st.fixed_dictionaries({"to": TARGETS} | COMMON)),
    st.tuples(st.just("shutdown"), st.fixed_dictionaries({"node": TARGETS} | COMMON)),
)
MOVES = st.one_of(
    st.tuples(st.just("host"), HOSTS, HOST_WORDS),
    st.tuples(st.just("open"), CALLBACKS),
    st.tuples(st.just("exit"), HOSTS),
    st.tuples(st.just("became"), st.sampled_from(["master", "vice", "member"]), RECORDS, st.booleans()),
    st.tuples(st.just("adopted"), RECORDS),
    st.tuples(st.just("effect"), EFFECTS),
    st.tuples(st.just("peer"), MEMBERS, PEER_WORDS),
    st.tuples(st.just("end"), MEMBERS, st.booleans()),
    st.tuples(st.just("members"), NODES),
    st.tuples(st.just("asked"), ASKED, FACTS),
    st.tuples(st.just("terminate"), FACTS),
    st.tuples(st.just("ticks"), st.integers(1, 3)),
    st.tuples(st.just("ran"), st.sampled_from(["done", "done", "done", "refused"])),
    st.tuples(st.just("master")),
)
HOWS = {
    "master": ["formation", "failover", "switchover", "restart"],
    "vice": ["switchover", "appointment"],
    "member": ["dropped", "deposed"],
}


class Driver:
    """Obeys what the agent's driver obeys: one timer, processes that start and end; judges the rest."""

    def __init__(self, callbacks: list[h.Callback]) -> None:
        self.callbacks = callbacks
        self.running: list[tuple[str, int]] = []
        self.now_ns = 10**12
        self.ssc = Coordinator(N1, SERVICES, ADDRESSES, self.now_ns)
        self.timer_ns = 0
        self.processes: set[str] = set()
        self.killed: set[str] = set()
        self.asked, self.answered = 0, set[int]()
        self.ended = False
        self.give(c.Started(now_ns=self.now_ns))
        self.open(callbacks)

    def give(self, event: c.Input) -> None:
        """One input; its effects are judged and obeyed."""
        effects = self.ssc.step(event)
        for effect in effects:
            match effect:
                case c.Wake(at_ns=at_ns):
                    assert at_ns > self.now_ns, "it would spin"
                    self.timer_ns = at_ns
                case c.Spawn(service=service):
                    assert service not in self.processes, "one process at a time"
                    self.processes.add(service)
                case c.KillHost(service=service):
                    self.killed.add(service)
                case c.ToHost(service=service, message=h.Run(id=run)):
                    assert service in self.processes, "nothing is run without a process"
                    self.running.append((service, run))
                case c.Answer(id=request):
                    assert 0 < request <= self.asked
                    assert request not in self.answered, "each request is answered once"
                    self.answered.add(request)
                case c.End():
                    assert not self.ended
                    self.ended = True
        self._timer_covers_every_deadline()

    def _timer_covers_every_deadline(self) -> None:
        for active in self.ssc.runs._active.values():
            due_ns = active.sequence.next_ns()
            assert due_ns is None or self.timer_ns <= max(due_ns, self.now_ns + 1), (
                "a deadline nobody wakes for"
            )

    def pass_time(self, times: int) -> None:
        """Let the timer fire so often; what was killed is gone by then."""
        for service in sorted(self.killed & self.processes):
            self.exit(service)
        self.open(self.callbacks)
        for _ in range(times):
            self.now_ns = max(self.now_ns, self.timer_ns) + 1
            self.give(c.Tick(now_ns=self.now_ns))

    def open(self, callbacks: list[h.Callback]) -> None:
        """Every process that runs opens, with these callbacks."""
        for service in sorted(self.processes):
            opened = h.Opened(service, callbacks, 1, 1)
            self.give(c.HostSaid(now_ns=self.now_ns, service=service, message=opened))

    def exit(self, service: str) -> None:
        """A process is gone."""
        if service in self.processes:
            self.processes.discard(service)
            self.killed.discard(service)
            self.give(c.HostExited(now_ns=self.now_ns, service=service, reason="exited with 1"))

    def move(self, move: tuple[Any, ...]) -> None:
        """One thing that happens."""
        now_ns = self.now_ns
        match move:
            case ("host", service, words) if service in self.processes:
                self.give(c.HostSaid(now_ns=now_ns, service=service, message=words))
            case ("open", callbacks):
                self.open(callbacks)
            case ("ran", outcome) if self.running:
                service, run = self.running.pop(0)
                if service in self.processes:
                    ran = h.Ran(run, outcome, "because")
                    self.give(c.HostSaid(now_ns=now_ns, service=service, message=ran))
            case ("master",):
                term = self.ssc.term + 1
                self.move(("became", "master", Mastership(term, N1, None, term, "any", N1), False))
            case ("exit", service):
                self.exit(service)
            case ("became", role, record, clean):
                how = HOWS[role][record.term % len(HOWS[role])]
                self.give(c.Membership(now_ns=now_ns, effect=m.Adopted(1, record)))
                self.give(c.Membership(now_ns=now_ns, effect=m.Became(role, how, 1, record, clean)))
            case ("adopted", record):
                self.give(c.Membership(now_ns=now_ns, effect=m.Adopted(1, record)))
            case ("effect", effect):
                self.give(c.Membership(now_ns=now_ns, effect=effect))
            case ("peer", who, words):
                said = c.PeerSaid(now_ns=now_ns, node=who.node, incarnation=who.incarnation, message=words)
                self.give(said)
            case ("end", who, stopped):
                words = p.EndNode("x", stopped)
                self.give(
                    c.PeerSaid(now_ns=now_ns, node=who.node, incarnation=who.incarnation, message=words)
                )
            case ("members", nodes):
                self.give(c.MembersChanged(now_ns=now_ns, nodes=nodes))
            case ("asked", (verb, arguments), facts):
                self.asked += 1
                self.give(c.Asked(now_ns=now_ns, id=self.asked, verb=verb, arguments=arguments, facts=facts))
            case ("terminate", facts):
                self.give(c.Terminate(now_ns=now_ns, reason="x", facts=facts))
            case ("ticks", times):
                self.pass_time(times)


@settings(max_examples=250)
@given(callbacks=CALLBACKS, moves=st.lists(st.tuples(st.integers(0, 3_000), MOVES), max_size=40))
def test_any_inputs(callbacks: list[h.Callback], moves: list[tuple[int, tuple[Any, ...]]]) -> None:
    driver = Driver(callbacks)
    for passes_ms, move in moves:
        driver.now_ns += passes_ms * MS
        driver.move(move)
