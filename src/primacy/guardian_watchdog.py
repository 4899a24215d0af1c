"""The watchdog: a device that resets the machine when nobody feeds it.

The guardian opens it before it starts the agent, and feeds it only while the agent says that its loop turns. So a
machine whose agent or guardian is stuck, stopped or starved is reset, instead of holding on to what it has: after the
silence that the agent itself has announced, and then the device's own time-out. A new agent has the same silence to
say its first word; only the first one of all has `FIRST_SILENCE_S`.

An end at which every process of the node is dead disarms the device, by the letter V (the kernel's "magic close"; a
driver built with `nowayout` ignores it). An end with processes that cannot be killed does not: then the reset is the
only way to end them. Nor does the death of the guardian.

Never blocks: the device is opened so, and what it does not take is reported once and tried again. The time-out is
set where the device answers (linux/watchdog.h); standard library only.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable

from primacy.errors import ConfigError

FIRST_SILENCE_S = 30.0
FEEDINGS = 4  # in a time-out, so that one or two may be late
INTERVAL_S_MIN, INTERVAL_S_DEFAULT = 0.25, 1.0

_WDIOC_SETTIMEOUT = 0xC0045706  # _IOWR('W', 6, int)
_S = 1_000_000_000


class Watchdog:
    """One open device. `timeout_s`: what the device has set; 0: its own, which cannot be told."""

    def __init__(self, path: str, timeout_s: int, now_ns: int, say: Callable[[str], None]) -> None:
        """Open and arm the device. Raises `ConfigError` when there is none that can be fed."""
        self._path, self._say = path, say
        self._fd = _open(path)
        self.timeout_s = _set_timeout(self._fd, timeout_s)
        interval_s = max(INTERVAL_S_MIN, self.timeout_s / FEEDINGS) if self.timeout_s else INTERVAL_S_DEFAULT
        self._interval_ns = int(interval_s * _S)
        self._heard_ns, self._silence_ns = now_ns, int(FIRST_SILENCE_S * _S)
        self._starving = self._failing = False
        self.due_ns = now_ns

    def __str__(self) -> str:
        return f"{self._path}, time-out {f'{self.timeout_s} s' if self.timeout_s else 'of its own'}"

    def heard(self, now_ns: int, silence_s: float) -> None:
        """The agent's loop turns, and it will say so again within `silence_s`."""
        self._heard_ns, self._silence_ns = now_ns, int(silence_s * _S)
        if self._starving:
            self._starving = False
            self._say("the agent beats again: the watchdog is fed again")
            self.due_ns = now_ns

    def feed_due(self, now_ns: int) -> None:
        """Feed the device if it is time, and the agent has not been silent for too long."""
        if now_ns < self.due_ns:
            return
        self.due_ns = now_ns + self._interval_ns
        if now_ns - self._heard_ns <= self._silence_ns:
            self._write(b"\0")
        elif not self._starving:
            self._starving = True
            silent_s = (now_ns - self._heard_ns) / _S
            within = f"{self.timeout_s} s" if self.timeout_s else "the device's time-out"
            self._say(
                f"the agent has been silent for {silent_s:.1f} s: the watchdog is fed no more, and resets the machine"
                f" within {within} unless the agent beats again"
            )

    def close(self, disarm: bool) -> None:
        """Let go of the device; without `disarm` it resets the machine."""
        if disarm:
            self._write(b"V")
        os.close(self._fd)

    def _write(self, food: bytes) -> None:
        try:
            os.write(self._fd, food)
        except OSError as error:
            if not self._failing:
                self._failing = True
                self._say(f"the watchdog {self._path} does not take what it is fed: {error.strerror}")
        else:
            self._failing = False


def _open(path: str) -> int:
    want = "wanted: a watchdog device that this process may write to, as /dev/watchdog"
    try:
        kind = os.stat(path).st_mode
        if not (stat.S_ISCHR(kind) or stat.S_ISFIFO(kind)):  # a file would only grow
            raise ConfigError("watchdog", path, f"{want} (it is no device)")
        return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        why = "another program feeds it" if error.errno == errno.EBUSY else error.strerror
        raise ConfigError("watchdog", path, f"{want} ({why})") from None


def _set_timeout(fd: int, timeout_s: int) -> int:
    """Return the time-out that the device has set; 0 if it sets none."""
    argument = bytearray(struct.pack("i", timeout_s))
    try:
        fcntl.ioctl(fd, _WDIOC_SETTIMEOUT, argument)
    except OSError:
        return 0
    return int(struct.unpack("i", argument)[0])
