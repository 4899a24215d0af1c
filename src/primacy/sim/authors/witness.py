"""Is what clients were told linearizable?  Judged by a witness: the log that the last primary has.

All entries of that log are applied in order to a new object of the service's class. What was told to clients fits when

  each call that was answered is in the log once, and its answer is the one that it gets there;
  a call that ended before another one began stands before it;
  each query's answer is that of the state after some entry, which lies behind everything that had ended before the
  query
    began, and before everything that began after it had ended; and queries among themselves likewise;
  each watch was told all that was published under its topic, from where it began on, in order and once.

So the log is one order in which a single copy would have said the same (Herlihy and Wing, 1990), found without a
search: the verdict is never open, whatever operations do with `ctx`. `sequential.py` searches without trusting the log.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator

import msgspec

from primacy.machines import entries
from primacy.machines.call_wire import DONE, RAISED, Call
from primacy.machines.history import Batch
from primacy.machines.replica import Published, Replica
from primacy.machines.session import Verdict
from primacy.service import ServiceModel
from primacy.sim.authors.client import Called, Watch
from primacy.sim.authors.differences import same

_decode = msgspec.msgpack.Decoder().decode


class Witness:
    """The log of one service. calls: what its clients have called and asked, in any order."""

    def __init__(self, service: str, model: ServiceModel, batches: list[Batch], calls: list[Called]) -> None:
        self._model, self._batches = model, batches
        self._replica = Replica(service, model)
        told = [call for call in calls if call.completed_ns is not None and call.outcome in (DONE, RAISED)]
        self._calls = {(c.session, c.number): c for c in told if not c.query}
        self._queries = sorted((c for c in told if c.query), key=lambda c: c.invoked_ns)
        self._where: dict[tuple[int, int], int] = {}  # an answered call -> its entry
        self._events: list[Published] = []
        self._ended: list[tuple[int, int]] = []  # (instant, the last entry of all that had ended by then)
        self._began: list[tuple[int, int]] = []  # (instant, the first entry of all that began from then on)

    def judge(self, watches: list[Watch]) -> str:
        """Return what does not fit, or nothing."""
        return self._answers() or self._order() or self._reads() or self._pushes(watches)

    # ---- calls ----

    def _answers(self) -> str:
        executed: set[tuple[int, int]] = set()
        for entry, reply in self._apply_all():
            key = (entry.session, entry.number)
            if key in executed:
                return (
                    f"{entry.operation} (call {entry.number} of session {entry.session}) was executed twice"
                )
            executed.add(key)
            call = self._calls.get(key)
            if call is None:
                continue
            self._where[key] = self._replica.sequence
            if reply[0] != call.outcome or not same(reply[1], call.payload):
                return f"{call.sentence()}; by the log it is {_decode(reply[1])!r}"
        for key, call in self._calls.items():
            if key not in self._where:
                return f"{call.sentence()}: it was acknowledged, and is not in the log"
        return ""

    def _apply_all(self) -> Iterator[tuple[Call, tuple[int, bytes]]]:
        """Apply the log; yield each call of a client that is executed, with its reply."""
        replica = self._replica
        for batch in self._batches:
            content = entries.decode(batch.payload)
            replica.turn(batch.term, content.time_ns, content.uptime_ns)
            for entry in content.entries:
                position = replica.event_position
                if not isinstance(entry, Call):
                    replica.note(entry)
                    continue
                verdict = replica.sessions.check(entry.session, entry.number, entry.acknowledged)
                reply = replica.execute(entry, self._model.prepare(entry.operation, entry.arguments))
                published = replica.event_position - position
                self._events += [replica.events[index] for index in range(-published, 0)]
                if entry.session and verdict is Verdict.EXECUTE and reply is not None:
                    yield entry, reply

    def _order(self) -> str:
        """Whoever had ended before another one began stands before it."""
        where = self._where
        ends = sorted((call.end_ns, where[key], key) for key, call in self._calls.items())
        begins = sorted((call.invoked_ns, where[key], key) for key, call in self._calls.items())
        last, latest, index = 0, (0, 0), 0
        for invoked_ns, sequence, key in begins:
            while index < len(ends) and ends[index][0] < invoked_ns:
                if ends[index][1] > last:
                    last, latest = ends[index][1], ends[index][2]
                index += 1
            if last > sequence:
                one, other = self._calls[key].sentence(), self._calls[latest].sentence()
                return f"{one} stands before {other}, which had ended before it began"
        self._ended = _rising([(at_ns, sequence) for at_ns, sequence, _ in ends])
        self._began = _falling([(at_ns, sequence) for at_ns, sequence, _ in begins])
        return ""

    # ---- queries ----

    def _reads(self) -> str:
        """Replay once more; at each entry try the queries that may have seen the state after it."""
        if not self._queries:
            return ""
        # low ascends with the invocation
        waiting = deque((*self._bounds(query), query) for query in self._queries)
        tried: list[tuple[int, int, Called]] = []
        state = Replica(self._replica.service, self._model)
        self._model.service = type(self._model.service)()
        for sequence in self._positions(state):
            while waiting and waiting[0][0] <= sequence:
                tried.append(waiting.popleft())
            blocked_ns, left = 1 << 63, []
            for low, high, query in tried:
                if query.invoked_ns <= blocked_ns and low <= sequence <= high and self._fits(query):
                    continue
                if sequence >= high:
                    _, payload = self._model.answer(query.operation, query.arguments)
                    told = repr(_decode(payload)) if payload else "nothing"
                    return (
                        f"{query.sentence()}: no state between entries {low} and {high} of the log says so; "
                        f"after entry {sequence} it is {told}"
                    )
                left.append((low, high, query))
                blocked_ns = min(blocked_ns, query.end_ns)
            tried = left
        return ""

    def _positions(self, replica: Replica) -> Iterator[int]:
        """Apply the log entry by entry; yield the sequence after each, 0 before the first."""
        yield 0
        for batch in self._batches:
            content = entries.decode(batch.payload)
            replica.turn(batch.term, content.time_ns, content.uptime_ns)
            for entry in content.entries:
                if isinstance(entry, Call):
                    replica.execute(entry, self._model.prepare(entry.operation, entry.arguments))
                else:
                    replica.note(entry)
                yield replica.sequence

    def _bounds(self, query: Called) -> tuple[int, int]:
        """Between which entries the query's state must lie, by the calls that ended before or began after it."""
        ended, began = self._ended, self._began
        before = bisect_left(ended, (query.invoked_ns, 0)) - 1
        after = bisect_right(began, (query.end_ns, 1 << 62))
        low = ended[before][1] if before >= 0 else 0
        high = began[after][1] - 1 if after < len(began) else self._replica.sequence
        return low, high

    def _fits(self, query: Called) -> bool:
        outcome, payload = self._model.answer(query.operation, query.arguments)
        return outcome == query.outcome and same(payload, query.payload)

    # ---- watches ----

    def _pushes(self, watches: list[Watch]) -> str:
        for watch in watches:
            told = watch.since_the_last_loss()
            if not told:
                continue
            first, last = told[0][0], told[-1][0]
            begin = watch.began if watch.began >= 0 else first - 1
            of_topic = [e for e in self._events if e.topic.startswith(watch.topic)]
            want = [(e.position, e.topic) for e in of_topic if begin < e.position <= last]
            if [item[:2] for item in told] != want:
                missed = [item for item in want if item not in [each[:2] for each in told]]
                more = f"missed {missed[:3]}" if missed else "was told what the log does not say"
                return f"the watch of {watch.client} on {watch.topic!r} {more}"
        return ""


def _rising(steps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Put in the place of each entry the highest up to it."""
    highest, found = 0, []
    for at_ns, sequence in steps:
        highest = max(highest, sequence)
        found.append((at_ns, highest))
    return found


def _falling(steps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Put in the place of each entry the lowest from it on."""
    lowest, found = 1 << 62, []
    for at_ns, sequence in reversed(steps):
        lowest = min(lowest, sequence)
        found.append((at_ns, lowest))
    return found[::-1]
