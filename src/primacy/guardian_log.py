"""The guardian's log: single lines to standard error, never blocking.

A log that nobody reads (a full pipe, a stopped terminal) must not stop the process that proves deaths: what
cannot be written at once is dropped and counted, and the next line that can be written says how many were
lost. Pipes and terminals are opened anew for that, because the non-blocking flag of an inherited descriptor
belongs to the children as well. Standard library only.
"""

from __future__ import annotations

import os
import socket
import stat

LINE_BYTES_MAX = 1024


class Log:
    """Writes lines that begin with `prefix` to the descriptor `fd`."""

    def __init__(self, prefix: str, fd: int = 2) -> None:
        self._prefix = prefix
        self._fd = self._inherited_fd = fd
        self._socket: socket.socket | None = None
        self.lost_count = 0
        kind = os.fstat(fd).st_mode
        try:
            if stat.S_ISSOCK(kind):
                self._socket = socket.socket(fileno=os.dup(fd))
            elif stat.S_ISFIFO(kind) or stat.S_ISCHR(kind):
                self._fd = os.open(
                    f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
                )
        except OSError:
            pass  # another user's terminal, or no /proc: the inherited descriptor has to do

    def close(self) -> None:
        """Close what was opened here; the inherited descriptor stays open."""
        if self._socket is not None:
            self._socket.close()
        elif self._fd != self._inherited_fd:
            os.close(self._fd)

    def say(self, text: str) -> None:
        """Write one line; line breaks in `text` become spaces."""
        lost = f" ({self.lost_count} lines lost)" if self.lost_count else ""
        line = " ".join(f"{self._prefix}{lost}: {text}".split())
        data = line.encode("utf-8", "replace")[: LINE_BYTES_MAX - 1] + b"\n"
        try:
            if self._socket is not None:
                self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            else:
                os.write(self._fd, data)
        except OSError:
            self.lost_count += 1
        else:
            self.lost_count = 0
