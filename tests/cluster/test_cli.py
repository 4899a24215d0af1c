"""The command line on a real cluster: every command, its output for programs, its exit codes.

One cluster serves the tests that leave it whole; each of them begins by waiting until it is.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import primacy
from primacy.local.event_files import EventFiles
from primacy.local.layout import Layout
from primacy.local.processes import processes_of
from primacy.machines.timeline import term_of

_SOURCE = str(Path(primacy.__file__).parents[1])
_ENVIRONMENT = {**os.environ, "PYTHONPATH": _SOURCE}
_SHOP = '''
import msgspec
import primacy


class Stock(msgspec.Struct):
    """What is in store."""

    count: dict[str, int] = {}


class Shop(primacy.Service[Stock]):
    """How many of each article there are."""

    @primacy.operation
    def add(self, ctx, article: str, count: int) -> int:
        """Put articles into the store."""
        if count < 0:
            raise ValueError(f"{count} is less than nothing")
        self.state.count[article] = self.state.count.get(article, 0) + count
        return self.state.count[article]

    @primacy.query
    def stock(self, article: str) -> int:
        """Tell how many there are."""
        return self.state.count.get(article, 0)
'''
_LIMIT_S = 40.0

pytestmark = pytest.mark.timeout(120)


class Cli:
    """The command `primacy` on one cluster."""

    def __init__(self, directory: Path) -> None:
        self.layout = Layout(directory)

    def run(self, *words: str, code: int = 0) -> str:
        """Run a command that must end with an exit code; return its standard output."""
        ran = _primacy(*words, "--dir", str(self.layout.root))
        assert ran.returncode == code, f"{words}: {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def json(self, *words: str, code: int = 0) -> Any:
        """Run a command with `--json`; return the value that it prints."""
        return json.loads(self.run(*words, "--json", code=code))

    def status(self) -> dict[str, Any]:
        """Return the status, whatever the exit code."""
        found: dict[str, Any] = json.loads(
            _primacy("status", "--json", "--dir", str(self.layout.root)).stdout
        )
        return found

    def wait_whole(self) -> dict[str, Any]:
        """Wait until the cluster is in service with a ready vice and all nodes are members."""
        deadline_s = time.monotonic() + _LIMIT_S
        while True:
            found = self.status()
            members = [node for node in found["nodes"] if node["role"] != "out"]
            if found["in_service"] and found["vice_ready"] and len(members) == 3:
                return found
            assert time.monotonic() < deadline_s, found
            time.sleep(0.1)


def _primacy(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "primacy.cli.main", *words],
        env=_ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A cluster of three nodes with a shop, brought up by the command."""
    where = tmp_path_factory.mktemp("cli")
    (where / "shop.py").write_text(_SHOP)
    cli = Cli(where / "demo")
    try:
        found = cli.json("up", "--detach", "--service", f"{where / 'shop.py'}:Shop")
        assert found["in_service"]
        assert found["nodes"] == ["n1", "n2", "n3"]
        yield cli
    finally:
        _primacy("down", "--dir", str(cli.layout.root))
        assert not any(processes_of(cli.layout.node(node)) for node in cli.layout.nodes())


def test_status_has_the_documented_form(cluster: Cli) -> None:
    found = cluster.wait_whole()
    assert set(found) >= {
        "cluster",
        "term",
        "master",
        "vice",
        "vice_ready",
        "in_service",
        "nodes",
        "services",
    }
    assert {node["role"] for node in found["nodes"]} == {"master", "vice", "available"}
    for node in found["nodes"]:
        assert set(node) >= {"id", "incarnation", "role", "eligible", "links", "servers", "function", "level"}
        assert [set(link) for link in node["links"]] == [{"address", "up"}] * 2
        assert set(node["servers"]) == {"naming", "shop"}
    states = {node["role"]: set(node["servers"].values()) for node in found["nodes"]}
    assert states == {"master": {"primary"}, "vice": {"secondary"}, "available": {"available"}}
    for service in found["services"]:
        assert set(service) >= {"name", "primary", "secondary", "durability", "sequence", "lag"}
        assert (service["primary"], service["secondary"]) == (found["master"], found["vice"])
    lines = cluster.run("status").splitlines()
    assert lines[0].startswith("cluster primacy: in service, term ")
    assert "\x1b" not in "".join(lines)


