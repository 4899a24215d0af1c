"""The operating-system level of a node: the watchdog, and the machine halted or rebooted when the node has left.

A pipe stands for the watchdog device, and a program that writes a file for the one that halts a machine: no test here
can ever take down the machine that runs it.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from primacy import guardian_process, guardian_system
from primacy.local.processes import agent_of, guardian_of
from tests.cluster.cluster_tools import LIMIT_S, Live, run_cli, wait_for
from tests.cluster.conftest import MakeLive
from tests.cluster.guarded import DEADLINE_S, Guarded, wait_until

SILENCE_S = 1.0
STARVES = "the watchdog is fed no more"
PTRACE_SEIZE = 0x4206

_HALT = """
import os, sys, time
directory, trace = sys.argv[1:]
alive = []
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        if int(pid) != os.getpid() and os.readlink(f"/proc/{pid}/cwd").startswith(directory):
            if open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] not in "ZX":
                alive.append(pid)
    except OSError:
        pass
with open(trace + ".new", "w") as opened:
    opened.write(" ".join(alive))
os.rename(trace + ".new", trace)
"""
"""The command that "halts" a machine: writes down which processes of the node still live."""


class Device:
    """A pipe in the place of a watchdog device."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def eaten(self) -> bytes:
        """Return what it was fed since."""
        try:
            return os.read(self._fd, 1 << 16)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    made = Device(tmp_path / "watchdog")
    yield made
    made.close()


def set_boot(live: Live, node: str, **parameters: Any) -> None:
    """Change a node's file of boot parameters (None: take one out)."""
    file = live.layout.node(node) / "node.toml"
    lines = [line for line in file.read_text().splitlines() if line.split(" = ")[0] not in parameters]
    lines += [f"{name} = {json.dumps(value)}" for name, value in parameters.items() if value is not None]
    file.write_text("\n".join(lines) + "\n")


def halting(live: Live, node: str, trace: Path) -> list[str]:
    """Return the command that "halts" this node's machine."""
    script = trace.with_name("halt.py")
    script.write_text(_HALT)
    return [sys.executable, str(script), str(live.layout.node(node)), str(trace)]


def log(live: Live, node: str) -> str:
    return live.layout.log(node).read_text()


async def cli(live: Live, *words: str) -> Any:
    """Run a command as an operator does, beside this test."""
    return await asyncio.to_thread(run_cli, *words, "--dir", str(live.layout.root))


# ---- the machine, when its node has left ----


@pytest.fixture
async def three(make_live: MakeLive, tmp_path: Path) -> Live:
    """A cluster as `up` makes it, but that n2 runs a command, and n3 has one that cannot be run."""
    live = make_live()

    def prepare(made: Live) -> None:
        command = halting(made, "n2", tmp_path / "halted")
        set_boot(made, "n2", os_commands="run", halt_command=command, reboot_command=None)
        set_boot(made, "n3", os_commands="run", halt_command=["/no/such/program"])

    await live.start(prepare)
    return live


async def test_the_machine_is_halted_or_rebooted_when_its_node_has_left(three: Live, tmp_path: Path) -> None:
    async with three.client() as cluster:
        await three.whole(cluster, members=3)

        # n3 cannot: nothing begins, neither for itself nor for all
        for words in (("shutdown", "n3", "--halt"), ("shutdown", "--all", "--halt")):
            ran = await cli(three, *words)
            assert ran.returncode == 3
            assert "n3 cannot halt its machine: it finds no program /no/such/program" in ran.stderr
        ran = await cli(three, "shutdown", "n2", "--reboot", "--dry-run")
        if os.path.isdir(guardian_system.SYSTEMD_PATH):  # else it has nothing to reboot with
            assert "n2: reboot by `systemctl reboot`" in ran.stderr
        else:
            assert ran.returncode == 3
            assert "n2 cannot reboot its machine: no systemd runs there" in ran.stderr
        await three.whole(cluster, members=3)

        # n2 runs its command, when nothing of the node is alive any more
        ran = await cli(three, "shutdown", "n2", "--halt")
        assert ran.returncode == 0, ran.stderr
        assert "n2: halt by `" in ran.stderr
        await wait_for((tmp_path / "halted").exists, "the command has run")
        assert (tmp_path / "halted").read_text() == ""
        assert "halt: " in log(three, "n2").rpartition("the node has ended (exit code 0)")[2]
        [stopped] = await three.some(1, "NodeStopped", node="n2")
        assert stopped["cause"].endswith("; its machine is to halt")

        # n1, as `up` makes nodes, writes its command down and does no more; as master it hands over first
        await three.led_by(cluster, "n1")
        ran = await cli(three, "shutdown", "n1", "--reboot", "--json")
        found = json.loads(ran.stdout)
        assert found["system"] == {"n1": {"then": "reboot", "command": "systemctl reboot", "run": False}}
        await wait_for(
            lambda: "reboot: the command `systemctl reboot` is not run" in log(three, "n1"),
            "it is written down",
        )
        await three.status(cluster, lambda s: s["master"] == "n3" and s["in_service"], "n3 goes on")


