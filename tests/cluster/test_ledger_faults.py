"""A ledger that is locked, deleted or replaced changes nothing while master and vice hear each other.

The next change of the mastership waits, or is refused in words, and goes through as soon as the right file is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from primacy.client import Cluster
from primacy.errors import OperationFailed
from primacy.local import faults
from primacy.local.processes import hosts_of
from tests.cluster.cluster_tools import Live, wait_for
from tests.cluster.conftest import MakeLive
from tests.cluster.workload import Workload

SHORT_S = 2.0  # forty times the grace of the profile
LONG_S = 10.0
SWITCHOVER_S = 30.0

Fault = Callable[[Path, Path], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def locked(ledger: Path, older: Path) -> Iterator[None]:
    """Another program holds the file's write lock."""
    database = sqlite3.connect(ledger, isolation_level=None, timeout=10)
    try:
        database.execute("BEGIN EXCLUSIVE")
        yield
        database.execute("ROLLBACK")
    finally:
        database.close()


@contextlib.contextmanager
def deleted(ledger: Path, older: Path) -> Iterator[None]:
    """The file is gone; later it is put back."""
    kept = ledger.with_suffix(".kept")
    os.rename(ledger, kept)
    yield
    os.rename(kept, ledger)


@contextlib.contextmanager
def emptied(ledger: Path, older: Path) -> Iterator[None]:
    """An empty file is in its place; later the right one is back."""
    with deleted(ledger, older):
        ledger.touch()
        yield


@contextlib.contextmanager
def replaced(ledger: Path, older: Path) -> Iterator[None]:
    """A copy of an earlier time is in its place; later the right one is back."""
    with deleted(ledger, older):
        shutil.copy(older, ledger)
        yield


FAULTS: dict[str, Fault] = {"locked": locked, "deleted": deleted, "emptied": emptied, "replaced": replaced}


def copy_of(ledger: Path) -> Path:
    """Return a whole copy of the ledger as it is now."""
    older = ledger.with_suffix(".older")
    source, target = sqlite3.connect(ledger), sqlite3.connect(older)
    source.backup(target)
    target.close()
    source.close()
    return older


def place(status: dict[str, Any]) -> list[Any]:
    """Return what a fault of the ledger must not change."""
    return [status[key] for key in ("term", "master", "vice", "vice_ready", "in_service")]


async def withstand(
    live: Live, cluster: Cluster, work: Workload, fault: Fault, older: Path, period_s: float
) -> None:
    """Do one fault to the ledger under load; then let the next change be asked for while it lasts."""
    before = await live.whole(cluster)
    written, elected = len(work.acknowledged), len(live.of_kind("MasterElected"))
    with fault(live.layout.ledger, older):
        await asyncio.sleep(period_s)
        assert len(work.acknowledged) > written
        status = await cluster.control("status")
        assert place(status) == place(before)
        asked = asyncio.ensure_future(switch_over(cluster))
        await asyncio.wait([asked], timeout=period_s / 2)
        assert place(await cluster.control("status")) == place(before)
        assert len(live.of_kind("MasterElected")) == elected
        refused = asked.done() and await asked
        if refused:
            assert "ledger" in refused, refused
            unavailable = await live.status(
                cluster,
                lambda s: not s["ledger"]["available"],
                "the status says that the ledger does not answer",
            )
            assert any("ledger" in reason for reason in unavailable["waits"])
    if refused:
        await live.status(cluster, lambda s: s["ledger"]["available"], "the ledger answers again")
        assert await switch_over(cluster) == ""
    else:
        assert await asked == ""
    after = await live.whole(cluster)
    assert after["term"] == before["term"] + 1
    assert after["master"] == before["vice"]


async def switch_over(cluster: Cluster) -> str:
    """Ask for a switchover; return why it was not done, or nothing."""
    try:
        await cluster.control("switchover", reason="a test", deadline_s=SWITCHOVER_S)
    except OperationFailed as error:
        return error.message
    return ""


async def run(live: Live, source: random.Random, period_s: float) -> None:
    """Do each fault once to a cluster under load."""
    await live.start()
    async with live.client() as cluster:
        await live.whole(cluster, members=3)
        older = copy_of(live.layout.ledger)
        await cluster.control("switchover", reason="the copy is of an earlier time")
        async with Workload(live, source) as work:
            await wait_for(lambda: len(work.acknowledged) > 20, "writes before")
            for name, fault in FAULTS.items():
                print(name, flush=True)
                await withstand(live, cluster, work, fault, older, period_s)
        print(f"longest call {work.longest_ns() / 1e6:.0f} ms")
        assert dict(work.failed) == {}
        await work.judge(cluster)


@pytest.mark.timeout(180)
async def test_a_ledger_that_is_away_changes_nothing(
    make_live: MakeLive, random_source: random.Random
) -> None:
    await run(make_live(profile="carrier"), random_source, SHORT_S)


@pytest.mark.soak
@pytest.mark.parametrize("profile", ["carrier", "lan"])
async def test_a_ledger_that_is_away_for_ten_seconds_changes_nothing(
    make_live: MakeLive, random_source: random.Random, profile: str
) -> None:
    await run(make_live(profile=profile), random_source, LONG_S)


async def test_a_failover_waits_for_the_ledger_and_then_succeeds(make_live: MakeLive) -> None:
    live = make_live(profile="carrier")
    await live.start()
    async with live.client() as cluster:
        before = await live.whole(cluster)
        await cluster.service("logbook").append(log="a", name="before")
        with deleted(live.layout.ledger, live.layout.ledger):
            host = hosts_of(live.layout.node(before["master"]))["logbook"]
            faults.crash(live.layout.node(before["master"]))
            await wait_for(lambda: not host.alive, "the old primary is dead")
            held = asyncio.ensure_future(cluster.service("logbook").append(log="a", name="after"))
            await asyncio.sleep(SHORT_S)
            assert not held.done()
            assert live.of_kind("MasterElected", term=before["term"] + 1) == []
        assert await held == [2, "after"]
        after = await live.whole(cluster)
        assert after["term"] == before["term"] + 1
        assert after["master"] == before["vice"]
