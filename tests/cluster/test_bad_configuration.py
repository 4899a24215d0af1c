"""Bad configuration, a foreign ledger, a broken journal: one clear error, an exit code, nothing changed or deleted."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from primacy.local import bring_up
from tests.cluster.cluster_tools import Live, run_cli, wait_for
from tests.cluster.conftest import MakeLive

CONFIGURATION = 78
UNAVAILABLE = 4
NEWER = 99

TABLE = """
[cluster]
profile = "lan"
[nodes.n1]
links = ["127.0.0.1", "127.0.0.2"]
port = 9300
[nodes.n2]
links = ["127.0.0.1", "127.0.0.2"]
port = 9340
"""
BAD_TABLES = {
    "unknown key": (TABLE.replace("port = 9340", "prot = 9340"), ["nodes", "prot"]),
    "unknown section": (TABLE + "[watchdogs]\n", ["watchdogs"]),
    "duplicate node": (TABLE + '[nodes.n2]\nlinks = ["127.0.0.1"]\nport = 9380\n', ["TOML", "n2"]),
    "same port twice": (TABLE.replace("9340", "9300"), ["nodes.n2", "9300", "n1"]),
    "blocks of ports that overlap": (TABLE.replace("9340", "9301"), ["nodes.n2", "9301", "n1"]),
    "wrong type": (TABLE.replace("port = 9340", 'port = "9340"'), ["nodes", "port", "int"]),
    "not an address": (TABLE.replace('"127.0.0.2"', '"loopback"'), ["nodes.n1", "loopback", "address"]),
    "lease not below grace": (
        TABLE + "[timing]\nbeat_ms = 10\nlease_ms = 50\ngrace_ms = 50\n",
        ["timing.grace_ms", "50", "52.5", "silent before"],
    ),
    "unknown profile": (TABLE.replace('"lan"', '"fast"'), ["cluster.profile", "fast", "carrier, lan, wan"]),
    "nobody eligible": (TABLE.replace("port", "eligible = false\nport"), ["eligible"]),
    "no such class": (
        TABLE
        + '[services.stock]\npython = "cluster_services.py:Stock"\n'
        + f'path = "{Path(__file__).parent}"\n',
        ["cluster_services.py", "Stock", "Logbook"],
    ),
    "not TOML": ("nodes = [", ["TOML"]),
}


def contents(directory: Path) -> dict[str, str]:
    """Return what stands in a directory: each file with the digest of its bytes."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def refused(*words: str, expect: list[str], code: int = CONFIGURATION) -> str:
    """Run a command that must fail with this code and say all of this; return what it said."""
    ran = run_cli(*words)
    assert ran.returncode == code, ran.stderr
    assert "Traceback" not in ran.stderr.replace('Traceback (most recent call last):\n  File "<', ""), (
        ran.stderr
    )
    missing = [word for word in expect if word not in ran.stderr]
    assert missing == [], ran.stderr
    return ran.stderr


@pytest.mark.parametrize("what", BAD_TABLES)
def test_a_bad_table_makes_no_cluster(tmp_path: Path, what: str) -> None:
    text, expect = BAD_TABLES[what]
    table = tmp_path / "table.toml"
    table.write_text(text)
    directory = tmp_path / "cluster"
    refused("up", "--detach", "--config", str(table), "--dir", str(directory), expect=expect)
    if what != "no such class":  # a check of the table alone imports nobody's code
        refused("config", "check", str(table), expect=expect)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table.toml"]


def test_bad_options_make_no_cluster(tmp_path: Path) -> None:
    directory = str(tmp_path / "cluster")
    refused("up", "--detach", "--dir", directory, "--nodes", "0", expect=["--nodes", "0", "1 to 64"])
    refused("up", "--detach", "--dir", directory, "--profile", "fast", expect=["profile", "fast"])
    refused("up", "--detach", "--dir", directory, "--service", "none.py:None", expect=["none.py"])
    assert list(tmp_path.iterdir()) == []


# ---- a cluster that exists ----


