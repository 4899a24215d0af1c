"""Makes whole what clients learned: calls of which they never learned an end are settled by what the service holds.

A client that ran out of time, that was closed or that died does not know whether its call was carried out. It may have
been, at any time since, or never; but at the end of a run the service itself tells which. So each such call becomes
one with an end that is open and a result that is known, or is left out: the search for an order stays short, and what
was read of a call that the service does not hold fits into no order.

A call that its client was told was *not* carried out must not have been.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from primacy.machines.ids import FOREVER_NS
from primacy.sim.linearizability import Record


class Versions:
    """A cell whose writes are numbered by the service: (number, value), and (0, None) while there is none.

    `write` takes (the number before, its own, value).
    """

    initial: Hashable = (0, None)
    reads = frozenset({"read"})

    def apply(self, state: Hashable, operation: str, argument: Any) -> tuple[Hashable, Any]:
        """Return the state after the operation, and its result; a write out of its turn has none that fits."""
        assert isinstance(state, tuple)
        if operation == "read":
            return state, state if state[1] is not None else (0, None)
        before, number, value = argument
        return ((number, value), number) if state[0] == before else (state, None)


def settled(records: Iterable[Record], results: Mapping[Any, Any], read: str) -> list[Record]:
    """Return the history. results: by argument, what a change came to that the service holds; read: changes nothing."""
    whole: list[Record] = []
    for record in records:
        if record.completed_ns is not None:
            whole.append(record)
        elif record.operation != read and record.argument in results:
            result = results[record.argument]
            whole.append(msgspec.structs.replace(record, completed_ns=FOREVER_NS, result=result))
    return whole


def numbered(records: Sequence[Record]) -> list[Record]:
    """Return the history as `Versions` takes it: a write's number is its result, and the one before is its key's."""
    numbers: dict[str, list[int]] = {}
    for record in records:
        if record.operation == "write":
            numbers.setdefault(record.key, []).append(record.result)
    before: dict[tuple[str, int], int] = {}
    for key, given in numbers.items():
        ordered = sorted(given)
        before.update({(key, number): earlier for earlier, number in pairwise([0, *ordered])})
    return [
        msgspec.structs.replace(r, argument=(before[r.key, r.result], r.result, r.argument))
        if r.operation == "write"
        else r
        for r in records
    ]


def carried_out(refused: Iterable[Record], results: Mapping[Any, Any]) -> str:
    """Return the first call that its client was told was not carried out, although the service holds it."""
    for record in refused:
        if record.argument in results:
            return f"{record.sentence()}: told as not carried out, and the service holds it: {results[record.argument]}"
    return ""
