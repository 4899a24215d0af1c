"""Both syncs stand before the reply: shown by the system calls of the two hosts.

A killed process keeps what the kernel has of its files, so no kill shows that a disk was waited for. Here both
hosts run under strace while a client writes one call after another. In each call's time the order must be: the
secondary syncs its journal, then sends (its acknowledgement); the primary syncs its own, and only after both does
its last sending (the reply) begin.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from primacy.local.processes import Process, hosts_of
from tests.cluster.cluster_tools import wait_for
from tests.cluster.conftest import MakeLive

WRITES = 25
PAUSE_S = 0.05
NAME = "a name that is longer than anything that the transport says by itself, " * 5
_LINE = re.compile(r"^(?P<thread>\d+) +(?P<at>\d+\.\d+) (?P<call>\w+)\((?P<rest>.*)$")
_RESUMED = re.compile(r"^(?P<thread>\d+) +(?P<at>\d+\.\d+) <\.\.\. (?P<call>\w+) resumed>(?P<rest>.*)$")
_RESULT = re.compile(r"= (?P<result>-?\d+).* <(?P<took>\d+\.\d+)>$")
_SENDS = {"sendto", "sendmsg", "write", "writev"}


@dataclass(frozen=True)
class Call:
    """One system call of a host: when it began and ended (wall clock), on which file or socket."""

    name: str
    began_s: float
    ended_s: float
    target: str
    result: int

    @property
    def is_sync(self) -> bool:
        """It made the journal durable."""
        return self.name == "fdatasync" and "journal.db-wal" in self.target

    @property
    def is_send(self) -> bool:
        """It sent to another process over TCP."""
        return self.name in _SENDS and "TCP" in self.target

    @property
    def ends(self) -> list[str]:
        """The two addresses of the connection: here and there."""
        return self.target.partition("[")[2].rstrip("]>").split("->")


def parse(trace: str) -> list[Call]:
    """Return the successful calls of a trace by the time of their beginning."""
    found, begun = [], {}
    for line in trace.splitlines():
        if resumed := _RESUMED.match(line):
            start = begun.pop(resumed["thread"], None)
            matched, rest = start, resumed["rest"]
        else:
            matched = _LINE.match(line)
            if matched and line.endswith("<unfinished ...>"):
                begun[matched["thread"]] = matched
                continue
            rest = matched["rest"] if matched else ""
        result = _RESULT.search(rest)
        if matched is None or result is None or int(result["result"]) < 0:
            continue
        began_s = float(matched["at"])
        target = matched["rest"].partition(",")[0]
        found.append(
            Call(matched["call"], began_s, began_s + float(result["took"]), target, int(result["result"]))
        )
    return sorted(found, key=lambda call: call.began_s)


def within(calls: list[Call], began_s: float, ended_s: float) -> Iterator[Call]:
    """The calls that began in this time."""
    return (call for call in calls if began_s <= call.began_s <= ended_s)


@contextlib.asynccontextmanager
async def traced(host: Process, path: Path) -> AsyncIterator[None]:
    """Trace a host into a file while entered."""
    strace = shutil.which("strace")
    assert strace, "this test needs strace"
    options = [
        "-f",
        "-yy",
        "-ttt",
        "-T",
        "-e",
        "trace=fdatasync,sendto,sendmsg,write,writev",
        "-o",
        str(path),
    ]
    tracer = await asyncio.create_subprocess_exec(
        strace, *options, "-p", str(host.pid), stderr=subprocess.PIPE
    )
    try:
        status = Path(f"/proc/{host.pid}/status")
        await wait_for(
            lambda: f"TracerPid:\t{tracer.pid}\n" in status.read_text(), f"strace is attached to {host.pid}"
        )
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        await asyncio.wait_for(tracer.communicate(), 20)


async def test_no_reply_leaves_before_both_journals_are_synced(make_live: MakeLive, tmp_path: Path) -> None:
    live = make_live(profile="wan")  # tracing slows the hosts down; roles must not move meanwhile
    await live.start()
    async with live.client() as cluster:
        status = await live.whole(cluster)
        paths = {role: tmp_path / f"{role}.strace" for role in ("master", "vice")}
        hosts = {role: hosts_of(live.layout.node(status[role]))["logbook"] for role in paths}
        logbook = cluster.service("logbook")
        await logbook.append(log="a", name="before")
        windows: list[tuple[float, float]] = []
        async with traced(hosts["master"], paths["master"]), traced(hosts["vice"], paths["vice"]):
            for number in range(WRITES):
                await asyncio.sleep(PAUSE_S)
                sent_s = time.time()
                await logbook.append(log="a", name=f"{NAME}{number}")
                windows.append((sent_s, time.time()))
        assert (await live.whole(cluster))["term"] == status["term"]
    calls = {role: parse(path.read_text()) for role, path in paths.items()}
    mirror = {call.ends[0] for call in calls["vice"] if call.is_send}
    assert mirror & {call.ends[1] for call in calls["master"] if call.is_send}, (
        "the primary ships to the secondary"
    )
    for began_s, ended_s in windows:
        primary = list(within(calls["master"], began_s, ended_s))
        secondary = list(within(calls["vice"], began_s, ended_s))
        synced_s = min(call.ended_s for call in primary if call.is_sync)
        their_sync_s = min(call.ended_s for call in secondary if call.is_sync)
        replies = [c for c in primary if c.is_send and c.result > len(NAME) and c.ends[1] not in mirror]
        replied_s = min(call.began_s for call in replies)
        assert synced_s <= replied_s, "the primary replied before its own sync"
        assert their_sync_s <= replied_s, "the reply left before the secondary's sync"
        assert [c for c in secondary if c.is_send and their_sync_s <= c.began_s <= replied_s], (
            "nobody acknowledged"
        )
    print(f"{len(windows)} writes: both syncs stand before each reply")