def test_calls_take_json_or_text_and_find_out_what_is_a_query(cluster: Cli) -> None:
    cluster.wait_whole()
    before = cluster.json("call", "shop", "stock", "article=bolt", "--query")
    assert cluster.json("call", "shop", "add", "article=bolt", "count=3") == before + 3
    assert cluster.json("call", "shop", "stock", "article=bolt") == before + 3
    assert cluster.json("call", "shop", "stock", "article=bolt", "--confirm") == before + 3
    raised = cluster.json("call", "shop", "add", "article=bolt", "count=-1", code=7)
    assert raised["message"] == "ValueError: -1 is less than nothing"
    refused = cluster.json("call", "shop", "burn", code=3)
    assert "burn" in " ".join(refused["reasons"])


def test_names(cluster: Cli, tmp_path: Path) -> None:
    cluster.wait_whole()
    file = tmp_path / "services"
    file.write_text("http 80/tcp www # the web\nntp 123/udp\nnonsense\n")
    imported = cluster.json("names", "import", str(file))
    assert imported["bound"] == 2
    assert len(imported["left_out"]) == 1
    names = [entry["name"] for entry in cluster.json("names", "list", "services", "-r")]
    assert names == ["services/http/tcp", "services/ntp/udp"]
    cluster.run("names", "bind", "shop/till/1", "10.0.0.7:8100", "floor=2")
    entry = cluster.json("names", "resolve", "shop/till/1")
    assert (entry["endpoint"], entry["attributes"]) == ("10.0.0.7:8100", {"floor": "2"})
    assert cluster.json("names", "bind", "shop/till/1", "x", code=7)["error"] == "NameExists"
    cluster.run("names", "rebind", "shop/till/1", "10.0.0.8:8100")
    assert cluster.run("names", "resolve", "shop/till/1") == "shop/till/1  10.0.0.8:8100\n"
    cluster.run("names", "unbind", "shop/till/1")
    assert cluster.json("names", "resolve", "shop/till/1", code=7)["error"] == "NameNotFound"


