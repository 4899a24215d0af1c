"""A change of the table on real processes: carried out to its end whoever dies, and nodes that move meanwhile.

All tests share one cluster of four nodes, change its table as an operator does while clients write, and leave it whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from primacy.cli import changing
from primacy.config import PORTS, Service, Table
from primacy.local import ports
from primacy.local.processes import agent_of
from primacy.local.table import to_toml
from tests.cluster.cluster_tools import LIMIT_S, ROOT, Live, free_base, run_cli, wait_for
from tests.cluster.conftest import MakeLive
from tests.cluster.workload import Workload

OUTAGE_MS_MAX = 5000.0
"""What a switchover may cost on a machine of two cores that is busy with other things; measured: `primacy bench`."""
FAILOVER_MS_MAX = 10_000.0
"""And what it may cost when agents are killed besides, some of them while they restart."""

Alter = Callable[[Table], Table]


@pytest.fixture(scope="module")
def live(make_shared: MakeLive) -> Live:
    """A cluster in service; n4 may not be master."""

    def change(made: Table) -> Table:
        row = msgspec.structs.replace(made.nodes["n4"], eligible=False)
        return msgspec.structs.replace(made, nodes=made.nodes | {"n4": row})

    shared = make_shared(count=4, change=change)
    asyncio.run(shared.start())
    return shared


async def _table(live: Live) -> Table:
    return (await changing.stands(str(live.layout.root), LIMIT_S)).table


async def _file(live: Live, place: Path, alter: Alter) -> Path:
    place.write_text(to_toml(alter(await _table(live))), encoding="utf-8")
    return place


def _words(live: Live, file: Path, *options: str) -> list[str]:
    return ["config", "apply", str(file), "--dir", str(live.layout.root), *options]


async def _apply(live: Live, file: Path, *options: str) -> dict[str, Any]:
    """Apply a file by the command to its end; return what it printed."""
    ended = await asyncio.to_thread(run_cli, *_words(live, file, "--json", *options))
    told: dict[str, Any] = json.loads(ended.stdout)
    assert ended.returncode == 0, told
    return told


def _begin(live: Live, file: Path) -> subprocess.Popen[str]:
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "primacy.cli.main", *_words(live, file)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, cwd=ROOT, env=dict(os.environ), **pipes)


def _nodes(**rows: dict[str, Any]) -> Alter:
    """Alter these rows."""
    return lambda table: msgspec.structs.replace(
        table,
        nodes={n: msgspec.structs.replace(row, **rows.get(n, {})) for n, row in table.nodes.items()},
    )


def _patience(mirror_timeout_s: float) -> Alter:
    """Alter the service, so that every node has to restart."""

    def alter(table: Table) -> Table:
        row = msgspec.structs.replace(table.services["logbook"], mirror_timeout_s=mirror_timeout_s)
        return msgspec.structs.replace(table, services={"logbook": row})

    return alter


def _both(one: Alter, other: Alter) -> Alter:
    return lambda table: other(one(table))


@contextlib.asynccontextmanager
async def _writing(live: Live, number: int, outage_ms_max: float) -> AsyncIterator[Workload]:
    """Clients write and read; afterwards nothing acknowledged is lost, and nobody has waited for too long."""
    work = Workload(live, random.Random(number))
    for _ in range(number):
        work.turn()
    began_ns = time.monotonic_ns()
    async with work:
        yield work
    async with live.client() as cluster:
        await work.judge(cluster)
    assert work.acknowledged, "nothing was written"
    assert not work.failed
    longest_ms = work.longest_ns(began_ns) / 1e6
    print(f"{len(work.acknowledged)} writes acknowledged, 0 lost; the longest call took {longest_ms:.0f} ms")
    assert longest_ms < outage_ms_max


async def _ended(live: Live, count: int) -> dict[str, Any]:
    """Wait until so many changes have ended, and return the last of them."""

    def found() -> list[dict[str, Any]]:
        return live.of_kind("ChangeEnded")

    return (await wait_for(lambda: len(found()) >= count and found(), "the change has ended", 90.0))[-1]


def _over(live: Live) -> int:
    return len(live.of_kind("ChangeEnded"))


async def _whole(live: Live, members: int = 4) -> dict[str, Any]:
    async with live.client() as cluster:
        return await live.whole(cluster, members=members)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("stays", ["127.0.0.2", pytest.param("127.0.0.1", marks=pytest.mark.soak)])
async def test_links_of_all_nodes_go_and_come_back_under_load(live: Live, tmp_path: Path, stays: str) -> None:
    """From two links to one, and back: each time every node restarts once, and the mastership moves once."""
    names = (await _table(live)).nodes
    for number, links in enumerate(([stays], ["127.0.0.1", "127.0.0.2"])):
        before = await _whole(live)
        async with _writing(live, 10 + number, OUTAGE_MS_MAX):
            told = await _apply(
                live, await _file(live, tmp_path / "t.toml", _nodes(**{n: {"links": links} for n in names}))
            )
            after = await _whole(live)
        assert told["ended"]
        assert [[link["address"] for link in n["links"]] for n in after["nodes"]] == [links] * 4
        assert all(link["up"] for n in after["nodes"] for link in n["links"]), "every link is up, between all"
        assert after["term"] == before["term"] + 1
        lives = {n["id"]: n["incarnation"] for n in before["nodes"]}
        assert all(lives[n["id"]] != n["incarnation"] for n in after["nodes"])
    assert {n: r.links for n, r in (await _table(live)).nodes.items()} == {
        n: r.links for n, r in names.items()
    }
    lost = Counter((e["node"], e["peer"]) for e in live.of_kind("NodeChanged", reachable=False))
    stops = Counter(e["node"] for e in live.of_kind("NodeStopped"))
    assert {pair: n for pair, n in lost.items() if n > stops[pair[1]]} == {}, (
        "only who restarts is out of reach"
    )


@pytest.mark.timeout(120)
async def test_ports_of_all_nodes_change_under_load(live: Live, tmp_path: Path) -> None:
    before = await _whole(live)
    with ports.lock():
        base = free_base(4)
        rows = {f"n{i + 1}": {"port": base + i * PORTS} for i in range(4)}
        async with _writing(live, 20, OUTAGE_MS_MAX):
            await _apply(live, await _file(live, tmp_path / "t.toml", _nodes(**rows)))
            after = await _whole(live)
    assert after["term"] == before["term"] + 1
    assert {n: row.port for n, row in (await _table(live)).nodes.items()} == {
        n: r["port"] for n, r in rows.items()
    }
    assert str(base) in (live.layout.node("n1") / "node.toml").read_text()
    assert f'"127.0.0.1:{base}"' in live.layout.client_file.read_text()


@pytest.mark.timeout(120)
async def test_a_killed_apply_changes_nothing_of_what_follows(live: Live, tmp_path: Path) -> None:
    """Table, qualify n4, restarts, disqualify n3: the command is killed as soon as the plan stands in the ledger."""
    await _whole(live)
    over, began = _over(live), len(live.of_kind("ChangeBegan"))
    alter = _both(_patience(3.0), _nodes(n4={"eligible": True}, n3={"eligible": False}))
    async with _writing(live, 30, OUTAGE_MS_MAX):
        command = _begin(live, await _file(live, tmp_path / "t.toml", alter))
        try:
            await wait_for(lambda: len(live.of_kind("ChangeBegan")) > began, "the plan stands in the ledger")
        finally:
            command.kill()
            command.communicate()
        ended = await _ended(live, over + 1)
        after = await _whole(live)
    assert (ended["outcome"], ended["held"]) == ("done", [])
    table = await _table(live)
    assert table.services["logbook"].mirror_timeout_s == 3.0
    assert [n for n, row in table.nodes.items() if not row.eligible] == ["n3"]
    assert not after["change"]
    steps = [e["what"] for e in await live.some(4, "ChangeStepEnded", change=ended["change"])]
    assert [what.split(";")[0] for what in steps] == [
        "the table is written", "qualify n4", "every node restarts in its turn", "disqualify n3",
    ]  # fmt: skip
    await _apply(
        live, await _file(live, tmp_path / "t.toml", _nodes(n4={"eligible": False}, n3={"eligible": True}))
    )


@pytest.mark.timeout(120)
async def test_a_second_apply_is_refused_by_name_and_interrupting_the_first_stops_nothing(
    live: Live, tmp_path: Path
) -> None:
    await _whole(live)
    over = _over(live)
    began = await asyncio.to_thread(
        run_cli,
        *_words(
            live,
            await _file(live, tmp_path / "t.toml", _patience(4.0)),
            "--json",
            "--no-wait",
            "--reason",
            "first",
        ),
    )
    told = json.loads(began.stdout)
    assert (began.returncode, told["ended"]) == (0, False), told
    refused = await asyncio.to_thread(
        run_cli, *_words(live, await _file(live, tmp_path / "u.toml", _nodes(n1={"priority": 3})), "--json")
    )
    assert refused.returncode == 3
    assert f"change {told['change']}, asked for by admin (first) is in progress: step" in refused.stdout
    shown = await asyncio.to_thread(run_cli, "config", "show", "--dir", str(live.layout.root))
    assert f"change {told['change']}, asked for by admin: first" in shown.stderr
    assert "1. the table is written" in shown.stderr
    async with live.client() as cluster:
        status = await live.status(cluster, lambda s: s["change"], "status shows the change")
    assert "of 2, every node restarts in its turn, since" in status["change"]
    assert (await _ended(live, over + 1))["outcome"] == "done"
    await _whole(live)
    command = _begin(live, await _file(live, tmp_path / "t.toml", _patience(2.0)))
    begun = len(live.of_kind("ChangeBegan"))
    await wait_for(lambda: len(live.of_kind("ChangeBegan")) > begun, "it has begun")
    assert command.stderr is not None
    line = await asyncio.to_thread(command.stderr.readline)
    command.send_signal(signal.SIGINT)
    _, rest = await asyncio.to_thread(command.communicate)
    assert command.returncode == 130, line + rest
    assert "goes on by itself: `primacy config show` tells how far it is" in rest
    assert (await _ended(live, over + 2))["outcome"] == "done"
    await _whole(live)


BROKEN = """
import msgspec
import primacy


