"""The monitor under any inputs at all: it never raises, never spins, and never leaves a right standing.

The inputs keep no protocol: answers to nothing, records of anybody, time that stands still or jumps.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from primacy.machines import membership as m
from primacy.machines import messages as w
from primacy.machines.deciding import again
from primacy.machines.events_decision import Decided
from primacy.machines.ids import FOREVER_NS, MS, NEVER_NS, Member
from primacy.machines.mastership import MASTER, VICE, Monitor
from primacy.machines.records import Mastership, Vice
from tests.unit.cmm_tools import N1, N2, N3, NODES, TIMING

N1_BEFORE, STRANGER = Member("n1", "a" * 32), Member("n9", "9" * 32)
SMALL = st.sampled_from([0, 1, 1, 2, 2, 3, 5])
MEMBERS = st.sampled_from([N1, N1, N2, N2, N3, N1_BEFORE, STRANGER])
POSITIONS = st.dictionaries(st.sampled_from(["s", "t"]), st.tuples(SMALL, SMALL), max_size=2)
RECORDS = st.builds(
    Mastership,
    SMALL,
    MEMBERS,
    st.none() | st.builds(lambda who, ready: Vice(who.node, who.incarnation, ready), MEMBERS, st.booleans()),
    SMALL,
    st.just("any"),
    MEMBERS,
    st.none() | st.none() | POSITIONS,
)
AGO_NS = st.sampled_from([0, 1 * MS, 100 * MS, 400 * MS, -(1 << 40)])
MESSAGES = st.one_of(
    st.builds(w.Beat, SMALL, SMALL, AGO_NS),
    st.builds(w.Echo, SMALL, SMALL, AGO_NS, st.booleans(), st.booleans(), st.booleans(), SMALL),
    st.builds(w.Announce, SMALL, RECORDS, st.booleans(), SMALL),
    st.builds(w.Heard, SMALL),
    st.builds(w.Obituary, MEMBERS),
    st.builds(
        w.Hello, MEMBERS, st.sampled_from(["c", "d"]), st.just(1), st.just(1), st.booleans(), st.booleans(),
        SMALL, st.none() | POSITIONS, st.lists(st.sampled_from([N1.incarnation, "x"]), max_size=1),
    ),
)  # fmt: skip
NOW = {"now_ns": st.just(0)}  # set by the test
EVENTS = st.one_of(
    st.builds(m.Tick, **NOW),
    st.builds(m.Received, sender=MEMBERS, message=MESSAGES, **NOW),
    st.builds(m.Received, sender=MEMBERS, message=MESSAGES, **NOW),
    st.builds(m.Learned, revision=SMALL, record=st.none() | RECORDS, asked_ns=st.none() | st.just(0), **NOW),
    st.builds(m.ReadFailed, **NOW),
    st.builds(m.Swapped, token=SMALL, answer=st.sampled_from(m.SwapAnswer), revision=SMALL, **NOW),
    st.builds(m.Swapped, token=SMALL, answer=st.sampled_from(m.SwapAnswer), revision=SMALL, **NOW),
    st.builds(m.Gap, **NOW),
    st.builds(
        m.Health,
        able=st.booleans(),
        healthy=st.booleans(),
        appointment=SMALL,
        positions=st.none() | POSITIONS,
        **NOW,
    ),
    st.builds(m.TableChanged, nodes=st.sampled_from([NODES, NODES[:2], NODES[1:], ()]), **NOW),
    st.builds(m.Joined, term=SMALL, appointment=SMALL, **NOW),
    st.builds(m.Stalled, term=SMALL, appointment=SMALL, service=st.just("s"), **NOW),
    st.builds(m.Serving, term=SMALL, **NOW),
    st.builds(m.HandOver, term=SMALL, in_step=st.booleans(), cause=st.text(max_size=5), **NOW),
    st.builds(m.Renew, term=SMALL, cause=st.text(max_size=5), **NOW),
    st.builds(m.StopCluster, positions=POSITIONS, **NOW),
    st.builds(m.Leaving, member=MEMBERS, **NOW),
    st.builds(m.Linked, up=st.booleans(), **NOW),
)
PASSES_NS = st.sampled_from([0, 0, 1, 5 * MS, 60 * MS, 260 * MS, 310 * MS, 3_000 * MS, 10_000 * MS])


class Watcher:
    """Holds a monitor's effects against what may never be."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self.pages: dict[int, int] = {}  # term: valid_until_ns
        self.acknowledging = 0
        self.tries: list[m.SwapRecord] = []

    def step(self, event: m.Input) -> None:
        """Give an input and judge what comes of it."""
        monitor, before = self.monitor, self.monitor.swap
        revision = monitor.revision
        effects = monitor.step(event)
        assert isinstance(effects[-1], m.Wake)
        assert [type(e) for e in effects].count(m.Wake) == 1
        assert effects[-1].at_ns > event.now_ns
        assert monitor.revision >= revision
        for effect in effects:
            self._judge(effect)
        self._judge_rights()
        now = monitor.swap
        if now is not None and before is not None and now is not before:
            assert any(isinstance(e, m.Closed | m.Adopted) for e in effects), "one swap at a time"

    def _judge(self, effect: m.Effect) -> None:
        match effect:
            case m.Grant(term=term, until_ns=until_ns):
                assert NEVER_NS <= until_ns <= FOREVER_NS
                self.pages[term] = until_ns
            case m.Acknowledge(term=term):
                self.acknowledging = term
            case m.Seal():
                self.acknowledging = 0
            case m.SwapRecord(record=record):
                if record.master == N1 and record.cause.startswith(("no beat", "the processes")):
                    assert not self.acknowledging, "sealed before the claim is sent"
                same = [t for t in self.tries if t.token == effect.token]
                assert not same, "each try has a token of its own"
                self.tries.append(effect)
            case m.Publish(event=Decided() as kept):
                assert again(kept).same, "a kept decision is the same again"
            case m.Send(message=w.Echo(vice=True, term=term)):
                assert self.acknowledging == term, "a promise is given only while it is kept"

    def _judge_rights(self) -> None:
        monitor = self.monitor
        for term, until_ns in self.pages.items():
            if monitor.role != MASTER or term != monitor.term:
                assert until_ns == NEVER_NS, (
                    f"a right of term {term} stands, this is {monitor.role} of {monitor.term}"
                )
        if monitor.role == MASTER:
            assert self.pages.get(monitor.term, NEVER_NS) == monitor.master.valid_until_ns()
        if self.acknowledging:
            assert monitor.role == VICE
            assert self.acknowledging == monitor.term
            assert not monitor.vice.sealed


