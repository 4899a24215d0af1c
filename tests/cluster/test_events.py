"""The events of a whole cluster, as an operator gets them: from all nodes, over their deaths, each once, in order."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from primacy.local import faults
from primacy.local.event_files import EventFiles
from primacy.machines.timeline import Event, kind_of, term_of
from tests.cluster.cluster_tools import LIMIT_S, Live, run_cli, stepped, wait_for
from tests.cluster.conftest import MakeLive

PAGE = 7


@pytest.fixture(scope="module")
def live(make_shared: MakeLive) -> Live:
    """A cluster of three nodes with a service of several levels on each."""
    shared = make_shared(services=stepped())
    asyncio.run(shared.start())
    return shared


def shown(live: Live, *words: str) -> list[Event]:
    """Return what `primacy events` shows to a program, with all details."""
    done = run_cli("events", "--dir", str(live.layout.root), "--all", "--json", *words)
    assert (done.returncode, done.stderr) == (0, "")
    return parsed(done.stdout)


def parsed(text: str) -> list[Event]:
    """Return the events in lines of JSON."""
    return [json.loads(line) for line in text.splitlines()]


def named(events: list[Event]) -> list[tuple[str, str, int]]:
    """Return which events these are."""
    return [(event["node"], event["incarnation"], event["number"]) for event in events]


def place(events: list[Event], kind: str, node: str = "", **fields: Any) -> int:
    """Return where the first event of a kind with these fields stands, published by a node or by any."""
    return next(
        index
        for index, event in enumerate(events)
        if kind_of(event) == kind and node in ("", event["node"]) and fields.items() <= event["event"].items()
    )


@contextmanager
def following(live: Live, path: Path) -> Iterator[Path]:
    """Have `primacy events --follow` write into a file meanwhile, then end it as an operator does."""
    words = ["events", "--dir", str(live.layout.root), "--all", "--json", "--follow"]
    with (
        open(path, "w", encoding="utf-8") as file,
        subprocess.Popen([sys.executable, "-m", "primacy.cli.main", *words], stdout=file) as follower,
    ):
        try:
            yield path
            follower.send_signal(signal.SIGINT)
            assert follower.wait(LIMIT_S) == 0
        finally:
            follower.kill()


async def crash_master(live: Live) -> tuple[str, str, dict[str, Any]]:
    """Kill the master's agent; return the node, the life that ended and the status when all is whole again."""
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        life = next(each["incarnation"] for each in before["nodes"] if each["role"] == "master")
        faults.crash(live.layout.node(before["master"]))
        after = await live.whole(cluster, members=3, without=life)
    assert after["master"] != before["master"]
    return before["master"], life, after


async def test_who_follows_over_a_failover_misses_nothing_and_hears_nothing_twice(
    live: Live, tmp_path: Path
) -> None:
    """All nodes are heard while the master dies and comes back, and what was heard is what all of them have."""
    with following(live, tmp_path / "followed") as path:
        await wait_for(lambda: "ViceInStep" in path.read_text(), "what had happened is shown")
        await crash_master(live)
        there = named(await asyncio.to_thread(shown, live))
        await wait_for(lambda: len(path.read_text().splitlines()) >= len(there), "all has come")
        heard = named(parsed(path.read_text()))
    assert len(set(heard)) == len(heard)
    assert set(heard) >= set(there)
    for node in live.layout.nodes():
        numbers = [number for of, _, number in heard if of == node]
        assert numbers == list(range(1, len(numbers) + 1))


