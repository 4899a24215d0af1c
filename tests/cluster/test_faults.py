"""Faults in a row, at random moments, under load: one master, a ready vice, nothing lost, nothing doubled.

The seed is printed by the run; `SEED=n` repeats the same list of faults (the moments are those of the machine). All
agents record; afterwards their records are replayed through the machines, and judged together.
"""

from __future__ import annotations

import random
import time

import pytest

from tests.cluster.cluster_tools import Live
from tests.cluster.conftest import MakeLive
from tests.cluster.fault_tools import Faults
from tests.cluster.records import RECORD, holds
from tests.cluster.workload import Workload


@pytest.fixture(autouse=True)
def _recording(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIMACY_RECORD", RECORD)


async def run(live: Live, source: random.Random, count: int) -> None:
    """Do so many faults to a cluster under load, and judge what its clients saw, on both replicas."""
    await live.start()
    async with live.client() as cluster:
        began_s = time.monotonic()
        async with Workload(live, source) as work:
            faults = Faults(live, cluster, work, source)
            await faults.run(count)
        took_s = time.monotonic() - began_s
        await work.judge(cluster)
        await cluster.control("switchover", reason="the other replica is judged as well")
        await work.judge(cluster)
    elected = live.of_kind("MasterElected")
    assert len({event["term"] for event in elected}) == len(elected), "a term has two masters"
    print(
        f"{count} faults in {took_s:.1f} s ({live.profile}), {len(elected)} terms; {len(work.records)} calls, "
        f"{len(work.acknowledged)} acknowledged writes, 0 lost, 0 doubled; longest call "
        f"{work.longest_ns() / 1e6:.0f} ms; not answered: {dict(work.failed)}"
    )
    began_s = time.monotonic()
    report = await holds(live)
    print(
        f"records of {len(report.lives)} lives with {report.inputs} inputs replayed in "
        f"{time.monotonic() - began_s:.1f} s: {report.terms} terms, {report.revisions} revisions, 0 violations; "
        f"not checked: {report.unchecked}"
    )


@pytest.mark.timeout(400)
async def test_twenty_faults_in_a_row(make_live: MakeLive, random_source: random.Random) -> None:
    profile = random_source.choice(["carrier", "lan"])
    await run(make_live(profile=profile), random_source, 20)


@pytest.mark.soak
@pytest.mark.parametrize("profile", ["carrier", "lan"])
async def test_a_hundred_faults_in_a_row(
    make_live: MakeLive, random_source: random.Random, profile: str
) -> None:
    await run(make_live(profile=profile), random_source, 100)
