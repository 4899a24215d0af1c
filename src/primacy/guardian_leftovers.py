"""What an earlier life of the guardian has left behind: found, and ended before a new agent says its first
word.

When a guardian is killed, what it had started is killed with it (parent-death signal), but not what *that*
had started. Such processes would go on to serve, hold ports or write to a journal beside the new life. They
are found by three marks, because each of them can be missing:

- the record: `guardian.json` (the guardian, its boot, its mark) and `guardian.children` (a line for each
  process it started: pid and start time, which together name one process for ever);
- the mark: a random word in the environment of every process of one life, inherited by what it starts;
- the cgroup of the node's own, where we may make one: nothing leaves it by itself.

Each process signs itself in, between fork and exec, so the guardian never waits for a disk. A line is written
in place of one whose process has ended, so the record does not grow. A lock on the directory tells a dead
guardian from one that is at work: a second guardian is refused, and kills nobody. Standard library only.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import select
import signal
import time
from typing import Any, NamedTuple

from primacy import guardian_process
from primacy.errors import Refused

MARK_VARIABLE = "PRIMACY_LIFE"
RECORD_NAME, CHILDREN_NAME, LOCK_NAME = "guardian.json", "guardian.children", "guardian.lock"
FORMAT = 1
ENDED_STATES = "ZX"
LINE_BYTES = 256

_SCAN_AGAIN_MS = 20


class _Process(NamedTuple):
    name: str
    pid: int
    start_time: int


def lock(directory: str) -> int:
    """Make the directory the caller's until it ends; return the descriptor that holds the lock.

    Raises `Refused` if a living guardian has it.
    """
    os.makedirs(directory, mode=0o700, exist_ok=True)
    fd = os.open(os.path.join(directory, LOCK_NAME), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        holder = _load(directory).get("pid", "unknown")
        reason = f"{directory} belongs to a guardian at work (pid {holder}): stop that one first"
        raise Refused([reason]) from None
    return fd


class Record:
    """The record of one life, open for the processes that sign in to it."""

    def __init__(self, directory: str, node: str) -> None:
        """Begin a new record. The caller holds the lock and has ended the leftovers of the old one."""
        self.mark = os.urandom(16).hex()
        self.cgroup = _make_cgroup(f"primacy-{node}-{os.stat(directory).st_ino}")
        self._directory = directory
        self._slots: dict[int, int] = {}
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._children_fd = os.open(os.path.join(directory, CHILDREN_NAME), flags, 0o600)
        table = {
            "format": FORMAT,
            "node": node,
            "pid": os.getpid(),
            "start_time": guardian_process.start_time(os.getpid()),
            "boot_id": _boot_id(),
            "mark": self.mark,
            "cgroup": self.cgroup,
        }
        path = os.path.join(directory, RECORD_NAME)
        with open(path + ".new", "w", encoding="utf-8") as opened:
            json.dump(table, opened)
        os.replace(path + ".new", path)

    def take_slot(self) -> int:
        """Return the number of a free line for the next process."""
        taken = set(self._slots.values())
        return next(slot for slot in itertools.count() if slot not in taken)

    def began(self, pid: int, slot: int) -> None:
        """Note that the process that was started has that line."""
        self._slots[pid] = slot

    def ended(self, pid: int) -> None:
        """Free the line of a process that was reaped."""
        self._slots.pop(pid, None)

    def sign_in(self, name: str, pid: int, slot: int) -> None:
        """Write the caller's own line and join the cgroup; called in the new process, before its program."""
        entry = {"name": name, "pid": pid, "start_time": guardian_process.start_time(pid)}
        line = json.dumps(entry).ljust(LINE_BYTES - 1).encode() + b"\n"
        os.pwrite(self._children_fd, line, slot * LINE_BYTES)
        if self.cgroup is not None:
            try:
                with open(os.path.join(self.cgroup, "cgroup.procs"), "w", encoding="ascii") as opened:
                    opened.write("0")
            except OSError:
                pass  # a cgroup that takes no process: the other two marks remain

    def close(self) -> None:
        """Remove the record: the life has ended in order and nothing of it is left."""
        os.close(self._children_fd)
        for name in (RECORD_NAME, CHILDREN_NAME):
            os.unlink(os.path.join(self._directory, name))
        if self.cgroup is not None:
            try:
                os.rmdir(self.cgroup)
            except OSError:
                pass  # the next life finds it, and finds it empty