def test_a_watch_of_names_prints_each_change(cluster: Cli) -> None:
    cluster.wait_whole()
    words = [
        sys.executable,
        "-m",
        "primacy.cli.main",
        "names",
        "watch",
        "seen",
        "--dir",
        str(cluster.layout.root),
    ]
    with subprocess.Popen(words, env=_ENVIRONMENT, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        cluster.run("names", "rebind", "seen/one", "a:1")
        assert watching.stdout.readline() == "seen/one  a:1\n"
        cluster.run("names", "unbind", "seen/one")
        assert watching.stdout.readline() == "seen/one  unbound\n"
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 0


def test_a_switchover_is_told_before_and_after(cluster: Cli) -> None:
    before = cluster.wait_whole()
    assert cluster.json("switchover", "--dry-run")["possible"] is True
    assert cluster.status()["term"] == before["term"]
    done = cluster.json("switchover", "--to", "vice")
    assert (done["from"], done["to"], done["term"]) == (before["master"], before["vice"], before["term"] + 1)
    assert done["duration_ms"] > 0
    refused = cluster.json("switchover", "--to", done["to"], "--dry-run", code=3)
    assert refused["reasons"]


def test_a_crash_of_the_master_is_survived_with_the_data(cluster: Cli) -> None:
    before = cluster.wait_whole()
    count = cluster.json("call", "shop", "add", "article=nut", "count=1")
    report = cluster.json("kill", "master", "--how", "crash")
    assert (report["node"], report["role"]) == (before["master"], "master")
    assert report["term"] > before["term"]
    assert cluster.json("call", "shop", "add", "article=nut", "count=1") == count + 1
    after = cluster.wait_whole()  # its guardian has started the agent again
    old, new = ({node["id"]: node["incarnation"] for node in found["nodes"]} for found in (before, after))
    assert old[before["master"]] != new[before["master"]]


def test_a_crash_of_a_host_only(cluster: Cli) -> None:
    before = cluster.wait_whole()
    count = cluster.json("call", "shop", "add", "article=cog", "count=1")
    report = cluster.json("kill", "master", "--how", "crash", "--service", "shop")
    assert report["service"] == "shop"
    assert cluster.json("call", "shop", "add", "article=cog", "count=1") == count + 1
    after = cluster.wait_whole()
    assert [n["incarnation"] for n in before["nodes"]] == [n["incarnation"] for n in after["nodes"]]
    assert cluster.json("kill", "master", "--how", "crash", "--service", "none", code=3)["reasons"]


def test_a_loss_of_power_is_silent(cluster: Cli) -> None:
    before = cluster.wait_whole()
    lost = before["master"]
    incarnation = next(node["incarnation"] for node in before["nodes"] if node["id"] == lost)
    known = processes_of(cluster.layout.node(lost))
    files = EventFiles(cluster.layout)
    files.skip()
    report = cluster.json("kill", "master", "--how", "power")
    assert set(report["pids"]) == {each.pid for each in known}
    assert report["term"] == before["term"] + 1
    deadline_s = time.monotonic() + _LIMIT_S
    while any(each.alive for each in known):  # killed by a process of its own
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    told = [event["event"] for event in files.read()]
    obituaries = [
        event for event in told if event["event"] == "ObituaryHeard" and event["incarnation"] == incarnation
    ]
    assert obituaries == []
    claims = [event["cause"] for event in told if event["event"] == "ClaimBegan"]
    assert len(claims) == 1
    assert "beat" in claims[0]
    cluster.run("kill", lost, "--how", "crash", code=3)
    assert cluster.json("start", lost)["id"] == lost
    cluster.run("start", lost, code=3)
    cluster.wait_whole()


def test_a_frozen_master_is_thawed_into_a_cluster_that_has_moved_on(cluster: Cli) -> None:
    before = cluster.wait_whole()
    report = cluster.json("kill", "master", "--how", "freeze")
    assert report["master"] != before["master"]
    cluster.run("kill", before["master"], "--how", "crash", code=3)
    cluster.run("start", before["master"], code=3)
    cluster.run("kill", before["master"], "--how", "thaw")
    cluster.run("kill", before["master"], "--how", "thaw", code=3)
    after = cluster.wait_whole()
    assert after["master"] == report["master"]
    assert after["term"] == report["term"]


def test_a_link_is_taken_down_by_the_node_that_has_it(cluster: Cli) -> None:
    before = cluster.wait_whole()
    down = cluster.json("link", "vice", "127.0.0.2", "down")
    assert down == {"node": before["vice"], "link": 1, "number": 2, "address": "127.0.0.2", "up": False}
    try:
        deadline_s = time.monotonic() + _LIMIT_S
        while all(link["up"] for node in cluster.status()["nodes"] for link in node["links"]):
            assert time.monotonic() < deadline_s
        cluster.json("call", "shop", "add", "article=pin", "count=1")
        during = cluster.status()
        assert (during["term"], during["vice"], during["vice_ready"]) == (
            before["term"],
            before["vice"],
            True,
        )
    finally:
        cluster.run("link", before["vice"], "2", "up")
    cluster.run("link", "vice", "3", "down", code=78)
    cluster.wait_whole()


def test_shutdown_of_a_node_and_its_start(cluster: Cli) -> None:
    before = cluster.wait_whole()
    assert cluster.json("shutdown", "master", "--dry-run")
    assert cluster.json("shutdown", "vice")["stopped"] == [before["vice"]]
    deadline_s = time.monotonic() + _LIMIT_S
    while processes_of(cluster.layout.node(before["vice"])):
        assert time.monotonic() < deadline_s
    assert cluster.status()["in_service"]
    cluster.run("start", before["vice"])
    cluster.wait_whole()
    cluster.run("start", "n9", code=78)


def test_events_of_all_nodes_come_in_causal_order(cluster: Cli) -> None:
    cluster.wait_whole()
    found = [json.loads(line) for line in cluster.run("events", "--json").splitlines()]
    assert {event["node"] for event in found} == {"n1", "n2", "n3"}
    terms = [term_of(event) for event in found if event["event"]["event"] == "MasterElected"]
    assert terms == sorted(terms)
    assert len(cluster.run("events", "--last", "5").splitlines()) == 5
    assert {
        json.loads(line)["node"] for line in cluster.run("events", "--node", "n2", "--json").splitlines()
    } == {"n2"}


def test_up_takes_the_cluster_as_it_is_or_says_what_differs(cluster: Cli) -> None:
    before = cluster.wait_whole()
    assert cluster.json("up", "--detach")["in_service"]
    differs = cluster.json("up", "--detach", "--nodes", "5", "--profile", "carrier", code=78)
    assert "its nodes are n1" in differs["message"]
    assert "profile lan" in differs["message"]
    assert cluster.status()["term"] == before["term"]


def test_down_and_up_again_keep_the_data(cluster: Cli) -> None:
    cluster.wait_whole()
    count = cluster.json("call", "shop", "add", "article=key", "count=1")
    assert sorted(cluster.json("down")["stopped"]) == ["n1", "n2", "n3"]
    down = cluster.json("status", code=4)
    assert (down["in_service"], down["master"]) == (False, None)
    assert "primacy up" in down["waits"][0]
    assert cluster.json("switchover", "--deadline", "1", code=4)["error"] == "NoPrimary"
    cluster.run("kill", "n1", "--how", "crash", code=3)
    assert cluster.json("down") == {"stopped": [], "killed": []}
    assert cluster.json("up", "--detach")["in_service"]
    assert cluster.json("call", "shop", "stock", "article=key") == count


def test_an_error_in_a_services_code_reaches_who_starts_it(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    ran = _primacy(
        "up", "--detach", "--dir", str(tmp_path / "demo"), "--service", f"{tmp_path / 'broken.py'}:Shop"
    )
    assert ran.returncode == 78
    assert "Traceback" in ran.stderr
    assert "No module named 'nothing_of_that_name'" in ran.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["broken.py"]


def test_up_in_the_foreground_shows_events_and_stops_in_order(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "demo")
    words = [sys.executable, "-m", "primacy.cli.main", "up", "--nodes", "1", "--dir", str(layout.root)]
    with subprocess.Popen(words, env=_ENVIRONMENT, stdout=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        shown = []
        for line in up.stdout:
            shown.append(line)
            if line.startswith("cluster primacy: in service"):
                break
        up.send_signal(signal.SIGINT)
        shown += up.stdout.readlines()
        assert up.wait(30) == 0
    assert any("n1 is master of term 1" in line for line in shown)
    assert processes_of(layout.node("n1")) == []


def test_a_port_that_is_taken_is_told_at_once(tmp_path: Path) -> None:
    import socket

    from primacy.local.ports import free_base

    base = free_base(1)
    where = str(tmp_path / "demo")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", base))
        ran = _primacy("up", "--nodes", "1", "--port", str(base), "--detach", "--dir", where)
    assert ran.returncode == 78, ran.stderr
    assert f"127.0.0.1:{base}" in ran.stderr
    assert _primacy("down", "--dir", where).returncode == 0


def test_the_demo_runs_through_by_itself(tmp_path: Path) -> None:
    ran = _primacy("demo", "--dir", str(tmp_path / "demo"))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for words in (
        "(crash): outage",
        "in silence: outage",
        "(switchover): outage",
        "0 lost, 0 doubled",
        "stopped",
    ):
        assert words in ran.stdout


def test_a_measurement_has_the_documented_form() -> None:
    ran = _primacy("bench", "switchover", "--runs", "1", "--profile", "carrier", "--json")
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert list(found) == [
        "how",
        "profile",
        "durability",
        "runs",
        "outage_ms",
        "acknowledged",
        "lost",
        "doubled",
    ]
    assert list(found["outage_ms"]) == ["min", "median", "p99", "max"]
    assert (found["profile"], found["durability"], found["runs"]) == ("carrier", "disk", 1)
