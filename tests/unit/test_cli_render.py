"""A status and events as people read them."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from primacy.cli import live, render

STATUS: dict[str, Any] = {
    "cluster": "demo",
    "term": 3,
    "master": "n1",
    "vice": "n2",
    "vice_ready": True,
    "in_service": True,
    "waits": [],
    "ledger": {"url": "sqlite:///x", "available": True},
    "nodes": [
        {
            "id": "n1",
            "incarnation": "a" * 32,
            "role": "master",
            "eligible": True,
            "links": [{"address": "127.0.0.1", "up": True}, {"address": "127.0.0.2", "up": False}],
            "servers": {"naming": "primary", "shop": "primary"},
            "function": None,
            "level": None,
            "waiting": [],
        },
        {
            "id": "n2",
            "incarnation": "b" * 32,
            "role": "vice",
            "eligible": True,
            "links": [{"address": "127.0.0.1", "up": True}],
            "servers": {"naming": "secondary"},
            "function": "initialize",
            "level": 2,
            "waiting": ["n1"],
        },
    ],
    "services": [
        {
            "name": "naming",
            "primary": "n1",
            "secondary": "n2",
            "durability": "disk",
            "sequence": 41,
            "lag": 0,
        },
        {
            "name": "shop",
            "primary": "n1",
            "secondary": None,
            "durability": "memory",
            "sequence": 7,
            "lag": None,
        },
    ],
}
EMPTY: dict[str, Any] = {
    "cluster": "demo", "term": 0, "master": None, "vice": None, "vice_ready": False, "in_service": False,
    "waits": ["no node runs"], "nodes": [], "services": [],
}  # fmt: skip
EVENTS = [
    {
        "node": "n2",
        "incarnation": "b",
        "number": number,
        "wall_ns": 1_700_000_000_123_456_789 + number,
        "event": {"event": "MasterElected", "term": 2, "node": "n2", "how": "claim", "cause": "x"},
        "sentence": f"n2 is master of term 2 by claim: reason {number}",
    }
    for number in range(50)
]


def drawn(renderable: Any, width: int = 100) -> str:
    """Return what a console of that width shows, without colours."""
    console = Console(file=io.StringIO(), width=width, height=30, color_system=None)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_headline_says_the_state_in_one_sentence() -> None:
    assert render.headline(STATUS) == "cluster demo: in service, term 3, master n1, vice n2 (ready)"
    assert render.headline(EMPTY) == "cluster demo: NOT in service, term 0, no master, no vice"
    catching_up = STATUS | {"vice_ready": False}
    assert render.headline(catching_up).endswith("vice n2 (catching up)")


def test_plain_lines_say_all() -> None:
    assert render.status_lines(STATUS) == [
        "cluster demo: in service, term 3, master n1, vice n2 (ready)",
        "node n1; master; 127.0.0.1 up, 127.0.0.2 DOWN; naming primary; shop primary",
        "node n2; vice; 127.0.0.1 up; naming secondary; initialize level 2 waits for n1",
        "service naming; primary n1; secondary n2; disk; sequence 41; lag 0",
        "service shop; primary n1; secondary -; memory; sequence 7; lag -",
    ]
    assert render.status_lines(EMPTY)[-1] == "waits: no node runs"


def test_a_ledger_that_does_not_answer_is_told() -> None:
    status = STATUS | {"ledger": {"url": "sqlite:///x", "available": False}}
    assert any("does not answer" in line for line in render.status_lines(status))
    assert "does not answer" in drawn(render.status_tables(status))


def test_maintenance_is_never_hidden() -> None:
    row = {
        "scope": "cluster",
        "by": "ada",
        "reason": "switches",
        "since_wall_ns": 1,
        "until_wall_ns": 2 * 10**18,
    }
    rows = [row | {"left_s": 5400.0}, {"scope": "n2", "by": "bob", "reason": "", "until_wall_ns": None}]
    status = STATUS | {"maintenance": rows}
    assert render.headline(status).endswith(", MAINTENANCE of cluster, n2")
    first, second = render.maintenance_lines(status)
    assert first.startswith("maintenance of the cluster: no automatic failover, until 2033-05-")
    assert first.endswith("(1 h 30 min left), by ada: switches")
    assert second == "maintenance of n2: no role, until it is switched off, by bob"
    assert {first, second} <= set(render.status_lines(status))
    assert "no automatic failover" in drawn(render.status_tables(status), 200)


def test_the_tables_say_what_the_lines_say() -> None:
    text = drawn(render.status_tables(STATUS))
    for word in (
        "demo",
        "n1",
        "master",
        "n2",
        "vice",
        "secondary",
        "initialize level 2 waits for n1",
        "41",
        "memory",
    ):
        assert word in text
    assert "no node runs" in drawn(render.status_tables(EMPTY))


def test_an_event_is_one_line() -> None:
    line = render.event_line(EVENTS[0])
    assert line.endswith(".123 n2   term 2   n2 is master of term 2 by claim: reason 0")
    long = EVENTS[0] | {
        "sentence": "it failed: Traceback (most recent call last):\n  File x\nValueError: no\n"
    }
    assert render.event_line(long).endswith(
        "it failed: Traceback (most recent call last): ... ValueError: no"
    )


def test_brackets_in_a_sentence_are_no_markup() -> None:
    event = EVENTS[0] | {"sentence": "n2 [bold]says[/nothing] to [n1]"}
    assert "[bold]says[/nothing] to [n1]" in drawn(render.events_text([event]))


def test_the_screen_fits_the_console_and_shows_the_last_events() -> None:
    console = Console(file=io.StringIO(), width=60, height=24, color_system=None)
    console.print(live.screen(STATUS, list(EVENTS), ["a note"], console))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert len(lines) <= 24
    assert "reason 49" in console.file.getvalue().replace("\n", "") or lines[-1].endswith("…")
    assert "a note" in lines
    assert "waiting for the cluster" in drawn(live.screen({}, [], [], console))


def test_a_change_of_the_table_is_never_hidden() -> None:
    changing = EMPTY | {"change": "n2 restarts with the new table"}
    assert "the table changes: n2 restarts with the new table" in render.status_lines(changing)
