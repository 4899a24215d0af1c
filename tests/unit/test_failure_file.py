"""What a life of a node tells the next one of its failed servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from primacy.agent import failure_file


def test_the_next_life_learns_it_once(tmp_path: Path) -> None:
    failure_file.keep(tmp_path, {"stock": (3, 1), "naming": (1, 0)})
    assert failure_file.take(tmp_path) == {"stock": (3, 1), "naming": (1, 0)}
    assert failure_file.take(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"\xff", b"[" * 100_000, b'{"stock": 3}', b'{"stock": ["a", "b"]}'])
def test_a_damaged_one_counts_as_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / failure_file.NAME).write_bytes(data)
    assert failure_file.take(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_lost_and_nothing_else(tmp_path: Path) -> None:
    failure_file.keep(tmp_path / "not there", {"stock": (1, 1)})
    assert failure_file.take(tmp_path / "not there") == {}
