"""The agent's driver: one queue for both machines, effects in order, and what it does when it was late itself."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from primacy import guardian_message
from primacy.agent.node import Node
from primacy.lease_page import now_ns
from primacy.machines import coordination, host_wire, membership
from primacy.machines.ids import FOREVER_NS
from tests.unit.agent_tools import Running, Site, block
from tests.unit.cgtp_tools import until


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path, nodes=2, links=2)
    yield made
    await made.close()


def _events(running: Running, kind: str) -> list[dict[str, Any]]:
    found = [e["event"] for e in running.node.events.since(0, 5_000)]
    return [e for e in found if e["event"] == kind]


async def test_a_node_alone_forms_opens_its_hosts_and_serves(site: Site) -> None:
    master = await site.serve()
    assert isinstance(master.node, Node)
    host = master.guardian.hosts["naming"]
    assert host.heard(host_wire.Serve) == [host_wire.Serve(1)]
    assert host.page is not None
    assert host.page.valid_until_ns == FOREVER_NS
    assert [e["how"] for e in _events(master, "MasterElected")] == ["formation"]
    assert master.node.facts().role == "master"
    assert master.node.members == ("n1",)
    assert [o.argv[1:] for o in master.guardian.took(guardian_message.Spawn)] == [
        ["-m", "primacy.host", "naming"]
    ]


async def test_two_nodes_find_each_other_and_one_is_the_ready_vice(pair: Site) -> None:
    master = await pair.serve()
    other = next(r for r in pair.running.values() if r is not master)
    await until(lambda: other.node.monitor.role == "vice", "the other one knows that it is vice")
    page = master.guardian.hosts["naming"].page
    assert page is not None
    await until(lambda: now_ns() < page.valid_until_ns < FOREVER_NS, "the page tells the lease's end")
    host = other.guardian.hosts["naming"]
    await until(lambda: host.page is not None and host.page.ack_term == 1, "the vice may acknowledge")
    assert master.node.members == ("n1", "n2")
    assert master.guardian.obituaries
    assert other.guardian.obituaries


async def test_the_vice_takes_over_on_the_masters_obituary(pair: Site) -> None:
    """The guardian's part is played: it sends what the agent has sealed in advance."""
    master = await pair.serve()
    other = next(r for r in pair.running.values() if r is not master)
    rows = list(master.guardian.obituaries)
    del pair.running[master.node.me.node]
    await master.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last_words:
        for _, address, port, sealed in rows:
            last_words.sendto(base64.b64decode(sealed), (address, port))
    await until(lambda: other.serves, "the vice serves")
    assert [e["how"] for e in _events(other, "MasterElected")] == ["failover"]
    assert _events(other, "ObituaryHeard")
    await until(lambda: other.guardian.hosts["naming"].page_terms[-1:] == [2], "its host has the new page")


async def test_an_agent_that_was_late_itself_tells_it_and_judges_nobody(pair: Site) -> None:
    master = await pair.serve()
    vice = next(r for r in pair.running.values() if r is not master)
    await until(lambda: vice.node.monitor.role == "vice", "the other one is vice")
    block(400)  # both agents: longer than lease and grace
    vice.node.post(coordination.Tick(now_ns=now_ns()))  # any input at all comes first
    assert _events(vice, "SchedulingGap")
    assert vice.node.monitor.judge_ns > now_ns()
    await until(lambda: _events(master, "SchedulingGap"), "the master has noticed too")
    await until(
        lambda: (
            vice.node.monitor.vice.grace.since_ns > now_ns() - 100_000_000 and master.node.facts().lease_held
        ),
        "beats go on",
    )
    assert master.node.monitor.term == vice.node.monitor.term == 1


