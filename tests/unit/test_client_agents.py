"""Topology from the agents, and the operator's functions through any of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import primacy
from primacy.client.agents import newer
from primacy.client.cluster import Cluster
from primacy.errors import Deadline, NoPrimary, OperationFailed, Refused, StreamClosed
from primacy.machines.control_wire import EventPushed, Response, Topology, encode
from tests.unit.cgtp_tools import Relay, until
from tests.unit.client_tools import FakeCluster


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[FakeCluster]:
    async with FakeCluster(tmp_path) as fake:
        yield fake


@pytest.fixture
async def cluster(fake: FakeCluster) -> AsyncIterator[Cluster]:
    async with primacy.connect(fake.directory) as cluster:
        await until(lambda: all(agent.subscribed for agent in fake.agents.values()), "all agents are reached")
        yield cluster


def topology(term: int, master: str) -> Topology:
    return Topology("test", term, master, "", True, [])


@pytest.mark.parametrize(
    ("known", "known_by", "told", "told_by", "expected"),
    [
        (None, "", topology(1, "n1"), "n2", True),
        (topology(1, "n1"), "n1", topology(2, "n2"), "n3", True),
        (topology(2, "n2"), "n3", topology(1, "n1"), "n1", False),
        (topology(1, "n1"), "n2", topology(1, "n1"), "n1", True),
        (topology(1, "n1"), "n1", topology(1, "n1"), "n2", False),
        (topology(1, "n1"), "n1", topology(1, "n1"), "n1", True),
        (topology(1, "n1"), "", topology(1, "n1"), "n2", True),
    ],
)
def test_which_topology_counts(
    known: Topology | None, known_by: str, told: Topology, told_by: str, expected: bool
) -> None:
    assert newer(known, known_by, told, told_by) is expected


async def test_a_function_goes_to_the_master_and_its_result_comes_back(cluster: Cluster) -> None:
    assert await cluster.control("status") == "n1"


async def test_a_refusal_tells_all_reasons(fake: FakeCluster, cluster: Cluster) -> None:
    fake.agents["n1"].answers["switchover"] = lambda r: Response(r.id, "refused", None, ["one", "two"])
    fake.agents["n1"].answers["link"] = lambda r: Response(r.id, "failed", None, ["no such link"])
    with pytest.raises(Refused) as refused:
        await cluster.control("switchover", to="n2")
    assert refused.value.reasons == ["one", "two"]
    sent = fake.agents["n1"].requests[-1].arguments
    assert sent == {"to": "n2", "operation": sent["operation"]}
    with pytest.raises(OperationFailed, match="no such link"):
        await cluster.control("link", link=7, up=False)


async def test_an_agent_without_a_master_is_asked_again(fake: FakeCluster, cluster: Cluster) -> None:
    answers = iter([Response(0, "unavailable", None, ["no master"]), Response(0, "done", "at last")])

    def answer(request: primacy.machines.control_wire.Request) -> Response:
        told = next(answers)
        return Response(request.id, told.kind, told.result, told.reasons)

    fake.agents["n1"].answers["switchover"] = answer
    assert await cluster.control("switchover") == "at last"
    fake.agents["n1"].answers["switchover"] = lambda r: Response(r.id, "unavailable", None, ["no master"])
    with pytest.raises(NoPrimary, match="no master"):
        await cluster.control("switchover", deadline_s=0.3)


async def test_what_only_reads_goes_to_another_agent_when_one_is_gone(
    fake: FakeCluster, cluster: Cluster
) -> None:
    fake.agents["n1"].answers["status"] = lambda request: None
    asked = asyncio.ensure_future(cluster.control("status"))
    await until(lambda: fake.agents["n1"].requests, "the master's agent is asked")
    fake.agents["n1"].die()
    assert await asked == "n2"


async def test_a_function_of_the_cluster_is_asked_again_under_the_same_id(
    fake: FakeCluster, cluster: Cluster
) -> None:
    fake.agents["n1"].answers["demote"] = lambda request: None
    fake.agents["n2"].answers["demote"] = lambda r: Response(r.id, "done", r.arguments["operation"])
    asked = asyncio.ensure_future(cluster.control("demote", node="n3"))
    await until(lambda: fake.agents["n1"].requests, "the master's agent is asked")
    fake.agents["n1"].die()
    assert await asked == fake.agents["n1"].requests[-1].arguments["operation"]


async def test_what_changes_something_is_not_asked_twice(fake: FakeCluster, cluster: Cluster) -> None:
    fake.agents["n1"].answers["link"] = lambda request: None
    asked = asyncio.ensure_future(cluster.control("link", link=0, up=False))
    await until(lambda: fake.agents["n1"].requests, "the master's agent is asked")
    fake.agents["n1"].die()
    with pytest.raises(Deadline) as caught:
        await asked
    assert caught.value.maybe_applied
    assert fake.agents["n2"].requests == []


@pytest.mark.parametrize(
    ("verb", "arguments"), [("status", {}), ("demote", {"node": "n3", "operation": "one"})]
)
async def test_an_agent_that_is_frozen_is_not_waited_for(
    fake: FakeCluster, cluster: Cluster, verb: str, arguments: dict[str, str]
) -> None:
    fake.agents["n1"].answers[verb] = lambda request: None
    fake.agents["n2"].answers[verb] = lambda r: Response(r.id, "done", r.arguments.get("operation", "n2"))
    assert await cluster.control(verb, deadline_s=10, **arguments) == arguments.get("operation", "n2")
    assert fake.agents["n1"].requests[-1].verb == verb


async def test_a_function_whose_agent_was_lost_may_have_been_carried_out(
    fake: FakeCluster, cluster: Cluster
) -> None:
    fake.agents["n1"].answers["demote"] = lambda request: None
    fake.agents["n2"].answers["demote"] = lambda r: Response(r.id, "unavailable", None, ["no master"])
    asked = asyncio.ensure_future(cluster.control("demote", node="n3", deadline_s=0.8))
    await until(lambda: fake.agents["n1"].requests, "the master's agent is asked")
    fake.agents["n1"].die()
    with pytest.raises(Deadline) as caught:
        await asked
    assert caught.value.maybe_applied


async def test_a_silent_agent_costs_the_deadline(fake: FakeCluster, cluster: Cluster) -> None:
    fake.agents["n1"].answers["status"] = lambda request: None
    with pytest.raises(Deadline) as caught:
        await cluster.control("status", deadline_s=0.1)
    assert not caught.value.maybe_applied


async def test_the_topology_of_a_living_agent_counts_when_the_master_is_gone(
    fake: FakeCluster, cluster: Cluster
) -> None:
    fake.agents["n1"].die()
    fake.elect("n2")
    await until(lambda: cluster.topology.master == "n2", "the change is known")
    assert await cluster.control("ping") == "n2"


async def test_a_new_node_is_dialed_and_one_that_left_is_not(fake: FakeCluster, cluster: Cluster) -> None:
    extra = type(fake.agents["n1"])(fake, "n3")
    fake.hosts["n3", "inventory"] = type(fake.host("n1"))(fake, "n3", fake.replica())
    for place in (extra, fake.host("n3")):
        await place.start()
    fake.agents["n3"] = extra
    fake.nodes.append("n3")
    fake.tell()
    await until(lambda: extra.subscribed, "the new agent is reached")
    fake.nodes.remove("n3")
    fake.tell()
    await until(lambda: not extra.streams, "its stream has ended")


async def test_nodes_that_move_one_after_the_other_are_found_at_their_new_places(
    fake: FakeCluster, cluster: Cluster
) -> None:
    """In the end nobody is where the client was told at its beginning."""
    for node in ("n1", "n2"):
        former = fake.agents[node]
        former.die()
        fake.agents[node] = extra = type(former)(fake, node)
        await extra.start()
        assert extra.addresses != former.addresses
        fake.elect("n2" if node == "n1" else "n1")
        await until(lambda e=extra: e.subscribed, f"{node} is found at its new place")
    assert await cluster.control("ping") == "n1"


async def test_a_node_whose_links_go_down_after_it_was_told_elsewhere_is_dialed_there(
    fake: FakeCluster,
) -> None:
    """The way that was given leads nowhere any more, and no end of its stream is ever heard."""
    former = fake.agents["n1"]
    relays = [await Relay(address).start() for address in former.addresses]
    former.addresses = [relay.address for relay in relays]
    fake.write()
    async with primacy.connect(fake.directory):
        await until(lambda: former.subscribed and fake.agents["n2"].subscribed, "both agents are reached")
        fake.agents["n1"] = extra = type(former)(fake, "n1")
        await extra.start()
        fake.elect("n2")
        for relay in relays:
            relay.set_cut(True)
        await until(lambda: extra.subscribed, "n1 is found at its new place")
    for place in (former, *relays):
        await place.stop() if isinstance(place, Relay) else place.die()


async def test_events_come_until_the_agent_goes(fake: FakeCluster, cluster: Cluster) -> None:
    agent = fake.agents["n1"]
    agent.answers["events"] = lambda request: Response(request.id, "done", {"events": [{"number": 1}]})
    events = cluster.events(after=0)
    assert await anext(events) == {"number": 1}
    for stream in agent.subscribed:
        stream.send(encode(EventPushed({"number": 2})))
    assert await anext(events) == {"number": 2}
    assert agent.requests[-1].arguments == {"after": 0, "follow": True}
    for stream in list(agent.streams):
        stream.abort("gone")
    agent.die()
    await agent.start()
    with pytest.raises(StreamClosed):
        await anext(events)


async def test_garbage_of_an_agent_ends_its_stream_and_nothing_else(
    fake: FakeCluster, cluster: Cluster
) -> None:
    agent = fake.agents["n1"]
    before = len(agent.subscribed)
    agent.subscribed[-1].send(b"\xc1")
    await until(lambda: len(agent.subscribed) > before, "the agent is dialed anew")
    assert await cluster.control("ping") == "n1"
