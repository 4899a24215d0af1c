"""The events of all nodes as one sequence: each node's order kept, causes before effects, clocks for ties only."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.machines import events
from primacy.machines.events import Stamped
from primacy.machines.timeline import MASTER_FIRST, Event, following, kind_of, merge, taken, term_of

FIRST, SECOND = "1" * 32, "2" * 32


def at(node: str, wall_ns: int, event: events.Event, number: int = 0, life: str = "") -> Event:
    """Return an event as a node tells it."""
    return Stamped(node=node, incarnation=life or node, number=number, wall_ns=wall_ns, event=event).plain()


def elected(node: str, term: int) -> events.Event:
    """Return how a term begins."""
    return events.MasterElected(term=term, node=node, how="failover", cause="test")


def level(node: str, term: int, number: int, function: str = "initialize") -> events.Event:
    """Return the end of a level."""
    return events.LevelCompleted(term=term, node=node, function=function, level=number)


def link(node: str, term: int) -> events.Event:
    """Return an event that nobody else's refers to."""
    return events.LinkChanged(term=term, node=node, peer="n9", link=1, up=True)


def order(*streams: list[Event]) -> list[tuple[str, str, int]]:
    """Merge, whichever stream stands first, and return node, kind and wall clock of each event."""
    found = [(e["node"], kind_of(e), e["wall_ns"]) for e in merge(streams)]
    assert [(e["node"], kind_of(e), e["wall_ns"]) for e in merge(streams[::-1])] == found
    return found


def test_an_earlier_term_comes_first_whatever_the_clock_says() -> None:
    assert order([at("n1", 900, link("n1", 1))], [at("n2", 100, link("n2", 2))]) == [
        ("n1", "LinkChanged", 900),
        ("n2", "LinkChanged", 100),
    ]


def test_a_term_begins_with_its_master() -> None:
    n1 = [at("n1", 500, elected("n1", 1)), at("n1", 501, link("n1", 1))]
    n2 = [at("n2", 10, link("n2", 1)), at("n2", 505, link("n2", 1))]
    assert order(n1, n2)[0] == ("n1", "MasterElected", 500)


def test_a_master_completes_a_level_of_initialize_before_the_others() -> None:
    n1 = [at("n1", 100, elected("n1", 1)), at("n1", 900, level("n1", 1, 1)), at("n1", 950, level("n1", 1, 2))]
    n2 = [at("n2", 101, level("n2", 1, 1)), at("n2", 102, level("n2", 1, 2))]
    found = [(node, wall_ns) for node, kind, wall_ns in order(n1, n2) if kind == "LevelCompleted"]
    assert found == [("n1", 900), ("n2", 101), ("n1", 950), ("n2", 102)]


def test_levels_without_a_barrier_go_by_the_clock() -> None:
    n1 = [at("n1", 100, elected("n1", 1)), at("n1", 900, level("n1", 1, 1, "reconnect"))]
    n2 = [at("n2", 101, level("n2", 1, 1, "reconnect"))]
    assert [node for node, kind, _ in order(n1, n2) if kind == "LevelCompleted"] == ["n2", "n1"]


def test_nobody_reconnects_before_the_master_serves() -> None:
    n1 = [
        at("n1", 100, elected("n1", 2)),
        at("n1", 900, events.InService(term=2, node="n1", function="failover")),
    ]
    n2 = [at("n2", 200, events.FunctionBegan(term=2, node="n2", function="reconnect", cause="test"))]
    assert [kind for _, kind, _ in order(n1, n2)] == ["MasterElected", "InService", "FunctionBegan"]


def test_an_obituary_comes_after_the_last_word_of_that_life_only() -> None:
    n1 = [
        at("n1", 100, link("n1", 1), life=FIRST),
        at("n1", 900, link("n1", 1), life=FIRST),
        at("n1", 950, events.NodeStarted(node="n1", incarnation=SECOND), life=SECOND),
    ]
    n2 = [at("n2", 200, events.ObituaryHeard(term=1, node="n1", incarnation=FIRST))]
    assert [(node, wall_ns) for node, _, wall_ns in order(n1, n2)] == [
        ("n1", 100),
        ("n1", 900),
        ("n2", 200),
        ("n1", 950),
    ]


