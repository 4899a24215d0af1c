"""The agent's start: what it needs, what it refuses, and that it stops when it is told while it still waits."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from primacy import channel, guardian_message
from primacy.agent import main
from primacy.boot import BOOT_VARIABLE, PARAMETERS
from primacy.config import encode
from primacy.errors import ConfigError
from primacy.ledger import create_ledger
from primacy.machines.records import NodeRecord
from primacy.machines.records import encode as encode_record
from tests.unit.agent_tools import KEY, Site
from tests.unit.cgtp_tools import until


async def _ledger(name: str, site: Site, **rows: bytes) -> str:
    """Create a ledger in memory that holds the table and these rows; return its URL."""
    url = f"memory://{name}"
    ledger = await create_ledger(url, "test")
    for key, value in ({"config": encode(site.table)} | rows).items():
        if value:
            await ledger.swap(key, value, 0)
    await ledger.close()
    return url


async def _open(site: Site, url: str, **changed: Any) -> Any:
    boot = site.boot("n1")._replace(ledger=url, **changed)
    return await main.open_table(boot, "test", asyncio.Event())


async def test_the_table_and_what_persists_of_each_node(tmp_path: Path) -> None:
    site = Site(tmp_path, nodes=2)
    rows = {"nodes/n2": encode_record(NodeRecord(eligible=True, available=False))}
    ledger, table, entries = await _open(site, await _ledger("persists", site, **rows))
    assert table == site.table
    assert [(e.id, e.eligible, e.available) for e in entries] == [("n1", True, True), ("n2", True, False)]
    await ledger.close()


@pytest.mark.parametrize(
    ("name", "rows", "changed", "path"),
    [
        ("no-table", {"config": b""}, {}, "ledger memory://no-table"),
        ("damaged", {"config": b"{}"}, {}, "ledger key config: table"),
        ("newer", {"nodes/n1": b'{"format":9}'}, {}, "ledger key nodes/n1"),
        ("stranger", {}, {"node": "n9"}, "node"),
    ],
)
async def test_what_is_not_for_this_node_is_refused_by_name(
    tmp_path: Path, name: str, rows: dict[str, bytes], changed: dict[str, Any], path: str
) -> None:
    site = Site(tmp_path)
    url = await _ledger(name, site, **rows)
    with pytest.raises(ConfigError) as caught:
        await _open(site, url, **changed)
    assert caught.value.path.startswith(path.split(":")[0])


async def test_another_clusters_ledger_is_refused(tmp_path: Path) -> None:
    site = Site(tmp_path)
    await (await create_ledger("memory://foreign", "another")).close()
    with pytest.raises(ConfigError, match="another"):
        await _open(site, "memory://foreign")


@pytest.mark.parametrize("ends", ["it comes", "the node is to stop"])
async def test_a_ledger_that_is_not_there_yet_is_waited_for(
    tmp_path: Path, ends: str, capsys: pytest.CaptureFixture[str]
) -> None:
    site, stop = Site(tmp_path), asyncio.Event()
    name = "late" if ends == "it comes" else "never"
    boot = site.boot("n1")._replace(ledger=f"memory://{name}")
    waiting = asyncio.create_task(main.open_table(boot, "test", stop))
    await until(lambda: "waiting for the ledger" in capsys.readouterr().err, "it says what it waits for")
    if ends == "it comes":
        await _ledger(name, site)
        ledger, table, _ = await waiting
        assert table == site.table
        await ledger.close()
    else:
        stop.set()
        assert await waiting is None


@pytest.mark.parametrize("content", ["", "xyz", "00" * 31, "00" * 33, "é"])
def test_a_key_file_that_holds_no_key_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "cluster.key"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        main.read_key(path)
    assert caught.value.path == "cluster_key"
    with pytest.raises(ConfigError):
        main.read_key(tmp_path / "none")


def test_a_key_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cluster.key"
    path.write_text(KEY.hex() + "\n")
    assert main.read_key(path) == KEY


@pytest.mark.parametrize("environment", [{}, {BOOT_VARIABLE: "{}"}, {BOOT_VARIABLE: "garbage"}])
def test_started_by_hand_it_says_what_to_run(environment: dict[str, str]) -> None:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PRIMACY_")} | environment
    ran = subprocess.run(
        [sys.executable, "-m", "primacy.agent"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode == main.EXIT_CONFIG
    assert "primacy node" in ran.stderr


def _start(boot_json: str, fd: int) -> subprocess.Popen[bytes]:
    environ = os.environ | {BOOT_VARIABLE: boot_json, main.GUARDIAN_VARIABLE: str(fd)}
    argv = [sys.executable, "-m", "primacy.agent"]
    return subprocess.Popen(argv, env=environ, pass_fds=[fd], stderr=subprocess.PIPE)


@pytest.mark.parametrize("how", ["stop", "guardian gone", "no key"])
async def test_the_process_ends_as_it_should(tmp_path: Path, how: str) -> None:
    """Against a ledger that never answers: the ends that do not need a cluster."""
    site = Site(tmp_path)
    boot = site.boot("n1")._replace(
        ledger=f"sqlite://{tmp_path}/none.sqlite", sources=dict.fromkeys(NAMES, "test")
    )
    if how == "no key":
        os.unlink(boot.authority)
    ours, theirs = channel.pair()
    guardian = channel.Channel(ours)
    fd = theirs.fileno()
    process = _start(boot.to_json(), fd)
    theirs.close()
    assert process.stderr is not None
    if how != "no key":
        lines = iter(process.stderr.readline, b"")
        assert any(b"waiting for the ledger" in line for line in lines)
    if how == "stop":
        process.send_signal(signal.SIGTERM)
    elif how == "guardian gone":
        guardian.close()
    code = await asyncio.to_thread(process.wait, 20)
    assert code == {"stop": 0, "guardian gone": 1, "no key": main.EXIT_CONFIG}[how]
    if how == "stop":
        orders = [guardian_message.parse(message, len(fds)) for message, fds in guardian.receive()]
        assert orders == [guardian_message.Stop()]
    process.stderr.close()
    guardian.close()


NAMES = [each.name for each in PARAMETERS]
