"""A hint that a file was written, from the kernel (inotify(7)), so that nobody needs to look all the time.

It is only a hint: it may come early (before the writer has finished), twice, or, on a system without inotify
or with all its watches used up, never. So whoever uses it looks at the truth itself, and looks now and then
without being told.

The file itself is never opened here: closing any descriptor of a file drops the POSIX locks that the
process holds on it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from typing import Final

_IN_MODIFY: Final = 0x2


class WriteNotice:
    """Becomes readable (`fileno`) when the file that was at `path` at this moment is written.

    Raises OSError where the system cannot do it.
    """

    def __init__(self, path: str) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        if not hasattr(library, "inotify_init1"):
            raise OSError("this system has no inotify")
        self._file = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        if library.inotify_add_watch(self._file, os.fsencode(path), _IN_MODIFY) < 0:
            number = ctypes.get_errno()
            self.close()
            raise OSError(number, os.strerror(number), path)

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return int(self._file)

    def drain(self) -> None:
        """Forget the hints that have come."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._file, 4096):
                pass

    def close(self) -> None:
        """Release the descriptor."""
        os.close(self._file)