async def test_all_machines_are_halted_when_the_cluster_has_stopped(make_live: MakeLive) -> None:
    live = make_live(count=2)
    await live.start()
    async with live.client() as cluster:
        await live.whole(cluster)
        ran = await cli(live, "shutdown", "--all", "--halt")
    assert ran.returncode == 0, ran.stderr
    for node in ("n1", "n2"):
        assert f"{node}: halt by `systemctl poweroff`: written to its log only" in ran.stderr
        await wait_for(lambda n=node: "`systemctl poweroff` is not run" in log(live, n), "it is written down")
    await wait_for(lambda: not live.processes(), "all have ended")


# ---- the watchdog ----


def test_the_system_level_stands_before_the_agent_is_started(tmp_path: Path, device: Device) -> None:
    """Links, addresses, process supervision and watchdog; then the upper level."""
    with Guarded(tmp_path, options=[f"--watchdog={device.path}"]) as guarded:
        agent = guarded.next_agent()
        lines = guarded.log().splitlines()
        [up] = [number for number, line in enumerate(lines) if "system level is up" in line]
        [started] = [number for number, line in enumerate(lines) if "agent started" in line]
        assert up < started
        for part in ("127.0.0.1:", "127.0.0.2:", f"watchdog {device.path}, time-out of its own"):
            assert part in lines[up]
        wait_until(device.eaten, "the watchdog is fed before the agent has said a word")
        [pid] = guarded.spawn_host(agent, "h")
        assert guardian_process.parent_of(pid) == guarded.process.pid


def test_an_agent_that_falls_silent_starves_the_watchdog(tmp_path: Path, device: Device) -> None:
    with Guarded(tmp_path, options=[f"--watchdog={device.path}"]) as guarded:
        agent = guarded.next_agent()
        agent.say({"do": "alive", "silence_s": 0.2})
        guarded.wait_log(STARVES)
        device.eaten()
        agent.say({"do": "page", "service": "stock", "term": 1})  # no sign of life
        agent.hear("page")
        assert device.eaten() == b""
        agent.say({"do": "alive", "silence_s": 60})
        wait_until(device.eaten, "it is fed again")
        os.kill(agent.pid, signal.SIGKILL)
        agent = guarded.next_agent()
        agent.say({"do": "alive", "silence_s": 60})
        wait_until(device.eaten, "the next life of the agent feeds it, too")
        agent.say({"do": "stop"})
        agent.say_bytes(b"!exit 0")
        assert guarded.process.wait(DEADLINE_S) == 0
        assert device.eaten().endswith(b"V")


@pytest.mark.parametrize("how", ["killed", "cannot end all"])
def test_an_end_that_proves_nothing_leaves_the_watchdog_armed(
    tmp_path: Path, device: Device, how: str
) -> None:
    with Guarded(tmp_path, options=[f"--watchdog={device.path}"], timing={"stuck_s": 0.2}) as guarded:
        agent = guarded.next_agent()
        [pid] = guarded.spawn_host(agent, "h")
        if how == "killed":
            guarded.process.kill()
            guarded.process.wait(DEADLINE_S)
        else:
            assert ctypes.CDLL(None).ptrace(PTRACE_SEIZE, pid, 0, 0) == 0  # a tracer that does not reap
            agent.say({"do": "stop"})
            agent.say_bytes(b"!exit 0")
            assert guarded.process.wait(DEADLINE_S) == 1
            os.waitpid(pid, 0)
        assert b"V" not in device.eaten()


@pytest.mark.parametrize("path", ["/no/such/watchdog", "."])
def test_a_watchdog_that_cannot_be_opened_is_a_wrong_configuration(tmp_path: Path, path: str) -> None:
    with Guarded(tmp_path, options=[f"--watchdog={path}"]) as guarded:
        assert guarded.process.wait(DEADLINE_S) == 78
        [line] = guarded.log().splitlines()
        assert "watchdog: got " in line
        assert "wanted: a watchdog device" in line
        assert not list(guarded.directory.glob("guardian.json"))


async def test_the_watchdog_is_fed_only_while_the_agent_beats(make_live: MakeLive, device: Device) -> None:
    live = make_live(count=1)
    await live.start(
        lambda made: set_boot(made, "n1", watchdog=str(device.path), watchdog_silence_s=SILENCE_S)
    )
    directory = live.layout.node("n1")
    for _ in range(3):  # the time of the agent's start is over: it is the agent's word that feeds
        await wait_for(device.eaten, "the watchdog is fed")
    agent, guardian = agent_of(directory), guardian_of(directory)
    assert agent is not None
    assert guardian is not None
    said = log(live, "n1").count(STARVES)  # nothing, but on a machine that starved the agent
    agent.send(signal.SIGSTOP)
    stopped_s = time.monotonic()
    await wait_for(lambda: log(live, "n1").count(STARVES) > said, "the agent is missed")
    assert time.monotonic() - stopped_s >= SILENCE_S / 2
    device.eaten()
    agent.send(signal.SIGCONT)
    await wait_for(device.eaten, "it is fed again")
    async with live.client() as cluster:
        await live.status(cluster, lambda s: s["in_service"], "the node goes on")
    guardian.send(signal.SIGTERM)
    await wait_for(lambda: not live.processes(), "the node has ended", LIMIT_S)
    assert device.eaten().endswith(b"V")
