"""The streams between agents: keys for each pair of lives, levels, questions, and a stream that comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from primacy.agent.peers import PeerStreams
from primacy.cgtp.stream import Identity, Listener, Stream, dial
from primacy.cgtp.tls import client_context, server_context
from primacy.machines import peer_wire
from primacy.machines.ids import Member
from primacy.machines.messages import WIRE_MAX, WIRE_MIN
from primacy.machines.peer_wire import Ask, EndNode, Greeting, Leave, Progress
from tests.unit.cgtp_tools import Credentials, until

ADDRESSES = [("127.0.0.1", 0), ("127.0.0.2", 0)]


class Agent:
    """One life of one node: its streams, and all that they told."""

    def __init__(self, credentials: Credentials, node: str, life: str) -> None:
        self.me = Member(node, life * 32)
        files = credentials.node(node)
        self._server = server_context(files)
        self.keys: list[tuple[Member, bytes, bytes]] = []
        self.heard: list[tuple[Member, Any]] = []
        self.answer: Any = ("done", {"node": node}, [])
        self.peers = PeerStreams(
            self.me, client_context(files),
            lambda member, _, send, receive: self.keys.append((member, send, receive)),
            lambda member, message: self.heard.append((member, message)),
            self._answer,
        )  # fmt: skip
        self.listener = Listener()
        self.accepted: list[Stream] = []

    async def listen(self, addresses: list[tuple[str, int]]) -> Agent:
        """Begin to accept."""
        await self.listener.start(addresses, self._server, self._accept)
        return self

    def _accept(self, stream: Stream) -> None:
        self.accepted.append(stream)
        self.peers.accept(stream)

    async def _answer(self, node: str, verb: str, arguments: dict[str, Any]) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def close(self) -> None:
        """This life ends."""
        await self.peers.close()
        self.listener.close()
        await self.listener.wait_closed()
        await until(lambda: not self.listener.connections, "all connections are gone")


class Site:
    """n1 dials n2."""

    def __init__(self, directory: Path) -> None:
        self.credentials = Credentials(directory)
        self.agents: list[Agent] = []

    async def agent(self, node: str, life: str, addresses: list[tuple[str, int]] = ADDRESSES) -> Agent:
        """Another life of a node, listening."""
        made = await Agent(self.credentials, node, life).listen(addresses)
        self.agents.append(made)
        return made

    async def pair(self) -> tuple[Agent, Agent]:
        """n1 and n2, with keys."""
        n1, n2 = await self.agent("n1", "1"), await self.agent("n2", "2")
        table = {"n1": n1.listener.addresses, "n2": n2.listener.addresses}
        n2.peers.start(table)
        n1.peers.start(table)
        await until(lambda: n1.keys and n2.keys, "keys are exchanged")
        return n1, n2


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path)
    yield made
    for agent in made.agents:
        await agent.close()


async def test_each_side_learns_the_others_life_and_the_keys_fit(site: Site) -> None:
    n1, n2 = await site.pair()
    ((they, send, receive),) = n1.keys
    assert they == n2.me
    assert n2.keys == [(n1.me, receive, send)]
    assert send != receive
    assert len(send) == len(receive) == 32


async def test_levels_and_departures_are_told_with_the_life_that_says_them(site: Site) -> None:
    n1, n2 = await site.pair()
    n1.peers.tell(None, Progress(1, "initialize", 2, False))
    n1.peers.tell("n2", EndNode("by hand", False))
    n1.peers.tell("n9", EndNode("nobody", False))
    n2.peers.tell("n1", Leave("by hand"))
    await until(lambda: len(n2.heard) == 2 and n1.heard, "all is heard")
    assert n2.heard == [(n1.me, Progress(1, "initialize", 2, False)), (n1.me, EndNode("by hand", False))]
    assert n1.heard == [(n2.me, Leave("by hand"))]


async def test_a_question_has_its_answer_or_a_time_out(site: Site) -> None:
    n1, _ = await site.pair()
    told = await n1.peers.ask("n2", "local", {}, 5.0)
    assert (told.kind, told.result) == ("done", {"node": "n2"})
    with pytest.raises(TimeoutError, match="no connection to n9"):
        await n1.peers.ask("n9", "local", {}, 5.0)
    with pytest.raises(TimeoutError):
        await n1.peers.ask("n2", "local", {}, 0.0)
    assert n1.peers._asked == {}


async def test_a_bug_in_an_answer_is_told_to_who_asked(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    n1, n2 = await site.pair()
    n2.answer = RuntimeError("broken")
    told = await n1.peers.ask("n2", "local", {}, 5.0)
    assert told.kind == "failed"
    assert "RuntimeError" in told.reasons[0]
    assert "broken" in capsys.readouterr().err
    n2.answer = ("done", 1, [])
    assert (await n1.peers.ask("n2", "local", {}, 5.0)).result == 1


async def test_a_new_life_of_the_accepting_node_gets_new_keys_and_the_last_level(site: Site) -> None:
    n1, n2 = await site.pair()
    n1.peers.tell(None, Progress(1, "initialize", 9, True))
    await until(lambda: n2.heard, "it is heard")
    addresses = n2.listener.addresses
    await n2.close()
    reborn = await site.agent("n2", "3", addresses)
    reborn.peers.start({"n1": n1.listener.addresses, "n2": addresses})
    await until(lambda: reborn.keys and n1.keys[-1][0] == reborn.me, "keys are exchanged")
    assert n1.keys[-1][1] != n1.keys[0][1], "no key is used for two lives"
    await until(lambda: reborn.heard, "the last level is told again")
    assert reborn.heard == [(n1.me, Progress(1, "initialize", 9, True))]


async def test_a_stream_that_is_dialed_anew_by_the_same_life_keeps_its_key(site: Site) -> None:
    _, n2 = await site.pair()
    first = n2.keys[0]
    n2.accepted[0].close()
    await until(lambda: len(n2.accepted) == 2 and len(n2.keys) >= 2, "it is dialed again")
    assert n2.keys[-1] == first


class Raw:
    """A process with n1's certificate that says what it likes."""

    def __init__(self, site: Site, to: Agent) -> None:
        tls = client_context(site.credentials.node("n1"))
        self.stream = dial(to.listener.addresses, tls, Identity("node", "n2"))
        self.frames: list[bytes] = []
        self.stream.on_frames(self.frames.extend)

    def say(self, message: Any) -> None:
        """Send one message."""
        self.stream.send(peer_wire.encode(message))


