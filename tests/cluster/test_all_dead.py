"""The power of all nodes is lost at once, and they are started in any order: names, state and eligibility are whole."""

from __future__ import annotations

import asyncio
import random

import pytest

from primacy.local import faults
from tests.cluster.cluster_tools import Live
from tests.cluster.conftest import MakeLive

ROUNDS, SOAK_ROUNDS = 3, 20


async def power_cuts(live: Live, source: random.Random, rounds: int) -> None:
    """Write, cut the power of all, start them in a random order, look; so many times."""
    await live.start()
    async with live.client() as cluster:
        status = await live.whole(cluster, members=3)
        spare = next(n["id"] for n in status["nodes"] if n["role"] == "available")
        await cluster.control("disqualify", node=spare)
    for number in range(rounds):
        async with live.client() as cluster:
            before = await live.whole(cluster, members=3)
            await cluster.names.bind(f"cut/{number}", f"127.0.0.1:{number}")
            length, _ = await cluster.service("logbook").append(log="cuts", name=str(number))
            assert length == number + 1
        await asyncio.to_thread(cut, live)
        order = source.sample(live.layout.nodes(), 3)
        for node in order:
            live.start_node(node)
            await asyncio.sleep(source.choice([0, 0, 0.3]))
        async with live.client() as cluster:
            after = await live.whole(cluster, members=3)
            print(f"round {number}: {before['master']} was master; started {order}: {after['master']} is")
            assert after["term"] > before["term"]
            assert [n["id"] for n in after["nodes"] if not n["eligible"]] == [spare]
            assert await cluster.service("logbook").query.names(log="cuts") == [
                str(n) for n in range(number + 1)
            ]
            bound = await cluster.names.list("cut")
            assert len(bound) == number + 1


def cut(live: Live) -> None:
    """Stop all processes of all nodes, and kill them when none runs any more."""
    frozen = [faults.freeze(live.layout.node(node)) for node in live.layout.nodes()]
    for processes in frozen:
        faults.end(processes)


async def test_a_cluster_whose_power_was_cut_is_whole_again(
    make_live: MakeLive, random_source: random.Random
) -> None:
    await power_cuts(make_live(), random_source, ROUNDS)


@pytest.mark.soak
@pytest.mark.timeout(400)
async def test_a_cluster_whose_power_is_cut_again_and_again(
    make_live: MakeLive, random_source: random.Random
) -> None:
    await power_cuts(make_live(profile="carrier"), random_source, SOAK_ROUNDS)