async def test_a_former_master_knows_that_it_is_none_before_it_hears_fewer_nodes(tmp_path: Path) -> None:
    """Else it would take a node that it no longer watches for lost, and act on that."""
    site = Site(tmp_path, nodes=3)
    try:
        master = await site.serve()
        node, heard = master.node, []
        await until(lambda: len(node.members) == 3, "it hears both others")
        step = node.coordinator.step
        node.coordinator.step = lambda event: heard.append(event) or step(event)  # type: ignore[method-assign,func-returns-value]
        record, other = node.monitor.record, next(r.node.me for r in site.running.values() if r is not master)
        assert record is not None
        after = msgspec.structs.replace(record, term=record.term + 1, master=other, vice=None, by=other)
        node.post(membership.Learned(now_ns=now_ns(), revision=node.monitor.revision + 1, record=after))
        kinds = [type(getattr(event, "effect", event)) for event in heard]
        assert coordination.MembersChanged in kinds
        assert kinds.index(membership.Adopted) < kinds.index(coordination.MembersChanged)
    finally:
        await site.close()


async def test_a_step_that_breaks_off_is_told_to_the_loop_and_does_not_block_the_queue(site: Site) -> None:
    master = await site.serve()
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    impossible = coordination.HostExited(now_ns=now_ns(), service="no service of this node", reason="x")
    with pytest.raises(KeyError):
        master.node.post(impossible)
    assert [type(c["exception"]) for c in told] == [KeyError]
    master.node.post(membership.Tick(now_ns=now_ns()))
    assert master.serves


async def test_a_link_that_is_taken_down_carries_nothing_and_is_told_to_the_hosts(pair: Site) -> None:
    master = await pair.serve()
    other = next(r for r in pair.running.values() if r is not master)
    peer = other.node.me.node
    await until(lambda: master.node.links.up(peer) == [0, 1], "both links are up")
    master.node.set_link(1, False)
    assert master.node.links.up(peer) == [0]
    await until(
        lambda: host_wire.LinkState(1, False) in master.guardian.hosts["naming"].said, "the host was told"
    )
    own = pair.table.nodes[master.node.me.node].links
    await until(lambda: {o[0] for o in master.guardian.obituaries} == {own[0]}, "no obituary on that link")
    master.node.set_link(1, True)
    await until(lambda: master.node.links.up(peer) == [0, 1], "the link is up again")
    assert master.node.monitor.term == 1


async def test_a_hosts_words_reach_the_machines(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    master = await site.serve()
    host = master.guardian.hosts["naming"]
    host.say(host_wire.Progress(1, 7, -1, 7))
    host.say(host_wire.Confirm(5))
    host.say(host_wire.Note("digest", "digests differ"))
    host.say(host_wire.Failed("journal", "no space left"))
    await until(lambda: host.heard(host_wire.Confirmed), "the question is answered")
    assert host.heard(host_wire.Confirmed) == [host_wire.Confirmed(5, True)]
    await until(lambda: _events(master, "ServiceNote"), "the note is an event")
    await until(lambda: "no space left" in capsys.readouterr().err, "the reason is in the log")
    assert master.node.progress["naming"].sequence == 7


async def test_a_primarys_host_that_dies_is_renewed_in_a_new_term(site: Site) -> None:
    master = await site.serve()
    master.guardian.exit("naming", -9)
    await until(lambda: master.serves and master.node.monitor.term == 2, "it serves again")
    assert [e["how"] for e in _events(master, "MasterElected")] == ["formation", "restart"]
    await until(lambda: master.guardian.hosts["naming"].page_terms == [2], "the new host has the new page")


async def test_a_node_leaves_in_order_on_the_systems_word(site: Site) -> None:
    master = await site.serve()
    master.node.depart("the system asked it to stop")
    await until(master.node.ended.is_set, "it has ended")
    assert master.node.reason == "the system asked it to stop"
    assert master.node.monitor.record is not None
    assert master.node.monitor.record.stopped == {"naming": (0, 0)}
    assert master.guardian.hosts == {}


async def test_a_service_directory_that_cannot_be_made_costs_the_server_only(site: Site) -> None:
    running = site.add("n1")
    (site.directory / "n1" / "services").write_text("a file in the way")
    await running.start()
    await until(lambda: running.node.coordinator.servers.by_service["naming"].error, "the reason is known")
    assert "could not be started" in running.node.coordinator.servers.by_service["naming"].error
    (site.directory / "n1" / "services").unlink()
    await until(lambda: running.serves, "it serves once that is over")
