"""Host processes as the agent sees them: in order, never waited for, and an exit after the last words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from primacy import guardian_message
from primacy.agent.guardian_link import GuardianLink
from primacy.agent.hosts import SILENCE_NS_MAX, Hosts
from primacy.channel import BURST_MAX, MESSAGE_BYTES_MAX
from primacy.machines import host_wire
from tests.unit.agent_tools import PlayedGuardian
from tests.unit.cgtp_tools import until


class Rig:
    """Hosts, and what they told."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.guardian = PlayedGuardian()
        self.link = GuardianLink(self.guardian.fd)
        self.link.attach(asyncio.get_running_loop(), lambda: None)
        self.guardian.attach()
        self.told: list[object] = []  # messages, and (service, how) of exits
        self.hosts = Hosts(
            self.link,
            "c",
            str(directory),
            lambda service, message: self.told.append(message),
            lambda service, how: self.told.append((service, how)),
        )

    def open(self, service: str = "stock") -> host_wire.Open:
        """The first message of a host."""
        place = str(self.directory / service)
        return host_wire.Open("c", "n1", "x", service, "a:B", ".", place, "disk", [], "", "", "")

    async def start(self, service: str = "stock") -> None:
        """Start a host and wait until it has opened."""
        self.hosts.spawn(self.open(service), 0)
        await until(lambda: [m for m in self.told if isinstance(m, host_wire.Opened)], "it is open")

    def exits(self) -> list[object]:
        """The exits that were told."""
        return [m for m in self.told if isinstance(m, tuple)]

    def close(self) -> None:
        """End everything."""
        self.hosts.close()
        self.link.close()
        self.guardian.close()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.close()


async def test_a_host_is_started_with_its_channel_and_the_seed_of_its_service(rig: Rig) -> None:
    await rig.start()
    (order,) = rig.guardian.took(guardian_message.Spawn)
    assert (order.name, order.argv[1:], order.fds) == (
        "host-stock", ["-m", "primacy.host", "stock"], ["PRIMACY_AGENT_FD"],
    )  # fmt: skip
    assert order.env["PYTHONHASHSEED"].isdecimal()
    assert order.env["PRIMACY_DIR"] == order.cwd
    assert rig.guardian.hosts["stock"].said == [rig.open()]
    await until(lambda: rig.hosts.pids == {"stock": 1000}, "its process is known")
    assert (rig.directory / "stock").is_dir()


async def test_hosts_of_one_service_share_the_seed_and_those_of_others_do_not(rig: Rig) -> None:
    await rig.start()
    rig.guardian.exit("stock")
    await until(rig.exits, "it has ended")
    rig.hosts.spawn(rig.open(), 0)
    rig.hosts.spawn(rig.open("door"), 0)
    await until(lambda: len(rig.guardian.took(guardian_message.Spawn)) == 3, "all are started")
    seeds = [o.env["PYTHONHASHSEED"] for o in rig.guardian.took(guardian_message.Spawn)]
    assert seeds[0] == seeds[1] != seeds[2]


async def test_what_a_host_has_said_comes_before_its_exit_however_much_it_is(rig: Rig) -> None:
    await rig.start()
    host = rig.guardian.hosts["stock"]
    for number in range(3 * BURST_MAX):
        host.say(host_wire.Note("n", str(number)))
    rig.guardian.exit("stock", 3)
    await until(rig.exits, "the exit is told")
    assert rig.told[-1] == ("stock", "exited with 3")
    notes = [m.text for m in rig.told if isinstance(m, host_wire.Note)]
    assert notes == [str(number) for number in range(3 * BURST_MAX)]
    assert rig.hosts.pids == {}


