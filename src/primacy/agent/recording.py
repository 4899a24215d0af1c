"""Records what the machines of this agent are given and what they answer, for `primacy.sim.trace`.

The beat path only encodes (about a microsecond) and appends to a list; a thread of its own gathers, writes, divides
the record into files and takes away the oldest ones. It is never waited for: when it cannot keep up, or its disk
fails, the record ends with the reason, an event says so, and the agent goes on as if there had been none. Every
write is one system call that leaves the bytes with the kernel: the record of a killed agent lacks its last
milliseconds at most.

Files of one node: NODE-TIME-INCARNATION-PART.record, oldest first by name.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from primacy import source
from primacy.boot import Boot
from primacy.machines import membership, recorded
from primacy.machines.beginning import Beginning
from primacy.machines.events_node import RecordEnded
from primacy.machines.recorded import Head, Kind

QUEUE_BYTES_MAX = 8 << 20
FILE_BYTES = 16 << 20
BLOCK_BYTES = 1 << 20
GATHER_S = 0.005  # the thread lets inputs gather for so long, that it does not run for each of them
Effects = TypeVar("Effects", bound=Iterable[msgspec.Struct])


def begin(boot: Boot, beginning: Beginning, publish: Callable[[RecordEnded], None]) -> Recorder:
    """Return the recorder of this life of the node: with the boot parameter `record`, one that records."""
    recorder = Recorder(beginning.me.node, publish)
    if boot.record:
        recorder.open(Path(boot.record), beginning, boot.record_mb << 20)
    return recorder


class Recorder:
    """The record of this life. publish(event): when it ends before the agent does."""

    def __init__(self, node: str, publish: Callable[[RecordEnded], None]) -> None:
        self._node, self._publish = node, publish
        self._writer: _Writer | None = None
        self._number = 0

    @property
    def records(self) -> bool:
        """Whether it records now."""
        return self._writer is not None

    def open(
        self,
        directory: Path,
        beginning: Beginning,
        bytes_max: int,
        file_bytes: int = FILE_BYTES,
    ) -> None:
        """Begin a record in this directory; keep at most so many bytes of this node there, in files of a size."""
        loop = asyncio.get_running_loop()
        self._writer = _Writer(
            directory, beginning, bytes_max, file_bytes, lambda why: _call_in(loop, lambda: self._end(why))
        )

    def kept(self, item: msgspec.Struct, effects: Effects) -> Effects:
        """Record one step of a machine; return its effects."""
        if self._writer is not None:
            kind = Kind.MONITOR if isinstance(item, membership.Input) else Kind.COORDINATOR
            self._note(kind, item, effects)
        return effects

    def broke_off(self, item: msgspec.Struct, error: Exception, limit_s: float) -> None:
        """The step of this input broke off: the agent ends. Write what there is; wait so long at most."""
        self._note(Kind.BROKEN, item, [f"{type(error).__name__}: {error}"])
        self.close("a step broke off", limit_s)

    def close(self, why: str, limit_s: float = 2.0) -> None:
        """The agent ends: write what there is; wait so long at most."""
        self._note(Kind.END, why, [])
        if self._writer is not None:
            self._writer.close(limit_s)
            self._writer = None

    def _note(self, kind: Kind, item: object, effects: object) -> None:
        writer = self._writer
        if writer is None:
            return
        try:
            entry = recorded.encode((self._number, kind, item, effects))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            self._end(f"an input or effect cannot be written: {error}")
            return
        self._number += 1
        if not writer.put(entry):
            self._end(f"the disk does not keep up: {QUEUE_BYTES_MAX >> 20} MiB wait to be written")

    def _end(self, why: str) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.last(recorded.encode((self._number, Kind.END, why, [])))
            self._publish(RecordEnded(node=self._node, reason=why))


class _Writer:
    """The thread that writes. failed(why): called from it when it cannot go on.

    No lock is shared with it: the agent only appends to a deque and counts what it has put in, the thread takes from
    the other end and counts what it has taken out.
    """

    def __init__(
        self,
        directory: Path,
        beginning: Beginning,
        bytes_max: int,
        file_bytes: int,
        failed: Callable[[str], None],
    ) -> None:
        self._directory, self._beginning = directory, beginning
        self._bytes_max, self._file_bytes = bytes_max, file_bytes
        self._failed = failed
        self._waiting: deque[bytes] = deque()
        self._put_bytes = self._taken_bytes = 0
        self._filled = threading.Event()
        self._closing = False
        self._began_wall_ns = time.time_ns()
        self._code = ""
        self._fd = -1
        self._written = self._part = self._first = 0
        self._thread = threading.Thread(target=self._run, name="record", daemon=True)
        self._thread.start()

    # ---- the agent's side ----

    def put(self, entry: bytes) -> bool:
        """Leave an entry to be written; False: too much waits already."""
        if self._put_bytes - self._taken_bytes + len(entry) > QUEUE_BYTES_MAX:
            return False
        self._waiting.append(entry)
        self._put_bytes += len(entry)
        if not self._filled.is_set():
            self._filled.set()
        return True

    def last(self, entry: bytes) -> None:
        """Write this after all that waits, and end; it is not waited for."""
        self._waiting.append(entry)
        self._closing = True
        self._filled.set()

    def close(self, limit_s: float) -> None:
        """Write what waits, and end; wait so long at most."""
        self._closing = True
        self._filled.set()
        self._thread.join(limit_s)

    # ---- the thread ----

    def _run(self) -> None:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._code = source.digest()
            closing = False
            while not closing:
                self._filled.wait()
                if not self._closing:
                    time.sleep(GATHER_S)
                self._filled.clear()
                closing = self._closing
                while self._waiting:
                    self._write(self._taken())
        except OSError as error:
            self._failed(f"{self._directory}: {error.strerror or error}")
        finally:
            if self._fd >= 0:
                os.close(self._fd)

    def _taken(self) -> list[bytes]:
        entries: list[bytes] = []
        size = 0
        while self._waiting and size < BLOCK_BYTES:
            entries.append(self._waiting.popleft())
            size += len(entries[-1])
        self._taken_bytes += size
        return entries

    def _write(self, entries: list[bytes]) -> None:
        if self._fd < 0 or self._written >= self._file_bytes:
            self._next_file()
        self._first += len(entries)
        self._out(recorded.block(recorded.joined(entries)))

    def _next_file(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._part += 1
        self._make_room()
        me = self._beginning.me
        began = time.strftime("%Y%m%dT%H%M%S", time.gmtime(self._began_wall_ns / 1e9))
        thousandths = self._began_wall_ns // 1_000_000 % 1000
        name = f"{me.node}-{began}{thousandths:03}-{me.incarnation[:8]}-{self._part:04}{recorded.SUFFIX}"
        self._fd = os.open(self._directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._written = 0
        self._out(recorded.MAGIC + recorded.block(recorded.encode(self._head())))

    def _head(self) -> Head:
        return Head(
            format=recorded.FORMAT,
            version=source.VERSION,
            code=self._code,
            part=self._part,
            first=self._first,
            wall_ns=time.time_ns(),
            clock=_clock(),
            node=self._beginning.me.node,
            incarnation=self._beginning.me.incarnation,
            beginning=msgspec.Raw(recorded.encode(self._beginning)),
        )

    def _make_room(self) -> None:
        """Take away this node's oldest files, until one more fits."""
        node = self._beginning.me.node
        found = sorted(self._directory.glob(f"{node}-*{recorded.SUFFIX}"))
        sizes = [(path, path.stat().st_size) for path in found if path.name.rsplit("-", 3)[0] == node]
        total = sum(size for _, size in sizes) + self._file_bytes
        for path, size in sizes:
            if total <= self._bytes_max:
                break
            path.unlink(missing_ok=True)
            total -= size

    def _out(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            count = os.write(self._fd, view)
            self._written += count
            view = view[count:]


def _call_in(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """Call in the loop's own thread, unless the loop has ended."""
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        return  # nobody is there any more who could be told


def _clock() -> str:
    """Name the clock of leases: one boot of one machine, and where its processes see another one, which."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/time')}"
    except OSError:
        return ""
