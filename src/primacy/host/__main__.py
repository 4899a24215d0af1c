"""`python -m primacy.host`: one process that hosts one service, as the agent on the other end of a channel
says.

The channel's descriptor is in `PRIMACY_AGENT_FD`. The first message is `Open`. The process ends when the
agent says `Stop`, when the channel closes (the agent is dead: nothing may be answered any more), or when it
cannot go on (`Failed` tells why).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
import traceback
from collections.abc import Coroutine
from typing import Any, NoReturn

import uvloop

from primacy import channel
from primacy.channel import Channel, close_all
from primacy.errors import PrimacyError, WireError
from primacy.host.core import Policy
from primacy.host.loading import load
from primacy.host.local import LocalServer
from primacy.host.server import Server
from primacy.machines import host_wire
from primacy.machines.host_wire import Failed, Open, Ping, Pong, Stop
from primacy.service import LocalService, Service

CHANNEL_FD = "PRIMACY_AGENT_FD"
GARBAGE_THRESHOLD = 50_000


class Host:
    """The process: its channel to the agent, and what it hosts."""

    def __init__(self, agent: Channel, policy: Policy) -> None:
        self._agent = agent
        self._policy = policy
        self._server: Server | LocalServer | None = None
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._early: list[tuple[host_wire.ToHost, list[int]]] = []
        self.ended: asyncio.Future[int] = self._loop.create_future()
        self._loop.set_exception_handler(self._on_bug)
        agent.attach(self._loop, self._heard, self._agent_gone)

    def tell(self, message: host_wire.ToAgent) -> None:
        """Send the agent a message."""
        self._agent.send(host_wire.encode(message))

    def fail(self, kind: str, text: str) -> NoReturn:
        """Tell the agent why this process cannot go on, and end it at once."""
        self._agent.send(host_wire.encode(Failed(kind, text[:60_000])))
        print(f"{kind}: {text}", file=sys.stderr, flush=True)  # noqa: T201 (the last words of a process)
        os._exit(1)

    def _heard(self, data: bytes, fds: list[int]) -> None:
        try:
            message = host_wire.decode_to_host(data)
        except WireError as error:
            close_all(fds)
            self.fail("protocol", str(error))
        if isinstance(message, Ping):
            self.tell(Pong(message.number))
        elif isinstance(message, Open):
            self._spawn(self._open(message))
        elif isinstance(message, Stop):
            self._spawn(self._stop())
        elif self._server is None:
            self._early.append((message, fds))
        else:
            self._obey(message, fds)

    def _obey(self, message: host_wire.ToHost, fds: list[int]) -> None:
        assert self._server is not None
        try:
            self._server.heard(message, fds)
        except PrimacyError as error:
            self.fail(type(error).__name__, str(error))

    async def _open(self, open: Open) -> None:
        try:
            service = load(open.target, open.path)
            if issubclass(service, LocalService) is not open.local:
                want = "a LocalService" if open.local else "a Service"
                self.fail("ConfigError", f"{open.target} is not {want}; see the service's entry in the table")
            made: Any = service()
            server: Server | LocalServer
            if isinstance(made, Service):
                server = Server(open, made, self.tell, self.fail, self._spawn, self._policy)
            else:
                server = LocalServer(open, made, self.tell)
            await server.start()
        except PrimacyError as error:
            self.fail(type(error).__name__, str(error))
        self._server = server
        early, self._early = self._early, []
        for message, fds in early:
            self._obey(message, fds)
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE_THRESHOLD, 50, 100)

    async def _stop(self) -> None:
        if self._server is not None:
            await self._server.stop()
        self._agent.flush()
        self.ended.set_result(0)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.fail("bug", "".join(traceback.format_exception(error)))

    def _on_bug(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception that nobody expected: our own bug ends the process, the lease does the rest."""
        error = context.get("exception")
        if isinstance(error, PrimacyError):
            self.fail(type(error).__name__, str(error))
        text = "".join(traceback.format_exception(error)) if error else str(context.get("message"))
        self.fail("bug", text)

    def _agent_gone(self) -> None:
        os._exit(2)  # at once: what the agent granted has ended with it


async def run(policy: Policy) -> int:
    """Host until the end; return the exit status."""
    fd = os.environ.get(CHANNEL_FD, "")
    if not fd.isdigit():
        print(f"{CHANNEL_FD} is not set: hosts are started by the agent", file=sys.stderr)  # noqa: T201
        return 2
    host = Host(channel.from_fd(int(fd)), policy)
    return await host.ended


def main(policy: Policy = Policy()) -> NoReturn:  # noqa: B008 (immutable)
    """Run the host."""
    with contextlib.suppress(KeyboardInterrupt):
        status = uvloop.run(run(policy))
        os._exit(status)  # the journal is synced and closed; nothing else is worth the time
    os._exit(1)


if __name__ == "__main__":
    main()
