"""Why did it fail over: each decision is kept with its inputs, told, and decided again; and it can be asked before.

Both tests share one cluster and leave it whole.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from primacy.client import Cluster
from primacy.ledger import open_ledger
from primacy.local import faults
from primacy.machines.records import MASTERSHIP, decode_mastership, encode
from tests.cluster.cluster_tools import LIMIT_S, Live, run_cli, stepped
from tests.cluster.conftest import MakeLive


@pytest.fixture(scope="module")
def live(make_shared: MakeLive) -> Live:
    """A cluster of three nodes in service."""
    shared = make_shared(services=stepped())
    asyncio.run(shared.start())
    return shared


async def primacy(live: Live, *words: str, code: int = 0) -> Any:
    """Run a command that prints JSON and must end with this exit code."""
    ran = await asyncio.to_thread(run_cli, *words, "--json", "--dir", str(live.layout.root))
    assert ran.returncode == code, f"{words}: {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
    return json.loads(ran.stdout)


async def told_by(live: Live, cluster: Cluster, node: str) -> str:
    """Wait until a node's status says that nobody may claim, and return that line."""
    deadline_s = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline_s:
        status = await live.ask(cluster, node, "status")
        found = [line for line in status["waits"] if "nobody else may claim" in line]
        if found:
            return str(found[0])
        await asyncio.sleep(0.05)
    raise AssertionError(f"{node} does not say that nobody may claim; it waits for {status['waits']}")


async def test_a_failover_is_foretold_explained_and_decided_again(live: Live, tmp_path: Path) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        master, vice = before["master"], before["vice"]
        [third] = [n["id"] for n in before["nodes"] if n["id"] not in (master, vice)]

        foretold = await primacy(live, "what-if", "lose", "master")
        assert foretold["possible"]
        assert foretold["candidates"][vice] == []
        assert "only the ready vice" in foretold["candidates"][third][0]
        assert f"{third} is appointed vice then" in foretold["then"]
        refused = await primacy(live, "what-if", "switchover", third, code=3)
        assert "only the vice has the data" in refused["reasons"][0]

        life = next(n["incarnation"] for n in before["nodes"] if n["id"] == master)
        faults.crash(live.layout.node(master))
        after = await live.whole(cluster, members=3, without=life)
        assert (after["master"], after["vice"], after["term"]) == (vice, third, before["term"] + 1)

    explained = await primacy(live, "explain")
    assert (explained["from"], explained["to"], explained["term"]) == (master, vice, after["term"])
    assert explained["how"] == "failover"
    text = "\n".join(explained["sentences"])
    assert f"the guardian of {master} had said that all its processes are dead" in text
    assert f"{vice} decided to claim mastership" in text
    phases = {phase["phase"]: phase["ms"] for phase in explained["phases"]}
    assert list(phases) == ["detect", "decide", "claim", "levels", "serving", "reconnect"]
    assert all(0 <= ms < 10_000 for ms in phases.values())
    rules = [e["event"]["rule"] for e in explained["events"] if e["event"]["event"] == "Decided"]
    assert {"claim", "appoint", "ready"} <= set(rules)

    kept = tmp_path / "explained.json"
    kept.write_text(json.dumps(explained))
    again = await primacy(live, "explain", "--replay", str(kept))
    assert again["same"]
    assert [d["rule"] for d in again["decisions"]] == rules
    kept.write_text(json.dumps(explained).replace('"master_dead": true', '"master_dead": false'))
    altered = await primacy(live, "explain", "--replay", str(kept), code=1)
    assert [d["rule"] for d in altered["decisions"] if not d["same"]] == ["claim"]

    elected = next(e for e in explained["events"] if e["event"]["event"] == "MasterElected")
    behind = await primacy(live, "explain", f"{elected['node']}:{elected['number']}")
    assert behind["decision"]["event"]["rule"] == "claim"


async def test_a_master_lost_as_it_wrote_the_drop_of_a_living_vice_is_told_plainly(live: Live) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        master, vice = before["master"], before["vice"]
        ledger = await open_ledger(live.layout.ledger_url, None)
        faults.freeze(live.layout.node(master))
        _, [entry] = await ledger.read(MASTERSHIP)
        record = decode_mastership(entry.value)
        cause = f"{vice} did not answer for a lease"
        dropped = msgspec.structs.replace(record, vice=None, cause=cause)
        await ledger.swap(MASTERSHIP, encode(dropped), entry.revision)
        await ledger.close()

        line = await told_by(live, cluster, vice)
        assert f"{master} as master of term {record.term} and no vice ({cause})" in line
        status = await primacy(live, "status", code=4)
        assert (status["master"], status["in_service"]) == (master, False)
        assert line in status["waits"]
        explained = await primacy(live, "explain")
        assert line in explained["waits"]
        foretold = await primacy(live, "what-if", "lose", "master", code=3)
        assert [line] == [f"{master} is not heard: {reason}" for reason in foretold["reasons"]]

        faults.thaw(live.layout.node(master))
        await live.whole(cluster, members=3)
