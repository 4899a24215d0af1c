"""What every event has in common, apart from the events, so that they may stand in more than one file."""

from __future__ import annotations

import msgspec


class Base(msgspec.Struct, frozen=True, tag_field="event", tag=True, kw_only=True):
    """Base of all events; `term` is the mastership in which it happened (0 = none known)."""

    term: int = 0

    def sentence(self) -> str:
        """Return the event in words."""
        raise AssertionError(f"{type(self).__name__} has no sentence")