async def _accepting(site: Site) -> tuple[Agent, Raw]:
    n2 = await site.agent("n2", "2")
    n2.peers.start({"n1": [("127.0.0.1", 1)], "n2": n2.listener.addresses})
    raw = Raw(site, n2)
    await until(lambda: raw.frames, "n2 greets")
    return n2, raw


def _greeting(**changed: Any) -> Greeting:
    fields = {
        "node": "n1", "incarnation": "1" * 32, "to": "2" * 32, "key": b"k" * 32, "wire_min": WIRE_MIN,
        "wire_max": WIRE_MAX,
    }  # fmt: skip
    return Greeting(**(fields | changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"node": "n3"},
        {"incarnation": "no hexadecimal digits"},
        {"incarnation": ""},
        {"to": "9" * 32},
        {"key": b"short"},
        {"wire_min": WIRE_MAX + 1, "wire_max": WIRE_MAX + 1},
        {"wire_min": 0, "wire_max": WIRE_MIN - 1},
    ],
)
async def test_a_greeting_that_does_not_fit_gives_no_keys(site: Site, changed: dict[str, Any]) -> None:
    n2, raw = await _accepting(site)
    raw.say(_greeting(**changed))
    raw.say(Ask(1, "local", {}))
    await until(lambda: any(b"Tell" in frame for frame in raw.frames), "what came later is answered")
    assert n2.keys == []
    raw.say(_greeting())
    await until(lambda: n2.keys, "a right one is taken")
    raw.stream.close()
    await raw.stream.wait_closed()


async def test_before_its_greeting_nobody_is_listened_to(site: Site) -> None:
    n2, raw = await _accepting(site)
    raw.say(Leave("by hand"))
    raw.say(_greeting(to=""))
    raw.say(Leave("again"))
    await until(lambda: n2.heard, "it is heard")
    assert n2.heard == [(Member("n1", "1" * 32), Leave("again"))]
    raw.stream.close()
    await raw.stream.wait_closed()


async def test_garbage_ends_the_stream_and_nothing_else(site: Site) -> None:
    n2, raw = await _accepting(site)
    raw.stream.send(b"\xff")
    await until(lambda: raw.stream.closed or not raw.stream.links_up, "the stream ends")
    assert n2.heard == []
    raw.stream.close()
    await raw.stream.wait_closed()


