"""Requests for functions of the cluster: checked, handed to the master, answered as the ledger says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.agent.requests import NODE_LENGTH_MAX, REASON_LENGTH_MAX, TARGETS, checked, shown
from tests.unit.agent_tools import Site

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)
NAMES = st.sampled_from(["to", "node", "reason", "dry_run", "operation", "then", "other"])


@given(verb=st.sampled_from(sorted(TARGETS)), arguments=st.dictionaries(NAMES, VALUES))
def test_what_passes_the_check_is_what_the_machines_take(verb: str, arguments: dict[str, Any]) -> None:
    passed, wrong = checked(verb, arguments)
    if wrong:
        assert all(0 < len(line) < 200 for line in wrong)
        return
    target = TARGETS[verb]
    assert set(passed) == {
        target,
        "reason",
        "dry_run",
        "operation",
        *(["then"] if verb == "shutdown" else []),
    }
    assert passed.get("then", "") in ("", "halt", "reboot")
    assert passed[target] is None or (isinstance(passed[target], str) and passed[target])
    assert isinstance(passed["reason"], str)
    assert len(passed["reason"]) <= REASON_LENGTH_MAX
    assert isinstance(passed["dry_run"], bool)
    assert verb == "switchover" or "node" in arguments
    assert verb in ("switchover", "shutdown") or passed["node"]
    assert 0 < len(passed["operation"]) <= NODE_LENGTH_MAX


@given(VALUES)
def test_a_value_is_shown_short(value: Any) -> None:
    assert len(shown(value)) < 600
    assert "\n" not in shown(value)


def test_all_nodes_are_never_meant_by_leaving_the_node_out() -> None:
    assert checked("shutdown", {})[1] == ["node: say which one (null: all nodes)"]
    assert checked("shutdown", {"node": None})[1] == []
    assert checked("demote", {"node": None})[1] == ["node: say which one"]


def test_each_request_has_an_id_of_its_own_unless_its_asker_gave_one() -> None:
    first, second = (checked("demote", {"node": "n1"})[0]["operation"] for _ in range(2))
    assert first != second
    assert checked("demote", {"node": "n1", "operation": "mine"})[0]["operation"] == "mine"


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Site]:
    """Two nodes, master and ready vice."""
    made = Site(tmp_path, nodes=2)
    await made.serve()
    yield made
    await made.close()


async def test_every_agent_tells_the_outcome_that_the_ledger_has(pair: Site) -> None:
    assert pair.master is not None
    old = pair.master.node.me.node
    answers = await asyncio.gather(
        *(pair.caller(n).ask("switchover", operation="one", reason="test") for n in ("n1", "n2"))
    )
    assert [a.kind for a in answers] == ["done", "done"], answers
    assert {a.result["term"] for a in answers} == {2}
    assert {a.result["from"] for a in answers} == {old}
    again = await pair.caller("n1").ask("switchover", operation="one")
    assert (again.kind, again.result["term"]) == ("done", 2)  # told, not done again


async def test_a_refusal_comes_at_once(pair: Site) -> None:
    answer = await pair.caller("n2").ask("promote", node="n1")
    assert answer.kind == "refused"
    assert "To make it master" in answer.reasons[0]
    assert (await pair.caller("n1").ask("qualify", node="vice", dry_run=True)).kind == "refused"
