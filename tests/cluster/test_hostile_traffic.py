"""What strangers send is counted and ignored; what members and clients may say ends where another one begins."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import ssl
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import primacy
from primacy.cgtp import crypto
from primacy.cgtp.authority import Authority
from primacy.cgtp.listener import Listener
from primacy.cgtp.stream import Identity, Stream, dial
from primacy.cgtp.tls import TlsFiles, client_context, server_context
from primacy.client import Cluster, settings
from primacy.errors import ConfigError, NoPrimary, StreamClosed
from primacy.local import nodes
from primacy.machines import call_wire, messages, mirror_wire, peer_wire
from primacy.machines.ids import Member
from tests.cluster.cluster_tools import Live, wait_for
from tests.cluster.conftest import MakeLive
from tests.cluster.impostor import Impostor, files_of, udp
from tests.cluster.workload import Workload

FEW, MANY = 20_000, 100_000
CONNECTIONS_PART = 100  # one connection with garbage for so many datagrams
BURST = 50
PAUSE_S = 0.004
COUNTED_PART = 0.9  # the kernel may drop some of a flood before anybody could count them
IGNORED = (
    "garbage", "truncated", "oversized", "foreign_incarnation", "not_open", "wrong_key", "replayed", "hello",
)  # fmt: skip
CALL_S_MAX = 5.0

Datagram = Callable[[], bytes]


async def without_n3(live: Live, cluster: Cluster) -> dict[str, Any]:
    """Have n1 as master, n2 as ready vice, and n3 out; return the status."""
    await live.whole(cluster, members=3)
    await asyncio.to_thread(nodes.end, live.layout, ["n3"])
    await live.status(
        cluster,
        lambda s: s["vice_ready"] and next(n for n in s["nodes"] if n["id"] == "n3")["role"] == "out",
        "n3 is out",
    )
    status = await live.led_by(cluster, "n1")
    assert status["vice"] == "n2"
    return status


def place(status: dict[str, Any]) -> list[Any]:
    """Return what no stranger may change."""
    lives = [node["incarnation"] for node in status["nodes"] if node["id"] != "n3"]
    return [status[key] for key in ("term", "master", "vice", "vice_ready", "in_service")] + [sorted(lives)]


def counts(status: dict[str, Any], node: str) -> Counter[str]:
    """Return what a node's agent has counted."""
    entry = next(each for each in status["nodes"] if each["id"] == node)
    return Counter(entry["datagrams"]) + Counter({f"streams.{k}": v for k, v in entry["streams"].items()})


# ---- datagrams ----


def hostile_datagrams(impostor: Impostor, live: Live, source: random.Random) -> dict[str, Datagram]:
    """Return, by the counter that must notice it, what makes a datagram that means nothing to n1."""
    n1 = bytes.fromhex(impostor.peers["n1"].incarnation)
    mine = bytes.fromhex(impostor.me.incarnation)
    stranger = crypto.PairKey(os.urandom(32), mine, n1)
    another_life = crypto.PairKey(os.urandom(32), mine, os.urandom(16))
    another_cluster = crypto.ClusterKey(os.urandom(32))
    cluster_key = crypto.ClusterKey(bytes.fromhex(live.layout.cluster_key.read_text()))
    echo = messages.Echo(99, 99, 99, True, True, True, 99)
    old = impostor.seal("n1", echo)
    hello = messages.Hello(Member("n9", "9" * 32), "other", 1, 1, True, True, 9, None)

    def flipped(datagram: bytes) -> bytes:
        changed = bytearray(datagram)
        changed[source.randrange(crypto.SEALED_BYTES_MIN - crypto.TAG_BYTES, len(changed))] ^= 1
        return bytes(changed)

    return {
        "garbage": lambda: bytes([source.randrange(2, 256)]) + source.randbytes(source.randrange(1, 1200)),
        "truncated": lambda: old[: source.randrange(2, crypto.SEALED_BYTES_MIN)],
        "oversized": lambda: old + source.randbytes(source.randrange(1200, 9000)),
        "foreign_incarnation": lambda: another_life.seal(source.getrandbits(63), b"x"),
        "not_open": lambda: stranger.seal(source.getrandbits(63), b"x"),
        "wrong_key": lambda: flipped(impostor.seal("n1", echo)),
        "replayed": lambda: old,
        "hello": lambda: cluster_key.seal(messages.encode(hello) if source.random() < 0.5 else source.randbytes(20)),
        "wrong_key hello": lambda: another_cluster.seal(messages.encode(hello)),
    }  # fmt: skip


