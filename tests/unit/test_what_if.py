"""The verb `what_if` on real agents in one process: any node answers, and nothing is changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from primacy.agent.what_if import scene
from primacy.machines.foresight import FUNCTIONS
from tests.unit.agent_tools import Site
from tests.unit.cgtp_tools import until


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path, nodes=2)
    await made.serve()
    await until(lambda: made.master and made.master.node.facts().vice_ready, "a vice is ready")
    yield made
    await made.close()


def _nodes(site: Site) -> tuple[str, str]:
    assert site.master is not None
    facts = site.master.node.facts()
    return facts.master, facts.vice


async def _ask(site: Site, node: str, question: Any) -> Any:
    return await site.caller(node).ask("what_if", question=question)


async def test_any_node_tells_who_would_take_over(pair: Site) -> None:
    master, vice = _nodes(pair)
    before = pair.running[master].node.monitor.record
    answers = [await _ask(pair, node, "lose master") for node in (master, vice)]
    assert answers[0].result == answers[1].result
    found = answers[0].result
    assert found["possible"]
    assert found["candidates"] == {vice: []}
    assert f"{vice} claims term {before.term + 1} at once" in found["then"][0]
    assert "nobody can be appointed vice then" in found["then"][-1]
    assert pair.running[master].node.monitor.record == before


async def test_a_function_is_answered_by_its_preconditions(pair: Site) -> None:
    master, vice = _nodes(pair)
    found = (await _ask(pair, vice, "switchover")).result
    assert found["possible"]
    assert found["candidates"] == {vice: []}
    found = (await _ask(pair, vice, f"switchover {master}")).result
    assert not found["possible"]
    assert f"{master} is master already" in found["reasons"]
    assert pair.master.node.facts().master == master


@pytest.mark.parametrize("function", FUNCTIONS)
async def test_every_function_can_be_asked_about(pair: Site, function: str) -> None:
    master, vice = _nodes(pair)
    answer = await _ask(pair, vice, f"{function} vice")
    assert answer.kind == "done"
    found = answer.result
    assert found["question"] == f"{function} {vice}"
    assert bool(found["then"]) is found["possible"]
    assert bool(found["reasons"]) is not found["possible"]
    assert (pair.master.node.facts().master, pair.master.node.facts().vice) == (master, vice)


@pytest.mark.parametrize("question", [None, 3, "x" * 201, "what", ""])
async def test_what_is_no_question_is_refused(pair: Site, question: Any) -> None:
    answer = await _ask(pair, "n1", question)
    assert answer.kind == "refused"
    assert answer.reasons


async def test_a_scene_is_what_the_master_knows(pair: Site) -> None:
    master, vice = _nodes(pair)
    seen = scene(pair.running[master].node)
    assert seen.serving
    assert [(c.node, c.eligible, c.able) for c in seen.nodes] == [(vice, True, True)]
    assert seen.own.node == master