async def test_messages_keep_their_order_behind_one_that_waits_for_its_page(rig: Rig) -> None:
    await rig.start()
    rig.guardian.holds_pages = True
    rig.hosts.tell("stock", host_wire.Assign(3, "primary"), 3)
    rig.hosts.tell("stock", host_wire.Serve(3), None)
    await until(lambda: rig.guardian.waiting, "the page was asked for")
    host = rig.guardian.hosts["stock"]
    assert [type(m) for m in host.said] == [host_wire.Open]
    rig.guardian.give_pages()
    await until(lambda: len(host.said) == 3, "both have come")
    assert [type(m) for m in host.said] == [host_wire.Open, host_wire.Assign, host_wire.Serve]
    rig.hosts.pages.grant(3, 77)
    assert host.page is not None
    assert host.page.valid_until_ns == 77


async def test_all_hosts_are_told(rig: Rig) -> None:
    await rig.start()
    rig.hosts.spawn(rig.open("door"), 0)
    rig.hosts.tell_all(host_wire.LinkState(1, False))
    rig.hosts.tell("no such service", host_wire.Stop(), None)
    await until(lambda: len(rig.guardian.hosts) == 2, "both run")
    await until(
        lambda: all(h.said[-1:] == [host_wire.LinkState(1, False)] for h in rig.guardian.hosts.values()),
        "both are told",
    )


@pytest.mark.parametrize("garbage", [b"\xff", b"[" * 1000, b"\x93\xa6Joined\xa1x\x01"])
async def test_a_host_that_sends_garbage_is_ended(rig: Rig, garbage: bytes) -> None:
    await rig.start()
    rig.guardian.hosts["stock"].channel.send(garbage)
    await until(rig.exits, "it is ended")
    assert rig.exits() == [("stock", "was ended by signal 9")]


async def test_a_message_that_no_packet_holds_ends_the_host_and_not_the_agent(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    await rig.start()
    rig.hosts.tell("stock", host_wire.Members(["x" * MESSAGE_BYTES_MAX]), None)
    await until(rig.exits, "it is ended")
    assert "the host of stock is ended" in capsys.readouterr().err


async def test_a_host_that_does_not_read_is_ended(rig: Rig) -> None:
    await rig.start()
    host = rig.guardian.hosts["stock"]
    asyncio.get_running_loop().remove_reader(host.channel.fileno())
    for _ in range(200):
        rig.hosts.tell("stock", host_wire.Members(["x" * 10_000]), None)
    await until(rig.exits, "it is ended")


async def test_health_is_asked_through_the_hosts_own_loop(rig: Rig) -> None:
    await rig.start()
    second = 10**9
    rig.hosts.check_health(1 * second)
    await until(lambda: rig.hosts.silent_ns("stock", 2 * second) == 0, "it has answered")
    rig.guardian.hosts["stock"].silent = True
    rig.hosts.check_health(3 * second)
    assert rig.hosts.silent_ns("stock", 5 * second) == 2 * second
    rig.hosts.check_health(3 * second + SILENCE_NS_MAX)
    assert not rig.guardian.took(guardian_message.Kill)
    rig.hosts.check_health(4 * second + SILENCE_NS_MAX)
    await until(rig.exits, "it is ended")
    assert rig.hosts.silent_ns("stock", 0) == 0


async def test_exits_that_the_guardian_could_not_tell_are_noticed(rig: Rig) -> None:
    await rig.start()
    rig.guardian.say("missed", count=1, children={"host-door": 5})
    await until(rig.exits, "the exit is told")
    assert rig.exits() == [("stock", "ended")]
    rig.guardian.say("exited", name="host-unknown", pid=1, status=0, signal=None, error=None)
    await rig.start("door")
    assert len(rig.exits()) == 1


async def test_a_directory_that_cannot_be_made_is_an_exit(rig: Rig) -> None:
    (rig.directory / "stock").write_text("in the way")
    rig.hosts.spawn(rig.open(), 0)
    ((service, how),) = rig.exits()
    assert service == "stock"
    assert how.startswith("could not be started")
    assert not rig.guardian.took(guardian_message.Spawn)
