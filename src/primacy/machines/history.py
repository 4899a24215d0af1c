"""The description of a log: which term wrote which entries, and up to where two logs are the same.

An *entry* is identified by (term, sequence): sequences are 1, 2, ... without a gap, terms ascend, and the
same sequence under another term is another content. A *run* (term, first, last) says which sequences one term
wrote. The runs of a log describe it whole, from the first entry on; they are never forgotten, even where a
snapshot has replaced the entries (there is one for each term that wrote something).
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

Run = tuple[int, int, int]


class Batch(Struct, frozen=True, gc=False):
    """Entries `first`..`last` of one term; `payload` holds them (bytes in production)."""

    term: int
    first: int
    last: int
    payload: Any


def last_of(runs: list[Run]) -> tuple[int, int]:
    """Return (term, sequence) of the last entry; (0, 0) of an empty log."""
    return (runs[-1][0], runs[-1][2]) if runs else (0, 0)


def extend(runs: list[Run], term: int, first: int, last: int) -> None:
    """Append entries `first`..`last` of `term` to `runs`, in place; they must follow the last entry."""
    last_term, sequence = last_of(runs)
    assert sequence + 1 == first <= last, f"entries {first}..{last} do not follow {sequence}"
    assert term >= last_term, f"an entry of term {term} after term {last_term}"
    if last_term == term and runs:
        runs[-1] = (term, runs[-1][1], last)
    else:
        runs.append((term, first, last))


def cut(runs: list[Run], to: int) -> list[Run]:
    """Return the part of `runs` that ends with sequence `to`."""
    return [(term, first, min(last, to)) for term, first, last in runs if first <= to]


def common_prefix(mine: list[Run], theirs: list[Run]) -> int:
    """Return the last sequence up to which both logs hold the same (term, sequence) everywhere."""
    common = 0
    for (my_term, my_first, my_last), (term, first, last) in zip(mine, theirs, strict=False):
        if (my_term, my_first) != (term, first):
            break
        common = min(my_last, last)
        if my_last != last:
            break
    return common
