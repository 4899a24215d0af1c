"""The witness: histories that its log explains pass, and every kind of those that it does not is named."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from primacy.machines import entries
from primacy.machines.call_wire import DONE, RAISED, Call
from primacy.machines.client_calls import Pending
from primacy.machines.entries import Checkpoint, SessionBegun
from primacy.machines.history import Batch
from primacy.service import ServiceModel
from primacy.sim import Cluster, Sequential, Violated
from primacy.sim.authors.client import Called, Watch
from primacy.sim.authors.determinism import Log
from primacy.sim.authors.witness import Witness
from primacy.sim.linearizability import Verdict, check
from tests.sim.author_services import Sound, Ticking

SESSION = 7
pack = msgspec.msgpack.encode


def add(number: int, key: str = "a") -> Call:
    return Call(SESSION, number, 0, "add", pack({"key": key}))


def log(*calls: Call) -> list[Batch]:
    """A session, then the calls, each in a batch of its own: call 1 is entry 2."""
    found = []
    for sequence, entry in enumerate([SessionBegun(SESSION), *calls, Checkpoint()], 1):
        found.append(Batch(1, sequence, sequence, entries.encode(entries.Entries(0, 0, [entry]))))
    return found


def called(number: int, span: tuple[int, int], said: Any, *, key: str = "a", name: str = "add") -> Called:
    query = name == "read"
    call = Called("c1", "sound", Pending(None, name, pack({"key": key}), span[0], 1 << 62), query=query)
    call.session, call.number = (0, 0) if query else (SESSION, number)
    call.completed_ns, call.outcome, call.payload = span[1], DONE, pack(said)
    return call


def read(span: tuple[int, int], said: float, key: str = "a") -> Called:
    return called(0, span, said, key=key, name="read")


def verdict(batches: list[Batch], *calls: Called, watches: tuple[Watch, ...] = ()) -> str:
    return Witness("sound", ServiceModel(Sound()), batches, list(calls)).judge(list(watches))


def test_what_the_log_says_passes() -> None:
    batches = log(add(1), add(2), add(3))
    calls = [called(1, (0, 10), 1), called(2, (5, 20), 2), called(3, (30, 40), 3)]
    reads = [read((0, 6), 0), read((7, 25), 2), read((21, 35), 2), read((21, 35), 3), read((50, 60), 3)]
    assert verdict(batches, *calls, *reads) == ""


def test_a_call_without_an_answer_may_be_there_or_not() -> None:
    assert verdict(log(add(1)), read((0, 10), 1)) == ""
    assert verdict(log(add(1)), read((0, 10), 0)) == ""


@pytest.mark.parametrize(
    ("batches", "calls", "why"),
    [
        (log(add(1)), [called(1, (0, 10), 2)], "by the log it is 1"),
        (log(), [called(1, (0, 10), 1)], "it was acknowledged, and is not in the log"),
        (log(add(2), add(1)), [called(1, (0, 10), 2), called(2, (20, 30), 1)], "stands before"),
        (
            log(add(1)),
            [called(1, (0, 10), 1), read((20, 30), 0)],
            "entries 2 and 3 of the log says so; after entry 3 it is 1",
        ),
        (
            log(add(1)),
            [called(1, (20, 30), 1), read((0, 10), 1)],
            "no state between entries 0 and 1 of the log says so",
        ),
        (log(add(1)), [read((0, 10), 1), read((20, 30), 0)], "-> 0"),
        (log(add(1)), [read((0, 10), 5)], "no state between entries 0 and 3 of the log says so"),
    ],
)
def test_what_it_does_not_say_is_named(batches: list[Batch], calls: list[Called], why: str) -> None:
    assert why in verdict(batches, *calls)


def test_reads_may_not_go_back() -> None:
    batches = log(add(1), add(2))
    assert verdict(batches, read((0, 10), 1), read((5, 20), 2)) == ""
    assert "-> 1" in verdict(batches, read((0, 10), 2), read((15, 20), 1))


def test_an_operation_that_raised_is_compared_too() -> None:
    failed = called(1, (0, 10), ["KeyError", "'a'"], name="fail")
    failed.outcome = RAISED
    fails = Call(SESSION, 1, 0, "fail", pack({"key": "a"}))
    assert verdict(log(fails), failed) == ""
    failed.outcome = DONE
    assert "by the log" in verdict(log(fails), failed)


def watch(began: int, *items: tuple[int, str, Any]) -> Watch:
    made = Watch("c1", "key/a", lambda: None)
    made.began = began
    made.changes = [(position, topic, pack(value)) for position, topic, value in items]
    return made


def test_watches_are_told_all_in_order() -> None:
    batches = log(add(1), add(2, "b"), add(3), add(4))
    told = [(1, "key/a", 1), (3, "key/a", 2), (4, "key/a", 3)]
    assert verdict(batches, watches=(watch(0, *told), watch(1, *told[1:]), watch(0, told[0]), watch(4))) == ""
    assert "missed [(3, 'key/a')]" in verdict(batches, watches=(watch(0, told[0], told[2]),))
    assert "missed [(1, 'key/a')]" in verdict(batches, watches=(watch(0, *told[1:]),))
    assert "does not say" in verdict(batches, watches=(watch(0, told[0], told[0], *told[1:]),))


def test_a_log_is_put_together_by_its_runs() -> None:
    kept = Log()
    for term, first, last in ((1, 1, 2), (1, 3, 3), (2, 3, 4), (2, 5, 5)):
        kept.add(Batch(term, first, last, b""))
    assert [(b.term, b.first) for b in kept.of([(1, 1, 2), (2, 3, 5)])] == [(1, 1), (2, 3), (2, 5)]
    assert [(b.term, b.first) for b in kept.of([(1, 1, 3)])] == [(1, 1), (1, 3)]


def test_a_client_that_was_told_something_else_is_found(seed: int) -> None:
    cluster = Cluster([Ticking], seed=seed)
    client = cluster.client()
    client.service("ticking").add(key="a")
    cluster.crash("master")
    client.query("ticking", "read", key="a")
    cluster.check()
    client.calls[0].payload = pack(99)
    with pytest.raises(Violated, match=r"S4 violated .* -> 99 .* by the log it is 1"):
        cluster.check()


def test_a_history_can_be_searched_with_the_class_as_its_model(seed: int) -> None:
    cluster = Cluster([Sound], seed=seed)
    clients = [cluster.client().service("sound") for _ in range(3)]
    for key in "abab":
        begun = [client.start.add(key=key) for client in clients]
        begun += [client.start.query.read(key=key) for client in clients]
        cluster.crash("master")
        assert all(each.result() for each in begun[:3])
    history = cluster.history("sound", key=lambda arguments: arguments["key"])
    assert {record.key for record in history} == {"a", "b"}
    assert check(history, Sequential(Sound)).verdict is Verdict.LINEARIZABLE
    assert check(history, Sequential(Sound), steps_max=3).verdict is Verdict.UNDECIDED
    wrong = [msgspec.structs.replace(history[0], result=(DONE, 99.0)), *history[1:]]
    assert check(wrong, Sequential(Sound)).verdict is Verdict.VIOLATED
