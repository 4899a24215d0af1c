"""A node's events, page by page: all of them, each once, whatever a frame holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from primacy.agent.event_pages import EVENTS_MAX, page
from primacy.agent.eventlog import EventLog
from primacy.cgtp.stream import FRAME_BYTES_MAX
from primacy.machines.events import ServiceNote
from primacy.machines.ids import Member

FIRST, SECOND = Member("n1", "1" * 32), Member("n1", "2" * 32)


def life(path: Path, me: Member, count: int, text: str = "") -> EventLog:
    """Return a log in which this life of the node has published so many events."""
    log = EventLog(me, path)
    for number in range(count):
        log.publish(ServiceNote(node="n1", service="s", kind=str(number), text=text))
    log.close()
    return log


def asked(log: EventLog, **arguments: Any) -> dict[str, Any]:
    """Return a page as the caller reads it."""
    found, wrong = page(log, arguments)
    assert wrong == []
    result: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(found))
    return result


def numbers(found: dict[str, Any]) -> list[int]:
    """Return the numbers of a page's events."""
    return [event["number"] for event in found["events"]]


def everything(log: EventLog, **arguments: Any) -> list[int]:
    """Return what one gets who pages forward to the end."""
    found = asked(log, order="oldest", **arguments)
    told = numbers(found)
    while found["more"]:
        following = asked(log, order="oldest", **arguments | {"after": found["after"], "life": found["life"]})
        assert following["after"] > found["after"]
        found = following
        told += numbers(found)
    return told


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"limit": 2}, [4, 5]),
        ({"limit": 2, "order": "oldest"}, [1, 2]),
        ({"after": 3, "limit": 1}, [5]),
        ({"after": 3, "limit": 1, "order": "oldest"}, [4]),
        ({"after": 3, "life": FIRST.incarnation, "order": "oldest"}, [4, 5]),
        ({"after": 5, "order": "oldest"}, []),
        ({"after": 1 << 62}, []),
    ],
)
def test_which_events_a_page_has(tmp_path: Path, arguments: dict[str, Any], expected: list[int]) -> None:
    log = life(tmp_path / "events.jsonl", FIRST, 5)
    assert numbers(asked(log, **arguments)) == expected


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_who_pages_forward_gets_all_of_them_once(tmp_path: Path, limit: int) -> None:
    log = life(tmp_path / "events.jsonl", FIRST, 7)
    assert everything(log, limit=limit) == list(range(1, 8))


def test_who_has_the_newest_page_goes_on_from_there(tmp_path: Path) -> None:
    log = life(tmp_path / "events.jsonl", FIRST, 7)
    found = asked(log, limit=2)
    assert (found["after"], found["life"], found["more"]) == (7, FIRST.incarnation, False)
    log.publish(ServiceNote(node="n1", service="s", kind="new", text=""))
    assert numbers(asked(log, order="oldest", after=found["after"], life=found["life"])) == [8]


def test_earlier_lives_are_there_and_a_number_given_again_is_not_missed(tmp_path: Path) -> None:
    """The crash of the first life cost its last two events; the caller had heard them."""
    path = tmp_path / "events.jsonl"
    life(path, FIRST, 5)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
    log = life(path, SECOND, 4)
    assert everything(log, limit=2) == [1, 2, 3, 4, 5, 6, 7]
    assert numbers(asked(log, after=5, life=FIRST.incarnation, order="oldest")) == [4, 5, 6, 7]
    assert numbers(asked(log, after=5, life=SECOND.incarnation, order="oldest")) == [6, 7]


def test_a_life_that_nobody_knows_any_more_begins_with_the_oldest(tmp_path: Path) -> None:
    log = life(tmp_path / "events.jsonl", FIRST, 3)
    assert numbers(asked(log, after=900, life="9" * 32, order="oldest")) == [1, 2, 3]


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_a_page_ends_where_a_frame_is_full(tmp_path: Path, order: str) -> None:
    log = life(tmp_path / "events.jsonl", FIRST, 25, "x" * (FRAME_BYTES_MAX // 15))
    found, _ = page(log, {"order": order})
    assert len(msgspec.msgpack.encode(found)) < FRAME_BYTES_MAX
    told = numbers(asked(log, order=order))
    assert 5 < len(told) < 10  # each has its text twice: in the sentence, too
    assert told == (list(range(1, len(told) + 1)) if order == "oldest" else list(range(26 - len(told), 26)))
    assert everything(log) == list(range(1, 26))


def test_an_event_that_no_frame_holds_is_left_out_and_passed(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    life(path, FIRST, 2)
    life(path, FIRST, 1, "x" * FRAME_BYTES_MAX)
    log = life(path, FIRST, 2)
    assert everything(log) == everything(log, limit=1) == [1, 2, 4, 5]
    assert numbers(asked(log)) == [1, 2, 4, 5]


def test_a_page_has_a_limit_of_its_own(tmp_path: Path) -> None:
    log = life(tmp_path / "events.jsonl", FIRST, EVENTS_MAX + 10)
    assert len(numbers(asked(log, limit=1 << 40))) == EVENTS_MAX
    assert len(everything(log)) == EVENTS_MAX + 10


def test_every_argument_that_cannot_be_taken_is_told(tmp_path: Path) -> None:
    log = life(tmp_path / "events.jsonl", FIRST, 1)
    found, wrong = page(log, {"after": -1, "limit": True, "life": 7, "order": "best"})
    assert found is None
    assert [line.split(":")[0] for line in wrong] == ["after", "limit", "life", "order"]
    assert page(EventLog(FIRST, tmp_path / "none.jsonl"), {"order": "oldest"})[0] == {
        "events": [], "after": 0, "life": "", "more": False,
    }  # fmt: skip