def end_leftovers(directory: str, limit_s: float) -> int:
    """Kill all that an earlier life left behind and wait until it is gone; return how many processes that
    were.

    Raises `Refused` if some are still there after `limit_s`: the node must not start beside them.
    """
    record = _load(directory)
    if record.get("boot_id") != _boot_id():
        return 0  # no record, or one of before the machine started: nobody it names is alive
    recorded = _recorded_children(directory)
    deadline = time.monotonic() + limit_s
    killed: set[_Process] = set()
    while left := _find(record, recorded):
        if time.monotonic() >= deadline:
            names = ", ".join(guardian_process.describe(each.pid) for each in left)
            raise Refused([f"leftovers of an earlier life do not end: {names}"])
        killed.update(left)
        _kill_and_wait(left, deadline)
    return len(killed)


def living(directory: str) -> dict[str, int]:
    """Return the pids of a node's guardian and of all that it has started, as far as they are alive, by name.

    The guardian is `guardian`, the agent `agent`; the others have the names that the agent gave them.
    """
    record = _load(directory)
    if record.get("boot_id") != _boot_id():
        return {}
    guardian = _Process("guardian", int(record["pid"]), int(record["start_time"]))
    return {each.name: each.pid for each in [guardian, *_recorded_children(directory)] if _is_alive(each)}


def _is_alive(process: _Process) -> bool:
    same = guardian_process.start_time(process.pid) == process.start_time
    return same and guardian_process.state(process.pid) not in ENDED_STATES


def _find(record: dict[str, Any], recorded: list[_Process]) -> list[_Process]:
    spared = _self_and_ancestors()
    word = f"{MARK_VARIABLE}={record.get('mark')}".encode()
    in_cgroup = set(_cgroup_processes(record.get("cgroup")))
    pids = {
        pid
        for pid in guardian_process.processes()
        if pid not in spared and (pid in in_cgroup or word in _environment_of(pid))
    }
    pids |= {each.pid for each in recorded if _is_alive(each)} - spared
    found = [_Process("", pid, guardian_process.start_time(pid) or 0) for pid in sorted(pids)]
    return [each for each in found if each.start_time and _is_alive(each)]


def _kill_and_wait(processes: list[_Process], deadline: float) -> None:
    """Kill each by a descriptor of it, so that nobody who got its number since is met; wait a moment."""
    poll = select.poll()
    fds = []
    for each in processes:
        try:
            fd = os.pidfd_open(each.pid)
        except ProcessLookupError:
            continue
        fds.append(fd)
        if guardian_process.start_time(each.pid) == each.start_time:
            try:
                signal.pidfd_send_signal(fd, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
            poll.register(fd, select.POLLIN)
    left_ms = max(0.0, min(deadline - time.monotonic(), _SCAN_AGAIN_MS / 1000)) * 1000
    poll.poll(left_ms)
    for fd in fds:
        os.close(fd)


def _self_and_ancestors() -> set[int]:
    pids: set[int] = set()
    pid: int | None = os.getpid()
    while pid:
        pids.add(pid)
        pid = guardian_process.parent_of(pid)
    return pids


def _load(directory: str) -> dict[str, Any]:
    """Return the record; an empty one if there is none that this version understands."""
    try:
        with open(os.path.join(directory, RECORD_NAME), encoding="utf-8") as opened:
            record = json.load(opened)
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) and record.get("format") == FORMAT else {}


def _recorded_children(directory: str) -> list[_Process]:
    """Return the processes that have signed in; a line that was never written, or not whole, names nobody."""
    found = []
    try:
        with open(os.path.join(directory, CHILDREN_NAME), "rb") as opened:
            data = opened.read()
    except OSError:
        return []
    for offset in range(0, len(data), LINE_BYTES):
        try:
            entry = json.loads(data[offset : offset + LINE_BYTES])
            found.append(_Process(str(entry["name"]), int(entry["pid"]), int(entry["start_time"])))
        except (ValueError, TypeError, KeyError):
            continue
    return found


def _environment_of(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as opened:
            return opened.read().split(b"\0")
    except OSError:  # it has ended, or is another user's
        return []


def _boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as opened:
            return opened.read().strip()
    except OSError:
        return "unknown"


def _make_cgroup(name: str) -> str | None:
    """Make a cgroup below our own, where there is the unified hierarchy and we may; return its path."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as opened:
            own = next(line[3:].strip() for line in opened if line.startswith("0::"))
        with open("/proc/self/mounts", encoding="utf-8") as opened:
            mount = next(words[1] for words in map(str.split, opened) if words[2] == "cgroup2")
        path = os.path.join(mount, own.lstrip("/"), name)
        os.mkdir(path)
    except FileExistsError:
        return path
    except (OSError, StopIteration):
        return None
    return path


def _cgroup_processes(path: object) -> list[int]:
    if not isinstance(path, str):
        return []
    try:
        with open(os.path.join(path, "cgroup.procs"), encoding="ascii") as opened:
            return [int(line) for line in opened]
    except OSError:
        return []
