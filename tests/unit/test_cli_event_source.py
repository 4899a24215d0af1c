"""The events of a cluster's nodes, wherever they can be had: once each, and who is missing is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from primacy.cli.event_source import EventSource
from primacy.errors import NoPrimary
from primacy.machines.control_wire import EventPushed, Request, Response, encode
from primacy.machines.timeline import Event, following
from tests.unit.client_tools import FakeCluster


class Node:
    """A node's events, in its agent and (in a local cluster) in its file."""

    def __init__(self, fake: FakeCluster, node: str) -> None:
        self.node, self.agent, self.events = node, fake.agents[node], list[Event]()
        self.file = fake.directory / "nodes" / node / "events.jsonl"
        self.agent.answers["events"] = self._answer

    def publish(self, term: int, count: int = 1) -> None:
        """Publish, and write to the file if there is a place for it."""
        for _ in range(count):
            number = len(self.events) + 1
            event: Event = {
                "node": self.node, "incarnation": "a", "number": number, "wall_ns": number,
                "event": {"event": "Thing", "term": term}, "sentence": "s",
            }  # fmt: skip
            self.events.append(event)
            if self.file.parent.exists():
                with open(self.file, "a", encoding="utf-8") as file:
                    file.write(json.dumps(event) + "\n")
            for stream in [stream for stream in self.agent.streams if stream.closed is None]:
                stream.send(encode(EventPushed(event)))

    def _answer(self, request: Request) -> Response:
        found = following(self.events, request.arguments["after"], request.arguments["life"])
        last = found[-1] if found else {"number": request.arguments["after"], "incarnation": "a"}
        page = {"events": found, "after": last["number"], "life": last["incarnation"], "more": False}
        return Response(request.id, "done", page)


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[FakeCluster]:
    async with FakeCluster(tmp_path, nodes=2) as fake:
        yield fake


def heard(events: list[Event]) -> list[tuple[str, int]]:
    """Return which events these are."""
    return [(event["node"], event["number"]) for event in events]


def make_local(fake: FakeCluster) -> None:
    """Let the cluster's directory be on this machine."""
    for node in fake.nodes:
        (fake.directory / "nodes" / node).mkdir(parents=True)
        (fake.directory / "nodes" / node / "node.toml").touch()
    (fake.directory / "cluster.toml").touch()
    (fake.directory / "ledger.sqlite").touch()


async def test_all_nodes_are_heard_and_followed(fake: FakeCluster) -> None:
    n1, n2 = Node(fake, "n1"), Node(fake, "n2")
    n1.publish(1, 2)
    n2.publish(2, 1)
    said: list[str] = []
    async with EventSource(str(fake.directory), 10, said.append) as source:
        assert source.nodes == ["n1", "n2"]
        assert (source.node_named("master"), source.node_named("n2")) == ("n1", "n2")
        assert heard(await source.gather()) == [("n1", 1), ("n1", 2), ("n2", 1)]
        n2.publish(3)
        n1.publish(2)
        assert heard(await source.news()) == [("n1", 3), ("n2", 2)]
    assert said == []


async def test_a_node_elsewhere_that_does_not_answer_is_told_and_so_is_its_return(fake: FakeCluster) -> None:
    n1, n2 = Node(fake, "n1"), Node(fake, "n2")
    n1.publish(1)
    n2.publish(1)
    said: list[str] = []
    fake.agents["n2"].die()
    async with EventSource(str(fake.directory), 10, said.append) as source:
        assert heard(await source.gather()) == [("n1", 1)]
        assert len(said) == 1
        assert said[0].startswith("the events of n2 are missing: ")
        await fake.agents["n2"].start()
        assert heard(await source.news()) == [("n2", 1)]
        assert said[1:] == ["n2 answers: its events follow"]


async def test_a_node_that_takes_and_does_not_answer_is_waited_for_no_longer_than_asked(
    fake: FakeCluster,
) -> None:
    Node(fake, "n1").publish(1)
    fake.agents["n2"].answers["events"] = lambda request: None
    said: list[str] = []
    async with EventSource(str(fake.directory), 0.5, said.append) as source:
        async with asyncio.timeout(5):
            assert heard(await source.gather()) == [("n1", 1)]
    assert said == ["the events of n2 are missing: no answer"]


async def test_without_any_agent_a_local_cluster_has_its_files_and_another_has_nothing(
    fake: FakeCluster,
) -> None:
    fake.agents["n1"].die()
    fake.agents["n2"].die()
    with pytest.raises(NoPrimary):
        await EventSource(str(fake.directory), 0.3, lambda line: None).__aenter__()
    make_local(fake)
    n1 = Node(fake, "n1")
    n1.publish(1)
    async with EventSource(str(fake.directory), 0.3, lambda line: None) as source:
        assert heard(await source.gather()) == [("n1", 1)]
        n1.publish(1)
        assert heard(await source.news()) == [("n1", 2)]
        with pytest.raises(NoPrimary):
            source.node_named("master")
