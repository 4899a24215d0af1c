"""What will run, and who waits for whom: the plan of a function before it runs, and `status` while it does."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from primacy.errors import OperationFailed
from tests.cluster.cluster_tools import Live, run_cli, set_flag, stepped
from tests.cluster.conftest import MakeLive

TIMEOUT_S = 5.0  # of `Stepped.change`


@pytest.fixture(scope="module")
def live(make_shared: MakeLive) -> Live:
    """A cluster of three nodes that runs `Stepped` and `Attendant`."""
    shared = make_shared(services=stepped())
    asyncio.run(shared.start())
    return shared


def planned(live: Live, function: str, node: str) -> list[dict[str, Any]]:
    """Return the halves of a function as the command tells them."""
    told = run_cli("sequence", function, "--node", node, "--dir", str(live.layout.root), "--json")
    assert told.returncode == 0, told.stderr
    halves: list[dict[str, Any]] = json.loads(told.stdout)["halves"]
    return halves


def levels(half: dict[str, Any]) -> list[tuple[int, str]]:
    """Return level and callback of a half in the order in which they are to run."""
    return [(level["level"], row["callback"]) for level in half["levels"] for row in level["callbacks"]]


async def test_a_function_runs_as_its_plan_says(live: Live) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        giving_up, taking_over = planned(live, "switchover", "master")
        known = len(live.callbacks())
        moved = await cluster.control("switchover", reason="as planned")
        ran = live.callbacks()[known:]
        for node, half in ((before["master"], giving_up), (moved["to"], taking_over)):
            rows = [(r["level"], r["callback"]) for r in ran if (r["on"], r["service"]) == (node, "stepped")]
            assert rows == levels(half)
        [reattaching] = planned(live, "reconnect", "vice")
        assert levels(reattaching) == [(1, "reattach")]
        await live.whole(cluster, members=3)


async def test_each_level_is_shown_with_its_barrier(live: Live) -> None:
    async with live.client() as cluster:
        await live.whole(cluster, members=3)
    [starting] = planned(live, "initialize", "n3")
    assert [(level["level"], level["barrier"]) for level in starting["levels"]] == [
        (1, "cluster"),
        (2, "cluster"),
        (3, "cluster"),
    ]
    told = run_cli("sequence", "initialize", "--dir", str(live.layout.root))
    assert told.returncode == 0, told.stderr
    assert "  level 1, barrier cluster (the master first)\n    stepped.first  at most 5 s" in told.stdout
    unknown = run_cli("sequence", "initialize", "--node", "n9", "--dir", str(live.layout.root))
    assert (unknown.returncode, "n1, n2, n3" in unknown.stderr) == (78, True)
    assert run_cli("sequence", "dance", "--dir", str(live.layout.root)).returncode == 2


async def test_status_shows_who_waits_for_whom_since_when_and_until_when(live: Live) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        set_flag(live, "hang", True)
        moving = asyncio.create_task(cluster.control("switchover", reason="somebody hangs"))
        try:
            status = await live.status(
                cluster,
                lambda s: any((n["function"], n["level"]) == ("switchover", 1) for n in s["nodes"]),
                "the switchover waits on its last level down",
            )
            [master] = [n for n in status["nodes"] if n["id"] == before["master"]]
            [wait] = master["waiting_for"]
            assert (wait["for"], wait["function"], wait["level"]) == ("stepped.change", "switchover", 1)
            assert wait["since_s"] + wait["until_s"] == pytest.approx(TIMEOUT_S, abs=0.2)
            shown = run_cli("status", "--dir", str(live.layout.root)).stdout
            assert "switchover level 1 waits for stepped.change (since " in shown
            assert all(not n["waiting_for"] for n in status["nodes"] if n["id"] != before["master"])
            with pytest.raises(OperationFailed, match="took longer than 5 s"):
                await moving
        finally:
            moving.cancel()
            set_flag(live, "hang", False)
        after = await live.whole(cluster, members=3)
        assert (after["master"], after["term"]) == (before["master"], before["term"])
        assert all(n["function"] is None and not n["waiting_for"] for n in after["nodes"])
