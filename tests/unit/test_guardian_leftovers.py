"""Leftovers of an earlier life: each mark finds them alone; strangers and living guardians are spared."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from primacy import guardian_leftovers
from primacy.errors import Refused
from primacy.guardian_leftovers import (
    CHILDREN_NAME,
    LINE_BYTES,
    MARK_VARIABLE,
    RECORD_NAME,
    Record,
    end_leftovers,
    living,
    lock,
)

LIMIT_S = 5.0


@pytest.fixture
def directory(tmp_path: Path) -> str:
    return str(tmp_path)


@pytest.fixture
def record(directory: str) -> Iterator[Record]:
    made = Record(directory, "n1")
    yield made
    if os.path.exists(os.path.join(directory, RECORD_NAME)):
        made.close()


@pytest.fixture
def sleepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Collect processes here; they are ended in any case."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for each in started:
        each.kill()
        each.wait()


def sleeper(**environ: str) -> subprocess.Popen[bytes]:
    """Return a process that has certainly become its program, with that environment."""
    code = "import sys, signal; sys.stdout.write('x'); sys.stdout.flush(); signal.pause()"
    started = subprocess.Popen([sys.executable, "-S", "-c", code], env=environ, stdout=subprocess.PIPE)
    assert started.stdout is not None
    assert started.stdout.read(1) == b"x"
    started.stdout.close()
    return started


def is_dead(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() == -signal.SIGKILL


def without_cgroup(directory: str) -> None:
    path = Path(directory, RECORD_NAME)
    table = json.loads(path.read_text())
    path.write_text(json.dumps(table | {"cgroup": None}))


def test_the_mark_in_the_environment_finds_them(
    directory: str, record: Record, sleepers: list[subprocess.Popen[bytes]]
) -> None:
    marked, stranger = sleeper(**{MARK_VARIABLE: record.mark}), sleeper(**{MARK_VARIABLE: "other"})
    sleepers += [marked, stranger]
    assert end_leftovers(directory, LIMIT_S) == 1
    assert is_dead(marked)
    assert stranger.poll() is None
    assert end_leftovers(directory, LIMIT_S) == 0


def test_the_record_finds_them(
    directory: str, record: Record, sleepers: list[subprocess.Popen[bytes]]
) -> None:
    signed, stranger = sleeper(), sleeper()
    sleepers += [signed, stranger]
    record.cgroup = None
    record.sign_in("h", signed.pid, record.take_slot())
    assert living(directory) == {"guardian": os.getpid(), "h": signed.pid}
    assert end_leftovers(directory, LIMIT_S) == 1
    assert is_dead(signed)
    assert stranger.poll() is None
    assert living(directory) == {"guardian": os.getpid()}


def test_the_cgroup_finds_them(
    directory: str, record: Record, sleepers: list[subprocess.Popen[bytes]]
) -> None:
    if (
        record.cgroup is None
    ):  # no unified hierarchy that we may write to: then there is nothing to find by it
        assert end_leftovers(directory, LIMIT_S) == 0
        return
    grouped = sleeper()
    sleepers.append(grouped)
    Path(record.cgroup, "cgroup.procs").write_text(str(grouped.pid))
    assert end_leftovers(directory, LIMIT_S) == 1
    assert is_dead(grouped)


def test_who_has_the_number_of_a_dead_process_is_spared(
    directory: str, record: Record, sleepers: list[subprocess.Popen[bytes]]
) -> None:
    stranger = sleeper()
    sleepers.append(stranger)
    entry = {"name": "h", "pid": stranger.pid, "start_time": 1}
    Path(directory, CHILDREN_NAME).write_text(json.dumps(entry) + "\n")
    assert living(directory) == {"guardian": os.getpid()}
    assert end_leftovers(directory, LIMIT_S) == 0
    assert stranger.poll() is None


def test_a_record_of_before_the_machine_started_names_nobody(
    directory: str, record: Record, sleepers: list[subprocess.Popen[bytes]]
) -> None:
    marked = sleeper(**{MARK_VARIABLE: record.mark})
    sleepers.append(marked)
    path = Path(directory, RECORD_NAME)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"boot_id": "another"}))
    assert end_leftovers(directory, LIMIT_S) == 0
    assert living(directory) == {}
    assert marked.poll() is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 99}', "[" * 100_000])
def test_a_broken_record_names_nobody(directory: str, record: Record, text: str) -> None:
    Path(directory, RECORD_NAME).write_text(text)
    assert end_leftovers(directory, LIMIT_S) == 0


def test_broken_lines_are_passed_over(
    directory: str, record: Record, sleepers: list[subprocess.Popen[bytes]]
) -> None:
    signed = sleeper()
    sleepers.append(signed)
    record.cgroup = None
    record.sign_in("h", signed.pid, 3)  # the lines before it were never written
    path = Path(directory, CHILDREN_NAME)
    data = bytearray(path.read_bytes())
    data[LINE_BYTES : LINE_BYTES + 14] = b'{"pid": 1, "na'
    data[2 * LINE_BYTES : 3 * LINE_BYTES] = b"12345\n".ljust(LINE_BYTES)
    path.write_bytes(data + b'{"name":')
    assert end_leftovers(directory, LIMIT_S) == 1
    assert is_dead(signed)


def test_lines_are_used_again(directory: str, record: Record) -> None:
    record.cgroup = None
    slots = []
    for pid in (101, 102, 103):
        slots.append(record.take_slot())
        record.began(pid, slots[-1])
    assert slots == [0, 1, 2]
    record.ended(101)
    record.ended(999)
    assert record.take_slot() == 0
    assert record.take_slot() == 0  # not taken until a process has begun
    record.began(104, 0)
    assert record.take_slot() == 3
    for _ in range(100):
        record.sign_in("n" * 64, os.getpid(), 1)
    assert Path(directory, CHILDREN_NAME).stat().st_size == 2 * LINE_BYTES


def test_a_leftover_that_does_not_end_is_named(
    directory: str, record: Record, sleepers: list[subprocess.Popen[bytes]]
) -> None:
    marked = sleeper(**{MARK_VARIABLE: record.mark})
    sleepers.append(marked)
    with pytest.raises(Refused, match=f"pid {marked.pid}"):
        end_leftovers(directory, 0.0)
    assert marked.poll() is None


def test_a_directory_has_one_guardian(directory: str, record: Record) -> None:
    fd = lock(directory)
    with pytest.raises(Refused, match=f"pid {os.getpid()}"):
        lock(directory)
    assert not os.get_inheritable(fd)
    os.close(fd)
    os.close(lock(directory))


def test_the_lock_makes_the_directory(directory: str) -> None:
    inner = os.path.join(directory, "a", "b")
    os.close(lock(inner))
    assert os.stat(inner).st_mode & 0o777 == 0o700


def test_an_orderly_end_removes_the_record(directory: str) -> None:
    made = Record(directory, "n1")
    cgroup = made.cgroup
    made.close()
    assert os.listdir(directory) == []
    assert cgroup is None or not os.path.exists(cgroup)
    assert guardian_leftovers.living(directory) == {}
    assert not select.select([], [], [], 0)[0]
