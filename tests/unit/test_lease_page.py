"""The lease page: what one process writes, another reads whole, and nobody can change its size."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from primacy import lease_page
from primacy.lease_page import PAGE_BYTES, LeasePage, create, now_ns

ALL_ONES = 2**64 - 1
DEADLINE_S = 10.0
SOURCE = Path(lease_page.__file__).parents[1]

WRITER = """
import sys
from primacy.lease_page import LeasePage
page = LeasePage(int(sys.argv[1]))
while True:
    for value in (0, 2**64 - 1):
        page.valid_until_ns = value
        page.ack_term = value
"""


@pytest.fixture
def fd() -> Iterator[int]:
    made = create()
    yield made
    os.close(made)


def test_a_new_page_allows_nothing(fd: int) -> None:
    page = LeasePage(fd)
    assert (page.valid_until_ns, page.ack_term) == (0, 0)
    page.close()


def test_two_views_see_the_same_words(fd: int) -> None:
    writer, reader = LeasePage(fd), LeasePage(fd, writable=False)
    writer.valid_until_ns, writer.ack_term = ALL_ONES, 7
    assert (reader.valid_until_ns, reader.ack_term) == (ALL_ONES, 7)
    writer.revoke()
    assert (reader.valid_until_ns, reader.ack_term) == (0, 0)


def test_a_view_outlives_its_descriptor() -> None:
    fd = create()
    page = LeasePage(fd)
    os.close(fd)
    page.ack_term = 3
    assert page.ack_term == 3


def test_a_reader_cannot_prolong_its_rights(fd: int) -> None:
    with pytest.raises(TypeError):
        LeasePage(fd, writable=False).valid_until_ns = 1


def test_the_size_is_sealed(fd: int) -> None:
    for size in (0, PAGE_BYTES * 2):
        with pytest.raises(PermissionError):
            os.ftruncate(fd, size)
    assert os.fstat(fd).st_size == PAGE_BYTES


def test_the_descriptor_is_not_inherited(fd: int) -> None:
    assert not os.get_inheritable(fd)


@pytest.mark.parametrize("value", [-1, 2**64])
def test_a_word_is_64_bits_without_sign(fd: int, value: int) -> None:
    with pytest.raises(ValueError):
        LeasePage(fd).valid_until_ns = value


def test_a_word_never_tears(fd: int) -> None:
    environ = os.environ | {"PYTHONPATH": str(SOURCE)}
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(fd)], pass_fds=[fd], env=environ)
    page = LeasePage(fd, writable=False)
    deadline = time.monotonic() + DEADLINE_S
    try:
        seen = {0: 0, ALL_ONES: 0}
        while min(seen.values()) < 1000 and time.monotonic() < deadline:
            seen[page.valid_until_ns] += 1  # KeyError: a value that nobody has written
            seen[page.ack_term] += 1
        assert min(seen.values()) >= 1000, "the writer does not write"
    finally:
        writer.kill()
        writer.wait()


def test_the_clock_goes_on() -> None:
    first = now_ns()
    assert now_ns() >= first > 0
