"""A client that writes all the time, as a process of its own: what is drawn elsewhere costs it no pause.

    python -m primacy.bench.client DIR

It prints a JSON line four times a second (`Progress`), and after standard input has ended a last one (`Result`):
then it has stopped writing and every acknowledged write was looked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from primacy.bench.writer import Writer, check
from primacy.client import connect
from primacy.errors import NoPrimary

TELL_S = 0.25
LOOK_BACK_S = 30.0


class Progress(msgspec.Struct, frozen=True, tag=True):
    """What was acknowledged so far, and the longest time of late between two acknowledgements that followed."""

    acknowledged: int
    pause_ms: float


class Result(msgspec.Struct, frozen=True, tag=True):
    """What came of all writes."""

    acknowledged: int
    lost: int
    doubled: int


class Client:
    """The process from outside."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._lines = asyncio.create_task(self._read())
        self.progress = Progress(0, 0.0)
        self._result: Result | None = None

    async def finish(self) -> Result:
        """Let it stop and check; return what came of all writes."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._lines
        await self._process.wait()
        if self._result is None:
            raise NoPrimary("the writing client has ended before it could check its writes")
        return self._result

    def kill(self) -> None:
        """End it at once."""
        self._lines.cancel()
        if self._process.returncode is None:
            self._process.kill()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = msgspec.json.decode(line, type=Progress | Result)
            if isinstance(told, Progress):
                self.progress = told
            else:
                self._result = told


@contextlib.asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Client]:
    """Yield a client that writes to the cluster of a directory."""
    client = Client(
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "primacy.bench.client", str(directory)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for who shows it
        )
    )
    try:
        yield client
    finally:
        client.kill()


def longest_pause_ns(acknowledged_ns: Sequence[int], now_ns: int, look_back_ns: int) -> int:
    """Return the longest time between two acknowledgements of late, the one that lasts included."""
    longest_ns = now_ns - acknowledged_ns[-1] if len(acknowledged_ns) else 0
    for place in range(len(acknowledged_ns) - 1, 0, -1):
        if acknowledged_ns[place] < now_ns - look_back_ns:
            break
        longest_ns = max(longest_ns, acknowledged_ns[place] - acknowledged_ns[place - 1])
    return longest_ns


async def _write(directory: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop.set)
    async with connect(directory=directory) as cluster:
        async with Writer(cluster, random.SystemRandom()) as writer:
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TELL_S):
                        await stop.wait()
                look_back_ns = int(LOOK_BACK_S * 1e9)
                pause_ns = longest_pause_ns(writer.acknowledged_ns, time.monotonic_ns(), look_back_ns)
                _tell(Progress(len(writer.acknowledged), round(pause_ns / 1e6, 1)))
        lost, doubled = await check(cluster, writer.acknowledged)
        _tell(Result(len(writer.acknowledged), lost, doubled))


def _tell(message: Progress | Result) -> None:
    os.write(sys.stdout.fileno(), msgspec.json.encode(message) + b"\n")


if __name__ == "__main__":
    import uvloop

    uvloop.run(_write(sys.argv[1]))
