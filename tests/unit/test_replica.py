"""The replicated state: the same entries come to the same state, and a snapshot holds all of it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy import service as api
from primacy.errors import JournalError
from primacy.machines import entries
from primacy.machines.call_wire import BUSY, DONE, EXPIRED, INVALID, RAISED, Call
from primacy.machines.entries import Checkpoint, Entries, Entry, SessionBegun, SessionEnded, SessionsTouched
from primacy.machines.replica import EVENTS_BYTES_KEPT, EVENTS_KEPT, Replica
from primacy.machines.session import LIMIT_OUTSTANDING, SILENCE_NS


class State(msgspec.Struct):
    total: int = 0
    seen: list[float] = []


class Adder(api.Service[State]):
    """Adds; raises on odd numbers; tells of each sum."""

    @api.operation
    def add(self, ctx: api.OperationContext, number: int) -> int:
        self.state.total += number
        if number % 2:
            raise ValueError(f"{number} is odd")
        self.state.seen = [*self.state.seen[-4:], ctx.random.random(), ctx.time_ns / 7]
        ctx.publish("sum/even", self.state.total)
        return self.state.total


def replica() -> Replica:
    return Replica("adder", api.ServiceModel(Adder()))


def call(number: int, value: int, session: int = 1, acknowledged: int = 0) -> Call:
    return Call(session, number, acknowledged, "add", msgspec.msgpack.encode({"number": value}))


def log(*batches: list[Entry], uptime_ns: int = 0) -> list[tuple[int, int, int, bytes]]:
    """Return (term, first, last, payload) of consecutive batches."""
    made, first = [], 1
    for number, batch in enumerate(batches):
        payload = entries.encode(Entries(1_000 + number, uptime_ns + number, batch))
        made.append((1, first, first + len(batch) - 1, payload))
        first += len(batch)
    return made


def applied(*batches: list[Entry]) -> Replica:
    made = replica()
    for batch in log(*batches):
        made.apply(*batch)
    return made


def test_the_primary_and_a_secondary_come_to_the_same() -> None:
    batches: list[list[Entry]] = [[SessionBegun()], [call(1, 2), call(2, 3)], [call(3, 4)]]
    primary = replica()
    for number, batch in enumerate(batches):
        primary.turn(1, 1_000 + number, number)
        for entry in batch:
            if isinstance(entry, Call):
                primary.execute(entry, primary.model.prepare(entry.operation, entry.arguments))
            else:
                assert isinstance(entry, SessionBegun)
                primary.note(entry)
    secondary = applied(*batches)
    assert secondary.digest() == primary.digest()
    assert secondary.snapshot() == primary.snapshot()
    assert [event.payload for event in secondary.events] == [b"\x02", b"\x09"]


def test_replies_of_a_call() -> None:
    made = applied([SessionBegun()])
    made.turn(1, 5, 5)
    prepare = made.model.prepare

    def execute(call: Call) -> tuple[int, bytes] | None:
        return made.execute(call, prepare(call.operation, call.arguments))

    assert execute(call(1, 2)) == (DONE, b"\x02")
    assert execute(call(1, 2)) == (DONE, b"\x02"), "the old reply"
    assert execute(call(2, 3)) == (RAISED, msgspec.msgpack.encode(["ValueError", "3 is odd"]))
    assert execute(call(3, 4, acknowledged=2)) == (DONE, b"\x09"), "what it had changed before stays"
    assert execute(call(1, 2)) is None, "a late duplicate"
    assert execute(call(1, 2, session=9)) == (EXPIRED, b"")
    assert execute(call(3 + LIMIT_OUTSTANDING, 2)) == (BUSY, b"")
    assert execute(Call(1, 4, 0, "subtract", b"\x80"))[0] == INVALID  # type: ignore[index]
    assert execute(call(0, 2, session=0)) == (DONE, b"\x0b"), "the service's own"


def test_a_session_ends_by_the_time_in_the_entries() -> None:
    made = replica()
    (begun, late) = log([SessionBegun()], [SessionsTouched([])], uptime_ns=SILENCE_NS - 1)
    made.apply(*begun)
    made.uptime_ns = 0
    assert 1 in made.sessions
    made.sessions.sessions[1].heard_ns = 0
    made.apply(*late)
    assert 1 not in made.sessions


def test_sessions_are_ended_in_order_and_checkpoints_told() -> None:
    made = replica()
    told = [
        made.apply(*batch)
        for batch in log([SessionBegun(), SessionBegun()], [SessionEnded(1)], [Checkpoint()])
    ]
    assert told == [False, False, True]
    assert list(made.sessions.sessions) == [2]


def test_time_never_goes_backwards() -> None:
    made = replica()
    made.turn(1, 50, 60)
    made.turn(2, 40, 30)
    assert (made.term, made.time_ns, made.uptime_ns) == (2, 50, 60)


def test_the_oldest_events_go() -> None:
    made = replica()
    for _ in range(EVENTS_KEPT + 5):
        made.publish("topic", b"x")
    assert (len(made.events), made.events[0].position, made.event_position) == (
        EVENTS_KEPT,
        6,
        EVENTS_KEPT + 5,
    )
    made.publish("topic", b"x" * EVENTS_BYTES_KEPT)
    assert len(made.events) == 1


def test_a_snapshot_holds_everything() -> None:
    made = applied([SessionBegun()], [call(1, 2), call(2, 4)])
    other = replica()
    other.restore(made.snapshot())
    assert other.snapshot() == made.snapshot()
    assert other.digest() == made.digest()
    assert other.sessions == made.sessions
    assert other.model.service.state == made.model.service.state  # type: ignore[attr-defined]


@pytest.mark.parametrize("snapshot", [b"", b"\x90", b"\xc1"])
def test_what_is_no_snapshot_is_refused(snapshot: bytes) -> None:
    with pytest.raises(JournalError):
        replica().restore(snapshot)


def test_a_snapshot_of_another_service_is_refused() -> None:
    other = Replica("other", api.ServiceModel(Adder()))
    with pytest.raises(JournalError, match="service other"):
        replica().restore(other.snapshot())


def test_a_batch_that_holds_other_entries_than_it_says_is_refused() -> None:
    payload = entries.encode(Entries(0, 0, [SessionBegun()]))
    with pytest.raises(JournalError, match="holds 1 entries"):
        replica().apply(1, 1, 2, payload)


def test_the_digest_does_not_depend_on_the_order_in_which_dicts_were_filled() -> None:
    class Pile(msgspec.Struct):
        of: dict[str, int] = {}

    class Piles(api.Service[Pile]):
        """A state with a dict."""

    digests = set()
    for keys in ("ab", "ba"):
        service = Piles()
        service.state.of = {key: ord(key) for key in keys}
        digests.add(Replica("piles", api.ServiceModel(service)).digest())
    assert len(digests) == 1


def test_a_number_written_as_int_where_float_is_annotated_is_no_difference() -> None:
    class Price(msgspec.Struct):
        now: float = 0.0

    class Prices(api.Service[Price]):
        """A state whose author is careless about int and float."""

        @api.operation
        def set(self, ctx: api.OperationContext, price: int) -> float:
            self.state.now = price
            ctx.publish("now", self.state.now)
            return self.state.now

    made, other = (Replica("prices", api.ServiceModel(Prices())) for _ in range(2))
    batches = log(
        [SessionBegun(), Call(1, 1, 0, "set", msgspec.msgpack.encode({"price": 3}))], [SessionBegun()]
    )
    made.apply(*batches[0])
    other.restore(made.snapshot())
    assert made.digest() == other.digest()


@given(
    st.lists(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 9)), min_size=1, max_size=4), max_size=6)
)
def test_where_a_snapshot_is_taken_changes_nothing(script: list[list[tuple[int, int]]]) -> None:
    batches: list[list[Entry]] = [[SessionBegun()], *[[call(*each) for each in batch] for batch in script]]
    whole = applied(*batches)
    made = replica()
    for batch in log(*batches):
        made.apply(*batch)
        fresh = replica()
        fresh.restore(made.snapshot())
        made = fresh
    assert made.digest() == whole.digest()
    assert made.snapshot() == whole.snapshot()
