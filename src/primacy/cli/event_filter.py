"""Which events `primacy events` shows. Pure, but for the clock that a duration is counted from, which is given."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from primacy.errors import ConfigError
from primacy.machines import events
from primacy.machines.ids import SECOND, Function
from primacy.machines.timeline import Event, inner, kind_of, term_of

_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
KINDS = sorted(kind.__name__ for kind in events.Event.__args__)


@dataclass(frozen=True)
class Filter:
    """All that is set must hold. details: show what the story leaves out, too."""

    node: str | None = None
    service: str | None = None
    function: str | None = None
    kinds: frozenset[str] = frozenset()
    term: int | None = None
    since_ns: int | None = None
    details: bool = False

    def takes(self, event: Event, told: bool) -> bool:
        """Whether to show this event; `told`: the story tells it.

        Whoever asks for one service, one function or a kind of event wants all of that.
        """
        narrow = self.service is not None or self.function is not None or bool(self.kinds)
        return (
            (told or self.details or narrow)
            and self.node in (None, event["node"])
            and (self.service is None or self.service in services_of(event))
            and self.function in (None, inner(event).get("function"))
            and (not self.kinds or kind_of(event) in self.kinds)
            and self.term in (None, term_of(event))
            and (self.since_ns is None or event["wall_ns"] >= self.since_ns)
        )


def services_of(event: Event) -> list[str]:
    """Return the services that an event names."""
    said = inner(event)
    several = said.get("services")
    named = [said.get("service"), *(several if isinstance(several, list) else [])]
    return [name for name in named if isinstance(name, str)]


def kinds_named(words: Sequence[str]) -> frozenset[str]:
    """Return the kinds of events that these words mean, whatever their case; ConfigError names all that there are."""
    known = {kind.lower(): kind for kind in KINDS}
    for word in words:
        if word.lower() not in known:
            raise ConfigError("--kind", repr(word), f"want one of {', '.join(KINDS)}")
    return frozenset(known[word.lower()] for word in words)


def function_named(word: str | None) -> str | None:
    """Return the function; ConfigError names all that there are."""
    if word is not None and word not in list(Function):
        raise ConfigError("--function", repr(word), f"want one of {', '.join(Function)}")
    return word


def one_of(option: str, word: str | None, known: Sequence[str]) -> str | None:
    """Return the word if it is known; ConfigError says what is."""
    if word is not None and word not in known:
        raise ConfigError(
            option, repr(word), f"want one of {', '.join(known) or 'those that there are: none yet'}"
        )
    return word


def moment(word: str | None, now_ns: int) -> int | None:
    """Return the wall clock that `--since` means: so long before now (`10m`, `1h30m`), or a time in ISO 8601."""
    if word is None:
        return None
    parts = _PART.findall(word)
    if parts and "".join(number + unit for number, unit in parts) == word:
        return now_ns - int(sum(float(number) * _UNITS_S[unit] for number, unit in parts) * SECOND)
    try:
        return int(datetime.fromisoformat(word).astimezone().timestamp() * SECOND)
    except (ValueError, OverflowError, OSError):
        want = (
            "a duration (90s, 10m, 1h30m, 2d) or a time in ISO 8601 (2026-11-22T20:15:00, or with an offset)"
        )
        raise ConfigError("--since", repr(word), f"want {want}") from None
