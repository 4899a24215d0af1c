"""The command line as a whole: light, documented, with one exit code for each kind of failure."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

import primacy
from primacy import errors
from primacy.cli import common
from primacy.cli.main import COMMANDS, EXIT_CODES, main
from primacy.cli.main import primacy as command

_HEAVY = {"rich", "cryptography", "msgspec", "uvloop", "asyncio", "sqlite3", "ssl"}


def _leaves(group: click.Command, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(group, click.Group):
        return [(path, group)]
    context = click.Context(group)
    found = []
    for name in group.list_commands(context):
        inner = group.get_command(context, name)
        assert inner is not None
        found += _leaves(inner, (*path, name))
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_where_the_table_says(name: str) -> None:
    module, _, attribute = COMMANDS[name].home.partition(":")
    assert isinstance(getattr(importlib.import_module(module), attribute), click.Command)


@pytest.mark.parametrize(
    ("path", "leaf"), _leaves(command), ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_every_command_has_help_and_json(
    path: tuple[str, ...], leaf: click.Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*path, "--help"]) == 0
    text = capsys.readouterr().out
    assert leaf.help
    assert "Usage: primacy" in text
    if path != ("demo",):
        assert "--json" in text


def test_the_help_of_all_names_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for code, sentence in EXIT_CODES:
        assert str(code) in text
        assert " ".join(sentence.split()[:3]) in text
    assert set(common.CODES.values()) <= {code for code, _ in EXIT_CODES}


def test_help_imports_nothing_heavy() -> None:
    source = "import sys; from primacy.cli.main import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    environment = {**os.environ, "PYTHONPATH": str(Path(primacy.__file__).parents[1])}
    ran = subprocess.run(
        [sys.executable, "-c", source],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert not _HEAVY & {name.partition(".")[0] for name in ran.stderr.split()}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("a", "b", "c"), 78),
        (errors.Refused(["one", "two"]), 3),
        (errors.NoPrimary("none"), 4),
        (errors.Deadline("late", maybe_applied=True), 5),
        (errors.Busy("full"), 6),
        (errors.SessionExpired("old"), 6),
        (errors.OperationFailed("ValueError", "x"), 7),
        (errors.NameNotFound("x"), 7),
        (errors.StreamClosed("x"), 1),
        (errors.JournalError("x"), 1),
    ],
)
def test_each_error_has_its_code_and_its_words(
    error: errors.PrimacyError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    @common.json_option
    def fails(as_json: bool) -> None:
        raise error

    assert common.run(fails, []) == code
    assert capsys.readouterr() == ("", "".join(_expected(error)))
    assert common.run(fails, ["--json"]) == code
    plain = json.loads(capsys.readouterr().out)
    assert plain["error"] == type(error).__name__
    assert plain["message"] == str(error)


def _expected(error: errors.PrimacyError) -> list[str]:
    if isinstance(error, errors.Refused):
        return ["primacy: refused:\n", "  - one\n", "  - two\n"]
    if isinstance(error, errors.Deadline):
        return ["primacy: late (it may have been done)\n"]
    return [f"primacy: {error}\n"]


def test_wrong_usage_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["nonsense"],
        ["status", "--nonsense"],
        ["shutdown"],
        ["shutdown", "n1", "--all"],
        ["shutdown", "n1", "--halt", "--reboot"],
        ["kill", "n1"],
    ):
        assert main(words) == 2
    assert main(["kill", "n1", "--how", "power", "--service", "naming"]) == 2
    assert main(["up", "--config", "x.toml", "--nodes", "2"]) == 2
    capsys.readouterr()


def test_a_directory_without_a_cluster_is_78(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--dir", str(tmp_path)]
    for words in (
        ["status"],
        ["down"],
        ["events"],
        ["start", "n1"],
        ["kill", "n1", "--how", "crash"],
        ["switchover"],
    ):
        assert main([*words, *where]) == 78
        assert "primacy up" in capsys.readouterr().err


def test_node_shows_its_boot_parameters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "node",
        "--dir",
        str(tmp_path),
        "--node",
        "n1",
        "--ledger",
        "sqlite:////tmp/l",
        "--show-boot",
        "--json",
    ]
    assert main(words) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["node"] == {"value": "n1", "source": "command line"}
    assert main(["node", "--nonsense", "1", "--show-boot"]) == 78


def test_a_table_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text('[nodes.n1]\nlinks = ["127.0.0.1"]\n')
    assert main(["config", "check", str(file)]) == 0
    assert "correct: 1 nodes, 0 services, profile lan" in capsys.readouterr().out
    file.write_text('[nodes.n1]\nlinks = ["127.0.0.1"]\nspeed = 3\n')
    assert main(["config", "check", str(file), "--json"]) == 78
    found = json.loads(capsys.readouterr().out)
    assert found["error"] == "ConfigError"
    assert "speed" in found["message"]
    assert main(["config", "check", str(tmp_path / "none.toml")]) == 78
