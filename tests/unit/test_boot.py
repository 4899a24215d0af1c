"""Boot parameters: four places, one order, the source of each value, and every mistake at once."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from primacy import boot
from primacy.boot import PARAMETERS, Boot, Link, retrieve
from primacy.errors import ConfigError

ENOUGH = ("--node=n1", "--ledger=sqlite:///x")


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(*arguments: object, **more: object) -> dict[str, ConfigError]:
    """Return the errors by their path."""
    with pytest.raises(ExceptionGroup) as caught:
        retrieve(*arguments, **more)  # type: ignore[arg-type]
    assert all(type(error) is ConfigError for error in caught.value.exceptions)
    return {error.path: error for error in caught.value.exceptions}  # type: ignore[attr-defined]


def test_the_order_of_the_four_places(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('node = "from-file"\nledger = "sqlite:///file"\n')
    arguments = (
        ["--node", "from-argv"],
        {"PRIMACY_NODE": "from-environment"},
        "quiet primacy.node=from-kernel ro",
    )
    found = []
    for each in range(4):
        argv = arguments[0] if each < 1 else []
        kernel = arguments[2] if each < 2 else ""
        environ = arguments[1] if each < 3 else {}
        result = retrieve(argv, environ, kernel, str(file))
        found.append((result.node, result.sources["node"]))
    assert found == [
        ("from-argv", "command line"),
        ("from-kernel", "kernel command line"),
        ("from-environment", "environment PRIMACY_NODE"),
        ("from-file", f"file {file}"),
    ]


def test_what_nobody_says_has_a_default(tmp_path: Path) -> None:
    result = retrieve(ENOUGH, {}, "")
    assert result.directory == str(tmp_path / ".primacy")
    assert result.links == (Link("127.0.0.1", 7300), Link("127.0.0.2", 7300))
    assert result.private_key == str(tmp_path / ".primacy/key.pem")
    assert result.stop_grace_s == 30.0
    assert {result.sources[each.name] for each in PARAMETERS} == {"command line", "default"}


def test_every_parameter_is_taken_from_every_place(tmp_path: Path) -> None:
    values = {
        "dir": str(tmp_path / "d"), "node": "n.1", "ledger": "etcd://h:1,h:2", "links": "[::1]:1,10.0.0.1",
        "cluster_key": "/k", "authority": "a", "certificate": "c", "private_key": "p", "stop_grace_s": "2.5",
        "halt_command": "/sbin/halt -p", "reboot_command": "sh -c 'reboot now'", "os_commands": "print",
        "watchdog": "/dev/watchdog1", "watchdog_timeout_s": "15", "watchdog_silence_s": "3.5",
        "record": "kept", "record_mb": "64",
    }  # fmt: skip
    assert list(values) == [each.name for each in PARAMETERS]
    file = tmp_path / "all.toml"
    file.write_text("".join(f'{name} = "{value}"\n' for name, value in values.items()))
    kernel = (f'primacy.{name.replace("_", "-")}="{value}"' for name, value in values.items())
    ways = [
        retrieve([f"--{name.replace('_', '-')}={value}" for name, value in values.items()], {}, ""),
        retrieve([], {}, " ".join(kernel)),
        retrieve([], {f"PRIMACY_{name.upper()}": value for name, value in values.items()}, ""),
        retrieve([f"--file={file}"], {}, ""),
    ]
    wanted = Boot(
        "n.1", values["dir"], "etcd://h:1,h:2", (Link("::1", 1), Link("10.0.0.1", 7300)),
        "/k", values["dir"] + "/a", values["dir"] + "/c", values["dir"] + "/p", 2.5, {},
        "/sbin/halt -p", "sh -c 'reboot now'", "print", "/dev/watchdog1", 15, 3.5, values["dir"] + "/kept", 64,
    )  # fmt: skip
    assert [way._replace(sources={}) for way in ways] == [wanted] * 4


def test_the_file_is_found_in_the_directory(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    file = tmp_path / "here/node.toml"
    file.write_text('node = "n7"\nledger = "sqlite:///x"\nlinks = ["127.0.0.1:9"]\nstop_grace_s = 4\n')
    result = retrieve([], {"PRIMACY_DIR": "here"}, "")
    assert (result.node, result.links, result.stop_grace_s) == ("n7", (Link("127.0.0.1", 9),), 4.0)
    assert result.sources["links"] == f"file {file}"


def test_values_of_the_kernel_may_be_quoted() -> None:
    result = retrieve(ENOUGH, {}, 'notprimacy.node=n9 primacy.cluster_key="/a b/key" splash')
    assert result.cluster_key == "/a b/key"
    assert result.node == "n1"


def test_a_shadowed_value_is_not_looked_at() -> None:
    assert retrieve(ENOUGH, {"PRIMACY_NODE": "no good!"}, "").node == "n1"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--node", ""), ("--node", "master"), ("--node", "vice"), ("--node", "-n"), ("--node", "n" * 64),
        ("--ledger", "sqlite:///"), ("--ledger", "redis://x"),
        ("--links", ""), ("--links", "127.0.0.1:0"), ("--links", "127.0.0.1:65536"),
        ("--links", "localhost:7300"),
        ("--links", "::1:7300"), ("--links", "127.0.0.1:7300,127.0.0.1:7300"), ("--links", "127.0.0.1:7300,"),
        ("--links", ",".join(f"10.0.0.{number}" for number in range(1, 10))),
        ("--stop-grace-s", "0"), ("--stop-grace-s", "soon"), ("--stop-grace-s", "nan"),
        ("--stop-grace-s", "3601"),
        ("--dir", ""), ("--private-key", ""),
        ("--halt-command", "'unbalanced"), ("--reboot-command", "'' x"), ("--os-commands", "maybe"),
        ("--watchdog", "a\0b"), ("--watchdog-timeout-s", "0.5"), ("--watchdog-timeout-s", "1.5"),
        ("--watchdog-timeout-s", "3601"), ("--watchdog-silence-s", "-1"), ("--watchdog-silence-s", "never"),
    ],
)  # fmt: skip
def test_a_bad_value_is_one_error(option: str, value: str) -> None:
    errors = refused([*ENOUGH, option, value], {}, "")
    assert list(errors) == [option]
    assert errors[option].got == repr(value)
    assert errors[option].want.startswith("wanted: ")


@pytest.mark.parametrize(
    "line",
    [
        *("node = 3", "links = [1]", "links = 7", "stop_grace_s = true", "dir = []", "ledger = {}"),
        *("halt_command = [1]", "halt_command = 3", 'reboot_command = ["", "x"]', "os_commands = []"),
        *("watchdog = 1", "watchdog_timeout_s = true", "watchdog_silence_s = false"),
    ],
)
def test_a_bad_type_in_the_file_is_one_error(tmp_path: Path, line: str) -> None:
    file = tmp_path / "node.toml"
    file.write_text(line + "\n")
    argv = [each for each in ENOUGH if not each.startswith(f"--{line.split()[0]}")]
    assert list(refused(argv, {}, "", str(file))) == [f"{file}: {line.split()[0]}"]


def test_all_mistakes_are_told_together(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('peers = "n2"\nstop_grace_s = -1\n')
    errors = refused(["--nod=n1", "--links"], {"PRIMACY_LEDGER": "x"}, "primacy.spin=1", str(file))
    assert set(errors) == {
        "command line", "--links", "kernel command line", "PRIMACY_LEDGER", "node", f"{file}: peers",
        f"{file}: stop_grace_s",
    }  # fmt: skip
    assert "--node, primacy.node=, PRIMACY_NODE" in errors["node"].want


@pytest.mark.parametrize("content", [None, b"node = ", b"\xff"])
def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "other.toml"
    if content is not None:
        file.write_bytes(content)
    assert list(refused([*ENOUGH, f"--file={file}"], {}, "")) == [str(file)]


def test_the_agent_gets_what_the_guardian_retrieved() -> None:
    odd = "halt --now 'a b' '\"' ',' \\$HOME"
    result = retrieve([*ENOUGH, "--halt-command", odd, "--watchdog=dog"],
                      {"PRIMACY_LINKS": "[::1]:5,10.0.0.1:6"}, "primacy.stop_grace_s=0.25")  # fmt: skip
    assert boot.from_json(result.to_json()) == result


def test_a_command_is_a_list_or_what_a_shell_would_read(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('halt_command = ["/sbin/halt", "a b", "*"]\nreboot_command = []\n')
    result = retrieve(ENOUGH, {}, "", str(file))
    assert shlex.split(result.halt_command) == ["/sbin/halt", "a b", "*"]
    assert result.reboot_command == ""
    assert (
        retrieve([*ENOUGH, "--reboot-command", result.halt_command], {}, "").reboot_command
        == result.halt_command
    )


def test_without_a_word_there_is_no_watchdog_and_no_command(tmp_path: Path) -> None:
    result = retrieve(ENOUGH, {}, "")
    assert (result.halt_command, result.reboot_command, result.os_commands) == ("", "", "run")
    assert (result.watchdog, result.watchdog_timeout_s, result.watchdog_silence_s) == ("", 10, 0.0)


def test_the_table_that_an_operator_reads() -> None:
    rows = retrieve(ENOUGH, {"PRIMACY_LINKS": "10.0.0.1:6"}, "").explain()
    assert [row[0] for row in rows] == [each.name for each in PARAMETERS]
    assert ("node", "n1", "command line") in rows
    assert ("links", "10.0.0.1:6", "environment PRIMACY_LINKS") in rows
    assert all(each.help for each in PARAMETERS)


def test_a_system_that_does_not_show_its_command_line_has_none(tmp_path: Path) -> None:
    assert boot.kernel_command_line(str(tmp_path / "none")) == ""
    (tmp_path / "cmdline").write_text("a=b")
    assert boot.kernel_command_line(str(tmp_path / "cmdline")) == "a=b"
