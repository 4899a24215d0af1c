"""The kernel's hint that a file was written."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest

from primacy.ledger.notify import WriteNotice


def hinted(notice: WriteNotice, wait_s: float) -> bool:
    """Has a hint come, or does one come within the time?"""
    return bool(select.select([notice], [], [], wait_s)[0])


def test_a_write_is_hinted_and_a_read_is_not(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("")
    notice = WriteNotice(str(path))
    path.read_text()
    assert not hinted(notice, 0)
    for text in ("a", "b"):
        with path.open("a") as file:
            file.write(text)
        assert hinted(notice, 5)
        notice.drain()
        assert not hinted(notice, 0)
    notice.close()


def test_a_file_in_its_place_is_not_followed(tmp_path: Path) -> None:
    path, other = tmp_path / "log", tmp_path / "other"
    path.write_text("")
    other.write_text("")
    notice = WriteNotice(str(path))
    other.rename(path)
    notice.drain()
    path.write_text("x")
    assert not hinted(notice, 0)
    notice.close()


def test_no_file_is_an_error_and_leaves_no_descriptor(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(FileNotFoundError):
            WriteNotice(str(tmp_path / "log"))
    assert len(os.listdir("/proc/self/fd")) == before
