"""What a cluster is and how it comes into being: capabilities of docs/traceability.md, each shown by one test.

All tests look at one cluster of three nodes that has come into service by itself; those that change something wait
until it is whole again.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from primacy import boot
from primacy.config import Callback
from primacy.local import faults, nodes
from primacy.local.processes import agent_of, descendants, guardian_of, hosts_of
from tests.cluster.cluster_tools import Event, Live, run_cli, set_flag, stepped, wait_for
from tests.cluster.conftest import MakeLive

CENTRALIZED = ("naming", "stepped")
REGISTERED = Callback("failover", "settle", level=7, timeout_s=2.5)
"""What the table registers for `Stepped`."""


@pytest.fixture(scope="module")
def live(make_shared: MakeLive) -> Live:
    """A cluster whose initialization was slow at its last level."""
    shared = make_shared(services=stepped([REGISTERED]))
    asyncio.run(shared.start(lambda made: set_flag(made, "slow", True)))
    return shared


async def first_pair(live: Live) -> dict[str, Any]:
    """Wait until the cluster is whole, and every callback quick; return its status."""
    async with live.client() as cluster:
        status = await live.whole(cluster, members=3)
    set_flag(live, "slow", False)
    return status


def entry(status: dict[str, Any], node: str) -> dict[str, Any]:
    """Return a node's part of the status."""
    return next(each for each in status["nodes"] if each["id"] == node)


def of_node(live: Live, node: str) -> list[Event]:
    """Return the inner events of a node in its own order."""
    return [event["event"] for event in live.events() if event["node"] == node]


def places(events: list[Event], kind: str, **fields: Any) -> list[int]:
    """Return where events of a kind with these fields stand in a list."""
    return [
        place
        for place, event in enumerate(events)
        if event["event"] == kind and all(event.get(k) == v for k, v in fields.items())
    ]


# ---- the network ----


async def test_the_master_runs_every_primary_and_each_node_has_a_coordinator(live: Live) -> None:
    status = await first_pair(live)
    assert entry(status, status["master"])["servers"] == dict.fromkeys(CENTRALIZED, "primary")
    assert {service["name"]: service["primary"] for service in status["services"]} == dict.fromkeys(
        CENTRALIZED, status["master"]
    )
    async with live.client() as cluster:
        for node in live.layout.nodes():
            plan = await live.ask(cluster, node, "sequence", function="switchover")
            assert plan["node"] == node
            assert [step["level"] for step in plan["steps"]] == [1, 2, 3]


async def test_the_vice_runs_secondaries_that_mirror_the_primaries(live: Live) -> None:
    status = await first_pair(live)
    assert entry(status, status["vice"])["servers"] == dict.fromkeys(CENTRALIZED, "secondary")
    async with live.client() as cluster:
        for number in range(20):
            await cluster.service("stepped").mark(name=f"mirrored {number}")

        def mirrored(status: dict[str, Any]) -> bool:
            [row] = [each for each in status["services"] if each["name"] == "stepped"]
            secondary = entry(status, status["vice"])["positions"]["stepped"]["sequence"]
            return row["sequence"] >= 20 and row["lag"] == 0 and secondary == row["sequence"]

        await live.status(cluster, mirrored, "the secondary has every entry of the primary")


async def test_the_membership_monitor_tells_the_coordinator_what_its_servers_are_to_be(live: Live) -> None:
    status = await first_pair(live)
    master, vice = of_node(live, status["master"]), of_node(live, status["vice"])
    [elected] = places(master, "MasterElected", term=1)
    for service in CENTRALIZED:
        [primary] = places(master, "ServerChanged", service=service, new="primary", term=1)
        assert elected < primary
        assert places(vice, "ServerChanged", service=service, new="secondary")
    [served] = places(master, "InService", term=1)
    [appointed] = places(master, "ViceAppointed", term=1)
    [in_step] = places(master, "ViceInStep", term=1)
    assert elected < served < appointed < in_step  # the coordinator's answers move the monitor on


async def test_eligible_nodes_beyond_master_and_vice_are_kept_ready(live: Live) -> None:
    status = await first_pair(live)
    [third] = [each for each in status["nodes"] if each["id"] not in (status["master"], status["vice"])]
    assert third["eligible"]
    assert third["role"] == "available"
    assert third["servers"] == dict.fromkeys(CENTRALIZED, "available")


async def test_a_service_registers_itself_with_its_callbacks(live: Live) -> None:
    await first_pair(live)
    table = live.layout.table.read_text()
    assert '"first"' not in table  # they stand in the service's own code only
    assert '"begin"' not in table
    async with live.client() as cluster:
        plan = await live.ask(cluster, "n3", "sequence", function="initialize")
    registered = [(step["level"], step["service"], step["callback"]) for step in plan["steps"]]
    assert registered == [(1, "stepped", "first"), (2, "attendant", "begin"), (3, "stepped", "second")]
    assert all(step["timeout_s"] == 5.0 and step["on_failure"] == "refuse" for step in plan["steps"])


