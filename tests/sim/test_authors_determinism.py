"""Nondeterministic services are caught, and the message names operation, entry and part of the state."""

from __future__ import annotations

import gc
import logging
import time
from typing import Any

import msgspec
import pytest

from primacy.service import OperationContext, Service, operation
from primacy.sim import Cluster, Violated
from primacy.sim.authors import sources
from primacy.sim.authors.differences import beside, difference, reorder_sets, same
from tests.sim import author_services as services
from tests.sim.author_services import Sound, Things

KEYS = "abcdefghijklmnopqrst"

encode = msgspec.msgpack.encode


def caught(service: type[Any], seed: int, keys: str = KEYS) -> str:
    cluster = Cluster({"things": service}, seed=seed)
    client = cluster.client().service("things")

    def use() -> None:
        for key in keys:
            client.add(key=key)
        cluster.crash("vice")
        cluster.run(3)
        cluster.check()

    with pytest.raises(Violated) as raised:
        use()
    assert raised.value.clause == "determinism"
    return raised.value.text


@pytest.mark.parametrize(
    ("service", "differs", "asks"),
    [
        (services.Chance, "state.numbers['a'] is 0.", "asks random.random() in "),
        (services.WallClock, "state.numbers['a'] is ", "asks time.time() in "),
        (services.Calendar, "", "asks date.today() in "),
        (services.Unique, "state.last is '", "asks os.urandom() in "),
        (services.SharedDefault, "state.numbers['a'] is 1 first, 2 then", ""),
        (services.BesideTheState, "state.numbers['a'] is 1 first, 2 then", ""),
    ],
)
def test_it_is_named_at_its_first_operation(seed: int, service: type[Any], differs: str, asks: str) -> None:
    text = caught(service, seed)
    assert "things.add(key='a') (entry 2 of term 1) is not deterministic" in text
    assert differs in text
    assert asks in text
    assert ("author_services.py" in text) == bool(asks)
    assert "ctx.time_ns" in text


def test_an_order_of_a_set_in_the_state_is_named(seed: int) -> None:
    assert "executed once more from the same state, state.last is '" in caught(services.SetOrder, seed)


def test_an_order_of_a_set_in_a_result_is_named(seed: int) -> None:
    assert "executed once more from the same state, add returned '" in caught(services.SetInResult, seed)


def test_replicas_that_differ_are_named_with_the_operations_since_they_agreed(seed: int) -> None:
    text = caught(services.NodeInState, seed)
    assert "the replicas of things on n" in text
    assert "differ after applying entry 2 of term 1: state.last is 'n" in text
    assert "since they were known to agree (entry 1): things.add(key='a')" in text


def test_a_snapshot_that_does_not_tell_all_is_named(seed: int) -> None:
    assert "state.numbers['b'] is " in caught(services.Forgetful, seed)
    text = caught(services.Undone, seed, "aabb")
    assert "the snapshot is not whole: state.tags is with 'a', without when restored from it" in text
    assert (
        "executed once more from the snapshot of the state before, add returned 'again' and then 'new'"
        in text
    )


def test_what_is_kept_beside_the_state_is_named(seed: int) -> None:
    text = caught(services.BesideTheState, seed)
    assert "beside the state, self.count is 1 first, 2 then, and it is not replicated" in text
    one, other = Sound(), Sound()
    one.cache, other.cache = {"a": 1}, {}  # type: ignore[attr-defined]
    assert beside(one, other, "here", "there") == "beside the state, self.cache['a'] is 1 here, nothing there"
    assert beside(one, one, "here", "there") == ""


