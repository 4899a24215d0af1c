"""The verb `events`: a node's own events, page by page.

    after    the number of the last event that the caller has (0: none)
    life     the incarnation that published it. A node that crashed may have lost its last events and numbered others
             like them: with the life the page begins after the last event of that life which is still known here
    order    newest (default): the newest `limit` after that one; oldest: the oldest, to page forward
    limit    of events; a page also ends where a frame is full
    follow   push every event from now on

The result is {events, after, life, more}: events oldest first, `after` and `life` for the page that follows, and
whether there is anything on it now. An event that no frame holds is left out.

It runs on the agent's loop, so a page is bounded and each event is encoded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from primacy.agent.eventlog import EventLog
from primacy.agent.requests import shown
from primacy.cgtp.stream import FRAME_BYTES_MAX
from primacy.machines.timeline import Event

EVENTS_MAX = 1000
PAGE_BYTES_MAX = FRAME_BYTES_MAX - 4096  # the rest of the answer is far smaller
ORDERS = ("newest", "oldest")

_encode = msgspec.msgpack.Encoder().encode


def page(log: EventLog, arguments: dict[str, Any]) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the page that the arguments ask for, or None and a line for each argument that cannot be taken."""
    after, limit = arguments.get("after") or 0, arguments.get("limit") or EVENTS_MAX
    life, order = arguments.get("life") or "", arguments.get("order") or ORDERS[0]
    wrong = [f"{name}: want a number of events, got {shown(n)}" for name, n in
             (("after", after), ("limit", limit)) if not _is_count(n)]  # fmt: skip
    if not isinstance(life, str):
        wrong.append(f"life: want an incarnation, got {shown(life)}")
    if not (isinstance(order, str) and order in ORDERS):
        wrong.append(f"order: want {' or '.join(ORDERS)}, got {shown(order)}")
    if wrong:
        return None, wrong
    limit = min(limit, EVENTS_MAX)
    found = log.after(after, life)
    oldest_first = order == "oldest"
    chosen = found[:limit] if oldest_first else found[::-1][:limit]
    events, passed = _fitting(chosen)
    last = (found[passed - 1] if passed else None) if oldest_first else log.last
    return {
        "events": events if oldest_first else events[::-1],
        "after": last["number"] if last else after,
        "life": last["incarnation"] if last else life,
        "more": oldest_first and passed < len(found),
    }, []


def _fitting(events: Sequence[Event]) -> tuple[list[msgspec.Raw], int]:
    """Return as many of the first events as a frame holds, encoded, and how many of them were passed."""
    found: list[msgspec.Raw] = []
    room = PAGE_BYTES_MAX
    for passed, event in enumerate(events):
        encoded = _encode(event)
        if len(encoded) > PAGE_BYTES_MAX:
            continue  # no frame holds it
        room -= len(encoded)
        if room < 0:
            return found, passed
        found.append(msgspec.Raw(encoded))
    return found, len(events)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