async def test_what_an_older_stream_still_brings_is_not_the_present_lifes_word(site: Site) -> None:
    n2, old = await _accepting(site)
    old.say(_greeting(to=""))
    await until(lambda: n2.peers._peers["n1"].incarnation == "1" * 32, "its life is known")
    new = Raw(site, n2)
    new.say(_greeting(incarnation="5" * 32, to=""))
    await until(lambda: n2.peers._peers["n1"].incarnation == "5" * 32, "the new life is known")
    n2.peers._read(n2.peers._peers["n1"], n2.accepted[0], [peer_wire.encode(_greeting(to=""))])
    new.say(Leave("by hand"))
    await until(lambda: n2.heard, "it is heard")
    assert n2.heard == [(Member("n1", "5" * 32), Leave("by hand"))]
    for raw in (old, new):
        raw.stream.close()
        await raw.stream.wait_closed()


async def test_a_stranger_is_sent_away(site: Site) -> None:
    n2 = await site.agent("n2", "2")
    n2.peers.start({"n2": n2.listener.addresses})
    raw = Raw(site, n2)
    await until(lambda: raw.stream.closed, "the stream has ended")
    assert n2.keys == []


async def test_a_link_that_is_taken_down_leaves_the_other(site: Site) -> None:
    n1, n2 = await site.pair()
    await until(lambda: n2.accepted[0].links_up == 2, "both links are up")
    n1.peers.set_link(0, False)
    await until(lambda: n2.accepted[0].links_up == 1, "one link is down")
    assert (await n1.peers.ask("n2", "local", {}, 5.0)).kind == "done"
    n1.peers.set_link(0, True)
    await until(lambda: n2.accepted[0].links_up == 2, "it is up again")


async def test_two_nodes_that_may_never_be_master_keep_no_stream_until_one_of_them_may(site: Site) -> None:
    agents = [await site.agent(f"n{number}", str(number)) for number in (1, 2, 3)]
    table = {agent.me.node: agent.listener.addresses for agent in agents}
    for agent in agents:
        agent.peers.start(table, {"n3"})

    def keyed() -> list[set[str]]:
        return [{member.node for member, _, _ in agent.keys} for agent in agents]

    await until(lambda: keyed() == [{"n3"}, {"n3"}, {"n1", "n2"}], "who may be master has met everybody")
    with pytest.raises(TimeoutError, match="no connection to n2"):
        await agents[0].peers.ask("n2", "local", {}, 1.0)
    for agent in agents:
        agent.peers.start(table, {"n2", "n3"})
    await until(lambda: keyed()[0] == {"n2", "n3"}, "n2 was qualified: n1 meets it, too")


async def test_a_node_that_moved_is_found_in_its_next_life(site: Site) -> None:
    n1, n2 = await site.pair()
    await n2.close()
    site.agents.remove(n2)
    moved = await site.agent("n2", "3", [("127.0.0.3", 0)])
    table = {"n1": n1.listener.addresses, "n2": moved.listener.addresses}
    moved.peers.start(table)
    n1.peers.start(table)
    await until(lambda: moved.me in [member for member, _, _ in n1.keys], "its new life is known")


async def test_a_node_that_is_to_move_is_dialed_at_both_places_until_it_is_there(site: Site) -> None:
    """n1 knows the new place of n2 before n2 is there; a lost connection leads it back to the life of before."""
    n1, n2 = await site.agent("n1", "1"), await site.agent("n2", "2")
    n2.peers.own = former = n2.listener.addresses
    n2.peers.start({"n1": n1.listener.addresses})
    n1.peers.start({"n2": former})
    await until(lambda: n1.keys, "keys are exchanged")
    assert n1.peers.told("n2") == n1.peers.places("n2") == former
    n1.peers.start({"n2": [("127.0.0.4", 9)]})
    assert n1.peers.places("n2") == [("127.0.0.4", 9), *former]
    n2.accepted[-1].abort()
    await until(lambda: len(n1.keys) == 2, "it is found where it still is")
    await n2.close()
    site.agents.remove(n2)
    moved = await site.agent("n2", "3", [("127.0.0.3", 0)])
    moved.peers.own = place = moved.listener.addresses
    moved.peers.start({"n1": n1.listener.addresses})
    n1.peers.start({"n2": place})
    await until(lambda: moved.me in [member for member, _, _ in n1.keys], "it is found where it is")
    assert n1.peers.places("n2") == place, "nobody is at its former place"


@pytest.mark.parametrize("at", [[("example.org", 7300)], [("127.0.0.1", 70_000)], [("127.0.0.1", 7300)] * 9])
async def test_a_place_that_is_none_is_not_taken(site: Site, at: list[tuple[str, int]]) -> None:
    n2, raw = await _accepting(site)
    raw.say(_greeting(at=at))
    await until(lambda: n2.keys, "the rest of the greeting counts")
    assert n2.peers.told("n1") == []
    raw.stream.close()
    await raw.stream.wait_closed()
