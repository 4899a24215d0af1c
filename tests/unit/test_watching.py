"""Watches: in order, none missed, nothing before it is committed."""

from __future__ import annotations

from primacy.machines.call_wire import Changed, Watch, decode_to_client
from primacy.machines.replica import EVENTS_KEPT, Replica
from primacy.machines.watching import ITEMS_BYTES_MAX, LIMIT_WATCHES, Watches, Watching
from primacy.service import Service, ServiceModel


class Client:
    def __init__(self) -> None:
        self.watches: dict[int, Watching] = {}
        self.changed: list[Changed] = []

    def send(self, frame: bytes) -> None:
        message = decode_to_client(frame)
        assert isinstance(message, Changed)
        self.changed.append(message)

    def flush(self) -> None: ...

    def positions(self) -> list[int]:
        return [position for changed in self.changed for position, _, _ in changed.items]


class Bare(Service):  # type: ignore[type-arg]
    """Nothing: the events are made by hand."""


def world() -> tuple[Replica, Watches, Client]:
    replica = Replica("bare", ServiceModel(Bare()))
    return replica, Watches(replica), Client()


def publish(replica: Replica, watches: Watches, *topics: str, payload: bytes = b"") -> None:
    for topic in topics:
        replica.sequence += 1
        replica.publish(topic, payload)
    watches.collect()


def test_a_new_watch_is_answered_and_begins_now() -> None:
    replica, watches, client = world()
    publish(replica, watches, "a", "a")
    assert watches.add(client, Watch(1, "a", 0))
    assert not watches.idle
    watches.push(committed=1)
    assert client.changed == [Changed(1, [], 1)]
    watches.push(committed=2)
    publish(replica, watches, "a")
    watches.push(committed=3)
    assert client.positions() == [2, 3], "what was not committed when it began is new"


def test_it_goes_on_behind_a_position() -> None:
    replica, watches, client = world()
    publish(replica, watches, "a", "b", "a", "a")
    watches.add(client, Watch(1, "a", 1))
    watches.push(committed=3)
    assert client.changed == [Changed(1, [(3, "a", b"")], 3)]
    watches.push(committed=4)
    assert client.positions() == [3, 4]
    assert watches.idle


def test_a_watch_that_begins_while_a_vice_joins_misses_nothing() -> None:
    replica, watches, client = world()
    publish(replica, watches, "a", "a")
    watches.release(2)  # nobody watches; then replies wait for a joiner that has nothing yet
    watches.add(client, Watch(1, "a", 1))
    watches.add(client, Watch(2, "a", 0))
    watches.push(committed=0)
    assert client.changed == [Changed(1, [(2, "a", b"")], 2), Changed(2, [], 2)]
    publish(replica, watches, "a")
    watches.push(committed=1)
    assert client.positions() == [2], "what the joiner does not have yet waits"
    watches.push(committed=3)
    assert client.positions() == [2, 3, 3]


def test_each_topic_by_its_beginning() -> None:
    replica, watches, client = world()
    watches.add(client, Watch(1, "low/", 0))
    watches.add(client, Watch(2, "", 0))
    watches.push(committed=0)
    client.changed.clear()
    publish(replica, watches, "low/bolt", "high/nut")
    watches.push(committed=2)
    got = {changed.request: [topic for _, topic, _ in changed.items] for changed in client.changed}
    assert got == {1: ["low/bolt"], 2: ["low/bolt", "high/nut"]}


def test_what_is_no_longer_kept_is_told_as_lost() -> None:
    replica, watches, client = world()
    publish(replica, watches, *["a"] * (EVENTS_KEPT + 5))
    watches.add(client, Watch(1, "a", 3))
    watches.push(committed=EVENTS_KEPT + 5)
    assert client.changed == [Changed(1, [], EVENTS_KEPT + 5, lost=True)]
    client.changed.clear()
    watches.add(client, Watch(1, "a", 5))
    watches.push(committed=EVENTS_KEPT + 5)
    assert len(client.positions()) == EVENTS_KEPT


def test_many_events_go_in_several_frames() -> None:
    replica, watches, client = world()
    watches.add(client, Watch(1, "", 0))
    watches.push(committed=0)
    publish(replica, watches, *["a"] * 7, payload=b"x" * (ITEMS_BYTES_MAX // 3))
    watches.push(committed=7)
    assert len(client.changed) > 2
    assert client.positions() == list(range(1, 8))


def test_watches_end() -> None:
    replica, watches, client = world()
    for request in range(LIMIT_WATCHES):
        assert watches.add(client, Watch(request, "", 0))
    assert not watches.add(client, Watch(999, "", 0))
    watches.push(committed=0)
    watches.remove(client, 0)
    watches.forget(client)
    client.changed.clear()
    publish(replica, watches, "a")
    watches.push(committed=1)
    assert client.changed == []
    watches.add(client, Watch(1, "", 0))
    publish(replica, watches, "a")
    watches.push(committed=2)
    assert client.positions() == []
    assert client.changed[0].upto == 2
