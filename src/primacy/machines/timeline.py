"""The events of all nodes as one sequence in causal order.

Each node numbers its own events; no clock is shared. So the order rests on what the events say of each other: a term
comes after the one before it; in a term, one event before another that it caused (`_causes` has the list). What is
left is ordered by the wall clock, which decides nothing else: a node whose clock is wrong is misplaced within a term
at most, never before its causes, never in another order than its own.

An event that states no term (a node that has just started knows none) stands between its node's other events, in the
term that had begun by then. A claim states the term that it asks for, and belongs to the one that it ends.

Events are plain dictionaries, as `events.Stamped.plain` makes them: those of a newer version, with fields and kinds
that are not known here, are merged like any other. Pure, and total: whatever the events say, all of them come out,
each node's in its own order and the terms ascending.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

Event = dict[str, Any]
Place = tuple[int, int]  # stream, index in it
Key = tuple[int, int, int]  # term, wall clock, stream

MASTER_FIRST = frozenset({"initialize"})
"""Functions in which every node waits, level by level, until the master has completed the level."""
WALL_NS_MAX = 1 << 62  # in the year 2116; a clock beyond it is damage


def inner(event: Event) -> dict[str, Any]:
    """Return the event itself, without what its node added."""
    found = event.get("event")
    return found if isinstance(found, dict) else {}


def kind_of(event: Event) -> str:
    """Return the name of an event's type."""
    return str(inner(event).get("event", ""))


def term_of(event: Event) -> int:
    """Return the term that an event states; 0 when it knows none."""
    term = inner(event).get("term", 0)
    return term if isinstance(term, int) else 0


def taken(value: Any) -> Event | None:
    """Return an event that came from outside with all that a reader counts on; None when it is none."""
    if not isinstance(value, dict):
        return None
    event = {"node": "", "incarnation": "", "number": 0, "wall_ns": 0, "event": {}, "sentence": "", **value}
    kinds = {"node": str, "incarnation": str, "number": int, "wall_ns": int, "event": dict, "sentence": str}
    if not all(isinstance(event[name], kind) for name, kind in kinds.items()):
        return None
    return event if 0 <= event["wall_ns"] < WALL_NS_MAX else event | {"wall_ns": 0}


def following(told: Sequence[Event], number: int, life: str = "") -> list[Event]:
    """Return those of a node's events, oldest first, that come after the one with this number.

    life: the incarnation that published it. A node that crashed may have lost its last events and numbered others like
    them: with the life the place is after its last event up to that number; when none is known any more, before all.
    """
    by_number = not life or (bool(told) and told[-1]["incarnation"] == life)
    found: list[Event] = []
    for event in reversed(told):
        if event["number"] <= number and (by_number or event["incarnation"] == life):
            break
        found.append(event)
    return found[::-1]


def merge(streams: Iterable[Sequence[Event]]) -> list[Event]:
    """Return the events of several nodes, one stream for each in its own order, as one sequence in causal order."""
    kept = [list(stream) for stream in streams]
    keys = _keys(kept)
    causes: dict[Place, list[Place]] = {}
    for cause, effect in _causes(kept):
        if cause[0] != effect[0] and _key(keys, cause)[0] <= _key(keys, effect)[0]:
            causes.setdefault(effect, []).append(cause)
    return [kept[stream][index] for stream, index in _ordered(keys, causes)]


def _key(keys: list[list[Key]], place: Place) -> Key:
    return keys[place[0]][place[1]]


def _wall_ns(event: Event) -> int:
    wall_ns = event.get("wall_ns", 0)
    return wall_ns if isinstance(wall_ns, int) else 0


# ---- terms ----


def _keys(streams: list[list[Event]]) -> list[list[Key]]:
    """The term and the wall clock by which each event is placed; neither ever falls within a stream."""
    begins = _beginnings(streams)
    found = []
    for number, stream in enumerate(streams):
        keys: list[Key] = []
        term, wall_ns = 0, 0
        limits = _limits(stream)
        for event, limit in zip(stream, limits, strict=True):
            wall_ns = max(wall_ns, _wall_ns(event))
            term = max(term, _stated(event))
            if not term_of(event):
                begun = (each for each, at_ns in begins.items() if term < each <= limit and at_ns <= wall_ns)
                term = max(begun, default=term)
            keys.append((term, wall_ns, number))
        found.append(keys)
    return found


def _stated(event: Event) -> int:
    term = term_of(event)
    return term - 1 if kind_of(event) == "ClaimBegan" else term


def _limits(stream: list[Event]) -> list[int]:
    """For each event the highest term that it may be placed in: that of the next event which states one."""
    floor, floors = 0, []
    for event in stream:
        floor = max(floor, _stated(event))
        floors.append(floor)
    limit, limits = 1 << 62, []
    for event, floor in zip(reversed(stream), reversed(floors), strict=True):
        limit = floor if term_of(event) else limit
        limits.append(limit)
    return limits[::-1]


def _beginnings(streams: list[list[Event]]) -> dict[int, int]:
    """When each term began, by the wall clock of its master, or of whoever was the first to know of it."""
    elected: dict[int, int] = {}
    known: dict[int, int] = {}
    for stream in streams:
        for event in stream:
            term = _stated(event)
            for found in (elected, known) if kind_of(event) == "MasterElected" else (known,):
                found[term] = min(found.get(term, 1 << 63), _wall_ns(event))
    return known | elected


