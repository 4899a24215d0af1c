"""The SQLite engine among processes: killed in the middle, racing, watching, and as an event loop sees it."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import aclosing
from pathlib import Path

import pytest

from primacy.errors import ConfigError, Unavailable
from primacy.ledger.api import Change, Entry
from primacy.ledger.notify import WriteNotice
from primacy.ledger.sqlite import POLL_UNHINTED_S, Settings, SqliteLedger, create_engine, open_engine

DEADLINE_S = 20.0
KILLS = 20

WRITER = """
import asyncio, sys
from primacy.ledger import open_ledger

async def main(url):
    ledger = await open_ledger(url, "demo")
    _, entries = await ledger.read("counter")
    value, expect = (int(entries[0].value), entries[0].revision) if entries else (0, 0)
    print(f"{value} {expect}", flush=True)
    while True:
        value, expect = value + 1, await ledger.swap("counter", str(value + 1).encode(), expect)
        print(f"{value} {expect}", flush=True)

asyncio.run(main(sys.argv[1]))
"""

RACER = """
import asyncio, sys
from primacy.errors import Conflict, Unavailable
from primacy.ledger import open_ledger

async def main(url, tries):
    ledger = await open_ledger(url, "demo")
    won = 0
    sys.stdin.readline()
    for _ in range(tries):
        _, entries = await ledger.read("counter")
        try:
            await ledger.swap("counter", str(int(entries[0].value) + 1).encode(), entries[0].revision)
        except (Conflict, Unavailable):
            continue
        won += 1
    await ledger.close()
    print(won, flush=True)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def run(script: str, *arguments: str) -> subprocess.Popen[str]:
    """Run a script in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Where the ledger will be."""
    return f"sqlite://{tmp_path}/ledger.db"


async def test_a_process_killed_in_the_middle_of_swaps_loses_nothing(
    url: str, random_source: random.Random
) -> None:
    """Whatever it had been told is written; at most one swap that it was never told of is written too."""
    await (await create_engine(url, "demo")).close()
    for _ in range(KILLS):
        with run(WRITER, url) as writer:
            assert writer.stdout
            first = writer.stdout.readline()
            timer = threading.Timer(random_source.uniform(0, 0.05), writer.send_signal, [signal.SIGKILL])
            timer.start()
            told = [first, *writer.stdout.readlines()]
            timer.join()
        assert writer.returncode == -signal.SIGKILL
        value, revision = map(int, [line for line in told if line.endswith("\n")][-1].split())
        ledger = await open_engine(url, "demo")
        held_revision, entries = await ledger.read("")
        assert held_revision - max(revision, 1) in (0, 1)
        if entries:
            assert entries == [Entry("counter", str(held_revision - 1).encode(), held_revision)]
            assert int(entries[0].value) - value in (0, 1)
        await ledger.close()
    ledger = await open_engine(url, "demo")
    last, _ = await ledger.read("")
    assert last > KILLS
    async with aclosing(ledger.watch("", 0)) as changes, asyncio.timeout(DEADLINE_S):
        seen = [await anext(changes) for _ in range(last - 1)]
    assert seen == [Change("counter", str(number - 1).encode(), number) for number in range(2, last + 1)]
    await ledger.close()


async def test_of_two_processes_swapping_one_key_exactly_the_successful_swaps_count(url: str) -> None:
    tries = 200
    ledger = await create_engine(url, "demo")
    start = await ledger.swap("counter", b"0", 0)
    racers = [run(RACER, url, str(tries)) for _ in range(2)]
    outputs = await asyncio.gather(
        *(asyncio.to_thread(racer.communicate, "go\n", DEADLINE_S) for racer in racers)
    )
    won = [int(output) for output, _ in outputs]
    revision, entries = await ledger.read("")
    assert entries == [Entry("counter", str(sum(won)).encode(), start + sum(won))]
    assert revision == start + sum(won)
    assert tries <= sum(won) <= 2 * tries
    await ledger.close()


async def test_a_watch_sees_the_swaps_of_another_process_long_before_its_poll(url: str) -> None:
    await (await create_engine(url, "demo")).close()
    ledger = await open_engine(f"{url}?poll_ms=10000", "demo")
    async with aclosing(ledger.watch("", 0)) as changes:
        first = asyncio.create_task(anext(changes))
        await ledger.read("")  # the watch has looked, and waits
        with run(WRITER, url) as writer:
            async with asyncio.timeout(5):
                seen = [await first] + [await anext(changes) for _ in range(20)]
            writer.kill()
    assert [change.revision for change in seen] == list(range(2, 23))
    await ledger.close()


async def test_without_hints_from_the_kernel_a_watch_looks_often(url: str, tmp_path: Path) -> None:
    writer = await create_engine(url, "demo")
    spare = [os.dup(0) for _ in range(3)]  # what SQLite needs, should descriptors be what runs out
    notices: list[WriteNotice] = []
    with pytest.raises(OSError, match="Too many open files"):
        notices.extend(WriteNotice(str(tmp_path)) for _ in range(1_000_000))
    for descriptor in spare:
        os.close(descriptor)
    ledger = await open_engine(f"{url}?poll_ms=10000", "demo")
    for notice in notices:
        notice.close()
    async with aclosing(ledger.watch("", 0)) as changes:
        expect = 0
        for number in range(5):
            expect = await writer.swap("config", str(number).encode(), expect)
            async with asyncio.timeout(50 * POLL_UNHINTED_S):
                assert await anext(changes) == Change("config", str(number).encode(), expect)
    await ledger.close()
    await writer.close()