async def test_the_coordinator_registers_what_the_table_says_for_a_service(live: Live) -> None:
    status = await first_pair(live)
    async with live.client() as cluster:
        plan = await live.ask(cluster, status["vice"], "sequence", function="failover")
        steps = [(step["level"], step["callback"], step["timeout_s"]) for step in plan["steps"]]
        assert steps == [(1, "change", 5.0), (2, "change", 5.0), (7, "settle", 2.5)]
        faults.crash(live.layout.node(status["master"]))
        await live.whole(cluster, members=3, without=entry(status, status["master"])["incarnation"])
    ran = [row for row in live.callbacks(status["vice"]) if row["function"] == "failover"]
    assert [(row["level"], row["callback"]) for row in ran] == [(1, "change"), (2, "change"), (7, "settle")]


async def test_naming_runs_as_a_centralized_service(live: Live) -> None:
    status = await first_pair(live)
    [row] = [each for each in status["services"] if each["name"] == "naming"]
    assert (row["primary"], row["secondary"]) == (status["master"], status["vice"])
    async with live.client() as cluster, live.client() as other:
        await cluster.names.bind("shop/till", endpoint="127.0.0.1:8100", attributes={"floor": "2"})
        await cluster.control("switchover", reason="the names are on the other node as well")
        found = await other.names.resolve("shop/till")
        assert (found.endpoint, found.attributes) == ("127.0.0.1:8100", {"floor": "2"})
        await cluster.names.unbind("shop/till")
        after = await live.whole(cluster, members=3)
    [row] = [each for each in after["services"] if each["name"] == "naming"]
    assert row["primary"] == after["master"] == status["vice"]


async def test_a_node_has_a_system_level_and_a_high_availability_level(live: Live) -> None:
    status = await first_pair(live)
    [third] = [each["id"] for each in status["nodes"] if each["role"] == "available"]
    directory = live.layout.node(third)
    guardian, agent = guardian_of(directory), agent_of(directory)
    assert guardian is not None
    assert agent is not None
    below = descendants(guardian)
    assert agent in below
    assert set(hosts_of(directory)) == {*CENTRALIZED, "attendant"}
    assert set(hosts_of(directory).values()) <= set(below)
    life = entry(status, third)["incarnation"]
    faults.crash(directory)  # the upper level dies; the lower one lives, and brings up another
    async with live.client() as cluster:
        after = await live.whole(cluster, members=3, without=life)
    assert guardian_of(directory) == guardian
    assert agent_of(directory) not in (None, agent)
    assert entry(after, third)["incarnation"] != life


# ---- initialization ----