def made(live: Live) -> dict[str, str]:
    """Make the directory of a cluster that does not run; return its contents."""
    asyncio.run(live.make())
    return contents(live.layout.root)


def up_refused(live: Live, expect: list[str], code: int = CONFIGURATION, *, part: str = ".") -> None:
    """`up` must fail, say all of this, and change nothing of what makes the cluster (or that part of it)."""
    before = contents(live.layout.root / part)
    refused("up", "--detach", "--dir", str(live.layout.root), expect=expect, code=code)
    assert live.processes() == []
    after = contents(live.layout.root / part)
    left = {name: digest for name, digest in after.items() if name in before or not is_trace(name)}
    assert left == before


def is_trace(name: str) -> bool:
    """Is this file only a trace of an attempt: a log, a lock, what a ledger's readers share, an empty journal?

    A node that is well may have opened its journals before the other one was found to be wrong.
    """
    return "services" in Path(name).parts or Path(name).name in (
        "node.log",
        "events.jsonl",
        "guardian.lock",
        "ledger.sqlite-shm",
        "ledger.sqlite-wal",
    )


@pytest.mark.parametrize("file", ["cluster.key", "nodes/n2/node-n2.key", "nodes/n2/node-n2.pem"])
@pytest.mark.parametrize("how", ["missing", "unreadable", "garbage"])
def test_a_key_file_that_cannot_be_used(make_live: MakeLive, file: str, how: str) -> None:
    live = make_live(count=2)
    made(live)
    path = live.layout.root / file
    if how == "garbage":
        path.write_text("garbage\n")
    else:
        path.unlink()
    if how == "unreadable":
        path.mkdir()
    up_refused(live, [Path(file).name])


def test_another_clusters_ledger(make_live: MakeLive) -> None:
    live, other = make_live(count=2), make_live(count=2)
    made(live)
    made(other)
    os.replace(other.layout.ledger, live.layout.ledger)
    up_refused(live, ["ledger.sqlite", "cluster", "wanted"])


@pytest.mark.parametrize("how", ["garbage", "empty", "truncated", "newer"])
def test_a_ledger_that_is_none(make_live: MakeLive, how: str) -> None:
    live = make_live(count=2)
    made(live)
    ledger = live.layout.ledger
    if how == "newer":
        with sqlite3.connect(ledger) as database:
            database.execute(f"PRAGMA user_version={NEWER}")
        database.close()
    else:
        whole = ledger.read_bytes()
        ledger.write_bytes({"garbage": b"garbage" * 1000, "empty": b"", "truncated": whole[:1000]}[how])
    # a store that is damaged may be put right under a running cluster: it is "unavailable", not "wrong"
    up_refused(live, ["ledger.sqlite"], code=UNAVAILABLE if how == "truncated" else CONFIGURATION)


def test_an_option_that_the_existing_table_contradicts(make_live: MakeLive) -> None:
    live = make_live(count=2)
    before = made(live)
    root = str(live.layout.root)
    refused("up", "--detach", "--dir", root, "--nodes", "3", expect=["2", "3"])
    refused("up", "--detach", "--dir", root, "--profile", "carrier", expect=["lan", "carrier"])
    assert contents(live.layout.root) == before


def test_a_port_that_is_taken(make_live: MakeLive) -> None:
    import socket

    live = make_live(count=2)
    made(live)
    port = live.table_in_force.nodes["n2"].port
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", port))
        up_refused(live, ["127.0.0.1", str(port), "in use"])


def test_boot_parameters_that_are_wrong(make_live: MakeLive) -> None:
    live = make_live(count=2)
    before = made(live)
    node = live.layout.node("n1")
    for words, expect in (
        (("--links", "loopback:port"), ["--links", "loopback:port"]),
        (("--ledger", ""), ["--ledger"]),
        (("--cluster-key", str(node / "nothing")), ["nothing"]),
    ):
        refused("node", "--dir", str(node), *words, expect=expect)
    left = {name: digest for name, digest in contents(live.layout.root).items() if not is_trace(name)}
    assert left == before


# ---- journals ----