@pytest.mark.parametrize(
    ("service", "why"),
    [
        (
            services.Cached,
            "it is 2, and 0 by a copy restored from the state; beside the state, self.cache['a'] is 2",
        ),
        (services.Timely, "it asks time.time() in "),
        (services.TagsInOrder, "it is '"),
        (services.Half, "the snapshot is not whole: state.numbers['a'] is 2"),
    ],
)
def test_a_query_that_not_only_the_state_answers_is_named(seed: int, service: type[Any], why: str) -> None:
    cluster = Cluster({"things": service}, seed=seed)
    client = cluster.client().service("things")
    for key in KEYS:
        client.start.add(key=key)
    client.add(key="a")
    with pytest.raises(
        Violated, match=r"things\.read\(key='a'\) on n\d is not answered by the state alone"
    ) as raised:
        client.query.read(key="a")
    assert why in raised.value.text
    assert "a query may use its arguments and self.state only" in raised.value.text


def test_a_sound_service_passes_with_all_that_ctx_gives(seed: int) -> None:
    cluster = Cluster([Sound], seed=seed, snapshot_every=5)
    sound = cluster.client().service("sound")
    for key in KEYS:
        sound.add(key=key)
        sound.stamp(key=key)
    cluster.power("master", for_s=1)
    sound.add(key="a")
    assert set(sound.query.tags()) == set(KEYS)
    cluster.check()


def test_what_a_log_line_asks_the_clock_for_does_not_count() -> None:
    with sources.watched() as asked:
        logging.getLogger("quiet").warning("a line")
        sorted("ab")
    assert asked == []


def test_what_is_asked_when_garbage_is_collected_does_not_count() -> None:
    def measure(phase: str, info: dict[str, int]) -> None:
        time.perf_counter()

    before = gc.get_threshold()
    gc.callbacks.append(measure)
    gc.set_threshold(1)
    try:
        with sources.watched() as asked:
            kept = [[number] for number in range(1_000)]
    finally:
        gc.callbacks.remove(measure)
        gc.set_threshold(*before)
    assert (asked, len(kept), gc.isenabled()) == ([], 1_000, True)


class Stamped(msgspec.Struct, frozen=True):
    tags: frozenset[str] = frozenset()
    name: str = ""


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (Things({"a": 1}), Things({"a": 1.0}), None),
        (Things({"a": 1}), Things({"a": 2}), ("s.numbers['a']", "1", "2")),
        (Things({"a": 1}), Things({}), ("s.numbers['a']", "1", "nothing")),
        (Things({}), Things({"a": 1}), ("s.numbers['a']", "nothing", "1")),
        (Things(tags={"a", "b"}), Things(tags={"b", "a"}), None),
        (Things(tags={"a"}), Things(tags={"b"}), ("s.tags", "with 'a'", "with 'b'")),
        ([1, (2, 3)], [1, (2, 4)], ("s[1][1]", "3", "4")),
        ([1], [1, 2], ("s", "[1]", "[1, 2]")),
        (Stamped(name="a"), Things(), ("s", repr(Stamped(name="a")), repr(Things()))),
    ],
)
def test_the_first_difference_is_told(one: Any, other: Any, found: tuple[str, str, str] | None) -> None:
    assert difference("s", one, other) == found


def test_equal_values_are_the_same_in_whatever_order_a_set_was_encoded() -> None:
    assert same(encode(["a", ["b", "c"]]), encode([["c", "b"], "a"]))
    assert same(encode({"a": 1}), encode({"a": 1.0}))
    assert not same(encode(["a"]), encode(["a", "a"]))
    assert not same(b"", encode(1))


def test_sets_are_rebuilt_as_equal_ones_in_another_order() -> None:
    names = {f"name-{number}" for number in range(40)}
    state = Things({"a": 1}, set(names))
    nested = {"in": [state]}
    assert reorder_sets(nested) is nested
    assert state.tags == names
    assert list(state.tags) != list(names)


class Bare(Service[Things]):
    """One operation that looks at nothing."""

    @operation
    def nothing(self, ctx: OperationContext) -> None:
        """Nothing."""


def test_a_service_without_arguments_and_results_is_judged_too(seed: int) -> None:
    cluster = Cluster([Bare], seed=seed)
    cluster.client().service("bare").nothing()
    assert cluster.check().calls == 1