def test_a_vice_mirrors_after_its_appointment_and_is_in_step_after_that() -> None:
    n1 = [
        at("n1", 500, elected("n1", 1)),
        at("n1", 510, events.ViceAppointed(term=1, node="n2", appointment=1)),
        at("n1", 520, events.ViceInStep(term=1, node="n2", appointment=1)),
    ]
    changed = events.ServerChanged(
        term=1, node="n2", service="s", old="available", new="secondary", appointment=1
    )
    for wall_ns in (5, 505, 900):
        assert [kind for _, kind, _ in order(n1, [at("n2", wall_ns, changed)])] == [
            "MasterElected",
            "ViceAppointed",
            "ServerChanged",
            "ViceInStep",
        ]


def test_a_vice_by_switchover_mirrors_without_having_been_appointed() -> None:
    """It is appointed later in the same term, and that is another matter."""
    n1 = [
        at("n1", 500, elected("n1", 2)),
        at("n1", 700, events.ViceAppointed(term=2, node="n2", appointment=5)),
    ]
    changed = events.ServerChanged(
        term=2, node="n2", service="s", old="primary", new="secondary", appointment=3
    )
    assert [kind for _, kind, _ in order(n1, [at("n2", 510, changed)])] == [
        "MasterElected",
        "ServerChanged",
        "ViceAppointed",
    ]


def test_an_operation_begins_before_its_parts_and_ends_after_them() -> None:
    """The master of term 1 begins it and dies; that of term 2 ends it."""
    o = {"function": "demote", "operation": "o"}
    n1 = [
        at("n1", 500, elected("n1", 1)),
        at("n1", 510, events.OperationBegan(term=1, node="n3", reason="", **o)),
    ]
    n2 = [
        at("n2", 900, elected("n2", 2)),
        at("n2", 905, events.OperationEnded(term=2, node="n3", outcome="done", **o)),
    ]
    n3 = [
        at("n3", 10, events.FunctionBegan(term=1, node="n3", cause="", **o)),
        at("n3", 11, events.LevelCompleted(term=1, node="n3", level=1, **o)),
        at("n3", 990, events.FunctionEnded(term=2, node="n3", outcome="completed", **o)),
    ]
    assert [kind for _, kind, _ in order(n1, n2, n3)] == [
        "MasterElected",
        "OperationBegan",
        "FunctionBegan",
        "LevelCompleted",
        "MasterElected",
        "FunctionEnded",
        "OperationEnded",
    ]


def test_a_claim_stands_at_the_end_of_the_term_that_it_ends() -> None:
    claim = events.ClaimBegan(term=2, node="n2", cause="test", silence_ns=5)
    n1 = [at("n1", 100, elected("n1", 1)), at("n1", 900, link("n1", 1))]
    n2 = [at("n2", 950, claim), at("n2", 951, link("n2", 1)), at("n2", 960, elected("n2", 2))]
    n3 = [at("n3", 955, link("n3", 1)), at("n3", 940, link("n3", 2))]
    assert [wall_ns for _, _, wall_ns in order(n1, n2, n3)] == [100, 900, 950, 951, 955, 960, 940]


def test_a_claim_that_came_to_nothing_lifts_nobody_into_its_term() -> None:
    claim = events.ClaimBegan(term=2, node="n2", cause="test", silence_ns=5)
    n1 = [at("n1", 100, elected("n1", 1)), at("n1", 900, link("n1", 1))]
    n2 = [at("n2", 200, claim), at("n2", 210, link("n2", 1))]
    assert [wall_ns for _, _, wall_ns in order(n1, n2)] == [100, 200, 210, 900]


