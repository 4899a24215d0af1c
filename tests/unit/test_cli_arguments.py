"""What commands make of their arguments, and of what they have done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from primacy.cli.common import node_named
from primacy.cli.functions import link_index, system_lines
from primacy.cli.kill import Report
from primacy.cli.names import read_names
from primacy.cli.services import pairs
from primacy.cli.up import Wanted
from primacy.config import Service
from primacy.errors import ConfigError, NoPrimary
from primacy.local import table
from primacy.local.layout import Layout
from primacy.machines.control_wire import Topology

_TOPOLOGY = Topology("demo", 7, "n2", "n3", True, [])


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ((), {}),
        (("count=3", "name=bolt"), {"count": 3, "name": "bolt"}),
        (
            ("a=true", "b=null", "c=[1,2]", 'd="3"', 'e={"x":1}'),
            {"a": True, "b": None, "c": [1, 2], "d": "3", "e": {"x": 1}},
        ),
        (("a=x=y", "b=", "c=3.5", "d=01"), {"a": "x=y", "b": "", "c": 3.5, "d": "01"}),
    ],
)
def test_values_are_json_or_text(words: tuple[str, ...], arguments: dict[str, Any]) -> None:
    assert pairs(words) == arguments


@pytest.mark.parametrize("words", [("count",), ("=3",), ("a-b=3",), ("a=1", "a=2")])
def test_what_is_no_argument_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        pairs(words)


def test_a_link_is_its_number_or_its_address() -> None:
    addresses = ["127.0.0.1", "127.0.0.2"]
    assert [link_index(word, addresses) for word in ("1", "2", "127.0.0.1", "127.0.0.2")] == [0, 1, 0, 1]
    for word in ("0", "3", "127.0.0.3", "x", "-1", "²"):
        with pytest.raises(ConfigError, match=r"1 \(127\.0\.0\.1\), 2 \(127\.0\.0\.2\)"):
            link_index(word, addresses)


def test_it_is_told_whether_a_machine_halts_or_a_command_is_only_written_down() -> None:
    n2 = {"then": "halt", "command": "systemctl poweroff", "run": False}
    n1 = {"then": "halt", "command": "/sbin/halt -p", "run": True}
    lines = system_lines({"n2": n2, "n1": n1})
    assert lines[0] == "n1: halt by `/sbin/halt -p`"
    assert lines[1].startswith("n2: halt by `systemctl poweroff`: written to its log only")
    assert system_lines({}) == []


def test_roles_name_nodes() -> None:
    assert [node_named(word, "n2", "n3") for word in ("master", "vice", "n7")] == ["n2", "n3", "n7"]
    with pytest.raises(NoPrimary, match="no vice"):
        node_named("vice", "n2", "")


def test_a_report_tells_what_was_done_and_what_came_of_it() -> None:
    report = Report("n1", "power", None, [10, 11], "master", _TOPOLOGY, 310.4)
    first, second = report.sentences()
    assert first.startswith("n1: the power is off (2 processes stopped")
    assert second == "n2 serves term 7, 310 ms after that"
    assert report.plain()["after_ms"] == 310.4
    assert Report("n1", "crash", "shop", [5], "").sentences() == ["n1: killed the host of shop (pid 5)"]
    assert "no other master" in Report("n1", "freeze", None, [5], "master", late=True).sentences()[-1]


class TestWanted:
    """Options of `up` against the table of a cluster that exists."""

    stands = table.generate(3, "lan", {"shop": Service(python="m:Shop", path="/srv")}, port=20000)
    layout = Layout(Path("/demo"))

    @pytest.mark.parametrize(
        "wanted",
        [
            Wanted(),
            Wanted(nodes_count=3),
            Wanted(profile="lan"),
            Wanted(port=20000),
            Wanted(3, "lan", None, (), 20000),
        ],
    )
    def test_no_options_or_the_same_start_it_as_it_is(self, wanted: Wanted) -> None:
        wanted.check_against(self.stands, self.layout)

    @pytest.mark.parametrize(
        ("wanted", "why"),
        [
            (Wanted(nodes_count=2), "its nodes are"),
            (Wanted(profile="carrier"), "profile lan"),
            (Wanted(port=21000), "port 20000"),
            (Wanted(services=("m:Other",)), "its service other is absent"),
            (Wanted(services=("n:Shop",)), "its service shop is m:Shop"),
        ],
    )
    def test_other_options_are_refused_in_words(self, wanted: Wanted, why: str) -> None:
        with pytest.raises(ConfigError, match=why):
            wanted.check_against(self.stands, self.layout)

    def test_a_file_is_compared_as_a_whole(self, tmp_path: Path) -> None:
        file = tmp_path / "cluster.toml"
        file.write_text(table.to_toml(self.stands))
        Wanted(file=str(file)).check_against(self.stands, self.layout)
        file.write_text(table.to_toml(self.stands).replace('"lan"', '"wan"'))
        with pytest.raises(ConfigError, match="profile lan"):
            Wanted(file=str(file)).check_against(self.stands, self.layout)


def test_the_form_of_a_file_of_names_is_seen_from_it(tmp_path: Path) -> None:
    file = tmp_path / "names"
    file.write_text("http 80/tcp www\nntp 123/udp\n")
    assert [entry.name for entry in read_names(str(file)).entries] == [
        "services/http/tcp",
        "services/ntp/udp",
    ]
    file.write_text("127.0.0.1 localhost\n10.0.0.1 db1 db\n")
    assert [entry.name for entry in read_names(str(file)).entries] == ["hosts/localhost", "hosts/db1"]
    assert [entry.name for entry in read_names(str(file), prefix="a/b").entries] == [
        "a/b/localhost",
        "a/b/db1",
    ]
    file.write_text("nothing\n")
    with pytest.raises(ConfigError, match="no line"):
        read_names(str(file))
    with pytest.raises(ConfigError, match="readable file"):
        read_names(str(tmp_path / "none"))
