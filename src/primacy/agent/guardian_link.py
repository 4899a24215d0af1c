"""The agent's end of its channel to the guardian: processes, lease pages, obituaries.

Orders are JSON packets (see `guardian_message`); they are never waited for: what comes back is told by callbacks.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

from primacy import channel


class GuardianLink:
    """Orders to the guardian, and what it tells. on_lost: the guardian is gone, and so must be the agent."""

    def __init__(self, fd: int) -> None:
        self._channel = channel.from_fd(fd)
        self.on_exited: Callable[[str, str], None] = lambda name, how: None
        self.on_page: Callable[[str, int, int], None] = lambda service, term, fd: None
        self.on_spawned: Callable[[str, int], None] = lambda name, pid: None
        self.on_trouble: Callable[[str], None] = lambda text: None
        self.on_missed: Callable[[dict[str, int]], None] = lambda children: None

    def attach(self, loop: asyncio.AbstractEventLoop, on_lost: Callable[[], None]) -> None:
        """Begin to read on this loop."""
        self._channel.attach(loop, self._read, on_lost)

    def spawn(
        self, name: str, argv: Sequence[str], env: dict[str, str | None], cwd: str, fds: dict[str, int]
    ) -> None:
        """Start a child; the descriptors are inherited under the numbers that the named variables will hold."""
        order = {"do": "spawn", "name": name, "argv": list(argv), "env": env, "cwd": cwd, "fds": list(fds)}
        self._send(order, list(fds.values()))

    def kill(self, name: str) -> None:
        """SIGKILL a child; `on_exited` follows."""
        self._send({"do": "kill", "name": name, "signal": 9})

    def want_page(self, service: str, term: int) -> None:
        """Ask for the lease page of (service, term); `on_page` follows."""
        self._send({"do": "page", "service": service, "term": term})

    def drop_page(self, service: str, term: int) -> None:
        """The page of (service, term) is not needed any more."""
        self._send({"do": "drop-page", "service": service, "term": term})

    def hold_obituaries(self, items: Sequence[tuple[str, str, int, bytes]]) -> None:
        """Replace the held obituaries: (local address, address, port, sealed bytes)."""
        rows = [
            [local, address, port, base64.b64encode(sealed).decode()]
            for local, address, port, sealed in items
        ]
        self._send({"do": "obituaries", "items": rows})

    def alive(self, silence_s: float) -> None:
        """This agent's loop turns; silent for longer than this, it is stuck.

        Never in the way of other words: while some wait for a guardian that does not read, this one is left out.
        """
        if not self._channel.wants_write:
            self._send({"do": "alive", "silence_s": silence_s})

    def stop(self, then: str = "") -> None:
        """This agent is about to exit 0 and is not to be started again. then: halt | reboot the machine afterwards."""
        self._send({"do": "stop", "then": then})

    def close(self) -> None:
        """Close this end; the guardian takes that for the end of the agent."""
        self._channel.close()

    def _send(self, order: dict[str, Any], fds: Sequence[int] = ()) -> None:
        self._channel.send(json.dumps(order).encode(), fds)

    def _read(self, message: bytes, fds: list[int]) -> None:
        word = json.loads(message)
        match word["is"]:
            case "page":
                self.on_page(word["service"], word["term"], fds[0])
                return
            case "exited":
                self.on_exited(word["name"], _how(word))
            case "spawned":
                self.on_spawned(word["name"], word["pid"])
            case "error":
                self.on_trouble(f"the guardian cannot do it: {word['what']}")
            case "missed":
                self.on_missed(word["children"])
        channel.close_all(fds)


def _how(word: dict[str, Any]) -> str:
    if word.get("error"):
        return f"could not be started: {word['error']}"
    if word.get("signal"):
        return f"was ended by signal {word['signal']}"
    return f"exited with {word.get('status')}"
