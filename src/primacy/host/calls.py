"""The serving side of a host while it is primary of one term: calls in, replies out.

A call costs no task and no future. It is judged and executed when it arrives; its entry joins the batch of
this loop turn; its reply waits at the gate. At the end of the turn the batch is encoded once, written,
shipped and synced, and whatever the mirror's machine then releases leaves. A read is evaluated at once on
what is applied, and waits at the gate for everything that it saw.

What never happens here: an answer without the gate, an entry that is executed and not appended, a call
executed while the primary is quiesced. Limits: `LIMIT_WAITING` calls at the gate and as many held;
`UNCOMMITTED_BYTES_MAX` of log that waits for the vice or the disk, beyond which new calls are held.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from primacy.host.gate import Gate, Sink
from primacy.lease_page import LeasePage, now_ns
from primacy.machines import entries
from primacy.machines.call_wire import (
    BUSY,
    EXPIRED,
    INVALID,
    Answer,
    Call,
    OpenSession,
    Query,
    Reply,
    SessionOpened,
    encode,
)  # fmt: skip
from primacy.machines.entries import Entries, Entry, SessionEnded, SessionsTouched
from primacy.machines.history import Batch
from primacy.machines.replica import Replica
from primacy.machines.session import Verdict
from primacy.machines.watching import Watcher, Watches

if TYPE_CHECKING:
    from primacy.service import ServiceModel

ARGUMENTS_BYTES_MAX = 256 << 10
BATCH_BYTES = 512 << 10
BATCH_ENTRIES_MAX = 4_096
LIMIT_WAITING = 10_000
HELD_BYTES_MAX = 64 << 20
UNCOMMITTED_BYTES_MAX = 8 << 20
ENTRY_BYTES = 64
"""What an entry costs beside its arguments."""

NOT_SERVING, QUIESCED, CONGESTED = 1, 2, 4
"""Why new calls are held: bits of `Calls.closed_for`."""

_encode_value = msgspec.msgpack.Encoder().encode


class Calls:
    """The calls and reads of one term, from their arrival to the batch, and the gate of their replies."""

    def __init__(
        self,
        term: int,
        replica: Replica,
        model: ServiceModel,
        page: LeasePage,
        append: Callable[[Batch], None],
        confirm: Callable[[int], None],
        on_idle: Callable[[], None],
    ) -> None:
        """`append` takes each batch; `confirm(id)` asks for an echo of the vice; `on_idle`: nothing waits."""
        self.term = term
        self.replica = replica
        self.watches = Watches(replica)
        self.heard: dict[int, int] = {}
        """When each session gave a sign of life, by this process's clock; unknown = when this term began
        here.
        """
        self.closed_for = NOT_SERVING
        self.count = 0
        self._model = model
        self._append = append
        self._confirm = confirm
        self._on_idle = on_idle
        self._gate = Gate(page, self._released)
        self._loop = asyncio.get_running_loop()
        self._began_ns = self._turn_ns = now_ns()
        self._may_leave = False
        self._uptime_ns = replica.uptime_ns
        self._gathered: list[Entry] = []
        self._gathered_bytes = 0
        self._uncommitted: deque[tuple[int, int]] = deque()
        self._uncommitted_bytes = 0
        self._held: deque[tuple[Sink, Call | OpenSession | Query]] = deque()
        self._held_bytes = 0
        self._confirming: dict[int, tuple[int, Sink, bytes]] = {}
        self._confirms = term << 32  # a late answer to a question of another term is no answer to one of this
        self._closed = False

    # ---- what arrives ----

    def call(self, sink: Sink, call: Call) -> None:
        """Take a call; `arrived` follows the last one of an arrival."""
        if self.closed_for:
            self._hold(sink, call, len(call.arguments))
            return
        if len(self._gate) >= LIMIT_WAITING:
            self._refuse(sink, call)
            return
        id, number = call.session, call.number
        replica = self.replica
        if id:
            self.heard[id] = self._turn_ns
            verdict = replica.sessions.check(id, number, call.acknowledged)
            if verdict is not Verdict.EXECUTE:
                self._answer_again(sink, call, verdict)
                return
        size = len(call.arguments)
        if size > ARGUMENTS_BYTES_MAX:
            prepared: Any = f"arguments of {size} bytes: at most {ARGUMENTS_BYTES_MAX}"
        else:
            prepared = self._model.prepare(call.operation, call.arguments)
        if type(prepared) is str:
            sink.send(encode(Reply(id, number, INVALID, self.term, _encode_value(prepared))))
            return
        if not self._gathered:
            self._begin()
        reply = replica.execute(call, prepared)
        if reply is not None:
            frame = encode(Reply(id, number, reply[0], self.term, reply[1]))
            self._gate.put(replica.sequence, sink, frame)
        self._gather(call, size)

    def query(self, sink: Sink, query: Query) -> None:
        """Take a read: evaluated now, answered when everything that it saw is committed."""
        if self.closed_for:
            self._hold(sink, query, len(query.arguments))
            return
        if self.waiting >= LIMIT_WAITING:
            self._refuse(sink, query)
            return
        outcome, payload = self._model.answer(query.operation, query.arguments)
        frame = encode(Answer(query.request, outcome, self.term, payload))
        if query.confirm or self._model.confirms(query.operation):
            self._confirms += 1
            self._confirming[self._confirms] = (self.replica.sequence, sink, frame)
            self._confirm(self._confirms)
            return
        self._put(sink, frame)

    def open_session(self, sink: Sink, request: OpenSession) -> None:
        """Take a request for a session."""
        if self.closed_for:
            self._hold(sink, request, 0)
            return
        if self.waiting >= LIMIT_WAITING:
            self._refuse(sink, request)
            return
        if not self._gathered:
            self._begin()
        entry = self.replica.next_session()
        id = entry.id
        if self.replica.note(entry):
            self.heard[id] = self._turn_ns
        else:
            id = 0
        self._put(sink, encode(SessionOpened(request.request, id, self.term)))
        self._gather(entry, 0)

    def keep_alive(self, session: int, end: bool) -> None:
        """Take a sign of life."""
        if session not in self.replica.sessions:
            return
        self.heard[session] = now_ns()
        if end and not self.closed_for:
            self.log(SessionEnded(session))
            self.heard.pop(session, None)

    def confirmed(self, id: int, valid: bool) -> None:
        """The vice echoed after the question; or nobody can say so, and the read is dropped."""
        position, sink, frame = self._confirming.pop(id, (0, None, b""))
        if valid and sink is not None:
            self._gate.put(position, sink, frame)
            self._gate.open()
        elif not self.waiting:
            self._on_idle()

    # ---- opening and closing ----

    def reopen(self, reason: int) -> None:
        """This reason to hold calls is gone; when it was the last, those that were held go first."""
        self.closed_for &= ~reason
        if not self.closed_for:
            self._take_held()

    def hold(self, reason: int) -> None:
        """Hold new calls from now on; what was taken is appended."""
        self.closed_for |= reason
        self.flush()

    def arrived(self) -> None:
        """All frames of one arrival were taken: let out what depends on nothing that is still to come."""
        if self._may_leave:
            self._may_leave = False
            self._gate.open()

    def close(self) -> None:
        """The term has ended here: everything that waits is dropped, the clients repeat it elsewhere."""
        self._closed = True
        self.closed_for |= NOT_SERVING
        self._gate.close()
        self._held.clear()
        self._confirming.clear()

    @property
    def waiting(self) -> int:
        """Replies that have not left."""
        return len(self._gate) + len(self._confirming)

    def silent(self, seconds: float) -> list[int]:
        """Return the sessions without a sign of life for so long, counted from this term's beginning here."""
        now = now_ns()
        heard, began, silence_ns = self.heard, self._began_ns, int(seconds * 1e9)
        return [id for id in self.replica.sessions.sessions if now - heard.get(id, began) >= silence_ns]

    def touch(self) -> None:
        """Log the signs of life that the state has not seen for long; forget ended sessions."""
        sessions, uptime_ns = self.replica.sessions, self.uptime_ns()
        alive = [id for id, heard in self.heard.items() if heard > now_ns() - 10**10]
        old = [id for id in alive if sessions.needs_touch(id, uptime_ns)]
        if old and not self.closed_for:
            self.log(SessionsTouched(old))
        if len(self.heard) > len(sessions) + 1_000:
            self.heard = {id: heard for id, heard in self.heard.items() if id in sessions}

    def uptime_ns(self) -> int:
        """The service's uptime now."""
        return self._uptime_ns + now_ns() - self._began_ns

    # ---- from the turn to the batch ----

    def log(self, entry: SessionsTouched | SessionEnded | entries.Checkpoint) -> None:
        """Append an entry that answers nobody."""
        if not self._gathered:
            self._begin()
        self.replica.note(entry)
        self._gather(entry, 0)

    def _begin(self) -> None:
        self._turn_ns = now_ns()
        self.replica.turn(self.term, time.time_ns(), self._uptime_ns + self._turn_ns - self._began_ns)
        self._loop.call_soon(self.flush)

    def _gather(self, entry: Entry, size: int) -> None:
        self._gathered.append(entry)
        self._gathered_bytes += size + ENTRY_BYTES
        if self._gathered_bytes >= BATCH_BYTES or len(self._gathered) >= BATCH_ENTRIES_MAX:
            self.flush()

    def flush(self) -> None:
        """End the batch: it is appended now."""
        gathered = self._gathered
        if not gathered or self._closed:
            return
        self._gathered, self._gathered_bytes = [], 0
        replica = self.replica
        self.count += len(gathered)
        payload = entries.encode(Entries(replica.time_ns, replica.uptime_ns, gathered))
        last = replica.sequence
        self._uncommitted.append((last, len(payload)))
        self._uncommitted_bytes += len(payload)
        self.watches.collect()
        if self._uncommitted_bytes > UNCOMMITTED_BYTES_MAX:
            self.closed_for |= CONGESTED
        self._append(Batch(self.term, last - len(gathered) + 1, last, payload))

    # ---- replies ----

    def release(self, upto: int) -> None:
        """The mirror has committed up to here."""
        uncommitted = self._uncommitted
        while uncommitted and uncommitted[0][0] <= upto:
            self._uncommitted_bytes -= uncommitted.popleft()[1]
        self.watches.release(upto)
        self._gate.release(upto)
        if self.closed_for & CONGESTED and self._uncommitted_bytes < UNCOMMITTED_BYTES_MAX // 2:
            self.reopen(CONGESTED)

    def _reply(self, sink: Sink, call: Call, outcome: int, payload: bytes) -> None:
        self._put(sink, encode(Reply(call.session, call.number, outcome, self.term, payload)))

    def _put(self, sink: Sink, frame: bytes) -> None:
        position = self.replica.sequence
        gate = self._gate
        gate.put(position, sink, frame)
        if position <= gate.committed:
            self._may_leave = True

    def _answer_again(self, sink: Sink, call: Call, verdict: Verdict) -> None:
        if verdict is Verdict.CACHED:
            outcome, payload = self.replica.sessions.reply(call.session, call.number)
            self._reply(sink, call, outcome, payload)
        elif verdict is Verdict.EXPIRED:
            self._reply(sink, call, EXPIRED, b"")
        elif verdict is Verdict.FULL:
            self._refuse(sink, call)

    def _released(self) -> None:
        if not self.watches.idle:
            if self._gate.allowed():
                self.watches.push(self._gate.committed)
            else:
                self._gate.look_again()
        if not self.waiting:
            self._on_idle()

    def _hold(self, sink: Sink, message: Any, size: int) -> None:
        self._held_bytes += size + ENTRY_BYTES
        if len(self._held) >= LIMIT_WAITING or self._held_bytes > HELD_BYTES_MAX:
            self._held_bytes -= size + ENTRY_BYTES
            self._refuse(sink, message)
            return
        self._held.append((sink, message))

    def _refuse(self, sink: Sink, message: Any) -> None:
        if isinstance(message, Call):
            sink.send(encode(Reply(message.session, message.number, BUSY, self.term, b"")))
        elif isinstance(message, Query):
            sink.send(encode(Answer(message.request, BUSY, self.term, b"")))
        else:
            sink.send(encode(SessionOpened(message.request, 0, self.term)))

    def _take_held(self) -> None:
        # the bytes of those put back count no more
        held, self._held, self._held_bytes = self._held, deque(), 0
        while held and not self.closed_for:
            sink, message = held.popleft()
            if isinstance(message, Call):
                self.call(sink, message)
            elif isinstance(message, Query):
                self.query(sink, message)
            else:
                self.open_session(sink, message)
        self._held.extendleft(reversed(held))
        self.arrived()

    def watch(self, client: Watcher, request: Any) -> None:
        """Begin a watch."""
        if self.watches.add(client, request):
            self._gate.open()
