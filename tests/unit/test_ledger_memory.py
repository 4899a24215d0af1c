"""The pure store that the simulator calls: synchronous, deterministic, the same rules as any engine."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.errors import Compacted, ConfigError, Conflict, Unavailable
from primacy.ledger.api import Change, Entry
from primacy.ledger.memory import MemoryLedger, Store, create_engine, open_engine

SWAPS = st.lists(
    st.tuples(st.sampled_from(["a", "a/b", "c"]), st.sampled_from([b"1", b"2", None]), st.integers(0, 12)),
    max_size=40,
)


def run(store: Store, swaps: list[tuple[str, bytes | None, int]]) -> list[int | None]:
    """The revisions of those that were written, None for the others."""
    results: list[int | None] = []
    for key, value, expect in swaps:
        if expect == 0 and value is None:
            continue
        try:
            results.append(store.swap(key, value, expect))
        except Conflict:
            results.append(None)
    return results


def test_a_store_without_any_event_loop() -> None:
    store = Store("demo")
    assert (store.cluster, store.read("")) == ("demo", (1, []))
    assert store.swap("a", b"1", 0) == 2
    assert store.swap("b", b"1", 0) == 3
    assert store.swap("a", None, 2) == 4
    assert store.read("") == (4, [Entry("b", b"1", 3)])
    assert store.changes_since("a", 0) == [Change("a", b"1", 2), Change("a", None, 4)]
    assert store.changes_since("", 3) == [Change("a", None, 4)]
    assert store.changes_since("", 4) == []
    with pytest.raises(Conflict, match="a has revision 0, not 2"):
        store.swap("a", b"2", 2)


@given(SWAPS)
def test_same_calls_same_results(swaps: list[tuple[str, bytes | None, int]]) -> None:
    first, second = Store("demo"), Store("demo")
    assert run(first, swaps) == run(second, swaps)
    assert first.read("") == second.read("")
    assert first.changes_since("", 0) == second.changes_since("", 0)


@given(SWAPS)
def test_the_changes_replayed_are_the_entries(swaps: list[tuple[str, bytes | None, int]]) -> None:
    store = Store("demo")
    written = [revision for revision in run(store, swaps) if revision is not None]
    changes = store.changes_since("", 0)
    assert [change.revision for change in changes] == written == list(range(2, 2 + len(written)))
    entries: dict[str, Entry] = {}
    for change in changes:
        entries.pop(change.key, None)
        if change.value is not None:
            entries[change.key] = Entry(change.key, change.value, change.revision)
    assert store.read("") == (store.revision, [entries[key] for key in sorted(entries)])


@given(st.integers(1, 5), st.integers(0, 12), st.integers(0, 14))
def test_only_the_newest_changes_are_kept(keep: int, count: int, after: int) -> None:
    store, expect = Store("demo", keep), 0
    for _ in range(count):
        expect = store.swap("a", b"1", expect)
    wanted = [revision for revision in range(2, store.revision + 1) if revision > after]
    if len(wanted) > keep:
        with pytest.raises(Compacted):
            store.changes_since("", after)
    else:
        assert [change.revision for change in store.changes_since("", after)] == wanted


def test_listeners_are_told_of_swaps_that_were_written() -> None:
    store = Store("demo")
    told: list[int] = []
    ignore = store.listen(lambda: told.append(store.revision))
    expect = store.swap("a", b"1", 0)
    with pytest.raises(Conflict):
        store.swap("a", b"1", 0)
    assert told == [expect]
    ignore()
    store.swap("a", b"2", expect)
    assert told == [expect]


async def test_faces_of_one_store_are_several_clients() -> None:
    store = Store("demo")
    one, two = MemoryLedger(store), MemoryLedger(store)
    revision = await one.swap("a", b"1", 0)
    assert await two.read("a") == (revision, [Entry("a", b"1", revision)])
    await one.close()
    with pytest.raises(Unavailable, match="closed"):
        await one.read("a")
    assert (await two.read("a"))[0] == revision


async def test_a_watch_waits_for_swaps_of_any_client_and_ends_with_its_own() -> None:
    store = Store("demo")
    ledger, other = MemoryLedger(store), MemoryLedger(store)

    async def follow() -> list[Change]:
        return [change async for change in ledger.watch("a", 1)]

    following = asyncio.create_task(follow())
    revision = await other.swap("a", b"1", 0)
    await other.swap("b", b"1", 0)
    async with aclosing(other.watch("", 1)) as changes:
        assert [(await anext(changes)).key for _ in range(2)] == ["a", "b"]
    await ledger.close()
    assert await following == [Change("a", b"1", revision)]


async def test_a_name_means_one_store_in_this_process() -> None:
    with pytest.raises(Unavailable):
        await open_engine("memory://test-ledger-memory", None)
    one = await create_engine("memory://test-ledger-memory?keep=3", "demo")
    assert (await open_engine("memory://test-ledger-memory", "demo")).store is one.store


@pytest.mark.parametrize("query", ["keep=0", "keep=x", "kept=3"])
async def test_a_wrong_setting_is_refused(query: str) -> None:
    with pytest.raises(ConfigError, match="keep"):
        await create_engine(f"memory://test-ledger-memory-{query}?{query}", "demo")
