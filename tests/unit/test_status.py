"""What `status` shows: each node's own part, and the whole that its master makes of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from primacy.agent import status
from primacy.machines import host_wire
from primacy.machines.ids import SECOND
from primacy.machines.membership import NodeEntry, TableChanged
from tests.unit.agent_tools import Site
from tests.unit.cgtp_tools import until


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path, services={"door": {"python": "door:Door", "local": True}})
    await made.serve()
    yield made
    await made.close()


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path, nodes=3, links=2)
    made.add("n1")
    made.add("n2")
    made.running["n1"].node.monitor.timing = msgspec.structs.replace(made.table.times, formation_ms=300)
    made.running["n2"].node.monitor.timing = msgspec.structs.replace(made.table.times, formation_ms=300)
    for running in made.running.values():
        await running.start()
    await until(lambda: made.master, "a master serves")
    await until(lambda: made.master and made.master.node.facts().vice_ready, "a vice is ready")
    yield made
    await made.close()


async def test_a_nodes_own_part(site: Site) -> None:
    node = site.running["n1"].node
    await until(lambda: node.coordinator.servers.by_service["door"].ready, "the local service runs")
    part = status.local(node)
    assert (part["id"], part["incarnation"], part["role"]) == ("n1", node.me.incarnation, "master")
    assert part["servers"] == {"naming": "primary"}
    assert part["local"] == {"door": "running"}
    assert (part["function"], part["level"], part["waiting"]) == (None, None, [])
    assert part["links"] == [{"address": site.table.nodes["n1"].links[0], "up": True}]
    assert json.loads(json.dumps(part)) == part
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(part)) == part


async def test_a_function_in_progress_names_its_level_and_who_is_waited_for(tmp_path: Path) -> None:
    site = Site(tmp_path)
    running = site.add("n1")
    running.guardian.callbacks = {"naming": [host_wire.Callback("initialize", 3, "warm_up", timeout_s=60.0)]}
    running.guardian.silent = {"naming"}
    await running.start()
    await until(lambda: "naming" in running.guardian.hosts, "the host runs")
    running.guardian.hosts["naming"].say(
        host_wire.Opened("naming", running.guardian.callbacks["naming"], 0, 0)
    )
    await until(lambda: status.local(running.node)["level"], "a function is in progress")
    part = status.local(running.node)
    assert (part["function"], part["level"], part["waiting"]) == ("initialize", 3, ["naming.warm_up"])
    [wait] = part["waiting_for"]
    assert wait["for"] == "naming.warm_up"
    assert 0 <= wait["since_s"] <= 5
    assert wait["since_s"] + wait["until_s"] == pytest.approx(60, abs=0.2)
    assert not status.in_service(running.node)
    await site.close()


async def test_troubles_of_hosts_are_told(site: Site) -> None:
    node = site.running["n1"].node
    node.coordinator.servers.by_service["naming"].error = "journal is corrupt"
    assert "naming: journal is corrupt" in status.local(node)["waiting"]
    site.running["n1"].guardian.hosts["naming"].silent = True
    node.hosts.check_health(-5 * SECOND)
    assert any("has not answered for" in line for line in status.local(node)["waiting"])
    assert "naming: journal is corrupt" in status.whole(node, {"n1": status.local(node)})["waits"]


async def test_the_whole_with_a_node_that_is_absent(pair: Site) -> None:
    assert pair.master is not None
    master = pair.master.node
    vice = next(r.node for r in pair.running.values() if r.node is not master)
    master.progress["naming"] = host_wire.Progress(1, 9, 7, 9)
    locals_ = {n.me.node: status.local(n) for n in (master, vice)}
    whole = status.whole(master, locals_)
    assert (whole["master"], whole["vice"], whole["vice_ready"]) == (master.me.node, vice.me.node, True)
    assert whole["in_service"]
    assert (whole["term"], whole["waits"]) == (1, [])
    assert whole["ledger"] == {"url": "memory://test", "available": True}
    roles = {n["id"]: n["role"] for n in whole["nodes"]}
    assert roles == {master.me.node: "master", vice.me.node: "vice", "n3": "out"}
    absent = next(n for n in whole["nodes"] if n["id"] == "n3")
    assert [link["up"] for link in absent["links"]] == [False, False]
    assert absent.keys() == locals_["n1"].keys()
    (service,) = whole["services"]
    assert service == {
        "name": "naming", "primary": master.me.node, "secondary": vice.me.node, "durability": "disk",
        "sequence": 9, "lag": 2,
    }  # fmt: skip


async def test_without_the_others_parts_the_master_still_answers(pair: Site) -> None:
    assert pair.master is not None
    master = pair.master.node
    whole = status.whole(master, {master.me.node: status.local(master)})
    assert whole["services"][0]["secondary"] is None
    assert len(whole["nodes"]) == 3


@pytest.mark.parametrize(
    ("eligible", "available", "role"),
    [
        (True, True, "available"),
        (True, False, "spare"),
        (False, True, "ineligible"),
        (False, False, "ineligible"),
    ],
)
async def test_the_rung_of_a_node_without_a_role(
    tmp_path: Path, eligible: bool, available: bool, role: str
) -> None:
    site = Site(tmp_path)
    running = site.add("n1")
    entry = NodeEntry("n1", eligible=eligible, available=available)
    running.node.monitor.step(TableChanged(now_ns=running.node.started_ns, nodes=(entry,)))
    assert status.local(running.node)["role"] == role
    await site.close()


async def test_who_waits_in_formation_says_for_what(tmp_path: Path) -> None:
    site = Site(tmp_path, nodes=2)
    running = await site.add("n1").start()
    await until(lambda: running.node.monitor.member.waits_for, "it waits", deadline_s=3.0)
    whole = status.whole(running.node, {"n1": status.local(running.node)})
    assert whole["waits"] == ["n1: formation window: not heard yet: n2"]
    assert (whole["master"], whole["vice"], whole["in_service"]) == (None, None, False)
    running.node.ledger.available = False
    assert any("ledger does not answer" in line for line in status.whole(running.node, {})["waits"])
    await site.close()
