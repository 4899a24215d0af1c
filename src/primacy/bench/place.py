"""Where a measurement keeps its data: on a disk, never in memory; and how long that disk takes to sync."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from primacy.bench.figures import median
from primacy.errors import ConfigError

IN_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs", "hugetlbfs"})
DEFAULT = Path("/var/tmp")
PROBE_BYTES = 4096
PROBES = 200
_FLUSHES = 15  # the place of the flush requests in a block device's `stat`


def directory(parent: str | None) -> Path:
    """Make a directory for a measurement below `parent`; ConfigError when that is in memory."""
    where = Path(parent) if parent else (DEFAULT if DEFAULT.is_dir() else Path.cwd())
    try:
        where.mkdir(parents=True, exist_ok=True)
        kind = file_system(where)
        if kind in IN_MEMORY:
            want = "want a directory on a disk: syncs in memory cost nothing; say which with --dir"
            raise ConfigError(str(where), kind, want)
        return Path(tempfile.mkdtemp(prefix="primacy-bench-", dir=where))
    except OSError as error:
        raise ConfigError(str(where), error.strerror or str(error), "want a directory on a disk") from error


def file_system(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """Return the type of the file system on which a path is; "unknown" where the system does not tell."""
    place, found = -1, "unknown"
    resolved = path.resolve()
    try:
        lines = mounts.read_text(encoding="utf-8").splitlines()
    except OSError:
        return found
    for line in lines:
        left, _, right = line.partition(" - ")
        fields = left.split()
        at = Path(fields[4].replace("\\040", " "))
        if resolved.is_relative_to(at) and len(at.parts) >= place:  # the later mount covers the earlier
            place, found = len(at.parts), right.split()[0]
    return found


def flush_count(path: Path, devices: Path = Path("/sys/dev/block")) -> int | None:
    """Return how many syncs the disk under `path` has done since it is there, ours and others'; None: it is
    not told.

    The kernel counts the flush requests that a disk has completed; syncs that meet in one request count once.
    """
    device = path.stat().st_dev
    place = devices / f"{os.major(device)}:{os.minor(device)}"
    if (place / "partition").exists():
        place = place.resolve().parent
    try:
        fields = (place / "stat").read_text(encoding="ascii").split()
    except OSError:
        return None
    return int(fields[_FLUSHES]) if len(fields) > _FLUSHES else None


def fdatasync_ms(where: Path) -> float:
    """Return the median time of appending 4 KiB to a file and syncing it."""
    took_ms = []
    path = where / "sync-probe"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, PROBE_BYTES * PROBES)
        os.fsync(fd)
        for number in range(PROBES):
            os.pwrite(fd, bytes([number % 256]) * PROBE_BYTES, number * PROBE_BYTES)
            began_ns = time.monotonic_ns()
            os.fdatasync(fd)
            took_ms.append((time.monotonic_ns() - began_ns) / 1e6)
    finally:
        os.close(fd)
        path.unlink()
    return median(took_ms)
