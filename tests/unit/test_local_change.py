"""The table of a cluster that is down, and the files that follow the table in force."""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path

import msgspec
import pytest

from primacy import config
from primacy.cli.add import _next_port
from primacy.config import PORTS, Node, Service, Table, with_node
from primacy.errors import ConfigError, Refused
from primacy.ledger import open_ledger
from primacy.local import change
from primacy.local.create import create
from primacy.local.layout import Layout
from primacy.machines import change_record
from primacy.machines.change_record import CHANGE, Change, Changes, ChangeStep
from primacy.machines.records import NodeRecord, encode
from primacy.machines.timing import PROFILES


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """The directory of a cluster of two nodes that does not run."""
    made = Layout(tmp_path / "cluster")
    rows = {n: Node(links=["127.0.0.1"], port=p) for n, p in (("n1", 7300), ("n2", 7332))}
    table = Table(nodes=rows, services={"stock": Service(python="a:Stock")})
    asyncio.run(create(made, table))
    return made


def _stands(layout: Layout) -> tuple[int, Table]:
    return asyncio.run(change.stands(layout))


def test_the_table_is_written_on_its_revision(layout: Layout) -> None:
    revision, table = _stands(layout)
    wanted = msgspec.structs.replace(table, cluster=msgspec.structs.replace(table.cluster, profile="carrier"))
    asked, planned = asyncio.run(change.change(layout, wanted, revision, True))
    assert (asked, len(planned.steps)) == (revision, 1)
    assert _stands(layout) == (revision, table), "a dry run changes nothing"
    written, _ = asyncio.run(change.change(layout, wanted, revision, False))
    now, after = _stands(layout)
    assert now == written > revision
    assert (after.times, after.replaces) == (PROFILES["carrier"], None)
    with pytest.raises(Refused) as refusal:
        asyncio.run(change.change(layout, table, revision, False))
    assert "changed meanwhile" in refusal.value.reasons[0]
    assert _stands(layout) == (now, after)


def test_what_needs_a_cluster_that_runs_is_refused_with_all_reasons(layout: Layout) -> None:
    stands = _stands(layout)
    rows = {"n1": msgspec.structs.replace(stands[1].nodes["n1"], eligible=False)}
    wanted = msgspec.structs.replace(
        stands[1], nodes={**rows, "n3": Node(links=["127.0.0.1"], port=7400, eligible=True)}
    )
    with pytest.raises(Refused) as refusal:
        asyncio.run(change.change(layout, wanted, None, False))
    told = " ".join(refusal.value.reasons)
    assert "none of the eligible nodes that hold the data" in told
    assert "remove n2, disqualify n1" in told
    assert _stands(layout) == stands


def test_eligible_is_as_the_nodes_record_says(layout: Layout) -> None:
    async def disqualify() -> None:
        ledger = await open_ledger(layout.ledger_url, None)
        _, (entry,) = await ledger.read("nodes/n2")
        await ledger.swap("nodes/n2", encode(NodeRecord(eligible=False)), entry.revision)
        await ledger.close()

    asyncio.run(disqualify())
    assert not _stands(layout)[1].nodes["n2"].eligible


def test_the_files_follow_the_table(layout: Layout) -> None:
    _, table = _stands(layout)
    boot = layout.node("n2") / "node.toml"
    boot.write_text(boot.read_text() + "stop_grace_s = 7\n")
    rows = table.nodes | {"n2": msgspec.structs.replace(table.nodes["n2"], port=7600)}
    moved = msgspec.structs.replace(table, nodes=rows)
    change.follow(layout, moved)
    parameters = tomllib.loads(boot.read_text())
    assert parameters["links"] == ["127.0.0.1:7600"]
    assert parameters["stop_grace_s"] == 7, "what its operator wrote stays"
    assert msgspec.json.decode(layout.client_file.read_bytes())["endpoints"][1] == ["127.0.0.1:7600"]
    assert config.load(layout.table) == moved


