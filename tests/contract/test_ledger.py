"""What every engine of the ledger must do; the rules of mastership rest on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing
from typing import Any

import pytest

from primacy.errors import Compacted, ConfigError, Conflict, Unavailable
from primacy.ledger import Change, Entry, Ledger, open_ledger
from primacy.ledger.api import VALUE_BYTES_MAX
from tests.contract.conftest import Engine

DEADLINE_S = 10.0


async def take(changes: AsyncIterator[Change], count: int) -> list[Change]:
    """The next `count` changes."""
    async with asyncio.timeout(DEADLINE_S):
        return [await anext(changes) for _ in range(count)]


async def test_the_empty_store_has_a_revision_and_the_cluster(engine: Engine) -> None:
    ledger = await engine.create("demo")
    revision, entries = await ledger.read("")
    assert revision > 0
    assert entries == []
    assert ledger.cluster == "demo"


async def test_a_swap_is_read_by_every_client(engine: Engine) -> None:
    ledger = await engine.create()
    other = await engine.open(None)
    before, _ = await ledger.read("")
    revision = await ledger.swap("config", b'{"a": 1}', 0)
    assert revision > before
    for client in (ledger, other):
        assert await client.read("") == (revision, [Entry("config", b'{"a": 1}', revision)])


async def test_a_swap_writes_only_on_the_expected_revision(engine: Engine) -> None:
    ledger = await engine.create()
    first = await ledger.swap("config", b"1", 0)
    second = await ledger.swap("config", b"2", first)
    assert second > first
    for expect in (0, first, second + 1):
        with pytest.raises(Conflict):
            await ledger.swap("config", b"3", expect)
    assert await ledger.read("") == (second, [Entry("config", b"2", second)])


async def test_an_absent_key_has_no_revision_but_0(engine: Engine) -> None:
    ledger = await engine.create()
    revision, _ = await ledger.read("")
    for value in (b"1", None):
        with pytest.raises(Conflict):
            await ledger.swap("config", value, revision)


async def test_a_deleted_key_is_absent_and_never_gets_an_old_revision_again(engine: Engine) -> None:
    ledger = await engine.create()
    written = await ledger.swap("config", b"1", 0)
    deleted = await ledger.swap("config", None, written)
    assert await ledger.read("") == (deleted, [])
    for expect in (written, deleted):
        with pytest.raises(Conflict):
            await ledger.swap("config", b"2", expect)
    again = await ledger.swap("config", b"2", 0)
    assert written < deleted < again


@pytest.mark.parametrize("value", [b"2", None])
async def test_the_very_same_swap_is_written_once(engine: Engine, value: bytes | None) -> None:
    ledger = await engine.create()
    expect = await ledger.swap("config", b"1", 0)
    revision = await ledger.swap("config", value, expect)
    with pytest.raises(Conflict):
        await ledger.swap("config", value, expect)
    assert (await ledger.read(""))[0] == revision


async def test_read_gives_the_keys_below_the_prefix_in_order(engine: Engine) -> None:
    ledger = await engine.create()
    keys = ["nodes/b", "nodes/a", "nodes", "nodesx", "nodes/a~", "config", "nodes/%", "nodes/_", "Nodes/a"]
    for key in keys:
        await ledger.swap(key, b"{}", 0)
    for prefix in ("", "nodes", "nodes/", "nodes/a", "nodes/%", "x"):
        _, entries = await ledger.read(prefix)
        assert [entry.key for entry in entries] == sorted(key for key in keys if key.startswith(prefix))


async def test_values_come_back_as_they_went(engine: Engine) -> None:
    ledger = await engine.create()
    values = [b"", '{"name": "Zürich ✓"}'.encode(), b'"' + b"x" * (VALUE_BYTES_MAX - 2) + b'"']
    for number, value in enumerate(values):
        await ledger.swap(f"key/{number}", value, 0)
    _, entries = await ledger.read("key/")
    assert [entry.value for entry in entries] == values


async def test_a_value_that_is_too_large_is_refused_by_name(engine: Engine) -> None:
    ledger = await engine.create()
    with pytest.raises(ConfigError, match="config"):
        await ledger.swap("config", b"1" * (VALUE_BYTES_MAX + 1), 0)
    assert (await ledger.read(""))[1] == []


async def test_of_many_at_once_one_wins(engine: Engine) -> None:
    ledgers = [await engine.create(), await engine.open(), await engine.open()]
    expect = await ledgers[0].swap("mastership", b"0", 0)
    for _ in range(10):
        tries = [ledger.swap("mastership", b"1", expect) for ledger in ledgers for _ in range(3)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        won = [result for result in results if isinstance(result, int)]
        assert len(won) == 1
        assert sum(isinstance(result, Conflict) for result in results) == len(results) - 1
        expect = won[0]


async def test_watch_shows_every_change_after_a_revision_in_order(engine: Engine) -> None:
    ledger = await engine.create()
    first = await ledger.swap("a", b"1", 0)
    second = await ledger.swap("b", b"2", 0)
    async with aclosing(ledger.watch("", first)) as changes:
        assert await take(changes, 1) == [Change("b", b"2", second)]
        third = await ledger.swap("a", None, first)
        fourth = await ledger.swap("a", b"3", 0)
        assert await take(changes, 2) == [Change("a", None, third), Change("a", b"3", fourth)]


async def test_watch_from_the_beginning_shows_everything(engine: Engine) -> None:
    ledger = await engine.create()
    revisions = [await ledger.swap(key, b"1", 0) for key in "abc"]
    async with aclosing(ledger.watch("", 0)) as changes:
        assert [change.revision for change in await take(changes, 3)] == revisions


async def test_watch_shows_only_what_is_below_the_prefix(engine: Engine) -> None:
    ledger = await engine.create()
    start, _ = await ledger.read("")
    async with aclosing(ledger.watch("nodes/", start)) as changes:
        for key in ("config", "nodes/a", "nodes", "nodes/b"):
            await ledger.swap(key, b"1", 0)
        assert [change.key for change in await take(changes, 2)] == ["nodes/a", "nodes/b"]


async def test_watch_of_another_client_misses_nothing_of_concurrent_writers(engine: Engine) -> None:
    writers = [await engine.create(), await engine.open(), await engine.open()]
    watcher = await engine.open()
    start, _ = await watcher.read("")
    rounds = 15

    async def write(ledger: Ledger, own: str) -> list[int]:
        revisions, expect = [], 0
        for number in range(rounds):
            expect = await ledger.swap(own, str(number).encode(), expect)
            revisions.append(expect)
        return revisions

    async with aclosing(watcher.watch("w/", start)) as changes:
        written, seen = await asyncio.gather(
            asyncio.gather(*(write(ledger, f"w/{number}") for number, ledger in enumerate(writers))),
            take(changes, rounds * len(writers)),
        )
    assert [change.revision for change in seen] == sorted(
        revision for revisions in written for revision in revisions
    )
    for number in range(len(writers)):
        values = [change.value for change in seen if change.key == f"w/{number}"]
        assert values == [str(value).encode() for value in range(rounds)]


async def test_changes_that_are_forgotten_are_compacted_not_missed(engine: Engine) -> None:
    ledger = await engine.create()
    first = await ledger.swap("config", b"1", 0)
    await engine.forget(ledger)
    with pytest.raises(Compacted):
        await take(ledger.watch("", first - 1), 1)
    revision, entries = await ledger.read("config")
    assert entries == [Entry("config", b"1", first)]
    async with aclosing(ledger.watch("", revision)) as changes:
        second = await ledger.swap("config", b"2", first)
        assert await take(changes, 1) == [Change("config", b"2", second)]


async def test_a_watch_that_fell_behind_is_compacted(engine: Engine) -> None:
    ledger = await engine.create()
    first = await ledger.swap("config", b"1", 0)
    async with aclosing(ledger.watch("", first - 1)) as changes:
        await take(changes, 1)
        await engine.forget(ledger)
        with pytest.raises(Compacted):
            await take(changes, 1)


async def test_a_watch_outlives_the_compaction_of_what_it_does_not_watch(engine: Engine) -> None:
    ledger = await engine.create()
    start, _ = await ledger.read("")
    async with aclosing(ledger.watch("nodes/", start)) as changes:
        written = await ledger.swap("nodes/a", b"1", 0)
        assert await take(changes, 1) == [Change("nodes/a", b"1", written)]
        waiting = asyncio.create_task(take(changes, 1))
        expect = 0
        for number in range(3):  # the watch keeps up, with nothing to show
            for _ in range(30):
                expect = await ledger.swap("other", str(number).encode(), expect)
            await asyncio.create_task(_caught_up(ledger, expect))
        written = await ledger.swap("nodes/a", None, written)
        assert await waiting == [Change("nodes/a", None, written)]


async def _caught_up(ledger: Ledger, revision: int) -> None:
    """Return when a second watch, begun later, has shown `revision`."""
    async with aclosing(ledger.watch("other", revision - 1)) as changes:
        await take(changes, 1)


async def test_closing_ends_every_watch_and_makes_the_rest_unavailable(engine: Engine) -> None:
    ledger, other = await engine.create(), await engine.open()
    start, _ = await ledger.read("")

    async def follow(prefix: str) -> list[Change]:
        return [change async for change in ledger.watch(prefix, start)]

    following = [asyncio.create_task(follow(prefix)) for prefix in ("", "nodes/")]
    async with aclosing(ledger.watch("", start)) as changes:
        revision = await ledger.swap("config", b"1", 0)
        await take(changes, 1)
        await ledger.close()
        await ledger.close()
        async with asyncio.timeout(DEADLINE_S):
            assert [change async for change in changes] == []
            assert await following[1] == []
            assert await following[0] in ([], [Change("config", b"1", revision)])
    calls: list[Coroutine[Any, Any, Any]] = [ledger.read(""), ledger.swap("config", b"2", revision)]
    for call in calls:
        with pytest.raises(Unavailable):
            await call
    assert await other.read("") == (revision, [Entry("config", b"1", revision)])


async def test_another_clusters_ledger_is_refused(engine: Engine) -> None:
    await engine.create("demo")
    for call in (engine.open("other"), engine.create("other")):
        with pytest.raises(ConfigError, match="demo"):
            await call
    assert (await engine.open("demo")).cluster == "demo"


async def test_what_is_not_there_is_not_created_by_opening(engine: Engine) -> None:
    for _ in range(2):
        with pytest.raises(Unavailable):
            await open_ledger(engine.url, "demo")
