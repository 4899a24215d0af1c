"""A guardian under test: the real process, with an agent that the test speaks for.

    with Guarded(tmp_path) as guarded:
        agent = guarded.next_agent()
        agent.say({"do": "spawn", ...}); agent.hear("spawned")

Everything waits for a condition, with a deadline.
"""

from __future__ import annotations

import base64
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from primacy import channel, guardian_leftovers, guardian_process
from tests.cluster import fake_agent, fake_host

DEADLINE_S = 10.0

LAUNCHER = """
import sys
from primacy.guardian import main
from primacy.guardian_loop import Timing
sys.exit(main(sys.argv[2:], [sys.executable, {agent!r}, sys.argv[1]], Timing(**{timing!r})))
"""


def wait_until(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Return the first true value of the condition."""
    deadline = time.monotonic() + deadline_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {deadline_s:g} s in vain until {what}"
        time.sleep(0.002)
    return value


def is_gone(pid: int) -> bool:
    """Whether no process, living or unreaped, has this pid."""
    return not os.path.exists(f"/proc/{pid}")


def has_ended(pid: int) -> bool:
    """Whether a process has ended; whoever has adopted it may not have reaped it yet."""
    return guardian_process.state(pid) in guardian_leftovers.ENDED_STATES


def free_ports(count: int) -> list[int]:
    """Return port numbers that were free on all addresses a moment ago."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    for each in sockets:
        each.bind(("", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Agent:
    """One life of the agent."""

    def __init__(self, control: socket.socket) -> None:
        self.channel = channel.Channel(control)
        self._waiting: list[tuple[bytes, list[int]]] = []
        greeting = self._next().split()
        assert greeting[0] == fake_agent.GREETING
        self.pid, self.parent_pid = int(greeting[1]), int(greeting[2])
        self.fds: list[int] = []

    def say(self, message: object, fds: Sequence[int] = ()) -> None:
        """Send JSON to the guardian."""
        self.say_bytes(json.dumps(message).encode(), fds)

    def say_bytes(self, message: bytes, fds: Sequence[int] = ()) -> None:
        """Send a packet to the guardian, or with `!` in front to the agent itself; wait until it is taken."""
        assert self.channel.send(message, fds)
        deadline = time.monotonic() + DEADLINE_S
        while self.channel.wants_write:
            assert time.monotonic() < deadline, "the agent does not listen"
            select.select([self.channel], [self.channel], [], 1)
            self.channel.flush()
            self._waiting += self.channel.receive()

    def hear(self, kind: str) -> dict[str, Any]:
        """Return the next message of the guardian, which must be of that kind; `fds` has its descriptors."""
        message = json.loads(self._next())
        assert message["is"] == kind, message
        return message

    def hear_bytes(self) -> bytes:
        return self._next()

    def _next(self) -> bytes:
        deadline = time.monotonic() + DEADLINE_S
        while not self._waiting:
            left_s = deadline - time.monotonic()
            assert left_s > 0, "the agent says nothing"
            assert not self.channel.closed, "the agent is dead"
            select.select([self.channel], [], [], left_s)
            self._waiting += self.channel.receive()
        message, self.fds = self._waiting.pop(0)
        return message


class Guarded:
    """A guardian in a process of its own, with its directory, and a peer that listens for obituaries."""

    def __init__(
        self,
        path: Path,
        timing: dict[str, float] | None = None,
        options: Sequence[str] = (),
        start: bool = True,
    ) -> None:
        self.path = path
        self.signs = path / "signs"
        self.signs.mkdir(exist_ok=True)
        self.directory = path / "node"
        self.log_path = path / "node.log"
        self.timing = timing or {}
        port = free_ports(1)[0]
        self.options = [
            "--node=n1", f"--dir={self.directory}", "--ledger=sqlite:///x",
            f"--links=127.0.0.1:{port},127.0.0.2:{port}",
            *options,
        ]  # fmt: skip
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path / "control"))
        self._listener.listen()
        self._listener.settimeout(DEADLINE_S)
        self.peers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for each, address in zip(self.peers, ("127.0.0.1", "127.0.0.2"), strict=True):
            each.bind((address, 0))
            each.setblocking(False)
        self.agents: list[Agent] = []
        self._log = open(self.log_path, "ab")  # noqa: SIM115  (closed in close)
        if start:
            self.start()

    def start(self) -> None:
        launcher = LAUNCHER.format(agent=fake_agent.__file__, timing=self.timing)
        environ = {key: value for key, value in os.environ.items() if not key.startswith("PRIMACY_")}
        environ["PYTHONPATH"] = str(Path(channel.__file__).parents[1])
        self.process = subprocess.Popen(
            [sys.executable, "-c", launcher, str(self.path / "control"), *self.options],
            stdin=subprocess.DEVNULL, stderr=self._log, env=environ, start_new_session=True,
        )  # fmt: skip

    def __enter__(self) -> Guarded:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all that is left, also what a failed test left."""
        if self.process.poll() is None:
            for agent in self.agents[-1:]:
                if not is_gone(agent.pid):
                    os.kill(agent.pid, signal.SIGCONT)
            self.process.kill()
            self.process.wait()
        for pid in self.signed():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._remove_cgroup()
        for each in (self._listener, self._log, *self.peers, *(agent.channel for agent in self.agents)):
            each.close()

    def _remove_cgroup(self) -> None:
        """Do what a guardian that was killed could not."""
        record = self.directory / guardian_leftovers.RECORD_NAME
        path = json.loads(record.read_text())["cgroup"] if record.exists() else None
        if path is not None and os.path.exists(path):
            wait_until(lambda: not Path(path, "cgroup.procs").read_text(), "the cgroup is empty")
            wait_until(lambda: _removed(path), "the cgroup is removed")

    def next_agent(self) -> Agent:
        """Return the agent that the guardian has started, when it has connected."""
        control, _ = self._listener.accept()
        self.agents.append(Agent(control))
        return self.agents[-1]

    def spawn_host(
        self, agent: Agent, name: str, *traits: str, megabytes: int = 0, processes: int = 1
    ) -> list[int]:
        """Start a fake host and return the pids of it and its descendants, the host's first."""
        before = self.signed()
        argv = [sys.executable, fake_host.__file__, str(self.signs), str(megabytes), *traits]
        agent.say({"do": "spawn", "name": name, "argv": argv})
        pid = agent.hear("spawned")["pid"]
        count = processes
        wait_until(lambda: len(self.signed() - before) >= count, f"{name} has {count} processes")
        return [pid, *sorted(self.signed() - before - {pid})]

    def signed(self) -> set[int]:
        return {int(each.name) for each in self.signs.iterdir()}

    def obituary_items(self, payload: bytes = b"n1 is dead") -> list[list[object]]:
        """Return one obituary for each of the peer's two addresses."""
        text = base64.b64encode(payload).decode()
        return [[peer.getsockname()[0], *peer.getsockname(), text] for peer in self.peers]

    def hold_obituaries(self, agent: Agent, payload: bytes = b"n1 is dead") -> None:
        """Give the guardian obituaries, and wait until it has them (it answers what comes after)."""
        agent.say({"do": "obituaries", "items": self.obituary_items(payload)})
        agent.say({"do": "page", "service": "barrier", "term": 0})
        agent.hear("page")
        channel.close_all(agent.fds)

    def wait_obituary(self, deadline_s: float = DEADLINE_S) -> bytes:
        """Return the next obituary that arrives on any link."""
        ready, _, _ = select.select(self.peers, [], [], deadline_s)
        assert ready, "no obituary has arrived"
        return bytes(ready[0].recv(2048))

    def obituaries_now(self) -> list[tuple[str, bytes]]:
        """Return all that have arrived by now, each with the address at which."""
        found = []
        for peer in self.peers:
            while True:
                try:
                    found.append((peer.getsockname()[0], peer.recv(2048)))
                except BlockingIOError:
                    break
        return found

    def log(self) -> str:
        return self.log_path.read_text()

    def wait_log(self, words: str) -> None:
        wait_until(lambda: words in self.log(), f"the log says {words!r}")


def _removed(path: str) -> bool:
    """Remove a cgroup; the kernel may still be busy with the last process of it."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
