"""Hosts as real processes, driven by a fake agent: nothing lost, nothing doubled, nothing answered unduly."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from primacy.machines import call_wire, host_wire
from primacy.machines.host_wire import Context
from primacy.machines.ids import FOREVER_NS
from tests.cluster.hosts import Client, Host, Hosts, decode_value, wait_for

MakeHosts = Callable[..., Hosts]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[MakeHosts]:
    made: list[Hosts] = []

    def make(**options: str) -> Hosts:
        made.append(Hosts(tmp_path, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
async def hosts(make: MakeHosts) -> Hosts:
    return make()


async def pair(hosts: Hosts, durability: str = "disk", **options: float) -> tuple[Host, Host]:
    """Start two hosts; the second is ready secondary of the first, in term 1."""
    a, b = await hosts.start("a", durability, **options), await hosts.start("b", durability, **options)
    await hosts.alone(a, 1)
    await hosts.join(a, b, 1)
    return a, b


async def test_alone_then_restarted_in_a_new_term(hosts: Hosts) -> None:
    a = await hosts.start("a")
    await hosts.alone(a, 1)
    client = await hosts.client(a)
    assert await client.call("add", article="bolt", count=3) == 3
    assert await client.query("stock", article="bolt") == 3
    stopped = await a.stop()
    assert (stopped.term, stopped.sequence) == (1, 2)
    again = await hosts.start("a")
    assert again.opened == host_wire.Opened("inventory", again.opened.callbacks, 1, 2)
    await hosts.alone(again, 2)
    await client.connect(again)
    await client.serving()
    assert await client.query("stock", article="bolt") == 3


async def test_a_term_is_never_begun_by_two_processes(hosts: Hosts) -> None:
    a = await hosts.start("a")
    await hosts.alone(a, 1)
    client = await hosts.client(a)
    await client.call("add", article="bolt", count=3)
    a.kill()
    again = await hosts.start("a")
    await hosts.alone(again, 1)
    assert (await again.hear(host_wire.Failed)).kind == "term"


@pytest.mark.parametrize("durability", ["disk", "memory"])
async def test_failover_loses_nothing_and_repeats_get_the_old_reply(hosts: Hosts, durability: str) -> None:
    a, b = await pair(hosts, durability)
    client = await hosts.client(a)
    numbers = [client.submit("record", id=f"early-{n}") for n in range(400)]
    await wait_for(lambda: len(client.replies) >= 100, "some calls are answered")
    a.kill()
    answered = {number: reply.payload for number, reply in client.replies.items()}
    await hosts.alone(b, 2)
    await client.connect(b)
    await client.serving()
    client.replies.clear()
    for number in numbers:
        client.submit("record", number=number, id=f"early-{number - 1}")
    replies = [await client.reply(number) for number in numbers]
    assert {reply.outcome for reply in replies} == {call_wire.DONE}
    assert {reply.term for reply in replies} == {2}
    assert all(decode_value(reply.payload) for reply in replies), "each was executed exactly once"
    assert {number: client.replies[number].payload for number in answered} == answered
    assert len(await client.query("all_recorded")) == 400


async def test_calls_that_cannot_be_executed(hosts: Hosts) -> None:
    a, _ = await pair(hosts)
    client = await hosts.client(a)
    raised = await client.reply(client.submit("take", article="bolt", count=1))
    assert raised.outcome == call_wire.RAISED
    assert decode_value(raised.payload) == ["ValueError", "0 of bolt in store, 1 asked for"]
    unknown = await client.reply(client.submit("steal"))
    assert unknown.outcome == call_wire.INVALID
    assert "no operation 'steal'; there is: add, forget_old" in decode_value(unknown.payload)
    wrong = await client.reply(client.submit("add", article="bolt", count="many"))
    assert decode_value(wrong.payload) == "Inventory.add: Expected `int`, got `str` - at `$.count`"
    large = await client.reply(client.submit("record", id="x" * 300_000))
    assert large.outcome == call_wire.INVALID
    client.session = 99
    assert (await client.reply(client.submit("add", article="bolt", count=1))).outcome == call_wire.EXPIRED


class Load:
    """A client that keeps writing, and repeats what was not answered wherever it is sent to."""

    def __init__(self, client: Client, window: int = 32) -> None:
        self.client, self.window = client, window
        self.outstanding: dict[int, str] = {}
        self.done: list[str] = []
        self.first_reply_s: list[float] = []

    def pump(self) -> None:
        for number in [number for number in self.outstanding if number in self.client.replies]:
            reply = self.client.replies.pop(number)
            assert reply.outcome == call_wire.DONE
            assert decode_value(reply.payload) is True, f"{self.outstanding[number]} was executed before"
            self.done.append(self.outstanding.pop(number))
        acknowledged = min(self.outstanding) - 1 if self.outstanding else self.client.number
        while len(self.outstanding) < self.window:
            id = f"id-{self.client.number + 1}"
            self.outstanding[self.client.submit("record", acknowledged, id=id)] = id

    def repeat(self) -> None:
        for number, id in self.outstanding.items():
            self.client.submit("record", number=number, id=id)

    async def until(self, count: int) -> None:
        def enough() -> bool:
            self.pump()
            return len(self.done) >= count

        await wait_for(enough, f"{count} writes are answered (now {len(self.done)})")


async def test_twenty_switchovers_under_load(hosts: Hosts) -> None:
    a, b = await pair(hosts)
    clients = {"a": await hosts.client(a)}
    load = Load(clients["a"])
    loop = asyncio.get_running_loop()
    pauses = []
    for term in range(1, 21):
        old, new = (a, b) if term % 2 else (b, a)
        await load.until(len(load.done) + 50)
        began = loop.time()
        await hosts.switch(old, new, term)
        await load.client.connect(new)
        await load.client.serving()
        load.repeat()
        count = len(load.done)
        await load.until(count + 1)
        pauses.append(loop.time() - began)
    await wait_for(lambda: load.pump() or len(load.done) > 1_100, "the last writes")
    load.window = 0
    await wait_for(lambda: load.pump() or not load.outstanding, "everything is answered")
    recorded = await load.client.query("all_recorded")
    assert sorted(recorded) == sorted(load.done)
    assert not a.gone
    assert not b.gone
    assert max(pauses) < 2.0


async def test_a_page_of_zero_holds_replies_and_reads(hosts: Hosts) -> None:
    a, _ = await pair(hosts)
    client = await hosts.client(a)
    await client.call("add", article="bolt", count=1)
    assert a.page is not None
    a.page.valid_until_ns = 0
    write = client.submit("add", article="bolt", count=1)
    read = client.ask("stock", article="bolt")
    a.messages.clear()
    await a.hear(host_wire.Progress)
    assert write not in client.replies
    assert read not in client.answers
    a.page.valid_until_ns = FOREVER_NS
    assert decode_value((await client.reply(write)).payload) == 2
    await wait_for(lambda: read in client.answers, "the read is answered")


async def test_a_sealed_secondary_acknowledges_nothing(hosts: Hosts) -> None:
    a, b = await pair(hosts)
    client = await hosts.client(a)
    await client.call("add", article="bolt", count=1)
    assert b.page is not None
    b.page.ack_term = 0
    write = client.submit("add", article="bolt", count=1)
    read = client.ask("stock", article="bolt")
    stalled = await a.hear(host_wire.MirrorStalled)
    assert (stalled.term, stalled.appointment) == (1, 1)
    assert write not in client.replies
    assert read not in client.answers
    a.say(host_wire.Alone(1))
    assert decode_value((await client.reply(write)).payload) == 2


async def test_a_frozen_secondary_is_told_after_the_mirrors_timeout(hosts: Hosts) -> None:
    a, b = await pair(hosts, mirror_timeout_s=0.3)
    client = await hosts.client(a)
    await client.call("add", article="bolt", count=1)
    b.process.send_signal(signal.SIGSTOP)
    began = asyncio.get_running_loop().time()
    write = client.submit("add", article="bolt", count=1)
    await a.hear(host_wire.MirrorStalled)
    assert 0.25 < asyncio.get_running_loop().time() - began < 2.0
    a.say(host_wire.Alone(1))
    assert decode_value((await client.reply(write)).payload) == 2


async def test_a_joiner_gets_a_snapshot_and_the_log_behind_it(make: MakeHosts) -> None:
    hosts = make()
    hosts.with_policy(snapshot_entries=200)
    a = await hosts.start("a")
    await hosts.alone(a, 1)
    client = await hosts.client(a)
    load = Load(client, window=100)
    await load.until(1_500)
    for count in (1, 2):  # the log begins behind the last but one
        await wait_for(
            lambda n=count: len(list((hosts.directory / "a").glob("snapshot-*"))) >= n, "snapshots"
        )
        await load.until(len(load.done) + 300)
    b = await hosts.start("b")
    await hosts.join(a, b, 1)
    assert "snapshot sent" in {note.kind for note in a.messages if isinstance(note, host_wire.Note)}
    load.window = 0
    await wait_for(lambda: load.pump() or not load.outstanding, "everything is answered")
    a.kill()
    await hosts.alone(b, 2)
    await client.connect(b)
    await client.serving()
    assert sorted(await client.query("all_recorded")) == sorted(load.done)
    assert len(list((hosts.directory / "b").glob("snapshot-*"))) <= 2


async def test_a_joiners_own_history_is_cut_where_it_differs(hosts: Hosts) -> None:
    a, b = await pair(hosts)
    client = await hosts.client(a)
    await client.call("add", article="bolt", count=1)
    # a goes on alone without b: its entries of term 1 are acknowledged to nobody but synced here
    b.process.send_signal(signal.SIGSTOP)
    client.submit("add", article="bolt", count=100)
    await a.hear(host_wire.MirrorStalled)
    a.kill()
    b.process.send_signal(signal.SIGCONT)
    await hosts.alone(b, 2)
    await client.connect(b)
    await client.serving()
    assert await client.query("stock", article="bolt") in (1, 101)  # it may have been under way
    other = await hosts.client(b)
    await other.call("add", article="nut", count=5)
    again = await hosts.start("a")
    await hosts.join(b, again, 2)
    stock = await other.query("stock", article="bolt")
    b.kill()
    await hosts.alone(again, 3)
    await other.connect(again)
    await other.serving()
    assert await other.query("stock", article="bolt") == stock
    assert await other.query("stock", article="nut") == 5


NONDETERMINISTIC = '''
import os
import msgspec, primacy

class State(msgspec.Struct):
    seen: list[int] = []

class Careless(primacy.Service[State]):
    """Its operation reads what differs between processes."""

    @primacy.operation
    def note(self, ctx) -> int:
        self.state.seen = [*self.state.seen[-3:], os.getpid()]
        return len(self.state.seen)
'''


async def test_a_nondeterministic_operation_is_named(make: MakeHosts, tmp_path: Path) -> None:
    (tmp_path / "careless.py").write_text(NONDETERMINISTIC)
    hosts = make(service="careless", target=f"{tmp_path}/careless.py:Careless")
    hosts.with_policy(snapshot_entries=20)
    a, b = await pair(hosts)
    client = await hosts.client(a)
    for _ in range(30):
        client.submit("note")
    failed = await b.hear(host_wire.Failed)
    assert failed.kind == "diverged"
    assert "the state of Careless here differs" in failed.text
    again = await hosts.start("b")
    assert (again.opened.term, again.opened.sequence) == (0, 0)
    a.say(host_wire.Alone(1))
    await hosts.join(a, again, 1)


async def test_a_journal_that_is_newer_is_left_as_it_is(hosts: Hosts) -> None:
    a = await hosts.start("a")
    await a.stop()
    path = hosts.directory / "a" / "journal.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version=99")
    database.close()
    content = path.read_bytes()
    again = hosts.spawn("a", hosts.directory / "a")
    again.port, again.addresses = a.port, a.addresses
    again.open()
    failed = await again.hear(host_wire.Failed)
    assert failed.kind == host_wire.REFUSED
    assert "newer than this code" in failed.text
    assert path.read_bytes() == content
    assert not (hosts.directory / "a" / "aside-1").exists()


@pytest.mark.parametrize("damage", ["garbage", "foreign", "torn"])
async def test_a_journal_that_cannot_be_used_is_set_aside_and_never_forms(hosts: Hosts, damage: str) -> None:
    a = await hosts.start("a")
    await hosts.alone(a, 1)
    client = await hosts.client(a)
    for _ in range(3):
        await client.call("add", article="bolt", count=1)
    await a.stop()
    path = hosts.directory / "a" / "journal.db"
    if damage == "garbage":
        path.write_bytes(os.urandom(20_000))
    elif damage == "torn":
        path.write_bytes(path.read_bytes()[:6_000])
    else:
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA application_id=7")
        database.close()
    content = path.read_bytes()
    again = await hosts.start("a")
    note = await again.hear(host_wire.Note)
    assert note.kind == "journal set aside"
    assert {"foreign": "application id 0x7"}.get(damage, "") in note.text
    assert (hosts.directory / "a" / "aside-1" / "journal.db").read_bytes() == content
    assert (again.opened.term, again.opened.sequence, again.opened.incomplete) == (0, 0, True)
    await hosts.alone(again, 2)
    assert (await again.hear(host_wire.Failed)).kind == "incomplete"


async def test_switchover_is_undone(hosts: Hosts) -> None:
    a, _ = await pair(hosts)
    client = await hosts.client(a)
    a.say(host_wire.Quiesce(1))
    await a.hear(host_wire.Quiesced)
    write = client.submit("add", article="bolt", count=1)
    read = client.ask("stock", article="bolt")
    a.messages.clear()
    a.say(host_wire.Ping(1))
    await a.hear(host_wire.Pong)
    assert write not in client.replies
    a.say(host_wire.Resume(1))
    assert decode_value((await client.reply(write)).payload) == 1
    await wait_for(lambda: read in client.answers, "the read is answered")


async def test_watches_go_on_at_the_next_primary(hosts: Hosts) -> None:
    a, b = await pair(hosts)
    client = await hosts.client(a)
    client.send(call_wire.Watch(1, "low/", 0))
    await wait_for(lambda: client.changed, "the watch has begun")
    await client.call("add", article="bolt", count=20)
    for _ in range(15):
        await client.call("take", article="bolt", count=1)
    await wait_for(lambda: sum(len(each.items) for each in client.changed) >= 5, "events come")
    position = client.changed[-1].upto
    a.kill()
    await hosts.alone(b, 2)
    await client.connect(b)
    await client.serving()
    await client.call("take", article="bolt", count=1)
    client.changed.clear()
    client.send(call_wire.Watch(2, "low/", position))
    await wait_for(lambda: client.changed and client.changed[0].items, "what was missed comes")
    items = client.changed[0].items
    assert [(place, topic) for place, topic, _ in items] == [(position + 1, "low/bolt")]


async def test_a_confirmed_read_waits_for_the_echo(hosts: Hosts) -> None:
    a, _ = await pair(hosts)
    client = await hosts.client(a)
    read = client.ask("stock", confirm=True, article="bolt")
    confirm = await a.hear(host_wire.Confirm)
    assert read not in client.answers
    a.say(host_wire.Confirmed(confirm.id, True))
    await wait_for(lambda: read in client.answers, "the read is answered")
    dropped = client.ask("stock", confirm=True, article="bolt")
    a.say(host_wire.Confirmed((await a.hear(host_wire.Confirm)).id, False))
    await client.query("stock", article="bolt")
    assert dropped not in client.answers


async def test_callbacks_are_run_and_reported(hosts: Hosts) -> None:
    a = await hosts.start("a")
    context = Context("initialize", 1, 1, "test", "spare", "available", None, True, 5.0, "a")
    a.say(host_wire.Run(1, "warm_up", context))
    assert await a.hear(host_wire.Ran) == host_wire.Ran(1, "done", "")
    a.say(host_wire.Run(2, "nothing", context))
    assert (await a.hear(host_wire.Ran)).outcome == "failed"
    a.say(host_wire.Ping(7))
    assert await a.hear(host_wire.Pong) == host_wire.Pong(7)


async def test_a_service_that_cannot_be_imported_is_told_with_its_traceback(hosts: Hosts) -> None:
    hosts.target = "examples/nowhere.py:Nothing"
    a = hosts.spawn("a")
    a.open()
    failed = await a.hear(host_wire.Failed)
    assert failed.kind == "ConfigError"
    assert "nowhere.py" in failed.text


async def test_the_host_ends_with_its_agent(hosts: Hosts) -> None:
    a = await hosts.start("a")
    a.channel.close()
    await wait_for(lambda: a.process.poll() is not None, "the host has ended")


async def test_a_lost_mirror_connection_is_taken_up_again(hosts: Hosts) -> None:
    a, b = await pair(hosts)
    client = await hosts.client(a)
    load = Load(client)
    await load.until(50)
    for link in (0, 1, 0, 1):
        b.say(host_wire.LinkState(link, False))
        await load.until(len(load.done) + 50)
        b.say(host_wire.LinkState(link, True))
        await load.until(len(load.done) + 50)
    assert not a.gone
    assert not b.gone
