"""The guardian's log: one line each, to whatever standard error is, and never a wait."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from primacy.guardian_log import LINE_BYTES_MAX, Log


@pytest.fixture(params=["file", "pipe", "socket"])
def ends(request: pytest.FixtureRequest, tmp_path: Path):  # type: ignore[no-untyped-def]
    """Two descriptors: where the log writes, and where it is read."""
    if request.param == "file":
        path = tmp_path / "log"
        write_fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        read_fd = os.open(path, os.O_RDONLY)
    elif request.param == "pipe":
        read_fd, write_fd = os.pipe()
    else:
        read_fd, write_fd = (each.detach() for each in socket.socketpair())
    yield write_fd, read_fd
    os.close(write_fd)
    os.close(read_fd)


def test_a_line_is_one_line(ends: tuple[int, int]) -> None:
    log = Log("guardian n1", ends[0])
    log.say("two\nlines\r\n and  spaces")
    log.close()
    assert os.read(ends[1], 4096) == b"guardian n1: two lines and spaces\n"


def test_a_long_line_is_cut(ends: tuple[int, int]) -> None:
    log = Log("p", ends[0])
    log.say("é" * LINE_BYTES_MAX)
    log.close()
    data = os.read(ends[1], 4096)
    assert len(data) == LINE_BYTES_MAX
    assert data.endswith(b"\n")


def test_a_log_that_nobody_reads_does_not_block() -> None:
    read_fd, write_fd = os.pipe()
    log = Log("p", write_fd)
    while log.lost_count < 10:
        log.say("x" * 1000)
    assert os.get_blocking(write_fd), "the children's descriptor was changed"
    tail = os.read(read_fd, 65536)
    log.say("back")
    while not tail.endswith(b"back\n"):
        tail += os.read(read_fd, 65536)
    assert b"p (10 lines lost): back\n" in tail
    log.close()
    os.close(read_fd)
    os.close(write_fd)


def test_a_reader_that_is_gone_is_no_error() -> None:
    read_fd, write_fd = os.pipe()
    log = Log("p", write_fd)
    os.close(read_fd)
    log.say("to nobody")
    assert log.lost_count == 1
    log.close()
    os.close(write_fd)