class State(msgspec.Struct):
    number: int = 0


class Broken(primacy.Service[State]):
    \"\"\"It can be imported, and never be initialized.\"\"\"

    @primacy.on("initialize", level=1, timeout=5)
    async def never(self, ctx: object) -> None:
        raise primacy.Refused(["the licence is missing"])
"""


@pytest.mark.timeout(150)
async def test_a_change_that_is_stuck_stops_there_and_another_one_takes_its_place(
    live: Live, tmp_path: Path
) -> None:
    """New code that fails at the first node that runs it: the others go on as they were, until it is corrected."""
    before = await _whole(live)
    former = await _file(live, tmp_path / "former.toml", lambda table: table)
    (tmp_path / "broken.py").write_text(BROKEN)
    (tmp_path / "mended.py").write_text(BROKEN.replace("raise", "return"))

    def more(file: str) -> Alter:
        row = Service(python=f"{file}:Broken", path=str(tmp_path))
        return lambda table: msgspec.structs.replace(table, services=table.services | {"broken": row})

    async with _writing(live, 35, OUTAGE_MS_MAX):
        words = _words(live, await _file(live, tmp_path / "t.toml", more("broken.py")), "--json", "--no-wait")
        assert (await asyncio.to_thread(run_cli, *words)).returncode == 0
        async with live.client() as cluster:
            stuck = await live.status(
                cluster, lambda s: "initializes its servers" in s["change"], "it is stuck"
            )
        assert (stuck["term"], stuck["in_service"]) == (before["term"], True)
        corrected = await _file(live, tmp_path / "t.toml", more("mended.py"))
        told = await _apply(live, corrected, "--replace", "--reason", "corrected")
        after = await _whole(live)
        assert after["term"] == before["term"] + 1, "one switchover, for the code that is right"
        assert len(after["services"]) == len(before["services"]) + 1
        await _apply(live, former)
        after = await _whole(live)
    assert [s["name"] for s in after["services"]] == [s["name"] for s in before["services"]]
    (replaced,) = await live.some(1, "ChangeEnded", outcome="replaced")
    assert replaced["reasons"] == [f"change {told['change']}, asked for by admin (corrected) took its place"]


STEPS = ("ChangeBegan 1", "ChangeStepEnded 1", "ChangeStepEnded 2", "ChangeStepEnded 3")
RESTARTS = ("RestartAsked 1", "RestartAsked 2", "RestartAsked 3")
KILLS = [*(("master", m) for m in (*STEPS, *RESTARTS)), *(("restarting", m) for m in RESTARTS)]
SOME = (("master", STEPS[2]), ("restarting", RESTARTS[1]))
EACH = [k if k in SOME else pytest.param(*k, marks=pytest.mark.soak) for k in KILLS]


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("who", "moment"), EACH)
def test_it_is_finished_when_an_agent_is_killed(live: Live, tmp_path: Path, who: str, moment: str) -> None:
    """At each step: the master, or the node that was told to restart; the plan adds, restarts, moves and takes away."""
    asyncio.run(_killed(live, tmp_path, who, moment))


async def _killed(live: Live, tmp_path: Path, who: str, moment: str) -> None:
    status = await _whole(live)
    table = await _table(live)
    spare, gone = ("n4", "n3") if table.nodes["n3"].eligible else ("n3", "n4")
    links = ["127.0.0.1"] if len(table.nodes["n2"].links) > 1 else ["127.0.0.1", "127.0.0.2"]
    alter = _both(
        _patience(2.0 + random.random()),
        _nodes(**{spare: {"eligible": True}, gone: {"eligible": False}, "n2": {"links": links}}),
    )
    over, (kind, number) = _over(live), moment.split()
    already = len(live.of_kind(kind))

    def told() -> list[dict[str, Any]]:
        return live.of_kind(kind)[already:]

    async with _writing(live, 40 + KILLS.index((who, moment)), FAILOVER_MS_MAX):
        applying = asyncio.create_task(_apply(live, await _file(live, tmp_path / "t.toml", alter)))
        await wait_for(lambda: len(told()) >= int(number), moment)
        victim = status["master"] if who == "master" else told()[-1]["node"]
        agent = agent_of(live.layout.node(victim))
        if agent is not None:
            agent.send(signal.SIGKILL)
        await applying
        await _whole(live)
    ended = await _ended(live, over + 1)
    assert (ended["outcome"], ended["held"]) == ("done", [])
    after = await _table(live)
    assert [after.nodes[n].eligible for n in (spare, gone)] == [True, False]
    assert after.nodes["n2"].links == links