async def flood(live: Live, cluster: Cluster, source: random.Random, count: int) -> None:
    """Send so much nonsense to the master's agent, and its hosts, while clients work."""
    before = await without_n3(live, cluster)
    [sock, _] = sockets = udp(2)
    agent = live.table_in_force.agent_addresses("n1")
    async with Impostor(live, "n3") as impostor, Workload(live, source) as work:
        await impostor.keyed("n1")
        kinds = hostile_datagrams(impostor, live, source)
        impostor.send_bytes("n1", kinds["replayed"]())  # once it is new
        first = counts(await cluster.control("status"), "n1")
        await wait_for(lambda: len(work.acknowledged) > 20, "writes before")
        sent: Counter[str] = Counter()
        connections = asyncio.ensure_future(strangers_connect(live, source, count // CONNECTIONS_PART))
        for number in range(count):
            kind = source.choice(list(kinds))
            sock.sendto(kinds[kind](), agent[0])
            sent[kind.partition(" ")[0]] += 1
            if number % BURST == 0:
                await asyncio.sleep(PAUSE_S)
        refused = await connections
        status = await live.status(
            cluster,
            lambda s: all((counts(s, "n1") - first)[k] >= COUNTED_PART * sent[k] for k in sent),
            "counted",
        )
        last = counts(status, "n1") - first
        print(f"{count} datagrams: {dict(sent)}; counted: { ({k: last[k] for k in IGNORED}) }")
        print(
            f"{refused} connections; {last['streams.refused']} refused, {last['streams.garbage']} with garbage"
        )
        assert last["streams.refused"] > 0
        assert last["streams.garbage"] > 0
        assert place(status) == place(before)
        written = len(work.acknowledged)
        await wait_for(lambda: len(work.acknowledged) > written + 20, "writes afterwards")
    for each in sockets:
        each.close()
    assert dict(work.failed) == {}
    assert work.longest_ns() / 1e9 < CALL_S_MAX
    await work.judge(cluster)


# ---- connections and frames ----


async def strangers_connect(live: Live, source: random.Random, count: int) -> int:
    """Open so many connections to the agent and the host of n1, each with some nonsense; return their number."""
    table = live.table_in_force
    places = [*table.agent_addresses("n1"), *table.service_addresses("n1", "logbook")]
    foreign = Authority.create(live.layout.root / "foreign", "foreign-1").issue_node(
        live.layout.root / "foreign", "n1"
    )
    credential = settings.find(live.layout.root).tls
    ways: list[Callable[[tuple[str, int]], Any]] = [
        lambda at: say(at, None, source.randbytes(source.randrange(1, 3000))),
        lambda at: say(at, None, b"\x16\x03\x01" + struct.pack("!H", 60_000) + source.randbytes(50)),
        lambda at: say(at, unchecked(foreign), b"hello"),
        lambda at: say(at, unchecked(credential), source.randbytes(source.randrange(1, 300))),
        lambda at: say(at, unchecked(credential), struct.pack("<IBQQ", 1 << 31, 1, 0, 0) + b"x" * 1000),
        lambda at: frame(at, credential, source.randbytes(source.randrange(1, 300))),
        lambda at: frame(at, credential, peer_wire.encode(peer_wire.Leave("a client says so"))),
    ]
    for number in range(count):
        await ways[number % len(ways)](source.choice(places))
    return count


def unchecked(files: TlsFiles) -> ssl.SSLContext:
    """Return a context that shows this certificate and believes any other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(files.certificate, files.key)
    return context


async def say(at: tuple[str, int], tls: ssl.SSLContext | None, data: bytes) -> None:
    """Connect, say this, and wait a moment for the end of the connection."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(0.5):
            reader, writer = await asyncio.open_connection(*at, ssl=tls)
            try:
                writer.write(data)
                await reader.read()
            finally:
                writer.transport.abort()


async def frame(at: tuple[str, int], files: TlsFiles, data: bytes) -> None:
    """Open a stream, send one frame, and wait a moment for the end of the stream."""
    stream = dial([at], client_context(files))
    stream.send(data)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            await ended(stream)
    stream.abort()


async def ended(stream: Stream) -> None:
    """Wait until the other side has ended the stream."""
    over = asyncio.Event()
    stream.on_closed(lambda reason: over.set())
    await over.wait()


@pytest.mark.timeout(180)
async def test_nonsense_is_counted_and_ignored(make_live: MakeLive, random_source: random.Random) -> None:
    live = make_live()
    await live.start()
    async with live.client() as cluster:
        await flood(live, cluster, random_source, FEW)


@pytest.mark.soak
async def test_a_hundred_thousand_pieces_of_nonsense(
    make_live: MakeLive, random_source: random.Random
) -> None:
    live = make_live()
    await live.start()
    async with live.client() as cluster:
        await flood(live, cluster, random_source, MANY)


# ---- who speaks for whom ----


async def test_a_node_speaks_for_no_other_node(make_live: MakeLive) -> None:
    live = make_live()
    await live.start()
    async with live.client() as cluster:
        before = await without_n3(live, cluster)
        lives = {node["id"]: node["incarnation"] for node in before["nodes"]}
        n1, n2 = Member("n1", lives["n1"]), Member("n2", lives["n2"])
        await cluster.service("logbook").append(log="a", name="before")
        async with Impostor(live, "n3") as impostor:
            for node in ("n1", "n2"):
                await impostor.keyed(node)
            # "The master is dead", "the vice is dead": only their own guardians may say so.
            for _ in range(10):
                impostor.send("n2", messages.Obituary(n1))
                impostor.send("n1", messages.Obituary(n2))
                # "I am the vice and promise my silence", "I am the master": neither is in the record
                impostor.send(
                    "n1", messages.Echo(before["term"], 1 << 40, 1 << 60, True, True, True, 1 << 40)
                )
                impostor.send("n2", messages.Beat(before["term"], 1, 1))
                # "I am n1": the certificate says n3
                impostor.streams.tell("n2", peer_wire.Greeting("n1", "1" * 32, "", b"", 1, 1))
                impostor.streams.tell(
                    "n1", peer_wire.Greeting("n2", "2" * 32, n1.incarnation, b"k" * 32, 1, 1)
                )
                await asyncio.sleep(0.05)
            for arguments in (
                {},
                {"node": 7},
                {"node": "n2", "operation": ["x"]},
                {"node": "n2", "reason": 1},
            ):
                told = await impostor.streams.ask("n1", "demote", arguments, 10.0)
                assert told.kind == "refused"
                assert told.reasons
            await mirror_of_another(live, before)
            status = await cluster.control("status")
            assert place(status) == place(before)
            assert live.of_kind("ObituaryHeard", node="n1") == []
            assert await cluster.service("logbook").append(log="a", name="after") == [2, "after"]


async def mirror_of_another(live: Live, status: dict[str, Any]) -> None:
    """n3 joins the primary's mirror as n2, and acknowledges what was never sent to it."""
    lives = {node["id"]: node["incarnation"] for node in status["nodes"]}
    at = live.table_in_force.service_addresses("n1", "logbook")
    stream = dial(at, client_context(files_of(live, "n3")), Identity("node", "n1"))
    for appointment in range(5):
        join = mirror_wire.JoinMirror(status["term"], appointment, Member("n2", lives["n2"]), [], 0)
        stream.send(mirror_wire.encode(join))
        stream.send(mirror_wire.encode(mirror_wire.Acknowledged(status["term"], appointment, 1 << 40)))
    heard: list[bytes] = []
    stream.on_frames(heard.extend)
    await asyncio.sleep(0.5)
    said = [type(call_wire.decode_to_client(each)) for each in heard]
    assert set(said) <= {call_wire.HostRole}, "the primary has shipped to somebody else"
    stream.abort()


async def test_a_clients_credential_speaks_for_no_node(make_live: MakeLive, tmp_path: Path) -> None:
    live = make_live()
    await live.start()
    async with live.client() as cluster:
        before = await without_n3(live, cluster)
        credential = settings.find(live.layout.root).tls
        table = live.table_in_force
        n2 = next(node["incarnation"] for node in before["nodes"] if node["id"] == "n2")
        words: dict[str, tuple[list[tuple[str, int]], list[bytes]]] = {
            "agent": (
                table.agent_addresses("n1"),
                [
                    peer_wire.encode(peer_wire.Greeting("n3", "3" * 32, "", b"", 1, 1)),
                    peer_wire.encode(peer_wire.EndNode("a client says so", True)),
                ],
            ),
            "host": (
                table.service_addresses("n1", "logbook"),
                [mirror_wire.encode(mirror_wire.JoinMirror(before["term"], 1, Member("n2", n2), [], 0))],
            ),
        }
        for where, (at, frames) in words.items():
            for data in frames:
                stream = dial(at, client_context(credential), Identity("node", "n1"))
                with contextlib.suppress(StreamClosed):
                    stream.send(data)
                async with asyncio.timeout(10):
                    await ended(stream)
                print(f"{where}: {stream.closed}")
        assert place(await cluster.control("status")) == place(before)
        await nobody_listens_with_it(credential)
        assert await cluster.service("logbook").append(log="a", name="after") == [1, "after"]


async def nobody_listens_with_it(credential: TlsFiles) -> None:
    """A client's credential cannot play an agent: whoever dials it turns away."""
    listener = Listener()
    arrived: list[Stream] = []
    with contextlib.suppress(ConfigError):
        await listener.start([("127.0.0.1", 0)], server_context(credential), arrived.append)
        [(host, port)] = listener.addresses
        with pytest.raises(NoPrimary):
            async with primacy.connect(
                endpoints=[f"{host}:{port}"], credential=credential.certificate.parent, deadline_s=1.0
            ):
                pass
        assert arrived == []
    listener.close()
    await listener.wait_closed()
