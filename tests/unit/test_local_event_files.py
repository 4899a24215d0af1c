"""Events of several nodes: read once each, merged in causal order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.local.event_files import EventFiles, merge, term_of
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


def test_an_earlier_term_comes_first_whatever_the_clock_says() -> None:
    late_clock = [event("n1", 1, 1, 900)]
    early_clock = [event("n2", 1, 2, 100)]
    assert [each["node"] for each in merge([late_clock, early_clock])] == ["n1", "n2"]


def test_an_event_without_a_term_stays_where_its_node_published_it() -> None:
    n1 = [event("n1", 1, 2, 500), event("n1", 2, 0, 510)]
    n2 = [event("n2", 1, 1, 505), event("n2", 2, 3, 506)]
    found = [(each["node"], each["number"]) for each in merge([n1, n2])]
    assert found == [("n2", 1), ("n1", 1), ("n1", 2), ("n2", 2)]


_stream = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1000)), max_size=8)


@given(st.lists(_stream, max_size=4))
def test_each_node_keeps_its_own_order(streams: list[list[tuple[int, int]]]) -> None:
    written = [
        [event(f"n{index}", number, term, wall_ns) for number, (term, wall_ns) in enumerate(stream)]
        for index, stream in enumerate(streams)
    ]
    found = merge(written)
    assert len(found) == sum(map(len, written))
    for index, stream in enumerate(written):
        assert [each for each in found if each["node"] == f"n{index}"] == stream
    known: dict[str, int] = {}
    terms = []
    for each in found:
        known[each["node"]] = max(known.get(each["node"], 0), term_of(each))
        terms.append(known[each["node"]])
    assert terms == sorted(terms)


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