@settings(max_examples=300)
@given(
    start=st.none() | RECORDS,
    moves=st.lists(st.tuples(PASSES_NS, EVENTS), max_size=40),
    volatile=st.booleans(),
    availability=st.booleans(),
)
def test_any_inputs(
    start: Mastership | None, moves: list[tuple[int, m.Input]], volatile: bool, availability: bool
) -> None:
    now_ns = 10**12
    monitor = Monitor(N1, "c", TIMING, NODES, now_ns, volatile=volatile, availability=availability)
    watcher = Watcher(monitor)
    healthy = m.Health(now_ns=now_ns, able=True, healthy=True, appointment=0, positions={"s": (0, 0)})
    for event in (healthy, m.Learned(now_ns=now_ns, revision=1, record=start, asked_ns=now_ns)):
        watcher.step(event)
    for passes_ns, event in moves:
        now_ns += passes_ns
        watcher.step(_at(event, monitor, now_ns))


def _at(event: m.Input, monitor: Monitor, now_ns: int) -> m.Input:
    """The input at this time: what it says of terms, revisions and tokens is near what the monitor knows."""
    near = {
        "revision": monitor.revision - 1,
        "term": monitor.term - 1,
        "token": monitor.swap.token - 1 if monitor.swap is not None else 0,
        "appointment": monitor.record.appointment - 1 if monitor.record is not None else 0,
        "sent_ns": None,
    }

    def moved(value: Any) -> Any:
        if isinstance(value, w.Wire | m.Input | Mastership):
            fields = {f: getattr(value, f) for f in value.__struct_fields__}
            for name, base in near.items():
                if name in fields:
                    small = fields[name]
                    fields[name] = now_ns - small if base is None else max(0, base + small)
            for name in ("message", "record"):
                if name in fields:
                    fields[name] = moved(fields[name])
            if "now_ns" in fields:
                fields["now_ns"] = now_ns
            if fields.get("asked_ns") is not None:
                fields["asked_ns"] = now_ns
            return type(value)(**fields)
        return value

    result: m.Input = moved(event)
    return result
