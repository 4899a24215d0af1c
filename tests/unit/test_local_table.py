"""The table of a local cluster: generated, changed by options, written and read back."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from primacy import config
from primacy.config import PORTS, Callback, Service, Table
from primacy.errors import ConfigError
from primacy.local import table

_ROW = Service(python="inventory.py:Inventory", path="/srv")


def test_each_node_has_two_links_and_a_block_of_ports() -> None:
    found = table.generate(3, "carrier", {"inventory": _ROW}, port=20000)
    assert [row.port for row in found.nodes.values()] == [20000, 20000 + PORTS, 20000 + 2 * PORTS]
    assert {tuple(row.links) for row in found.nodes.values()} == {("127.0.0.1", "127.0.0.2")}
    assert found.cluster.profile == "carrier"


@pytest.mark.parametrize("nodes", [0, 65])
def test_the_number_of_nodes_has_limits(nodes: int) -> None:
    with pytest.raises(ConfigError, match="--nodes"):
        table.generate(nodes, "lan", {}, port=20000)


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(ConfigError, match="carrier, lan, wan"):
        table.generate(1, "fast", {}, port=20000)


def test_what_is_written_is_read_back_as_the_same_table(tmp_path: Path) -> None:
    rows = [Callback("failover", "b", 3, retries=2), Callback("shutdown", "c", timeout_s=0.5)]
    called = Service(python="m:D", callbacks=rows)
    services = {
        "inventory": _ROW,
        "odd-one": Service(python="m:C", path='/a "b"\\ü', local=True),
        "called": called,
    }
    written = table.generate(2, "wan", services, port=20000)
    file = tmp_path / "cluster.toml"
    file.write_text(table.to_toml(written), encoding="utf-8")
    assert config.load(file) == written


def test_own_timing_is_written_too(tmp_path: Path) -> None:
    plain = {
        "nodes": {"n1": {"links": ["127.0.0.1"]}},
        "timing": {"beat_ms": 5, "lease_ms": 20, "grace_ms": 30},
    }
    written = config.build(plain, "test")
    file = tmp_path / "cluster.toml"
    file.write_text(table.to_toml(written), encoding="utf-8")
    assert config.load(file) == written


def test_paths_in_a_file_count_from_its_place(tmp_path: Path) -> None:
    file = tmp_path / "cluster.toml"
    text = '[nodes.n1]\nlinks = ["127.0.0.1"]\n[services.shop]\npython = "shop:Shop"\npath = "src"\n'
    file.write_text(text, encoding="utf-8")
    found = table.read(file, {"inventory": _ROW})
    assert found.services["shop"].path == str(tmp_path / "src")
    assert found.services["inventory"] == _ROW
    with pytest.raises(ConfigError, match="shop"):
        table.read(file, {"shop": _ROW})


@pytest.mark.parametrize(
    ("name", "kebab"),
    [("Inventory", "inventory"), ("KeyValue", "key-value"), ("HTTPCache2", "http-cache2"), ("a_b", "a-b")],
)
def test_a_service_is_named_after_its_class(tmp_path: Path, name: str, kebab: str) -> None:
    file = tmp_path / "code.py"
    file.touch()
    found, row = table.service_of(f"{file}:{name}")
    assert (found, row.python, row.path) == (kebab, f"code.py:{name}", str(tmp_path))


@pytest.mark.parametrize("word", ["code.py", "code.py:", ":Class", "missing.py:Class", "code.py:not-a-name"])
def test_a_service_that_cannot_be_meant_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match=r"FILE\.py:Class"):
        table.service_of(word)


def test_two_services_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="shop is there already"):
        table.services_of(["a:Shop", "b:Shop"])
    with pytest.raises(ConfigError, match="shop is there already"):
        table.services_of(["a:Shop"], ["b:Shop"])


def test_local_services_are_named_as_such() -> None:
    rows = table.services_of(["a:Shop"], ["b:Door"])
    assert [(name, row.local) for name, row in rows.items()] == [("shop", False), ("door", True)]


def test_differences_are_told_in_words() -> None:
    stands = table.generate(2, "lan", {"inventory": _ROW}, port=20000)
    assert table.differences(stands, stands) == []
    other = Service(python="other.py:Other", path="/srv")
    wanted = table.generate(3, "carrier", {"other": other}, port=20000)
    nodes, cluster, inventory, second = table.differences(stands, wanted)
    assert nodes.startswith("its nodes are n1")
    assert "profile lan" in cluster
    assert inventory == "its service inventory is inventory.py:Inventory in /srv (disk), not absent"
    assert second == "its service other is absent, not other.py:Other in /srv (disk)"


def test_a_table_is_checked_as_a_whole() -> None:
    good = table.generate(1, "lan", {}, port=20000)
    row = msgspec.structs.replace(good.nodes["n1"], port=80)
    with pytest.raises(ConfigError, match="1024"):
        table.checked(Table(nodes={"n1": row}), "test")
