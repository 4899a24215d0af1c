"""What the guardian asks of Linux about processes: start, find, kill, reap.

How the death of a whole tree is proven: the guardian is a subreaper, so a process that loses its parent
becomes the guardian's child *before* that parent can be reaped. Whoever kills all children and reaps, again
and again, until there is no child left (`ECHILD`) has ended every descendant, also those that called `setsid`
or forked twice, which a process group would miss. Only own, unreaped children are killed by number, and such
a number cannot be used anew.

Rules: every process is started from the main thread of a process with one thread (a child's parent-death
signal fires when the *thread* that started it ends, and only there is `fork` safe). Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, NoReturn

EXIT_NOT_STARTED = 127
ERROR_BYTES_MAX = 512

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True)
_ALL_SIGNALS = signal.valid_signals()
_RESET_SIGNALS = (
    signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ,
)  # fmt: skip


class Spawned(NamedTuple):
    """A process that was started; `error_fd` will hold the reason if its program could not be."""

    pid: int
    error_fd: int


def become_subreaper() -> None:
    """Make every descendant that loses its parent a child of this process."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(expected_parent_pid: int) -> None:
    """Let this process be killed when its parent's main thread ends; it ends now if that has happened
    already.

    The guardian does this for all that it starts, and it outlives `exec`. A process that is started otherwise
    calls it first thing, with the parent's pid that it was told.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != expected_parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)


def spawn(
    argv: Sequence[str],
    environ: Mapping[str, str],
    cwd: str | None = None,
    inherit: Iterable[int] = (),
    before_exec: Callable[[int], None] | None = None,
) -> Spawned:
    """Start a program in a session of its own, without standard input, to die with this process.

    The descriptors `inherit` keep their numbers in it; `before_exec(pid)` runs in the new process. Never
    waits for the program to be found: if it is not, the process ends with 127 and the reason is in `error_fd`
    (the caller closes). Raises `OSError` if no process could be made.
    """
    error_fd, child_error_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    parent = os.getpid()
    # A signal between fork and exec would run our handlers in the child, and wake us as if it were ours.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ALL_SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            _become(argv, environ, cwd, inherit, before_exec, parent, mask, child_error_fd)
    except OSError:
        os.close(error_fd)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(child_error_fd)
    return Spawned(pid, error_fd)


def _become(
    argv: Sequence[str],
    environ: Mapping[str, str],
    cwd: str | None,
    inherit: Iterable[int],
    before_exec: Callable[[int], None] | None,
    parent: int,
    mask: set[int | signal.Signals],
    error_fd: int,
) -> NoReturn:
    try:
        die_with_parent(parent)
        os.setsid()
        for each in _RESET_SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for fd in inherit:
            os.set_inheritable(fd, True)
        if before_exec is not None:
            before_exec(os.getpid())
        if cwd is not None:
            os.chdir(cwd)
        os.execvpe(argv[0], list(argv), dict(environ))
    except BaseException as error:  # this process must not go on as a second guardian
        os.write(error_fd, str(error).encode("utf-8", "replace")[:ERROR_BYTES_MAX])
    finally:
        os._exit(EXIT_NOT_STARTED)


def read_error(error_fd: int) -> str:
    """Return why an ended process never became its program (empty: it did), and close `error_fd`."""
    try:
        return os.read(error_fd, ERROR_BYTES_MAX).decode("utf-8", "replace")
    except BlockingIOError:
        return ""
    finally:
        os.close(error_fd)


def children() -> list[int]:
    """Return our children's pids, adopted orphans included; one that is just ending may be missing."""
    try:
        pids: list[int] = []
        for task in os.listdir("/proc/self/task"):
            pids.extend(map(int, _read(f"/proc/self/task/{task}/children").split()))
        return pids
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return children_by_scan()


def children_by_scan() -> list[int]:
    """Return the same by looking at every process of the system."""
    return [pid for pid in processes() if parent_of(pid) == os.getpid()]


def processes() -> list[int]:
    """Return the pids of all processes that we can see."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def kill_children() -> int:
    """Send SIGKILL to every child; return how many there were."""
    pids = children()
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except PermissionError:
            pass  # it has taken another user's identity; it remains unreaped, and so no death is proven
    return len(pids)


def reap() -> tuple[list[tuple[int, int]], bool]:
    """Collect all children that have ended, without waiting; return (pid, exit code) of each, and if any are
    left.

    An exit code below zero is the number of the signal, negated.
    """
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended, False
        if pid == 0:
            return ended, True
        ended.append((pid, os.waitstatus_to_exitcode(status)))


def start_time(pid: int) -> int | None:
    """Return when a process started (clock ticks since boot); with the pid it names one process for ever."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def parent_of(pid: int) -> int | None:
    """Return the pid of a process's parent; None if there is no such process."""
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def state(pid: int) -> str:
    """Return the letter of a process's state: R, S, D, T, Z (ended, not yet reaped), X (no such process)."""
    fields = _stat(pid)
    return fields[0].decode() if fields else "X"


def describe(pid: int) -> str:
    """Return what an operator needs to find a process: pid, name, state."""
    try:
        text = _read(f"/proc/{pid}/stat").decode("utf-8", "replace")
    except OSError:
        return f"pid {pid}"
    return f"pid {pid} ({text[text.find('(') + 1 : text.rfind(')')]}, state {text[text.rfind(')') + 2]})"


def _stat(pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat from the state on (the name before it may hold anything)."""
    try:
        data = _read(f"/proc/{pid}/stat")
    except OSError:
        return []
    return data[data.rfind(b")") + 2 :].split()


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        chunks = [os.read(fd, 65536)]
        while chunks[-1]:
            chunks.append(os.read(fd, 65536))
        return b"".join(chunks)
    finally:
        os.close(fd)


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")
