"""A node's events: in memory, in a file for the next life, and pushed; the disk never holds the agent up."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from primacy.agent import eventlog
from primacy.agent.eventlog import RING_EVENTS_MAX, EventLog
from primacy.machines.events import Stamped
from primacy.machines.events_node import NodeStarted, NodeStopped
from primacy.machines.ids import Member

ME = Member("n1", "1" * 32)


def _log(path: Path) -> EventLog:
    return EventLog(ME, path)


def _stop(cause: str) -> NodeStopped:
    return NodeStopped(node="n1", cause=cause)


def test_an_event_is_kept_written_and_told(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log, told = _log(path), []
    end = log.follow(told.append)
    log.publish(NodeStarted(node="n1", incarnation=ME.incarnation))
    end()
    log.publish(_stop("test"))
    log.close()
    written = [json.loads(line) for line in path.read_text().splitlines()]
    assert written == log.since(0, 10)
    assert told == written[:1]
    assert [e["number"] for e in written] == [1, 2]
    assert written[0]["sentence"] == "n1 starts a new life, 11111111"
    assert (written[0]["node"], written[0]["event"]["event"]) == ("n1", "NodeStarted")


def test_the_next_life_goes_on_where_the_last_one_stopped(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    first = _log(path)
    for number in range(5):
        first.publish(_stop(str(number)))
    first.close()
    second = _log(path)
    second.publish(_stop("again"))
    second.close()
    assert [e["number"] for e in second.since(0, 10)] == [1, 2, 3, 4, 5, 6]
    assert second.since(0, 10)[:5] == first.since(0, 10)


@pytest.mark.parametrize(
    ("number", "limit", "found"),
    [
        (0, 10, [1, 2, 3, 4]),
        (2, 10, [3, 4]),
        (0, 2, [3, 4]),
        (9, 10, []),
        (0, 0, []),
        (1 << 70, 10, []),
        (-1, 1, [4]),
    ],
)
def test_the_newest_above_a_number_are_told(
    tmp_path: Path, number: int, limit: int, found: list[int]
) -> None:
    log = _log(tmp_path / "events.jsonl")
    for each in range(4):
        log.publish(_stop(str(each)))
    log.close()
    assert [e["number"] for e in log.since(number, limit)] == found


LINE = Stamped(node="n1", incarnation="x", number=7, wall_ns=1, event=_stop("kept")).plain()
NO_EVENTS = [
    b"",
    b"{",
    b"null",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"number": 3}',
    json.dumps(LINE | {"number": "7"}).encode(),
    json.dumps(LINE | {"number": True}).encode(),
    json.dumps(LINE | {"number": 1 << 70}).encode(),
    json.dumps(LINE | {"number": 1 << 60}).encode(),
    json.dumps(LINE | {"number": -3}).encode(),
    json.dumps(LINE | {"event": {"event": "OfALaterVersion"}}).encode(),
    json.dumps(LINE).encode()[:-5],
]


@pytest.mark.parametrize("line", NO_EVENTS, ids=range(len(NO_EVENTS)))
def test_a_line_that_is_no_event_is_passed_over(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(line + b"\n" + json.dumps(LINE).encode() + b"\n")
    log = _log(path)
    log.publish(_stop("new"))
    log.close()
    told = log.since(0, 10)
    assert [e["number"] for e in told] == [7, 8]
    assert told[0] == LINE
    assert msgspec.msgpack.encode(told)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.binary(max_size=200))
def test_whatever_stands_in_the_file_the_log_begins(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(content)
    log = _log(path)
    log.close()
    assert log.since(0, 10) == []


def test_the_ring_is_bounded(tmp_path: Path) -> None:
    log = _log(tmp_path / "events.jsonl")
    for number in range(RING_EVENTS_MAX + 10):
        log.publish(_stop(str(number)))
    log.close()
    assert len(log.since(0, 2 * RING_EVENTS_MAX)) == RING_EVENTS_MAX


def test_a_large_file_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), eventlog.FILE_BYTES_MAX + 1)
    log = _log(path)
    log.publish(_stop("new"))
    log.close()
    assert (tmp_path / "events.old.jsonl").stat().st_size == eventlog.FILE_BYTES_MAX + 1
    assert len(path.read_bytes().splitlines()) == 1


def test_a_file_that_was_put_aside_is_remembered_too(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    first = _log(path)
    for number in range(3):
        first.publish(_stop(str(number)))
    first.close()
    path.replace(tmp_path / "events.old.jsonl")
    second = _log(path)
    second.publish(_stop("second"))
    second.close()
    third = _log(path)
    third.close()
    assert [e["number"] for e in third.since(0, 10)] == [1, 2, 3, 4]
    assert third.last == second.last
    assert [e["number"] for e in third.after(2)] == [3, 4]


def test_a_disk_that_refuses_costs_lines_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "no such directory" / "events.jsonl"
    log, told = _log(path), []
    follower: Callable[[dict[str, Any]], None] = told.append
    log.follow(follower)
    log.publish(_stop("lost"))
    log.close()
    assert log.dropped_lines == 1
    assert len(told) == len(log.since(0, 10)) == 1
    assert "events cannot be written" in capsys.readouterr().err
