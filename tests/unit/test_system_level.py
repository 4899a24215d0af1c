"""Halting and rebooting, asked before anything begins: each node answers for itself, and one "no" is enough."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import pytest

from primacy import guardian_message
from primacy.agent import system_level
from primacy.machines import peer_wire
from tests.unit.agent_tools import Running, Site
from tests.unit.cgtp_tools import until


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path, nodes=2)
    await made.serve()
    yield made
    await made.close()


def _allow(running: Running, **changed: str) -> None:
    running.node.boot = running.node.boot._replace(**changed)  # type: ignore[arg-type]


def _other(site: Site) -> Running:
    return next(r for r in site.running.values() if r is not site.master)


@pytest.mark.parametrize("then", [None, "", "dance", 1, ["halt"]])
async def test_a_question_that_makes_no_sense_is_refused(pair: Site, then: object) -> None:
    assert system_level.answer(pair.boot("n1"), {"then": then})[0] == "refused"


async def test_every_member_that_is_to_leave_answers_for_itself(pair: Site) -> None:
    master, other = pair.master, _other(pair)
    assert master is not None
    _allow(master, halt_command="true", os_commands="run")
    _allow(other, halt_command="/sbin/halt now", os_commands="print")
    mine, its = master.node.me.node, other.node.me.node
    await until(lambda: its in master.node.members, "the other is a member")
    found, against = await system_level.ask(master.node, None, "halt")
    assert against == []
    assert found == {
        mine: {"then": "halt", "command": "true", "run": True},
        its: {"then": "halt", "command": "/sbin/halt now", "run": False},
    }
    assert set((await system_level.ask(master.node, its, "halt"))[0]) == {its}
    assert await system_level.ask(master.node, None, "") == ({}, [])
    assert await system_level.ask(master.node, "n9", "halt") == ({}, [])  # the function itself refuses it


async def test_a_shutdown_is_refused_before_it_begins_if_one_node_cannot(pair: Site) -> None:
    master, other = pair.master, _other(pair)
    assert master is not None
    _allow(master, halt_command="true", reboot_command="/no/such/program")
    _allow(other, halt_command="/no/such/program", reboot_command="/no/such/program")
    caller = pair.caller(other.node.me.node)  # who passes it on
    answer = await caller.ask("shutdown", node=None, then="halt")
    why = "cannot halt its machine: it finds no program /no/such/program that it may run"
    assert (answer.kind, answer.reasons) == ("refused", [f"{other.node.me.node} {why}"])
    answer = await caller.ask("shutdown", node=None, then="reboot", dry_run=True)
    assert (answer.kind, len(answer.reasons)) == ("refused", 2)
    assert [r.node.coordinator.departure.phase for r in pair.running.values()] == ["", ""]


async def test_a_dry_run_tells_what_would_be_done(pair: Site) -> None:
    other = _other(pair)
    _allow(other, reboot_command="/sbin/reboot", os_commands="print")
    node = other.node.me.node
    answer = await pair.caller("n1").ask("shutdown", node=node, then="reboot", dry_run=True)
    told = {node: {"then": "reboot", "command": "/sbin/reboot", "run": False}}
    assert (answer.kind, answer.result) == ("done", {"possible": True, "system": told})


async def test_the_agent_ends_with_the_word_for_the_machine(pair: Site) -> None:
    master, other = pair.master, _other(pair)
    assert master is not None
    _allow(other, halt_command="/sbin/halt", os_commands="print")
    pair.caller(master.node.me.node).send("shutdown", {"node": other.node.me.node, "then": "halt"})
    await until(other.node.ended.is_set, "the agent ends")
    assert other.node.then == "halt"
    assert master.node.then == ""


def test_guardian_and_agents_know_the_same_words() -> None:
    assert get_args(peer_wire.Then) == guardian_message.THEN


async def test_what_a_caller_wants_of_the_machine_is_checked(pair: Site) -> None:
    answer = await pair.caller("n1").ask("shutdown", node="n2", then="dance")
    assert (answer.kind, answer.reasons) == ("refused", ["then: want halt, reboot or nothing, got 'dance'"])
