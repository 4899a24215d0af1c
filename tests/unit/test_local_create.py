"""A new cluster's directory: whole, or not there at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from primacy import boot, config
from primacy.cgtp.tls import TlsFiles, client_context, cluster_of, server_context
from primacy.client import settings
from primacy.errors import ConfigError
from primacy.ledger import open_ledger
from primacy.local import table
from primacy.local.create import create
from primacy.local.layout import Layout
from primacy.machines.records import decode_node


async def test_the_directory_holds_all_that_nodes_and_clients_need(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "demo")
    wanted = table.generate(2, "lan", {}, port=20000)
    cluster = await create(layout, wanted)
    assert layout.exists
    assert layout.nodes() == ["n1", "n2"]
    assert config.load(layout.table) == wanted
    assert len(bytes.fromhex(layout.cluster_key.read_text())) == 32
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]

    ledger = await open_ledger(layout.ledger_url, cluster)
    _, entries = await ledger.read("")
    await ledger.close()
    held = {entry.key: entry.value for entry in entries}
    assert config.decode(held["config"]) == wanted
    assert decode_node(held["nodes/n2"], "n2").available

    for node in layout.nodes():
        found = boot.retrieve(["--dir", str(layout.node(node))], {}, "")
        assert (found.node, found.ledger) == (node, layout.ledger_url)
        assert [(link.address, link.port) for link in found.links] == wanted.agent_addresses(node)
        assert found.os_commands == "print"  # to try --halt never takes this machine down
        assert found.halt_command
        assert found.reboot_command
        files = TlsFiles(Path(found.certificate), Path(found.private_key), Path(found.authority))
        assert cluster_of(server_context(files)) == cluster
        assert Path(found.cluster_key) == layout.cluster_key

    client = settings.find(layout.root)
    assert client.endpoints == [wanted.agent_addresses(node) for node in ("n1", "n2")]
    assert cluster_of(client_context(client.tls)) == cluster
    assert json.loads(layout.client_file.read_text())["cluster"] == cluster


async def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "demo")
    await create(layout, table.generate(1, "lan", {}, port=20000))
    keys = [layout.cluster_key, *layout.root.rglob("*.key")]
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}
    assert os.stat(layout.root).st_mode & 0o777 == 0o700


async def test_two_clusters_never_have_the_same_id(tmp_path: Path) -> None:
    wanted = table.generate(1, "lan", {}, port=20000)
    assert await create(Layout(tmp_path / "a"), wanted) != await create(Layout(tmp_path / "b"), wanted)


async def test_a_directory_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo").touch()
    with pytest.raises(ConfigError, match="empty or a new directory"):
        await create(Layout(tmp_path), table.generate(1, "lan", {}, port=20000))
    assert [path.name for path in tmp_path.iterdir()] == ["photo"]


async def test_nothing_is_left_when_the_condition_fails(tmp_path: Path) -> None:
    async def fail() -> None:
        raise ConfigError("services", "nonsense", "correct it")

    with pytest.raises(ConfigError, match="nonsense"):
        await create(Layout(tmp_path / "demo"), table.generate(1, "lan", {}, port=20000), fail())
    assert list(tmp_path.iterdir()) == []
