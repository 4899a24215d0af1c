"""Where the files of a local cluster are, and how its directory is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from primacy.errors import ConfigError
from primacy.local import layout as layouts
from primacy.local.layout import Layout


def test_paths_are_those_that_the_nodes_are_told(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert layout.ledger_url == f"sqlite://{tmp_path}/ledger.sqlite"
    assert layout.log("n1") == tmp_path / "nodes" / "n1" / "node.log"
    assert Layout(Path("/a b")).ledger_url == "sqlite:///a%20b/ledger.sqlite"


def test_the_argument_wins_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PRIMACY_DIR", raising=False)
    assert layouts.find().root == tmp_path / ".primacy"
    monkeypatch.setenv("PRIMACY_DIR", "other")
    assert layouts.find().root == tmp_path / "other"
    assert layouts.find("mine").root == tmp_path / "mine"


def test_a_directory_without_a_cluster_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="primacy up"):
        layouts.existing(tmp_path)


def test_nodes_are_those_with_boot_parameters(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    for node in ("n2", "n1"):
        layout.node(node).mkdir(parents=True)
        (layout.node(node) / "node.toml").touch()
    (tmp_path / "nodes" / "stray").mkdir()
    assert layout.nodes() == ["n1", "n2"]
    assert layouts.known_node(layout, "n1") == "n1"
    with pytest.raises(ConfigError, match="n1, n2, master or vice"):
        layouts.known_node(layout, "n3")
