"""Force at real agents in one process: who is asked, who knows what, what comes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from primacy.agent.forcing import Forcing
from primacy.machines.last_resort import Witness
from tests.unit.agent_tools import Site
from tests.unit.cgtp_tools import until


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Site]:
    """A master and its ready vice."""
    made = Site(tmp_path, nodes=2)
    await made.serve()
    yield made
    await made.close()


async def test_a_living_master_is_never_replaced_and_all_reasons_are_told(pair: Site) -> None:
    assert pair.master is not None
    master = pair.master.node.me.node
    other = next(node for node in pair.running if node != master)
    for asked in (master, other):
        answer = await pair.caller(asked).ask("failover", to=other, assume_dead="master")
        assert answer.kind == "refused"
        assert any(f"the master {master} lives" in reason for reason in answer.reasons)
        assert any(f"the ready vice {other} lives" in reason for reason in answer.reasons)
    record = pair.master.node.monitor.record
    assert record is not None
    assert record.term == 1


async def test_a_node_tells_what_it_knows(pair: Site) -> None:
    assert pair.master is not None
    other = next(running for name, running in pair.running.items() if running is not pair.master)
    kind, told, _ = Forcing(other.node).witness()
    said = msgspec.convert(told, Witness)
    assert kind == "done"
    assert said.member == other.node.me
    assert said.master == pair.master.node.me
    assert said.silent_ms is not None
    assert said.positions == {"naming": (0, 0)}


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"to": "n9"}, "n9 is no node"),
        ({"to": 7}, "to: want a text"),
        ({"reason": "x" * 1000}, "reason: want a text"),
        ({"dry_run": "perhaps"}, "dry_run: want true or false"),
    ],
)
async def test_what_cannot_be_taken_is_refused(pair: Site, arguments: dict[str, Any], part: str) -> None:
    answer = await pair.caller("n1").ask("failover", **arguments)
    assert answer.kind == "refused"
    assert any(part in reason for reason in answer.reasons)


async def test_a_node_that_does_not_answer_cannot_be_made_master(tmp_path: Path) -> None:
    site = Site(tmp_path, nodes=2)
    running = site.add("n1")
    await running.start()
    answer = await site.caller("n1").ask("failover", to="n2")
    assert answer.kind == "refused"
    assert "n2 does not answer n1" in answer.reasons[0]
    await until(lambda: site.running["n1"].node.monitor.positions, "its journals are known")
    alone = await site.caller("n1").ask("failover")
    assert alone.kind == "refused"
    assert alone.reasons
    await site.close()
