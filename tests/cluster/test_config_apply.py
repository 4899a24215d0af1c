"""Changes of the configuration table on real processes: planned, written once, and followed by every node.

All tests share one cluster of three nodes, change its table as an operator does, and leave it whole.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from primacy.cli import changing
from primacy.config import PORTS, Node, Service, Table, build, without_node
from primacy.errors import Refused
from primacy.local import change, nodes
from primacy.local.processes import agent_of
from primacy.local.table import to_toml
from tests.cluster.cluster_tools import SERVICES, Live, run_cli, wait_for
from tests.cluster.conftest import MakeLive
from tests.cluster.workload import Workload

LIMIT_S = 40.0
OUTAGE_MS_MAX = 5000.0
"""What a switchover may cost on a machine of two cores that is busy with other things; measured: `primacy bench`."""


@pytest.fixture(scope="module")
def live(make_shared: MakeLive) -> Live:
    """A cluster in service."""
    shared = make_shared()
    asyncio.run(shared.start())
    return shared


async def _table(live: Live) -> tuple[int, Table]:
    shown = await changing.stands(str(live.layout.root), LIMIT_S)
    return shown.revision, shown.table


async def _apply(
    live: Live, file: Path, alter: Callable[[Table], Table], *options: str
) -> tuple[int, dict[str, Any]]:
    """Write the altered table into a file and apply it by the command; return exit code and what it printed."""
    _, table = await _table(live)
    file.write_text(to_toml(alter(table)), encoding="utf-8")
    words = ("config", "apply", str(file), "--dir", str(live.layout.root), "--json", *options)
    ended = await asyncio.to_thread(run_cli, *words)
    assert ended.stdout, ended.stderr
    return ended.returncode, json.loads(ended.stdout)


def _with_service(name: str, row: Service) -> Callable[[Table], Table]:
    return lambda table: msgspec.structs.replace(table, services=table.services | {name: row})


def _without_service(name: str) -> Callable[[Table], Table]:
    return lambda table: msgspec.structs.replace(
        table, services={s: row for s, row in table.services.items() if s != name}
    )


def _with_profile(name: str) -> Callable[[Table], Table]:
    return lambda table: msgspec.structs.replace(
        table, cluster=msgspec.structs.replace(table.cluster, profile=name)
    )


def _stepped() -> Service:
    return Service(python=f"{SERVICES.name}:Stepped", path=str(SERVICES.parent))


def _workload(live: Live, number: int) -> Workload:
    """Writers of a test, on logs of its own."""
    work = Workload(live, random.Random(number))
    for _ in range(number):
        work.turn()
    return work


async def _judged(work: Workload, live: Live, since_ns: int) -> None:
    """Nothing acknowledged is lost, and nobody waited longer than for a switchover."""
    async with live.client() as cluster:
        await work.judge(cluster)
    assert work.acknowledged, "nothing was written"
    assert not work.failed
    assert work.longest_ns(since_ns) / 1e6 < OUTAGE_MS_MAX


async def test_a_new_service_goes_through_the_cluster_node_by_node(live: Live, tmp_path: Path) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
    lives = {n["id"]: n["incarnation"] for n in before["nodes"]}
    began_ns = time.monotonic_ns()
    async with _workload(live, 5) as work:
        code, told = await _apply(live, tmp_path / "t.toml", _with_service("stepped", _stepped()))
        assert (code, len(told["steps"])) == (0, 1), told
        async with live.client() as cluster:
            after = await live.whole(cluster, members=3)
            assert "stepped" in [s["name"] for s in after["services"]]
            assert await cluster.service("stepped").query.marks() == []
    await _judged(work, live, began_ns)
    assert after["term"] == before["term"] + 1, "one switchover, no failover"
    assert all(lives[n["id"]] != n["incarnation"] for n in after["nodes"]), "every node has a new life"
    asked = [event["node"] for event in await live.some(3, "RestartAsked")]
    assert sorted(asked) == ["n1", "n2", "n3"]
    assert asked[-1] == before["master"]
    assert asked[-2] == before["vice"]


async def test_a_service_that_is_taken_out_ends_at_once_and_nobody_restarts(
    live: Live, tmp_path: Path
) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
    began_ns = time.monotonic_ns()
    async with _workload(live, 6) as work:
        code, told = await _apply(live, tmp_path / "t.toml", _without_service("stepped"))
        assert code == 0, told
        async with live.client() as cluster:
            after = await live.whole(cluster, members=3)
    await _judged(work, live, began_ns)
    assert [s["name"] for s in after["services"]] == ["naming", "logbook"]
    assert [n["incarnation"] for n in after["nodes"]] == [n["incarnation"] for n in before["nodes"]]
    assert after["term"] == before["term"]
    closed = [(row["on"], row["level"]) for row in live.callbacks() if row["function"] == "shutdown"]
    assert closed[-6:].count(("n1", 1)) == 1, "its shutdown callbacks ran on every node"


async def test_the_times_change_under_load_without_a_switchover(live: Live, tmp_path: Path) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
    began_ns = time.monotonic_ns()
    async with _workload(live, 7) as work:
        for profile in ("wan", "lan"):
            code, told = await _apply(live, tmp_path / "t.toml", _with_profile(profile))
            assert code == 0, told
            _, table = await _table(live)
            assert (table.cluster.profile, table.replaces) == (profile, None)
        async with live.client() as cluster:
            after = await live.whole(cluster, members=3)
    await _judged(work, live, began_ns)
    assert (after["term"], after["master"], after["vice"]) == (
        before["term"],
        before["master"],
        before["vice"],
    )


async def test_a_new_master_goes_on_when_the_old_one_dies_in_the_middle(live: Live, tmp_path: Path) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
    lives = {n["id"]: n["incarnation"] for n in before["nodes"]}
    asked = len(live.of_kind("RestartAsked"))
    row = msgspec.structs.replace((await _table(live))[1].services["logbook"], mirror_timeout_s=3.0)
    began_ns = time.monotonic_ns()
    async with _workload(live, 4) as work:
        applying = asyncio.create_task(_apply(live, tmp_path / "t.toml", _with_service("logbook", row)))
        await wait_for(lambda: len(live.of_kind("RestartAsked")) > asked, "the first node restarts")
        agent = agent_of(live.layout.node(before["master"]))
        assert agent is not None
        agent.send(signal.SIGKILL)
        code, told = await applying
        assert code == 0, told
        async with live.client() as cluster:
            after = await live.whole(cluster, members=3)
            assert not after["change"]
            assert [n["table"]["behind"] for n in after["nodes"]] == [[], [], []]
    await _judged(work, live, began_ns)
    assert all(lives[n["id"]] != n["incarnation"] for n in after["nodes"]), "every node has a new life"


async def test_a_node_is_added_while_the_others_go_on(live: Live) -> None:
    where = ("--dir", str(live.layout.root), "--json")
    _, before = await _table(live)
    port = max(row.port for row in before.nodes.values()) + 4 * PORTS
    ended = await asyncio.to_thread(run_cli, "add", "n4", "--no-eligible", "--port", str(port), *where)
    assert ended.returncode == 0, ended.stderr
    twice = await asyncio.to_thread(run_cli, "add", "n4", *where)
    assert twice.returncode == 78
    live.start_node("n4")
    async with live.client() as cluster:
        status = await live.whole(cluster, members=4)
    assert [n["role"] for n in status["nodes"] if n["id"] == "n4"] == ["ineligible"]
    _, table = await _table(live)
    assert table.nodes["n4"] == Node(links=before.nodes["n1"].links, port=port, eligible=False)
    assert str(port) in live.layout.client_file.read_text()


async def test_a_change_is_answered_by_the_right_function_on_the_right_node(
    live: Live, tmp_path: Path
) -> None:
    """n4 was added; it is qualified, and then removed: in order, by a table each."""

    def qualified(table: Table) -> Table:
        row = msgspec.structs.replace(table.nodes["n4"], eligible=True)
        return msgspec.structs.replace(table, nodes=table.nodes | {"n4": row})

    code, told = await _apply(live, tmp_path / "t.toml", qualified)
    assert (code, told["functions"]) == (0, ["qualify n4"]), told
    assert (await _table(live))[1].nodes["n4"].eligible
    code, told = await _apply(live, tmp_path / "t.toml", lambda table: without_node(table, "n4"))
    assert (code, told["functions"]) == (0, ["remove n4"]), told
    assert "n4" not in (await _table(live))[1].nodes
    events = await live.some(2, "OperationEnded", node="n4")
    ended = [(e["function"], e["node"], e["outcome"]) for e in events]
    assert ended == [("qualify", "n4", "done"), ("remove", "n4", "done")]
    await wait_for(lambda: "n4" not in nodes.running(live.layout), "its guardian has ended")


async def test_a_refused_change_changes_nothing(live: Live, tmp_path: Path) -> None:
    stands = await _table(live)

    def dangerous(table: Table) -> Table:
        rows = {
            n: msgspec.structs.replace(row, links=["127.0.0.8", "127.0.0.9"])
            for n, row in table.nodes.items()
        }
        row = msgspec.structs.replace(table.services["logbook"], durability="memory")
        return msgspec.structs.replace(table, nodes=rows, services={"logbook": row})

    code, told = await _apply(live, tmp_path / "t.toml", dangerous)
    assert code == 3
    assert {"nodes.n1.links", "nodes.n2.links", "nodes.n3.links", "services.logbook.durability"} <= {
        r.split(":")[0] for r in told["reasons"]
    }
    missing = Service(python="nothing.py:Nothing", path=str(tmp_path))
    code, told = await _apply(live, tmp_path / "t.toml", _with_service("nothing", missing))
    assert code == 78, "code that cannot be imported is found out before"
    assert await _table(live) == stands


async def test_of_two_operators_at_once_one_gets_a_conflict(live: Live) -> None:
    revision, table = await _table(live)
    root = str(live.layout.root)

    def operator(priority: int) -> Any:
        rows = {n: msgspec.structs.replace(row, priority=priority) for n, row in table.nodes.items()}
        wanted = msgspec.structs.replace(table, nodes=rows)
        wish = changing.Wish("a test", revision=revision)
        return changing.change(root, wanted, wish, LIMIT_S, lambda line: None)

    answers = await asyncio.gather(operator(7), operator(8), return_exceptions=True)
    (refusal,) = [a for a in answers if isinstance(a, Refused)]
    assert any(why in refusal.reasons[0] for why in ("changed meanwhile", "is in progress"))
    (done,) = [a for a in answers if isinstance(a, changing.Changed)]
    now, after = await _table(live)
    assert now == done.revision > revision
    assert {row.priority for row in after.nodes.values()} == {7 if answers[0] is done else 8}
    async with live.client() as cluster:
        await live.whole(cluster, members=3)


async def test_a_cluster_that_is_down_is_changed_in_its_ledger(live: Live, tmp_path: Path) -> None:
    await asyncio.to_thread(nodes.stop, live.layout, nodes.running(live.layout), print)
    revision, _ = await change.stands(live.layout)
    code, told = await _apply(live, tmp_path / "t.toml", _with_profile("wan"))
    assert (code, told["revision"] > revision) == (0, True), told
    _, table = await _table(live)
    assert (table.cluster.profile, table.replaces) == ("wan", None)
    assert 'profile = "wan"' in live.layout.table.read_text()
    shown = await asyncio.to_thread(run_cli, "config", "show", "--dir", str(live.layout.root))
    assert (shown.returncode, build(tomllib.loads(shown.stdout), "shown")) == (0, table)
    assert f"revision {told['revision']}" in shown.stderr
