"""The guardian at work, on real processes: what it proves, in which order, and what it survives."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from primacy import channel, guardian_leftovers, guardian_process
from primacy.guardian_loop import CHILDREN_MAX, Guardian, Timing
from primacy.guardian_obituary import REPEATS_MS
from primacy.lease_page import LeasePage
from tests.cluster.guarded import DEADLINE_S, Agent, Guarded, has_ended, is_gone, wait_until

PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    with Guarded(tmp_path) as made:
        yield made


def filled_page(agent: Agent, service: str, term: int) -> LeasePage:
    """Return a view of a page that the agent has been given and has filled."""
    agent.say({"do": "page", "service": service, "term": term})
    answer = agent.hear("page")
    assert (answer["service"], answer["term"]) == (service, term)
    [fd] = agent.fds
    page = LeasePage(fd)
    os.close(fd)
    page.valid_until_ns, page.ack_term = 2**63, term
    return page


def stop_in_order(guarded: Guarded, agent: Agent) -> None:
    agent.say({"do": "stop"})
    agent.say_bytes(b"!exit 0")
    assert guarded.process.wait(DEADLINE_S) == 0


# The proof


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_the_obituary_leaves_when_all_are_dead_and_not_before(guarded: Guarded, number: int) -> None:
    agent = guarded.next_agent()
    pids = [agent.pid]
    pids += guarded.spawn_host(agent, "plain")
    pids += guarded.spawn_host(agent, "hidden", "orphan", "deaf", processes=2)
    pids += guarded.spawn_host(agent, "deep", "chain", "deaf", processes=4)
    guarded.hold_obituaries(agent)
    page = filled_page(agent, "inventory", 7)
    assert guarded.obituaries_now() == []
    os.kill(agent.pid, number)
    assert guarded.wait_obituary() == b"n1 is dead"
    assert [pid for pid in pids if not is_gone(pid)] == []
    assert (page.valid_until_ns, page.ack_term) == (0, 0)


def test_a_stopped_host_is_ended_too(guarded: Guarded) -> None:
    agent = guarded.next_agent()
    pids = guarded.spawn_host(agent, "h", "orphan", processes=2)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    guarded.hold_obituaries(agent)
    os.kill(agent.pid, signal.SIGKILL)
    guarded.wait_obituary()
    assert all(map(is_gone, pids))


def test_the_obituary_is_sent_ten_times_on_every_link(guarded: Guarded) -> None:
    agent = guarded.next_agent()
    guarded.hold_obituaries(agent, b"again and again")
    os.kill(agent.pid, signal.SIGKILL)
    began = time.monotonic()
    found: list[tuple[str, bytes]] = []
    wait_until(
        lambda: found.extend(guarded.obituaries_now()) or len(found) >= 2 * len(REPEATS_MS), "all arrived"
    )
    assert time.monotonic() - began < 5.0  # a second, and what a busy machine adds
    expected = [(address, b"again and again") for address in ("127.0.0.1", "127.0.0.2")] * len(REPEATS_MS)
    assert sorted(found) == sorted(expected)


def test_what_cannot_be_ended_holds_the_obituary_back(tmp_path: Path) -> None:
    """A tracer that does not reap keeps a dead process there, as a dead disk keeps one in the kernel."""
    with Guarded(tmp_path, {"stuck_s": 0.3}) as guarded:
        agent = guarded.next_agent()
        [pid] = guarded.spawn_host(agent, "h")
        guarded.hold_obituaries(agent)
        page = filled_page(agent, "inventory", 7)
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.ptrace(PTRACE_SEIZE, pid, 0, 0) == 0, os.strerror(ctypes.get_errno())
        os.kill(agent.pid, signal.SIGKILL)
        guarded.wait_log(f"cannot end pid {pid} ")
        assert "no obituary and no new agent before it is gone" in guarded.log()
        assert page.valid_until_ns == 0
        assert guarded.obituaries_now() == []
        assert guarded.log().count("agent started") == 1
        os.waitpid(pid, 0)  # the tracer lets go
        guarded.wait_obituary()
        assert is_gone(pid)
        guarded.next_agent()


def test_a_node_that_cannot_end_all_does_not_claim_an_orderly_stop(tmp_path: Path) -> None:
    with Guarded(tmp_path, {"stuck_s": 0.2}) as guarded:
        agent = guarded.next_agent()
        [pid] = guarded.spawn_host(agent, "h")
        guarded.hold_obituaries(agent)
        assert ctypes.CDLL(None).ptrace(PTRACE_SEIZE, pid, 0, 0) == 0
        agent.say({"do": "stop"})
        agent.say_bytes(b"!exit 0")
        assert guarded.process.wait(DEADLINE_S) == 1
        assert guarded.obituaries_now() == []
        os.waitpid(pid, 0)


def test_a_stop_ends_a_guardian_that_waits_for_the_undying(tmp_path: Path) -> None:
    with Guarded(tmp_path, {"stuck_s": 0.2}) as guarded:
        agent = guarded.next_agent()
        [pid] = guarded.spawn_host(agent, "h")
        assert ctypes.CDLL(None).ptrace(PTRACE_SEIZE, pid, 0, 0) == 0
        os.kill(agent.pid, signal.SIGKILL)
        guarded.wait_log("cannot end")
        guarded.process.terminate()
        assert guarded.process.wait(DEADLINE_S) == 1
        os.waitpid(pid, 0)


# Lives of the agent


def test_the_agent_is_started_again_with_a_growing_pause(tmp_path: Path) -> None:
    with Guarded(tmp_path, {"restart_first_s": 0.05, "restart_last_s": 0.2}) as guarded:
        pauses = []
        for _ in range(4):
            agent = guarded.next_agent()
            died = time.monotonic()
            os.kill(agent.pid, signal.SIGKILL)
            wait_until(
                lambda: guarded.log().count("agent started") == len(guarded.agents) + 1, "the next is started"
            )
            pauses.append(time.monotonic() - died)
        assert all(pause >= least for pause, least in zip(pauses, (0.05, 0.1, 0.2, 0.2), strict=True)), pauses
        assert len({agent.pid for agent in guarded.agents}) == 4


def test_a_long_life_forgives_the_short_ones(tmp_path: Path) -> None:
    with Guarded(tmp_path, {"restart_first_s": 0.01, "restart_last_s": 60, "long_life_s": 0.0}) as guarded:
        for _ in range(15):  # the pause would have doubled to minutes
            os.kill(guarded.next_agent().pid, signal.SIGKILL)
        guarded.next_agent()


def test_exit_0_without_a_word_is_a_death_like_any_other(guarded: Guarded) -> None:
    agent = guarded.next_agent()
    guarded.hold_obituaries(agent)
    agent.say_bytes(b"!exit 0")
    guarded.wait_obituary()
    guarded.next_agent()


def test_obituaries_belong_to_one_life(guarded: Guarded) -> None:
    first = guarded.next_agent()
    guarded.hold_obituaries(first, b"first")
    os.kill(first.pid, signal.SIGKILL)
    second = guarded.next_agent()
    os.kill(second.pid, signal.SIGKILL)
    third = guarded.next_agent()
    guarded.hold_obituaries(third, b"third")
    os.kill(third.pid, signal.SIGKILL)
    found = set()
    wait_until(lambda: found.add(guarded.wait_obituary()) or b"third" in found, "the third's arrives")
    assert found == {b"first", b"third"}
    assert "obituaries released: 0" in guarded.log()


def test_the_last_words_of_an_agent_count_and_its_orders_do_not(guarded: Guarded, tmp_path: Path) -> None:
    """More than one burst is in the channel when the death is seen: the end of it is read after the death."""
    agent = guarded.next_agent()
    guarded.process.send_signal(signal.SIGSTOP)
    for term in range(2 * channel.BURST_MAX):
        agent.say({"do": "drop-page", "service": "s", "term": term})
    agent.say({"do": "spawn", "name": "late", "argv": ["touch", str(tmp_path / "late")]})
    agent.say_bytes(b"garbage")
    agent.say({"do": "obituaries", "items": guarded.obituary_items(b"newest")})
    agent.say({"do": "stop"})
    agent.say_bytes(b"!exit 0")
    wait_until(lambda: guardian_process.state(agent.pid) == "Z", "the agent has ended")
    guarded.process.send_signal(signal.SIGCONT)
    assert guarded.wait_obituary() == b"newest"
    assert guarded.process.wait(DEADLINE_S) == 0
    assert not (tmp_path / "late").exists()


def test_an_agent_that_gives_up_its_channel_is_ended(tmp_path: Path) -> None:
    with Guarded(tmp_path, {"channel_closed_s": 0.05}) as guarded:
        agent = guarded.next_agent()
        guarded.hold_obituaries(agent)
        agent.say_bytes(b"!close-channel")
        guarded.wait_obituary()
        assert is_gone(agent.pid)
        assert "lives on without its channel" in guarded.log()
        guarded.next_agent()


# The end


def test_a_stop_of_the_agent_ends_the_node(guarded: Guarded) -> None:
    agent = guarded.next_agent()
    pids = guarded.spawn_host(agent, "h", "orphan", "deaf", processes=2)
    guarded.hold_obituaries(agent, b"a clean exit is a death too")
    stop_in_order(guarded, agent)
    assert all(map(is_gone, pids))
    assert guarded.wait_obituary() == b"a clean exit is a death too"
    assert os.listdir(guarded.directory) == ["guardian.lock"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_passed_on_and_the_agent_may_take_its_time(guarded: Guarded, number: int) -> None:
    agent = guarded.next_agent()
    [pid] = guarded.spawn_host(agent, "h")
    guarded.process.send_signal(number)
    assert agent.hear_bytes() == b"!sigterm"
    agent.say({"do": "kill", "name": "h", "signal": signal.SIGTERM})
    assert agent.hear("exited")["signal"] == signal.SIGTERM
    stop_in_order(guarded, agent)
    assert is_gone(pid)


def test_an_agent_that_does_not_stop_is_killed_after_the_grace(tmp_path: Path) -> None:
    with Guarded(tmp_path, options=["--stop-grace-s=0.1"]) as guarded:
        agent = guarded.next_agent()
        guarded.hold_obituaries(agent)
        guarded.process.terminate()
        assert agent.hear_bytes() == b"!sigterm"
        assert guarded.process.wait(DEADLINE_S) == 1
        assert guarded.wait_obituary() == b"n1 is dead"
        assert "has not stopped within 0.1 s" in guarded.log()


def test_a_signal_during_the_pause_ends_the_node(tmp_path: Path) -> None:
    with Guarded(tmp_path, {"restart_first_s": 60.0}) as guarded:
        os.kill(guarded.next_agent().pid, signal.SIGKILL)
        guarded.wait_log("all processes are dead")
        guarded.process.terminate()
        assert guarded.process.wait(DEADLINE_S) == 0


def test_a_wrong_configuration_is_passed_on_and_not_repeated(guarded: Guarded) -> None:
    agent = guarded.next_agent()
    guarded.hold_obituaries(agent)
    agent.say_bytes(b"!exit 78")
    assert guarded.process.wait(DEADLINE_S) == 78
    assert guarded.wait_obituary() == b"n1 is dead"
    assert guarded.log().count("agent started") == 1


def test_when_the_guardian_is_killed_all_die_and_the_next_ends_the_hidden(guarded: Guarded) -> None:
    agent = guarded.next_agent()
    [host, hidden] = guarded.spawn_host(agent, "h", "orphan", processes=2)
    directory = str(guarded.directory)
    assert guardian_leftovers.living(directory) == {
        "guardian": guarded.process.pid, "agent": agent.pid, "h": host
    }  # fmt: skip
    guarded.process.kill()
    guarded.process.wait()
    wait_until(lambda: has_ended(agent.pid) and has_ended(host), "the children have died with it")
    assert not has_ended(hidden)
    guarded.start()
    second = guarded.next_agent()
    assert has_ended(hidden), "the agent was started beside a leftover"
    assert "leftovers ended: 1" in guarded.log()
    stop_in_order(guarded, second)


# Orders


def test_a_program_gets_what_the_order_says(guarded: Guarded, tmp_path: Path) -> None:
    agent = guarded.next_agent()
    read_fd, write_fd = os.pipe()
    code = (
        "import os; os.write(int(os.environ['OUT_FD']), "
        "' '.join([os.getcwd(), os.environ['A'], str('HOME' in os.environ), str('PATH' in os.environ), "
        "str('PRIMACY_GUARDIAN_FD' in os.environ), os.read(int(os.environ['IN_FD']), 9).decode()]).encode())"
    )
    in_read, in_write = os.pipe()
    os.write(in_write, b"input")
    order = {
        "do": "spawn", "name": "p", "argv": [sys.executable, "-c", code], "env": {"A": "1 2", "HOME": None},
        "cwd": str(tmp_path), "fds": ["OUT_FD", "IN_FD"],
    }  # fmt: skip
    agent.say(order, [write_fd, in_read])
    channel.close_all([write_fd, in_read, in_write])
    pid = agent.hear("spawned")["pid"]
    assert select.select([read_fd], [], [], DEADLINE_S)[0]
    assert os.read(read_fd, 1000).decode() == f"{tmp_path} 1 2 False True False input"
    assert agent.hear("exited") == {
        "is": "exited", "name": "p", "pid": pid, "status": 0, "signal": None, "error": None
    }  # fmt: skip
    assert os.read(read_fd, 1) == b"", "the guardian has kept a descriptor"
    os.close(read_fd)


def test_a_program_that_is_not_there_is_told_by_its_exit(guarded: Guarded) -> None:
    agent = guarded.next_agent()
    agent.say({"do": "spawn", "name": "p", "argv": ["/no/such/program"]})
    agent.hear("spawned")
    notice = agent.hear("exited")
    assert notice["status"] == 127
    assert "No such file" in notice["error"]
    agent.say({"do": "spawn", "name": "p", "argv": ["sleep", "60"]})  # the name is free again
    agent.hear("spawned")
    agent.say({"do": "kill", "name": "p"})
    assert agent.hear("exited")["signal"] == signal.SIGKILL


def test_pages_are_kept_and_dropped(guarded: Guarded) -> None:
    agent = guarded.next_agent()
    page = filled_page(agent, "s", 1)
    agent.say({"do": "page", "service": "s", "term": 1})
    agent.hear("page")
    again = LeasePage(agent.fds[0])
    channel.close_all(agent.fds)
    assert again.valid_until_ns == 2**63
    agent.say({"do": "drop-page", "service": "s", "term": 1})
    wait_until(lambda: page.valid_until_ns == 0, "the dropped page is revoked")
    assert filled_page(agent, "s", 1).ack_term == 1
    assert page.ack_term == 0


def test_garbage_is_answered_and_harms_nobody(guarded: Guarded) -> None:
    agent = guarded.next_agent()
    [pid] = guarded.spawn_host(agent, "h")
    guarded.hold_obituaries(agent)
    devnull = os.open(os.devnull, os.O_RDONLY)
    garbage = [
        b"\xff\x00", b"null", b"[" * 60_000, b'{"do":"dance"}', b'{"do":"spawn","name":"h","argv":["true"]}',
        b'{"do":"spawn","name":"agent","argv":["true"]}', b'{"do":"kill","name":"nobody"}',
        b'{"do":"obituaries","items":[1]}', b'{"do":"page","service":"","term":1}',
    ]  # fmt: skip
    fds = f"/proc/{guarded.process.pid}/fd"
    before = len(os.listdir(fds))
    for message in garbage:
        agent.say_bytes(message, [devnull] * 3)
        answer = agent.hear("error")
        assert answer["what"]
        assert message.startswith(answer["of"].encode()[:1]) or message[0] == 0xFF
    os.close(devnull)
    wait_until(lambda: len(os.listdir(fds)) == before, "no descriptor has leaked")
    assert guarded.log().count("the agent sent what cannot be done") == 1
    assert not is_gone(pid)
    os.kill(agent.pid, signal.SIGKILL)
    assert guarded.wait_obituary() == b"n1 is dead"


def test_a_link_that_is_down_is_told(guarded: Guarded) -> None:
    agent = guarded.next_agent()
    items = [["192.0.2.1", "192.0.2.2", 9, "eA=="], *guarded.obituary_items()]
    agent.say({"do": "obituaries", "items": items})
    assert "192.0.2.1" in agent.hear("error")["what"]
    os.kill(agent.pid, signal.SIGKILL)
    assert guarded.wait_obituary() == b"n1 is dead"


def test_an_agent_that_does_not_read_is_left_alone_and_told_later(guarded: Guarded) -> None:
    agent = guarded.next_agent()
    [pid] = guarded.spawn_host(agent, "h")
    guarded.hold_obituaries(agent)
    agent.say_bytes(b"!stop-reading")
    assert agent.hear_bytes() == b"!done"

    def provoke() -> bool:
        for _ in range(100):  # each is answered by an error, for which there is no room at last
            agent.say_bytes(b"x" * 300)
        return "does not read" in guarded.log()

    wait_until(provoke, "the guardian has noticed")
    assert not is_gone(agent.pid)
    assert not is_gone(pid)
    agent.say_bytes(b"!read-again")
    while b'"missed"' not in (heard := agent.hear_bytes()):
        assert b'"error"' in heard
    assert b'{"h":%d}' % pid in heard
    assert guarded.log().count("does not read") >= 1
    os.kill(agent.pid, signal.SIGKILL)
    assert guarded.wait_obituary() == b"n1 is dead"


def test_an_agent_that_does_not_read_still_dies_provably(guarded: Guarded) -> None:
    agent = guarded.next_agent()
    pids = guarded.spawn_host(agent, "h", "orphan", processes=2)
    guarded.hold_obituaries(agent)
    os.kill(agent.pid, signal.SIGSTOP)
    os.kill(agent.pid, signal.SIGKILL)
    guarded.wait_obituary()
    assert all(map(is_gone, pids))


def test_orphans_that_end_are_reaped(guarded: Guarded) -> None:
    agent = guarded.next_agent()
    [_, hidden] = guarded.spawn_host(agent, "h", "orphan", processes=2)
    os.kill(hidden, signal.SIGKILL)
    wait_until(lambda: is_gone(hidden), "the guardian has reaped it")


def test_the_constants_are_sane() -> None:
    timing = Timing()
    assert (timing.restart_first_s, timing.restart_last_s, timing.long_life_s, timing.stuck_s) == (
        0.05,
        5,
        10,
        5,
    )
    assert CHILDREN_MAX >= 100
    assert Guardian.run.__doc__
