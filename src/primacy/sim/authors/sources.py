"""Which calls of an operation's code give something that no other replica would get: the clock, chance, the system.

They are looked for while an operation is executed once more, by the interpreter's profile hook, so that a clock that is
read in whole days is found, too. What a log line asks the clock for does not count, nor what is called when garbage is
collected: no garbage is collected meanwhile.
"""

from __future__ import annotations

import datetime
import gc
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_CLOCKS = frozenset(
    {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "localtime", "gmtime"}
)
_SYSTEM = frozenset({"urandom", "getrandom", "getpid", "times", "uname", "listdir", "scandir", "stat"})
_DATES = frozenset({"now", "utcnow", "today"})
_GLOBAL_RANDOM: Any = getattr(random.random, "__self__", None)
_UNHEARD = ("logging", "warnings")


@contextmanager
def watched() -> Iterator[list[str]]:
    """Collect, in words, what the code within asks of the world; nothing while another profiler is at work."""
    found: list[str] = []
    if sys.getprofile() is not None:
        yield found
        return

    def look(frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call":
            name = _source(argument)
            if name and str(frame.f_globals.get("__name__", "")).partition(".")[0] not in _UNHEARD:
                sentence = f"{name}() in {_place(frame)}"
                if sentence not in found:
                    found.append(sentence)

    collects = gc.isenabled()
    gc.disable()
    sys.setprofile(look)
    try:
        yield found
    finally:
        sys.setprofile(None)
        if collects:
            gc.enable()


def _source(function: Any) -> str:
    """Return the name of a built-in function that tells replicas apart, or nothing."""
    name, module = getattr(function, "__name__", ""), getattr(function, "__module__", None)
    owner = getattr(function, "__self__", None)
    if module == "time" and name in _CLOCKS:
        return f"time.{name}"
    if module == "posix" and name in _SYSTEM:
        return f"os.{name}"
    if owner is _GLOBAL_RANDOM and owner is not None:
        return f"random.{name}"
    if name in _DATES and isinstance(owner, type) and issubclass(owner, datetime.date):
        return f"{owner.__name__}.{name}"
    return ""


def _place(frame: FrameType) -> str:
    """The place in the caller's code: the nearest that is not of the standard library's random and the like."""
    here: FrameType | None = frame
    while here is not None and here.f_globals.get("__name__") in ("random", "uuid", "secrets", "tempfile"):
        here = here.f_back
    here = here or frame
    return f"{here.f_code.co_filename}:{here.f_lineno}"