# ---- causes ----


def _causes(streams: list[list[Event]]) -> Iterator[tuple[Place, Place]]:
    """Yield (cause, effect): the first event brought the second about, or tells of the record that did."""
    places = [
        ((number, index), event, inner(event))
        for number, stream in enumerate(streams)
        for index, event in enumerate(stream)
    ]
    first = _First()
    last: dict[str, Place] = {}  # of each life of a node
    parts: dict[Any, dict[int, Place]] = {}  # of an operation: the end of what each node ran for it
    masters: dict[int, int] = {}
    for place, event, said in places:
        first.note(place, event, said)
        last[str(event.get("incarnation", ""))] = place
        if said.get("event") == "FunctionEnded" and said.get("operation"):
            parts.setdefault(said["operation"], {})[place[0]] = place
        if said.get("event") == "MasterElected":
            masters.setdefault(term_of(event), place[0])
    told: set[tuple[int, int]] = set()
    for place, event, said in places:
        term, kind = term_of(event), said.get("event")
        if kind == "ObituaryHeard":  # its processes had said their last word
            yield from _pair(last.get(str(said.get("incarnation"))), place)
        if (
            term and kind != "ClaimBegan" and (place[0], term) not in told
        ):  # who knows a term knows its master
            told.add((place[0], term))
            yield from _pair(first.of("MasterElected", term), place)
        if kind == "LevelCompleted" and said.get("function") in MASTER_FIRST:
            level = (said.get("function"), said.get("level"))
            yield from _pair(first.of("LevelCompleted", term, masters.get(term), *level), place)
        if said.get("function") == "reconnect":  # begins when the master serves
            yield from _pair(first.of("InService", term), place)
        if kind == "ServerChanged" and said.get("new") == "secondary":
            yield from _pair(first.of("ViceAppointed", said.get("appointment"), said.get("node")), place)
        if kind == "ViceInStep":
            yield from _pair(first.of("ServerChanged", said.get("appointment"), said.get("node")), place)
        if operation := said.get("operation"):  # begun by the master, run on its node, ended by a master
            yield from _pair(first.of("OperationBegan", operation), place)
            if kind == "OperationEnded":
                yield from ((part, place) for part in parts.get(operation, {}).values())


class _First:
    """Where something was first said, by what it was about."""

    def __init__(self) -> None:
        self._places: dict[tuple[Any, ...], Place] = {}

    def note(self, place: Place, event: Event, said: dict[str, Any]) -> None:
        """Remember an event under what others refer to it by."""
        term, kind = term_of(event), said.get("event")
        match kind:
            case "MasterElected" | "InService":
                self._keep((kind, term), place)
            case "OperationBegan":
                self._keep((kind, said.get("operation")), place)
            case "LevelCompleted":
                self._keep((kind, term, place[0], said.get("function"), said.get("level")), place)
            case "ViceAppointed":
                self._keep((kind, said.get("appointment"), said.get("node")), place)
            case "ServerChanged" if said.get("new") == "secondary":
                self._keep((kind, said.get("appointment"), said.get("node")), place)

    def of(self, *about: Any) -> Place | None:
        """Return the place, or None when nobody has said it."""
        return self._places.get(about)

    def _keep(self, about: tuple[Any, ...], place: Place) -> None:
        self._places.setdefault(about, place)


def _pair(cause: Place | None, effect: Place) -> Iterator[tuple[Place, Place]]:
    if cause is not None:
        yield cause, effect


# ---- the order ----


def _ordered(keys: list[list[Key]], causes: dict[Place, list[Place]]) -> Iterator[Place]:
    """Yield all places: of the next ones of all streams always the lowest that waits for no cause.

    A cause is never of a later term than its effect. So when all that do not wait are of later terms than one that
    does, causes contradict each other (a damaged file, numbers begun anew), and that one goes on without its cause.
    """
    done = [0] * len(keys)
    free: list[Key] = []  # a heap
    held: dict[int, Key] = {}  # by stream
    waiting: dict[Place, list[int]] = {}  # streams, by the cause that they wait for

    def enter(stream: int) -> None:
        """Look at the stream's next event."""
        if done[stream] == len(keys[stream]):
            return
        place = (stream, done[stream])
        cause = next((c for c in causes.get(place, ()) if done[c[0]] <= c[1]), None)
        if cause is None:
            heapq.heappush(free, _key(keys, place))
        else:
            held[stream] = _key(keys, place)
            waiting.setdefault(cause, []).append(stream)

    for stream in range(len(keys)):
        enter(stream)
    while free or held:
        stuck = min(held.values(), default=None)
        if stuck is not None and (not free or stuck[0] < free[0][0]):
            stream = stuck[2]
            del held[stream]
        else:
            stream = heapq.heappop(free)[2]
        place = (stream, done[stream])
        done[stream] += 1
        yield place
        enter(stream)
        for each in waiting.pop(place, ()):
            if held.pop(each, None) is not None:
                enter(each)