@pytest.mark.parametrize(("wall_ns", "place"), [(150, 1), (250, 2), (950, 3)])
def test_an_event_without_a_term_stands_in_the_one_that_had_begun(wall_ns: int, place: int) -> None:
    n1 = [at("n1", t * 100, elected("n1", t)) for t in (1, 2, 3)]
    n2 = [at("n2", wall_ns, events.NodeStarted(node="n2", incarnation=FIRST)), at("n2", 960, link("n2", 3))]
    assert [node for node, _, _ in order(n1, n2)].index("n2") == place


def test_an_event_without_a_term_stays_where_its_node_published_it() -> None:
    n1 = [at("n1", 500, link("n1", 2)), at("n1", 510, link("n1", 0)), at("n1", 520, link("n1", 2))]
    n2 = [at("n2", 505, link("n2", 1)), at("n2", 506, link("n2", 3))]
    assert order(n1, n2) == [
        ("n2", "LinkChanged", 505),
        ("n1", "LinkChanged", 500),
        ("n1", "LinkChanged", 510),
        ("n1", "LinkChanged", 520),
        ("n2", "LinkChanged", 506),
    ]


def test_causes_that_contradict_each_other_cost_no_event() -> None:
    """What only damage brings about: each of the two lives heard of the other's death while it still spoke."""
    n1 = [at("n1", 10, events.ObituaryHeard(term=1, node="n2", incarnation=SECOND), life=FIRST)]
    n2 = [at("n2", 20, events.ObituaryHeard(term=1, node="n1", incarnation=FIRST), life=SECOND)]
    assert [node for node, _, _ in order(n1, n2, [at("n3", 5, elected("n3", 2))])] == ["n1", "n2", "n3"]


@pytest.mark.parametrize(
    ("number", "life", "expected"),
    [
        (0, "", [1, 2, 3, 4, 5]),
        (3, "", [4, 5]),
        (9, "", []),
        (3, SECOND, [4, 5]),
        (4, SECOND, [5]),
        (3, FIRST, [4, 5]),
        (5, FIRST, [4, 5]),
        (2, FIRST, [3, 4, 5]),
        (7, "9" * 32, [1, 2, 3, 4, 5]),
    ],
)
def test_what_follows_an_event(number: int, life: str, expected: list[int]) -> None:
    told = [at("n1", n, link("n1", 1), n, FIRST if n <= 3 else SECOND) for n in range(1, 6)]
    assert [event["number"] for event in following(told, number, life)] == expected
    assert following([], number, life) == []


# ---- for whatever happens ----


def _world(seed: int) -> tuple[dict[str, list[Event]], list[str]]:
    """Return what the nodes of a cluster would tell of some terms, each by a clock of its own, and the masters."""
    draw = random.Random(seed)
    nodes = ["n1", "n2", "n3", "n4"][: draw.randint(2, 4)]
    skew_ns = {node: draw.randint(-5_000, 5_000) for node in nodes}
    told: dict[str, list[Event]] = {node: [] for node in nodes}
    masters: list[str] = []
    now_ns = 10_000

    def tell(node: str, event: events.Event) -> None:
        nonlocal now_ns
        now_ns += draw.randint(0, 20)
        told[node].append(at(node, now_ns + skew_ns[node], event, len(told[node]) + 1))

    for term in range(1, draw.randint(2, 5)):
        master = draw.choice(nodes)
        masters.append(master)
        others = [node for node in nodes if node != master]
        tell(master, elected(master, term))
        reached = dict.fromkeys(nodes, 0)
        serves = False
        for _ in range(40):
            node = draw.choice(nodes)
            if node == master and reached[node] == 3 and not serves:
                tell(node, events.InService(term=term, node=node, function="failover"))
                serves = True
            elif reached[node] < (3 if node == master else reached[master]):
                reached[node] += 1
                tell(node, level(node, term, reached[node]))
            elif node in others and serves and draw.random() < 0.3:
                tell(node, events.FunctionBegan(term=term, node=node, function="reconnect", cause="test"))
            elif draw.random() < 0.2:
                tell(node, link(node, draw.choice([0, term])))
    return told, masters


