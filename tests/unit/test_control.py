"""What callers may ask of an agent: one answer to each request, whatever it holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from primacy.agent.control import REQUESTS_MAX, Control
from primacy.cgtp.framing import FRAME_BYTES_MAX
from primacy.machines import host_wire
from primacy.machines.control_wire import EventPushed, Response, Topology
from primacy.machines.events import ServiceNote
from primacy.machines.ids import Function
from tests.unit.agent_tools import Site
from tests.unit.cgtp_tools import until

NEST: list[Any] = []
for _ in range(200):
    NEST = [NEST]
ODD = [None, True, -1, 1.5, "x", "", "x" * 100_000, [], ["n1"], {"a": 1}, NEST, b"bytes", 1 << 63]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path)
    await made.serve()
    yield made
    await made.close()


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path, nodes=2)
    await made.serve()
    yield made
    await made.close()


def _other(site: Site) -> str:
    assert site.master is not None
    return next(n for n in site.running if site.running[n] is not site.master)


async def test_ping_tells_who_answers(site: Site) -> None:
    running = site.running["n1"]
    assert isinstance(running.control, Control)
    me = running.node.me
    answer = await site.caller("n1").ask("ping")
    assert (answer.kind, answer.result) == ("done", {"node": "n1", "incarnation": me.incarnation})


async def test_an_unknown_verb_is_told_what_there_is(site: Site) -> None:
    answer = await site.caller("n1").ask("explode")
    assert answer.kind == "failed"
    assert "switchover" in answer.reasons[0]


ARGUMENTS = {
    "events": ("after", "limit", "follow", "life", "order"),
    "switchover": ("to", "reason", "dry_run"),
    "shutdown": ("node", "reason", "dry_run"),
    "link": ("link", "up"),
    "sequence": ("function",),
    "status": ("local",),
    "ping": ("anything",),
    "x" * 10_000: ("anything",),
}


@pytest.mark.parametrize("verb", ARGUMENTS, ids=lambda verb: verb[:12])
async def test_arguments_of_any_type_get_an_answer(site: Site, verb: str) -> None:
    """Every odd value in the place of every argument, beside others that would pass; the agent serves on."""
    caller = site.caller("n1")
    usual = {"dry_run": True, "node": "n1", "to": "n1", "link": 0, "up": True, "function": "initialize"}
    for name in ARGUMENTS[verb]:
        for value in ODD:
            answer = await caller.ask(verb, **(usual | {name: value}))
            assert answer.kind in ("done", "refused", "failed", "unavailable")
            assert sum(map(len, answer.reasons)) < 2_000, "a refusal quotes nothing long"
    assert site.running["n1"].serves
    assert site.running["n1"].node.links_down == set()


async def test_a_frame_that_is_no_request_ends_the_callers_stream_only(site: Site) -> None:
    caller, other = site.caller("n1"), site.caller("n1")
    caller.stream.send(b"\xff")
    await until(lambda: caller.stream.closed, "the stream has ended")
    assert (await other.ask("ping")).kind == "done"


@pytest.mark.parametrize("role", ["vice", "master"])
async def test_a_role_that_nobody_has_is_named(site: Site, role: str) -> None:
    answer = await site.caller("n1").ask("switchover", to=role)
    assert answer.kind == "refused"
    if role == "vice":
        assert answer.reasons == ["to: there is no vice now"]


async def test_a_bug_in_an_answer_costs_that_answer_only(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """A progress that no encoder takes stands for any bug: the caller is told, the log has it, the agent lives."""
    running = site.running["n1"]
    running.node.progress["naming"] = host_wire.Progress(1, 1 << 70, -1, 0)
    caller = site.caller("n1")
    answer = await caller.ask("status")
    assert answer.kind == "failed"
    assert "n1" in answer.reasons[0]
    assert "OverflowError" in capsys.readouterr().err
    assert (await caller.ask("ping")).kind == "done"
    assert running.serves


async def test_events_are_told_and_followed_once(site: Site) -> None:
    node, caller = site.running["n1"].node, site.caller("n1")
    for _ in range(3):
        told = await caller.ask("events", follow=True, limit=2)
        assert len(told.result["events"]) == 2
    node.publish(ServiceNote(node="n1", service="stock", kind="x", text="after"))
    await until(lambda: caller.of(EventPushed), "the event is pushed")
    assert (await caller.ask("ping")).kind == "done"
    texts = [e.event["event"].get("text") for e in caller.of(EventPushed)]
    assert texts.count("after") == 1
    last = caller.of(EventPushed)[-1].event["number"]
    assert (await caller.ask("events", after=last)).result["events"] == []


async def test_an_event_that_no_frame_holds_is_not_pushed(site: Site) -> None:
    node, caller = site.running["n1"].node, site.caller("n1")
    await caller.ask("events", follow=True)
    node.publish(ServiceNote(node="n1", service="s", kind="long", text="x" * FRAME_BYTES_MAX))
    node.publish(ServiceNote(node="n1", service="s", kind="short", text="x"))
    await until(lambda: caller.of(EventPushed), "the next event is pushed")
    told = [*(await caller.ask("events")).result["events"], *(e.event for e in caller.of(EventPushed))]
    assert {e["event"].get("kind") for e in told} >= {"short"}
    assert [e for e in told if e["event"].get("kind") == "long"] == []


async def test_an_answer_that_no_frame_holds_is_told_as_failed(site: Site) -> None:
    servers = site.running["n1"].node.coordinator.servers.by_service
    servers["naming"].error = "x" * FRAME_BYTES_MAX
    answer = await site.caller("n1").ask("status")
    assert answer.kind == "failed"
    assert "a frame holds" in answer.reasons[0]


async def test_a_subscriber_hears_of_every_change(pair: Site) -> None:
    assert pair.master is not None
    name, caller = _other(pair), pair.caller(_other(pair))
    await caller.ask("subscribe")
    await until(lambda: caller.of(Topology) and caller.of(Topology)[-1].serving, "it hears of the master")
    topology = caller.of(Topology)[-1]
    assert (topology.cluster, topology.master, topology.vice) == ("test", pair.master.node.me.node, name)
    assert {n.id: n.services for n in topology.nodes} == {
        n: {"naming": pair.table.service_addresses(n, "naming")} for n in ("n1", "n2")
    }
    answer = await caller.ask("switchover", to="vice", reason="test")
    assert answer.kind == "done", answer.reasons
    assert (answer.result["to"], answer.result["term"]) == (name, 2)
    await until(lambda: caller.of(Topology)[-1].master == name, "it hears of the new master")


async def test_any_node_may_be_asked_for_a_function_of_the_cluster(pair: Site) -> None:
    assert pair.master is not None
    caller = pair.caller(_other(pair))
    possible = await caller.ask("switchover", dry_run=True)
    assert possible.kind == "done", possible.reasons
    assert possible.result["possible"] is True
    refused = await caller.ask("switchover", to="n9", dry_run=True)
    assert refused.kind == "refused"
    assert "n9 is no eligible node" in refused.reasons[0]


async def test_status_is_the_whole_cluster_whoever_is_asked(pair: Site) -> None:
    assert pair.master is not None
    told = [await pair.caller(n).ask("status") for n in ("n1", "n2")]
    for answer in told:
        assert answer.result["master"] == pair.master.node.me.node
        assert [n["id"] for n in answer.result["nodes"]] == ["n1", "n2"]
        assert {n["role"] for n in answer.result["nodes"]} == {"master", "vice"}
    local = await pair.caller(_other(pair)).ask("status", local=True)
    assert local.kind == "done"


async def test_a_link_is_taken_down_and_up_where_it_is(pair: Site) -> None:
    caller = pair.caller("n2")
    node = pair.running["n2"].node
    link = pair.table.nodes["n2"].links[0]
    answer = await caller.ask("link", link=0, up=True)
    assert answer.result == {"link": 0, "address": link, "up": True}
    assert node.links_down == set()
    for wrong in (
        {"link": 1, "up": False},
        {"link": True, "up": False},
        {"link": 0, "up": "no"},
        {"up": True},
    ):
        assert (await caller.ask("link", **wrong)).kind == "refused"


@pytest.mark.parametrize("function", Function)
async def test_every_functions_sequence_is_told(site: Site, function: Function) -> None:
    server = site.running["n1"].node.coordinator.servers.by_service["naming"]
    server.callbacks = [host_wire.Callback(function, 2, "b"), host_wire.Callback(function, 1, "a")]
    answer = await site.caller("n1").ask("sequence", function=str(function))
    assert [(s["level"], s["service"], s["callback"]) for s in answer.result["steps"]] == [
        (1, "naming", "a"), (2, "naming", "b"),
    ]  # fmt: skip


async def test_a_caller_may_have_so_many_requests_in_progress(site: Site) -> None:
    """They all arrive in one turn of the loop, before any of them is worked on."""
    caller = site.caller("n1")
    await caller.ask("ping")
    for _ in range(REQUESTS_MAX + 3):
        caller.send("ping", {})
    await until(lambda: len(caller.of(Response)) == REQUESTS_MAX + 4, "every request has its answer")
    kinds = [m.kind for m in caller.of(Response)]
    assert kinds.count("failed") == 3
    assert (await caller.ask("ping")).kind == "done"


async def test_shutdown_of_this_node_by_itself_is_an_orderly_stop(site: Site) -> None:
    caller = site.caller("n1")
    assert (await caller.ask("shutdown", node="n9")).kind == "refused"
    assert (await caller.ask("shutdown", node="n1", dry_run=True)).result == {"possible": True}
    answer = await caller.ask("shutdown", node=None, reason="test")
    assert answer.kind == "done"
    assert answer.result["stopped"] == ["n1"]
    node = site.running["n1"].node
    await until(node.ended.is_set, "the node has ended")
    assert msgspec.to_builtins(node.monitor.record)["stopped"] == {"naming": (0, 0)}