def test_while_nodes_move_clients_that_begin_find_them_at_either_place(layout: Layout) -> None:
    _, table = _stands(layout)
    rows = table.nodes | {"n2": msgspec.structs.replace(table.nodes["n2"], port=7600)}
    change.expect(layout, table, msgspec.structs.replace(table, nodes=rows))
    for file in (layout.client_file, layout.node("n1") / "client.json"):
        found = msgspec.json.decode(file.read_bytes())["endpoints"]
        assert found == [["127.0.0.1:7300"], ["127.0.0.1:7332"], ["127.0.0.1:7600"]]
    (layout.node("n2") / "node.toml").write_text('links = ["127.0.0.1:7999"]\n')
    before = layout.table.read_bytes()
    asyncio.run(change.refresh(layout))
    found = msgspec.json.decode(layout.client_file.read_bytes())["endpoints"]
    assert found == [["127.0.0.1:7300"], ["127.0.0.1:7332"]], "as the ledger says"
    assert (layout.node("n2") / "node.toml").read_text() == 'links = ["127.0.0.1:7332"]\n'
    assert layout.table.read_bytes() == before


def test_what_another_clusters_ledger_says_is_not_followed(layout: Layout) -> None:
    client = msgspec.json.decode(layout.client_file.read_bytes()) | {"cluster": "another"}
    layout.client_file.write_bytes(msgspec.json.encode(client))
    (layout.node("n2") / "node.toml").write_text('links = ["127.0.0.1:7999"]\n')
    asyncio.run(change.refresh(layout))
    assert (layout.node("n2") / "node.toml").read_text() == 'links = ["127.0.0.1:7999"]\n'


def test_a_change_that_is_in_progress_is_not_overrun(layout: Layout) -> None:
    """The cluster went down in the middle of it; it goes on when the nodes run, unless another takes its place."""
    revision, table = _stands(layout)
    left = Change(
        "c1", "more", "somebody", 1, 1, revision, (ChangeStep("function", "remove n2", "remove", "n2"),)
    )

    async def write() -> None:
        ledger = await open_ledger(layout.ledger_url, None)
        await ledger.swap(CHANGE, change_record.encode(Changes(left)), 0)
        await ledger.close()

    async def read() -> Changes:
        ledger = await open_ledger(layout.ledger_url, None)
        _, (entry,) = await ledger.read(CHANGE)
        await ledger.close()
        return change_record.decode(entry.value)

    asyncio.run(write())
    wanted = msgspec.structs.replace(table, cluster=msgspec.structs.replace(table.cluster, profile="carrier"))
    with pytest.raises(Refused) as refusal:
        asyncio.run(change.change(layout, wanted, None, False))
    assert refusal.value.reasons[0].startswith("change c1, asked for by somebody (more) is in progress")
    assert asyncio.run(read()) == Changes(left)
    asyncio.run(change.change(layout, wanted, None, False, replace_change=True))
    changes = asyncio.run(read())
    assert (changes.current, changes.ended[0].outcome) == (None, "replaced")
    assert _stands(layout)[1].cluster.profile == "carrier"


def test_a_new_node_gets_its_directory_once(layout: Layout) -> None:
    _, table = _stands(layout)
    more = with_node(table, "n3", Node(links=["127.0.0.1"], port=7364))
    change.prepare_node(layout, more, "n3")
    assert sorted(p.name for p in layout.node("n3").iterdir()) == [
        "authority.pem",
        "client-local-n3.key",
        "client-local-n3.pem",
        "client.json",
        "node-n3.key",
        "node-n3.pem",
        "node.toml",
    ]
    with pytest.raises(ConfigError, match="the directory of a node"):
        change.prepare_node(layout, more, "n3")
    change.forget_node(layout, "n3")
    assert not layout.node("n3").exists()


def test_a_new_node_has_the_next_free_block(layout: Layout) -> None:
    _, table = _stands(layout)
    assert _next_port(table, set()) == 7364
    assert _next_port(table, {7364 + 3, 7364 + PORTS}) == 7364 + 2 * PORTS
