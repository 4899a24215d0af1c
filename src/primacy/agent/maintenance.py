"""Maintenance at one agent: what the ledger and this node's own file say of it, when it ends, and who is told.

The file is read once, before the node begins, and written by a thread; the ledger is watched and never waited for. A
notice that only the file knows (the ledger was lost) is written into the ledger again. Which of two notices counts,
and when it is over, is decided in machines/maintenance.py.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from primacy.agent.tasks import Tasks
from primacy.errors import ConfigError, LedgerError
from primacy.lease_page import now_ns
from primacy.ledger.api import Ledger
from primacy.machines import coordination, membership
from primacy.machines.events import Event
from primacy.machines.ids import FOREVER_NS, SECOND
from primacy.machines.maintenance import (
    CLUSTER,
    FOR_S_MAX,
    PREFIX,
    Maintenance,
    Notice,
    decode,
    decode_all,
    encode,
    encode_all,
    reasons_against,
)
from primacy.machines.membership import SwapAnswer

FILE = "maintenance.json"
TEXT_LENGTH_MAX = 300
LOAD_S_MAX = 2.0
LATER_S_MAX = 3600.0  # a timer is set for so long at most: the boot-time clock and the loop's may drift apart

Outcome = tuple[str, Any, list[str]]  # (kind, result, reasons)
SwapKey = Callable[[str, int, bytes, Callable[[SwapAnswer, int], None]], None]
"""(key, expected revision, value, answer): swap a record of the ledger; `answer` is called once."""

_SAID = {
    SwapAnswer.CONFLICT: "somebody else changed this maintenance at the same time: see `primacy maintenance`",
    SwapAnswer.UNAVAILABLE: "the ledger does not answer: nothing was changed",
    SwapAnswer.UNCERTAIN: "the ledger did not say whether it was written: see `primacy maintenance`",
}


class Keeper:
    """Keeps the notices of one node. post(input): to both machines; publish(event): for operators."""

    def __init__(
        self,
        node: str,
        directory: Path,
        swap: SwapKey,
        post: Callable[[membership.Input | coordination.Input], None],
        publish: Callable[[Event], None],
    ) -> None:
        self._machine = Maintenance(node)
        self._path = directory / FILE
        self._swap, self._post, self._publish = swap, post, publish
        self._revisions: dict[str, int] = {}
        self._in_ledger: dict[str, int] = {}  # scope -> serial
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks = Tasks(f"the maintenance of {node}")
        self._saving = self._dirty = self._started = False
        self._early: list[Event] = []  # events of what was known before the node began
        self._recall()

    def close(self) -> None:
        """No event comes any more."""
        self._tasks.cancel()
        if self._timer is not None:
            self._timer.cancel()

    # ---- what is ----

    def shown(self) -> list[dict[str, Any]]:
        """What is on now, for `status`."""
        return self._machine.shown(now_ns())

    def is_on(self, scope: str) -> bool:
        """Whether the cluster (or this node) is in maintenance."""
        return self._machine.is_on(scope)

    @property
    def maintained(self) -> frozenset[str]:
        """The nodes in maintenance."""
        return self._machine.as_input(now_ns()).nodes

    # ---- what comes in ----

    async def load(self, ledger: Ledger) -> None:
        """Read what the ledger has, before the node begins; if it does not answer, the watch tells it later."""
        try:
            async with asyncio.timeout(LOAD_S_MAX):
                _, entries = await ledger.read(PREFIX)
        except (LedgerError, TimeoutError):
            return
        for entry in entries:
            self.given(entry.key, entry.revision, entry.value)
        for scope, notice in self._machine.notices().items():
            if notice.serial > self._in_ledger.get(scope, 0):  # the ledger was lost: write it there again
                self._write(scope, notice, lambda answer, revision: None)

    def start(self) -> None:
        """Tell the monitor what is known, before it takes anything else."""
        self._started = True
        early, self._early = self._early, []
        self._changed(early)

    def given(self, key: str, revision: int, value: bytes | None) -> None:
        """A record as the ledger has it, if it is about maintenance; a damaged one is told and left as it was."""
        if not key.startswith(PREFIX):
            return
        scope = key.removeprefix(PREFIX)
        self._revisions[scope] = revision if value is not None else 0
        if value is None:
            self._in_ledger.pop(scope, None)
            return
        try:
            notice = decode(value, f"ledger key {key}")
        except ConfigError as error:
            sys.stderr.write(f"agent: {error}; it is left as it was\n")
            return
        self._in_ledger[scope] = notice.serial
        newer = notice.serial > self._machine.serial(scope)
        self._changed(self._machine.learned(scope, notice, now_ns(), time.time_ns()))
        if newer:
            self._save()

    # ---- an operator's word ----

    async def asked(self, arguments: dict[str, Any], nodes: Iterable[str], master: str) -> Outcome:
        """Switch maintenance on or off, or tell what is on (action: on | off | show; node, for_s, reason, by)."""
        nodes = list(nodes)
        wrong = _wrong(arguments)
        if wrong:
            return "refused", None, wrong
        if arguments["action"] == "show":
            return "done", {"maintenance": self.shown()}, []
        scope, on = arguments.get("node") or CLUSTER, arguments["action"] == "on"
        if scope in ("master", "vice"):
            return "refused", None, [f"there is no {scope} now"]
        reasons = reasons_against(scope, on, nodes, master)
        if reasons:
            return "refused", None, list(reasons)
        if not on and not self._machine.is_on(scope):
            return "done", {"maintenance": self.shown(), "changed": False}, []
        answer = await self._decide(scope, on, arguments)
        if answer is not SwapAnswer.DONE:
            return "failed", None, [_SAID[answer]]
        return "done", {"maintenance": self.shown(), "changed": True}, []

    async def _decide(self, scope: str, on: bool, arguments: dict[str, Any]) -> SwapAnswer:
        wall_ns, for_s = time.time_ns(), arguments.get("for_s")
        notice = Notice(
            on=on,
            serial=max(self._machine.serial(scope), self._in_ledger.get(scope, 0)) + 1,
            by=arguments.get("by") or "an operator",
            reason=arguments.get("reason") or "",
            since_wall_ns=wall_ns,
            until_wall_ns=wall_ns + int(for_s * SECOND) if on and for_s is not None else 0,
        )
        future: asyncio.Future[SwapAnswer] = self._loop.create_future()

        def answered(answer: SwapAnswer, revision: int) -> None:
            if answer is SwapAnswer.DONE:
                self.given(PREFIX + scope, revision, encode(notice))
            if not future.done():
                future.set_result(answer)

        self._write(scope, notice, answered)
        return await future

    def _write(self, scope: str, notice: Notice, answer: Callable[[SwapAnswer, int], None]) -> None:
        self._swap(PREFIX + scope, self._revisions.get(scope, 0), encode(notice), answer)

    # ---- time and the monitor ----

    def _changed(self, events: list[Event]) -> None:
        if not self._started:
            self._early += events
            return
        told = self._machine.as_input(now_ns())
        self._post(told)
        self._post(coordination.Maintained(now_ns=told.now_ns, cluster=told.cluster, nodes=told.nodes))
        for event in events:
            self._publish(event)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wake_ns = self._machine.wake_ns
        if wake_ns != FOREVER_NS:
            delay_s = min(max(0, wake_ns - now_ns()) / SECOND, LATER_S_MAX)
            self._timer = self._loop.call_later(delay_s, self._tick)

    def _tick(self) -> None:
        self._changed(self._machine.tick(now_ns()))

    # ---- the file ----

    def _recall(self) -> None:
        """Read the file, before the node begins."""
        try:
            for scope, notice in decode_all(self._path.read_bytes(), str(self._path)).items():
                self._early += self._machine.learned(scope, notice, now_ns(), time.time_ns())
        except FileNotFoundError:
            return
        except (OSError, ConfigError) as error:
            sys.stderr.write(
                f"agent: {self._path} cannot be read: {error}; the ledger tells what is in maintenance\n"
            )

    def _save(self) -> None:
        """Write the file by a thread; what changes meanwhile is written afterwards."""
        self._dirty = True
        if not self._saving:
            self._saving = True
            self._tasks.start(self._saved())

    async def _saved(self) -> None:
        while self._dirty:
            self._dirty = False
            content = encode_all(self._machine.notices())
            try:
                await asyncio.to_thread(_replace, self._path, content)
            except OSError as error:
                sys.stderr.write(f"agent: {self._path} cannot be written: {error}; the ledger has it\n")
        self._saving = False


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_suffix(".new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _wrong(arguments: dict[str, Any]) -> list[str]:
    """Return a line for each argument that cannot be taken."""
    wrong = []
    if arguments.get("action") not in ("on", "off", "show"):
        wrong.append("action: want on, off or show")
    for name in ("node", "reason", "by"):
        value = arguments.get(name)
        if value is not None and not (isinstance(value, str) and len(value) <= TEXT_LENGTH_MAX):
            wrong.append(f"{name}: want a text of at most {TEXT_LENGTH_MAX} characters")
    for_s = arguments.get("for_s")
    if for_s is not None and (isinstance(for_s, bool) or not isinstance(for_s, int | float)):
        wrong.append("for_s: want a number of seconds")
    elif for_s is not None and not 0 < for_s <= FOR_S_MAX:
        wrong.append(f"for_s: want more than 0, at most {FOR_S_MAX:.0f} (30 days)")
    return wrong
