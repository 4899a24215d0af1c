"""Maintenance of the cluster (no automatic failover) and of a node (no role): what is on, since when, until when.

A notice is kept in the ledger under `maintenance/cluster` or `maintenance/<node>`, and in a file of every node, so that
it survives the loss of either; of two notices of one scope the larger serial is the newer. It names its end by the
wall clock, which every machine has; a node turns that into its own boot-time clock when it learns of it, so that a
wall clock that is set afterwards moves nothing. It ends by itself, with an event some time before. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from primacy.errors import ConfigError
from primacy.machines import membership
from primacy.machines.events import Event
from primacy.machines.events_operator import MaintenanceBegan, MaintenanceEnded, MaintenanceEndsSoon
from primacy.machines.ids import FOREVER_NS, SECOND

FORMAT = 1
PREFIX = "maintenance/"
CLUSTER = "cluster"
FOR_S_MAX = 30 * 86_400.0
SOON_NS_MAX = 300 * SECOND
SOON_PART = 10  # the event before the end comes when a tenth of the time is left, or SOON_NS_MAX


class Notice(msgspec.Struct, frozen=True):
    """What an operator decided of one scope. serial: larger than any before. until_wall_ns: 0 = until it is ended.

    on: false once an operator has ended it. by, reason: who decided so, and why. since_wall_ns: when.
    """

    on: bool
    serial: int
    by: str
    reason: str
    since_wall_ns: int
    until_wall_ns: int = 0
    format: int = FORMAT


@dataclass(slots=True)
class _Window:
    """A notice with its end by this node's own clock."""

    notice: Notice
    until_ns: int
    soon_ns: int
    over: bool
    told: bool = False


encode: Callable[[Notice], bytes] = msgspec.json.Encoder().encode
_values = msgspec.json.Decoder(dict[str, msgspec.Raw])
_notice = msgspec.json.Decoder(Notice)


def decode(data: bytes, where: str) -> Notice:
    """Return the notice in `data`; ConfigError when it is damaged or of a newer format."""
    try:
        notice = _notice.decode(data)
    except (ValueError, RecursionError) as error:
        raise ConfigError(where, repr(data[:80]), f"a maintenance notice ({error})") from error
    if notice.format > FORMAT:
        raise ConfigError(where, f"format {notice.format}", f"at most {FORMAT}: upgrade this node first")
    return notice


def encode_all(notices: dict[str, Notice]) -> bytes:
    """Return the content of a node's file."""
    return msgspec.json.encode(notices)


def decode_all(data: bytes, where: str) -> dict[str, Notice]:
    """Return the notices in a node's file, by scope; ConfigError when it is damaged or of a newer format."""
    try:
        values = _values.decode(data)
    except (ValueError, RecursionError) as error:
        raise ConfigError(where, repr(data[:80]), f"maintenance notices ({error})") from error
    return {scope: decode(bytes(value), f"{where}: {scope}") for scope, value in values.items()}


def reasons_against(scope: str, on: bool, nodes: Iterable[str], master: str) -> tuple[str, ...]:
    """Return every reason why the maintenance of this scope cannot be switched on or off now."""
    known = sorted(nodes)
    if scope == CLUSTER:
        return ()
    if scope not in known:
        return (f"{scope} is no node of this cluster (there are {', '.join(known)})",)
    if on and scope == master:
        return (f"{scope} is master: switch over first (`primacy switchover`)",)
    return ()


class Maintenance:
    """What is in maintenance, as this node knows it."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._windows: dict[str, _Window] = {}

    # ---- inputs ----

    def learned(self, scope: str, notice: Notice, now_ns: int, wall_ns: int) -> list[Event]:
        """Take a notice, if it is newer than the known one; return the events."""
        known = self._windows.get(scope)
        if known is not None and notice.serial <= known.notice.serial:
            return []
        was_on = known is not None and not known.over
        left_ns = notice.until_wall_ns - wall_ns if notice.until_wall_ns else 0
        over = not notice.on or (notice.until_wall_ns != 0 and left_ns <= 0)
        until_ns = now_ns + left_ns if notice.until_wall_ns else FOREVER_NS
        whole_ns = max(notice.until_wall_ns - notice.since_wall_ns, 0)
        soon_ns = until_ns - min(SOON_NS_MAX, whole_ns // SOON_PART)
        self._windows[scope] = _Window(notice, until_ns, soon_ns, over)
        if not over:
            return [
                MaintenanceBegan(
                    node=self._node, scope=scope, by=notice.by, reason=notice.reason, for_s=left_ns / SECOND
                )
            ]
        return [self._ended(scope, f"ended by {notice.by}" if not notice.on else "expired")] if was_on else []

    def tick(self, now_ns: int) -> list[Event]:
        """Time has passed: return the events of what ends soon, and of what has ended."""
        events: list[Event] = []
        for scope, window in sorted(self._windows.items()):
            if window.over:
                continue
            if now_ns >= window.until_ns:
                window.over = True
                events.append(self._ended(scope, "expired"))
            elif now_ns >= window.soon_ns and not window.told:
                window.told = True
                left_s = (window.until_ns - now_ns) / SECOND
                events.append(MaintenanceEndsSoon(node=self._node, scope=scope, left_s=left_s))
        return events

    # ---- what is ----

    @property
    def wake_ns(self) -> int:
        """When to give a tick at the latest; FOREVER_NS: never."""
        times = [
            window.until_ns if window.told else window.soon_ns
            for window in self._windows.values()
            if not window.over and window.until_ns != FOREVER_NS
        ]
        return min(times, default=FOREVER_NS)

    def notices(self) -> dict[str, Notice]:
        """All notices, those that are over included, by scope."""
        return {scope: window.notice for scope, window in self._windows.items()}

    def serial(self, scope: str) -> int:
        """The newest known serial of a scope; 0 when there was none."""
        window = self._windows.get(scope)
        return window.notice.serial if window is not None else 0

    def is_on(self, scope: str) -> bool:
        """Whether the cluster (or this node) is in maintenance."""
        window = self._windows.get(scope)
        return window is not None and not window.over

    def as_input(self, now_ns: int) -> membership.Maintenance:
        """What the membership monitor has to know."""
        on = [scope for scope in self._windows if self.is_on(scope)]
        reason = self._windows[CLUSTER].notice.reason if CLUSTER in on else ""
        why = f" ({reason})" if reason else ""
        return membership.Maintenance(
            now_ns=now_ns,
            cluster=f"the cluster is in maintenance{why}" if CLUSTER in on else "",
            nodes=frozenset(on) - {CLUSTER},
        )

    def shown(self, now_ns: int) -> list[dict[str, Any]]:
        """What is on now, for `status`: {scope, by, reason, since_wall_ns, until_wall_ns, left_s}, plain values."""
        rows = []
        for scope, window in sorted(self._windows.items()):
            if window.over:
                continue
            notice, ends = window.notice, window.until_ns != FOREVER_NS
            rows.append(
                {
                    "scope": scope,
                    "by": notice.by,
                    "reason": notice.reason,
                    "since_wall_ns": notice.since_wall_ns,
                    "until_wall_ns": notice.until_wall_ns if ends else None,
                    "left_s": max(0.0, (window.until_ns - now_ns) / SECOND) if ends else None,
                }
            )
        return rows

    def _ended(self, scope: str, cause: str) -> MaintenanceEnded:
        return MaintenanceEnded(node=self._node, scope=scope, cause=cause)