async def written(live: Live) -> dict[str, Any]:
    """Run the cluster until something is written everywhere it must be, and stop it in order; return the status."""
    await live.start()
    async with live.client() as cluster:
        await live.whole(cluster, members=len(live.layout.nodes()))
        for number in range(50):
            await cluster.service("logbook").append(log="a", name=str(number))
        status = await live.whole(cluster)
    await bring_up.stop_all(live.layout, print, "the test")
    await wait_for(lambda: not live.processes(), "the end of all processes")
    return status


def spoil(journal: Path, how: str) -> None:
    """Make a journal truncated, corrupt, newer, or delete it."""
    if how == "newer":
        database = sqlite3.connect(journal)
        database.execute(f"PRAGMA user_version={NEWER}")
        database.close()
        return
    for beside in ("-wal", "-shm"):  # a host that did not end in order has left them, and they would mend it
        journal.with_name(journal.name + beside).unlink(missing_ok=True)
    if how == "deleted":
        journal.unlink()
        return
    whole = journal.read_bytes()
    assert len(whole) > 8192
    broken = {"truncated": whole[: len(whole) // 2], "corrupt": whole[:4096] + b"\xff" * 4096 + whole[8192:]}
    journal.write_bytes(broken[how])


@pytest.mark.parametrize("how", ["truncated", "corrupt"])
async def test_a_journal_that_is_damaged_is_kept_aside_and_filled_again_by_its_peer(
    make_live: MakeLive, how: str
) -> None:
    live = make_live(count=2)
    status = await written(live)
    directory = live.layout.node(status["master"]) / "services" / "logbook"
    spoil(directory / "journal.db", how)
    spoiled = (directory / "journal.db").read_bytes()
    up = run_cli("up", "--detach", "--dir", str(live.layout.root))
    assert up.returncode == 0, up.stderr
    async with live.client() as cluster:
        await live.whole(cluster)
        assert await cluster.service("logbook").query.read(log="a") == [50, "49"]
        [note] = await live.some(1, "ServiceNote", kind="journal set aside")
        assert note["node"] == status["master"]
        assert str(directory / "journal.db") in note["text"]
        assert (directory / "aside-1" / "journal.db").read_bytes() == spoiled
        await cluster.control("switchover", reason="the other replica is asked, too")
        assert await cluster.service("logbook").query.read(log="a") == [50, "49"]


async def test_a_journal_that_is_newer_than_the_code_is_refused(make_live: MakeLive) -> None:
    live = make_live(count=2)
    status = await written(live)
    journal = live.layout.node(status["master"]) / "services" / "logbook" / "journal.db"
    spoil(journal, "newer")
    part = str(journal.parent.relative_to(live.layout.root))
    await asyncio.to_thread(up_refused, live, [str(journal), str(NEWER), "newer"], part=part)


@pytest.mark.parametrize(
    ("how", "kind"), [("truncated", "journal set aside"), ("deleted", "journal missing")]
)
async def test_a_node_whose_journal_is_lost_leaves_formation_to_the_others(
    make_live: MakeLive, how: str, kind: str
) -> None:
    """The recorded master has lost its journal and its vice is away: nobody begins with less than was acknowledged."""
    live = make_live(count=2)
    await live.start()
    async with live.client() as cluster:
        status = await live.whole(cluster)
        for number in range(50):
            await cluster.service("logbook").append(log="a", name=str(number))
    await asyncio.to_thread(live.end)  # all at once, without an orderly stop
    master, vice = status["master"], status["vice"]
    spoil(live.layout.node(master) / "services" / "logbook" / "journal.db", how)
    live.start_node(master)
    await wait_for(lambda: live.of_kind("ServiceNote", kind=kind), kind)
    formation_s = 3 * live.table_in_force.times.formation_ms / 1000
    await asyncio.sleep(formation_s)
    assert live.of_kind("MasterElected", node=master, term=status["term"] + 1) == []
    live.start_node(vice)
    async with live.client() as cluster:
        after = await live.whole(cluster)
        assert after["master"] == vice
        assert await cluster.service("logbook").query.read(log="a") == [50, "49"]
