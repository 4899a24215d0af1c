"""Events of several nodes, read from their files: each once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from primacy.local.event_files import EventFiles
from primacy.local.layout import Layout


def event(node: str, number: int, term: int, wall_ns: int) -> dict[str, Any]:
    """Return an event as a node writes it."""
    inner = {"event": "NodeStarted", "term": term, "node": node}
    return {
        "node": node,
        "incarnation": "a",
        "number": number,
        "wall_ns": wall_ns,
        "event": inner,
        "sentence": "s",
    }


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A cluster of two nodes that have published nothing."""
    layout = Layout(tmp_path)
    for node in ("n1", "n2"):
        layout.node(node).mkdir(parents=True)
        (layout.node(node) / "node.toml").touch()
    return layout


def write(layout: Layout, node: str, *texts: str) -> None:
    """Append to a node's events."""
    with open(layout.events(node), "a", encoding="utf-8") as file:
        file.write("".join(texts))


def test_each_event_is_read_once_and_a_line_under_way_later(layout: Layout) -> None:
    files = EventFiles(layout)
    assert files.read() == []
    line = json.dumps(event("n1", 1, 1, 5)) + "\n"
    write(layout, "n1", line, line[:10])
    assert [each["number"] for each in files.read()] == [1]
    assert files.read() == []
    write(layout, "n1", line[10:])
    assert len(files.read()) == 1


def test_a_line_that_a_crash_cut_off_is_counted_and_left_out(layout: Layout) -> None:
    files = EventFiles(layout)
    write(layout, "n1", '{"node": "n1", "num\n', "[]\n", json.dumps(event("n1", 2, 1, 5)) + "\n")
    assert [each["number"] for each in files.read()] == [2]
    assert files.unreadable_count == 2


def test_what_is_there_can_be_left_out(layout: Layout) -> None:
    files = EventFiles(layout)
    write(layout, "n1", json.dumps(event("n1", 1, 1, 5)) + "\n")
    files.skip()
    write(layout, "n2", json.dumps(event("n2", 1, 1, 5)) + "\n")
    assert [each["node"] for each in files.read()] == ["n2"]


def test_a_file_that_was_put_aside_is_read_to_its_end_and_then_the_new_one(layout: Layout) -> None:
    files = EventFiles(layout)
    lines = [json.dumps(event("n1", number, 1, number)) + "\n" for number in range(1, 6)]
    write(layout, "n1", *lines[:2])
    assert [each["number"] for each in files.read()] == [1, 2]
    write(layout, "n1", lines[2])
    layout.events("n1").replace(layout.events_aside("n1"))
    assert [each["number"] for each in files.read()] == [3]
    write(layout, "n1", *lines[3:])
    assert [each["number"] for each in files.read()] == [4, 5]
    assert [each["number"] for each in EventFiles(layout).read()] == [1, 2, 3, 4, 5]
