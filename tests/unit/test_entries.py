"""Batches of entries: written and read back, and what is none is refused."""

from __future__ import annotations

import pytest

from primacy.errors import JournalError
from primacy.machines import entries
from primacy.machines.call_wire import Call
from primacy.machines.entries import Checkpoint, Entries, Entry, SessionBegun, SessionEnded, SessionsTouched

ALL: list[Entry] = [
    Call(1, 2, 1, "add", b"\x80"),
    SessionBegun(),
    SessionsTouched([1, 2]),
    SessionEnded(3),
    Checkpoint(),
]


def test_a_batch_is_read_back_as_it_was_written() -> None:
    batch = Entries(5, 6, ALL)
    assert entries.decode(entries.encode(batch)) == batch


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x93\x01\x02\x91\x91\xa1z", b"\x80", b"\x91" * 5_000])
def test_what_is_no_batch_is_refused(payload: bytes) -> None:
    with pytest.raises(JournalError, match="cannot be read"):
        entries.decode(payload)