async def test_the_events_of_a_failover_are_one_story_in_causal_order(live: Live) -> None:
    dead, life, after = await crash_master(live)
    master, term = after["master"], after["term"]
    written = {node: named(EventFiles(live.layout).of(node)) for node in live.layout.nodes()}
    found = await asyncio.to_thread(shown, live)
    for node, names in written.items():  # the node that has died begins a new life, and goes on writing
        assert named([e for e in found if e["node"] == node])[: len(names)] == names
    stated = [t for event in found if (t := term_of(event)) and kind_of(event) != "ClaimBegan"]
    assert [t for t in stated if t == term] == stated[stated.index(term) :]
    story = [
        max(index for index, event in enumerate(found) if event["incarnation"] == life),
        place(found, "ObituaryHeard", incarnation=life),
        place(found, "ClaimBegan", master, term=term),
        place(found, "MasterElected", master, term=term),
        place(found, "FunctionBegan", master, term=term, function="failover"),
        *(place(found, "LevelCompleted", master, term=term, function="failover", level=n) for n in (1, 2)),
        place(found, "FunctionEnded", master, term=term, function="failover"),
        place(found, "InService", master, term=term),
        place(found, "ViceAppointed", master, term=term),
        place(found, "ViceInStep", master, term=term),
    ]
    assert story == sorted(story)
    serves = place(found, "InService", master, term=term)
    for node in live.layout.nodes():
        assert serves < place(found, "FunctionBegan", node, term=term, function="reconnect")
    deaths = [e for e in found if not e["detail"] and e["event"].get("incarnation") == life]
    assert [kind_of(event) for event in deaths] == ["NodeStarted", "ObituaryHeard"]
    assert dead in deaths[1]["sentence"]


async def test_a_level_of_initialize_is_completed_by_the_master_first(live: Live) -> None:
    found = await asyncio.to_thread(shown, live, "--term", "1", "--function", "initialize")
    levels = [(e["event"]["level"], e["node"]) for e in found if kind_of(e) == "LevelCompleted"]
    [master] = [
        e["node"] for e in await asyncio.to_thread(shown, live, "--term", "1", "--kind", "masterelected")
    ]
    for level in {level for level, _ in levels}:
        nodes = [node for each, node in levels if each == level]
        assert nodes[0] == master
        assert sorted(nodes) == live.layout.nodes()


async def test_a_node_pages_forward_through_all_its_lives(live: Live) -> None:
    await crash_master(live)
    async with live.client() as cluster:
        for node in live.layout.nodes():
            told: list[Event] = []
            where: dict[str, Any] = {"order": "oldest", "limit": PAGE}
            while True:
                page = await live.ask(cluster, node, "events", **where)
                assert len(page["events"]) <= PAGE
                told += page["events"]
                if not page["more"]:
                    break
                where |= {"after": page["after"], "life": page["life"]}
            assert [e["number"] for e in told] == list(range(1, len(told) + 1))
            newest = await live.ask(cluster, node, "events", limit=PAGE)
            assert newest["events"] == told[-PAGE:]
            lives = len({event["incarnation"] for event in told})
            assert lives == sum(kind_of(event) == "NodeStarted" for event in told)


async def test_the_events_of_a_node_that_is_down_are_read_here_and_told_as_missing_elsewhere(
    live: Live, tmp_path: Path
) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
    down = before["vice"]
    faults.end(await asyncio.to_thread(faults.freeze, live.layout.node(down)))
    found = await asyncio.to_thread(shown, live)
    assert named([e for e in found if e["node"] == down]) == named(EventFiles(live.layout).of(down))
    assert {event["node"] for event in found} == set(live.layout.nodes())
    only = await asyncio.to_thread(shown, live, "--node", down, "--limit", "3")
    assert named(only) == named([e for e in found if e["node"] == down][-3:])
    shutil.copy(live.layout.client_file, tmp_path)
    shutil.copytree(live.layout.credential, tmp_path / live.layout.credential.name)
    elsewhere = await asyncio.to_thread(run_cli, "events", "--dir", str(tmp_path), "--all", "--json")
    assert elsewhere.returncode == 0
    assert elsewhere.stderr.startswith(f"the events of {down} are missing: ")
    assert len(elsewhere.stderr.splitlines()) == 1
    told = named(parsed(elsewhere.stdout))
    assert {node for node, _, _ in told} == set(live.layout.nodes()) - {down}
    assert set(told) >= set(named([e for e in found if e["node"] != down]))
    live.start_node(down)
    async with live.client() as cluster:
        await live.whole(cluster, members=3)