def test_boot_parameters_are_looked_up_in_order_and_shown(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text(
        'node = "file"\nledger = "sqlite:///file"\nlinks = ["127.0.0.1:9"]\ncluster_key = "file.key"\n'
        'authority = "a"\ncertificate = "c"\nprivate_key = "p"\n'
    )
    shown = run_cli(
        *("node", "--dir", str(tmp_path), "--node", "argument", "--show-boot", "--json"),
        PRIMACY_NODE="environment",
        PRIMACY_LEDGER="sqlite:///environment",
    )
    assert shown.returncode == 0, shown.stderr
    rows = json.loads(shown.stdout)
    assert rows["node"] == {"value": "argument", "source": "command line"}
    assert rows["ledger"] == {"value": "sqlite:///environment", "source": "environment PRIMACY_LEDGER"}
    assert rows["links"]["source"] == f"file {tmp_path / 'node.toml'}"
    lines = run_cli("node", "--dir", str(tmp_path), "--show-boot").stdout.splitlines()
    assert any(line.split()[:2] == ["node", "file"] for line in lines), lines
    # the kernel's own command line cannot be changed here: it stands between the two
    found = boot.retrieve(
        ["--dir", str(tmp_path), "--node", "argument"],
        {"PRIMACY_LEDGER": "sqlite:///environment", "PRIMACY_NODE": "environment"},
        "quiet primacy.node=kernel primacy.ledger=sqlite:///kernel",
    )
    assert (found.node, found.ledger) == ("argument", "sqlite:///kernel")


async def test_the_system_level_is_brought_up_first(live: Live) -> None:
    await first_pair(live)
    for node in live.layout.nodes():
        lines = live.layout.log(node).read_text().splitlines()
        [up] = [number for number, line in enumerate(lines) if "system level is up" in line][:1]
        [agent] = [number for number, line in enumerate(lines) if "agent started" in line][:1]
        assert up < agent
        addresses = live.table_in_force.agent_addresses(node)
        assert all(f"{host}:{port}" in lines[up] for host, port in addresses)


async def test_the_configuration_table_is_loaded_from_the_ledger(live: Live) -> None:
    status = await first_pair(live)
    [third] = [each["id"] for each in status["nodes"] if each["role"] == "available"]
    table = live.layout.table
    kept = table.read_text()
    table.write_text("nothing of the cluster's table\n")  # the copy for people is not what a node goes by
    try:
        await asyncio.to_thread(nodes.end, live.layout, [third])
        live.start_node(third)
        async with live.client() as cluster:
            after = await live.whole(cluster, members=3, without=entry(status, third)["incarnation"])
    finally:
        table.write_text(kept)
    assert [link["address"] for link in entry(after, third)["links"]] == live.table_in_force.nodes[
        third
    ].links
    assert set(entry(after, third)["servers"]) == set(CENTRALIZED)


async def test_nodes_form_the_cluster_by_telling_about_themselves(make_live: MakeLive) -> None:
    late = make_live(services=stepped())
    await late.make()
    for node in ("n1", "n2"):
        late.start_node(node)
    waits = "formation window: not heard yet: n3"  # each has heard of the other, and waits for the third
    for node in ("n1", "n2"):
        await wait_for(
            lambda n=node: late.of_kind("FormationWaits", node=n, reason=waits), f"{node} waits for n3"
        )
    async with late.client() as cluster:
        status = await late.whole(cluster)
        assert (status["term"], status["master"], status["vice"]) == (1, "n1", "n2")
        assert all(entry(status, node)["datagrams"]["hello"] > 0 for node in ("n1", "n2"))
    claims = await late.some(1, "ClaimBegan")
    assert {claim["cause"] for claim in claims} == {"first formation of the cluster"}


async def test_services_initialize_by_levels_and_the_coordinator_is_told_of_each(live: Live) -> None:
    await first_pair(live)
    for node in live.layout.nodes():
        events = of_node(live, node)
        [began] = places(events, "FunctionBegan", function="initialize")[:1]
        levels = places(events, "LevelCompleted", function="initialize")[:3]
        [ended] = places(events, "FunctionEnded", function="initialize")[:1]
        assert [events[place]["level"] for place in levels] == [1, 2, 3]
        assert [events[place]["services"] for place in levels] == [["stepped"], ["attendant"], ["stepped"]]
        assert [began, *levels, ended] == sorted([began, *levels, ended])


async def test_a_master_is_elected_and_known_to_all_nodes(live: Live) -> None:
    await first_pair(live)
    [elected] = await live.some(1, "MasterElected", term=1)
    assert elected["how"] == "formation"
    async with live.client() as cluster:
        status = await live.whole(cluster, members=3)
        want = [status["term"], status["master"], status["vice"], True]
        for node in live.layout.nodes():
            for _ in range(400):  # what is announced arrives a moment later
                own = await live.ask(cluster, node, "status", local=True)  # as this node itself sees it
                told = [own[key] for key in ("term", "master", "vice", "in_service")]
                if told == want:
                    break
                await asyncio.sleep(0.05)
            assert told == want, node


async def test_a_vice_is_elected(live: Live) -> None:
    await first_pair(live)
    [appointed] = await live.some(1, "ViceAppointed", term=1)
    [in_step] = await live.some(1, "ViceInStep", term=1)
    assert appointed["node"] == in_step["node"]
    [elected] = await live.some(1, "MasterElected", term=1)
    assert appointed["node"] != elected["node"]


async def test_nodes_keep_step_with_the_master_level_by_level(live: Live) -> None:
    await first_pair(live)
    [elected] = await live.some(1, "MasterElected", term=1)
    completed_ns = {
        event["event"]["level"]: event["wall_ns"]
        for event in reversed(live.events())
        if event["node"] == elected["node"]
        and (event["event"]["event"], event["event"].get("function")) == ("LevelCompleted", "initialize")
    }
    others = [node for node in live.layout.nodes() if node != elected["node"]]
    for node in others:
        ran = [row for row in live.callbacks(node) if row["function"] == "initialize"]
        first = {row["level"]: row["at_ns"] for row in reversed(ran)}
        for level in (1, 2, 3):
            assert completed_ns[level] <= first[level], f"{node} was ahead of the master at level {level}"
    assert completed_ns[3] - completed_ns[2] >= 300_000_000  # the master was slow there, and waited for


async def test_local_services_initialize_through_the_coordinator_too(live: Live) -> None:
    await first_pair(live)
    async with live.client() as cluster:
        await live.status(
            cluster,
            lambda status: all(each["local"] == {"attendant": "running"} for each in status["nodes"]),
            "the local service runs on every node",
        )
    for node in live.layout.nodes():
        begun = [
            row
            for row in live.callbacks(node)
            if row["service"] == "attendant" and row["callback"] == "begin"
        ]
        assert begun[0]["function"] == "initialize"
        assert begun[0]["level"] == 2
        assert begun[0]["node"] == node
    await wait_for(
        lambda: all((live.layout.node(node) / "primaries.json").exists() for node in live.layout.nodes()),
        "every local service was told of the primaries",
    )