@given(st.integers(0, 1 << 32))
def test_a_story_comes_out_as_it_happened_whatever_the_clocks_say(seed: int) -> None:
    told, masters = _world(seed)
    found = merge(list(told.values()))
    assert len(found) == sum(map(len, told.values()))
    for node, stream in told.items():
        assert [event for event in found if event["node"] == node] == stream
    stated = [term for event in found if (term := term_of(event))]
    assert stated == sorted(stated)
    done: set[tuple[int, int]] = set()
    serves: set[int] = set()
    for event in found:
        said, term = event["event"], term_of(event)
        if kind_of(event) == "LevelCompleted":
            if event["node"] == masters[term - 1]:
                done.add((term, said["level"]))
            assert (term, said["level"]) in done
        elif kind_of(event) == "InService":
            serves.add(term)
        elif kind_of(event) == "FunctionBegan":
            assert term in serves


_ANY = st.one_of(
    st.builds(link, st.sampled_from(["n1", "n2"]), st.integers(0, 4)),
    st.builds(elected, st.sampled_from(["n1", "n2", "n3"]), st.integers(1, 4)),
    st.builds(level, st.just("n1"), st.integers(0, 4), st.integers(1, 2), st.sampled_from([*MASTER_FIRST])),
    st.builds(
        lambda term, of: events.ObituaryHeard(term=term, node="n1", incarnation=of),
        st.integers(0, 4),
        st.sampled_from(["n0", "n1", "n2"]),
    ),
    st.builds(lambda term: events.ClaimBegan(term=term, node="n1", cause="", silence_ns=0), st.integers(1, 4)),
    st.builds(lambda t: events.InService(term=t, node="n1", function="failover"), st.integers(1, 4)),
    st.builds(lambda t: events.FunctionBegan(term=t, node="n1", function="reconnect", cause=""), st.integers(1, 4)),
)  # fmt: skip


@given(st.lists(st.lists(st.tuples(_ANY, st.integers(0, 1000)), max_size=8), max_size=4))
def test_whatever_is_told_each_node_keeps_its_order_and_terms_ascend(
    streams: list[list[tuple[events.Event, int]]],
) -> None:
    told = [
        [at(f"n{index}", wall_ns, event, number) for number, (event, wall_ns) in enumerate(stream)]
        for index, stream in enumerate(streams)
    ]
    found = merge(told)
    assert len(found) == sum(map(len, told))
    known: dict[str, int] = {}
    terms = []
    for event in found:
        claims = kind_of(event) == "ClaimBegan"
        known[event["node"]] = max(known.get(event["node"], 0), term_of(event) - claims)
        if term_of(event):
            terms.append(known[event["node"]])
    assert terms == sorted(terms)
    for index, stream in enumerate(told):
        assert [event for event in found if event["node"] == f"n{index}"] == stream


def test_kinds_and_fields_of_a_later_version_are_merged_like_others() -> None:
    later: Event = {"node": "n1", "incarnation": "x", "number": 1, "wall_ns": 7, "sentence": "a thing"}
    strange: list[Event] = [later | {"event": {"event": "Thing", "term": "two"}}, later | {"event": {}}]
    assert merge([strange, []]) == strange


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "text",
        7,
        {"node": 7},
        {"wall_ns": "now"},
        {"event": []},
        {"sentence": None},
        {"number": 1.5},
    ],
)
def test_what_is_no_event_is_not_taken(value: Any) -> None:
    assert taken(value) is None


@pytest.mark.parametrize("wall_ns", [-1, 1 << 62, 10**40])
def test_a_clock_that_nobody_can_read_costs_the_time_only(wall_ns: int) -> None:
    event = at("n1", wall_ns, link("n1", 1))
    assert taken(event) == event | {"wall_ns": 0}


def test_an_event_is_taken_with_all_that_a_reader_counts_on() -> None:
    event = at("n1", 5, link("n1", 1))
    assert taken(event) == event
    assert taken({"node": "n1", "event": {"event": "X"}, "more": 1}) == {
        "node": "n1", "incarnation": "", "number": 0, "wall_ns": 0, "event": {"event": "X"}, "sentence": "", "more": 1,
    }  # fmt: skip
