"""Which ports of this machine are taken, and a range that is free.

Only looked up in the kernel's tables, never tried: a port that is bound for a moment to see whether it is free is
not free for the node that starts at that moment, and a connection that says nothing counts as garbage.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from primacy.config import PORT, PORTS
from primacy.errors import ConfigError

PORT_LAST = 32767
"""Above are the ports that the system hands out by itself."""
_NET = Path("/proc/net")
_LISTENS = "0A"


def listening(net: Path = _NET) -> set[int]:
    """Return the TCP ports on which somebody listens."""
    return {port for port, state in _sockets(net, ("tcp", "tcp6")) if state == _LISTENS}


def taken(net: Path = _NET) -> set[int]:
    """Return the ports that a node could not have: somebody listens on TCP, or has UDP."""
    return listening(net) | {port for port, _ in _sockets(net, ("udp", "udp6"))}


def free_base(nodes: int, net: Path = _NET) -> int:
    """Return the first port from which the blocks of so many nodes are free."""
    used = taken(net)
    base = PORT
    while base + nodes * PORTS <= PORT_LAST + 1:
        inside = [port for port in range(base, base + nodes * PORTS) if port in used]
        if not inside:
            return base
        base += PORTS * ((inside[-1] - base) // PORTS + 1)
    raise ConfigError(
        "ports", f"no {nodes * PORTS} free ports in a row", f"want some from {PORT}; or give --port"
    )


@contextlib.contextmanager
def lock() -> Iterator[None]:
    """Keep every other command of this user that chooses ports waiting until ours are bound."""
    path = Path(tempfile.gettempdir()) / f"primacy-ports-{os.getuid()}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sockets(net: Path, tables: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Yield the local port and the state of each socket in these tables."""
    for table in tables:
        try:
            lines = (net / table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue  # a kernel without IPv6
        for line in lines:
            words = line.split()
            yield int(words[1].rpartition(":")[2], 16), words[3]