async def test_a_watch_waits_while_the_file_is_away_and_goes_on(url: str, tmp_path: Path) -> None:
    ledger = await create_engine(f"{url}?poll_ms=20", "demo")
    other = await open_engine(url, "demo")
    path, aside = tmp_path / "ledger.db", tmp_path / "aside"
    async with aclosing(ledger.watch("", 0)) as changes, asyncio.timeout(DEADLINE_S):
        revision = await ledger.swap("config", b"1", 0)
        path.rename(aside)
        waiting = asyncio.create_task(anext(changes))
        with pytest.raises(Unavailable):
            await ledger.read("")
        assert not waiting.done()
        aside.rename(path)
        assert await waiting == Change("config", b"1", revision)
        second = await other.swap("config", b"2", revision)
        assert await anext(changes) == Change("config", b"2", second)
    await ledger.close()
    await other.close()


async def test_the_loop_goes_on_while_the_file_is_locked(url: str, tmp_path: Path) -> None:
    ledger = await create_engine(f"{url}?busy_ms=300", "demo")
    revision = await ledger.swap("config", b"1", 0)
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    swap = asyncio.create_task(ledger.swap("config", b"2", revision))
    turns, longest_s, last_s = 0, 0.0, time.monotonic()
    while not swap.done():
        await asyncio.sleep(0.001)
        turns, longest_s, last_s = turns + 1, max(longest_s, time.monotonic() - last_s), time.monotonic()
    with pytest.raises(Unavailable, match="lock"):
        await swap
    assert turns > 20
    assert longest_s < 0.2
    waiting = asyncio.create_task(ledger.swap("config", b"2", revision))
    await asyncio.sleep(0)
    other.execute("ROLLBACK")
    assert await waiting == revision + 1
    other.close()
    await ledger.close()


async def test_a_call_behind_a_locked_one_ends_at_its_deadline(url: str, tmp_path: Path) -> None:
    ledger = await create_engine(f"{url}?busy_ms=90&deadline_ms=100", "demo")
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    started_s = time.monotonic()
    results = await asyncio.gather(
        *(ledger.swap("config", b"1", 0) for _ in range(8)), return_exceptions=True
    )
    assert time.monotonic() - started_s < 1.0
    assert [type(result) for result in results] == [Unavailable] * 8
    assert "no answer within 0.1 s" in str(results[-1])
    other.execute("ROLLBACK")
    other.close()
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                assert await ledger.swap("config", b"1", 0) == 2
                break
            except Unavailable:
                continue
    assert (await ledger.read(""))[0] == 2  # none of the eight was written afterwards
    await ledger.close()


async def test_a_quiet_ledger_copies_its_log_into_the_file(url: str, tmp_path: Path) -> None:
    ledger = await create_engine(url, "demo")
    path = tmp_path / "ledger.db"
    notice = WriteNotice(str(path))
    written = asyncio.Event()
    asyncio.get_running_loop().add_reader(notice.fileno(), written.set)
    await ledger.swap("config", b"1", 0)
    assert not written.is_set()
    async with asyncio.timeout(DEADLINE_S):
        await written.wait()
    asyncio.get_running_loop().remove_reader(notice.fileno())
    notice.close()
    await ledger.close()


async def test_closing_leaves_one_whole_file_and_no_thread(url: str, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    ledger = await create_engine(url, "demo")
    await ledger.swap("config", b"1", 0)
    await ledger.close()
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.db"]
    assert len(os.listdir("/proc/self/fd")) == before
    for thread in [thread for thread in threading.enumerate() if url[9:] in thread.name]:
        await asyncio.to_thread(thread.join, DEADLINE_S)
        assert not thread.is_alive()


async def test_two_founders_at_once_found_one_ledger(url: str) -> None:
    results = await asyncio.gather(
        *(create_engine(url, cluster) for cluster in ("a", "b", "a", "b")), return_exceptions=True
    )
    ledgers = [result for result in results if isinstance(result, SqliteLedger)]
    assert len({ledger.cluster for ledger in ledgers}) == 1
    assert len(ledgers) == 2
    assert sum(isinstance(result, ConfigError) for result in results) == 2
    for ledger in ledgers:
        await ledger.close()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://ledger.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///tmp/x.db?deadline_ms=100&busy_ms=100",
        "sqlite:///tmp/x.db?deadline_ms=1",
        "sqlite:///tmp/x.db?keep=many",
        "sqlite:///tmp/x.db?dead_line_ms=100",
        "sqlite:///tmp/x.db?keep=",
    ],
)
async def test_a_wrong_url_is_refused_with_the_right_form(url: str) -> None:
    with pytest.raises(ConfigError, match=r"sqlite:///absolute/path\?deadline_ms=1000"):
        await open_engine(url, None)


async def test_a_path_may_hold_any_character(tmp_path: Path) -> None:
    folder = tmp_path / "a b?c#d%e&f"
    folder.mkdir()
    escaped = str(folder).replace("%", "%25").replace("?", "%3F").replace("#", "%23")
    ledger = await create_engine(f"sqlite://{escaped}/ledger.db?keep=7", "demo")
    assert await ledger.swap("config", b"1", 0) == 2
    await ledger.close()
    assert [path.name for path in folder.iterdir()] == ["ledger.db"]


async def test_four_slashes_mean_the_same_as_three(url: str, tmp_path: Path) -> None:
    await (await create_engine(url, "demo")).close()
    ledger = await open_engine(f"sqlite:///{tmp_path}/ledger.db", "demo")
    assert await ledger.swap("config", b"1", 0) == 2
    await ledger.close()


def test_the_defaults_agree() -> None:
    settings = Settings()
    assert settings.busy_ms < settings.deadline_ms
