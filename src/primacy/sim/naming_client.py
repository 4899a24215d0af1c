"""A simulated client of naming: what a name is bound to is a cell, whose changes are numbered.

It binds names anew, sometimes for as long as its session, unbinds them and releases what it owns; it resolves them and
lists them. A listing counts as a read of one name in it. It watches names, always.
"""

from __future__ import annotations

from typing import Any

import msgspec

from primacy.machines.call_wire import DONE, RAISED
from primacy.machines.ids import FOREVER_NS
from primacy.machines.naming import SESSION, Change, Listed, Page
from primacy.machines.replica import Published
from primacy.sim.client import Client, Operation
from primacy.sim.linearizability import Record
from primacy.sim.settings import NAMING

FOLDER = "shop/"
UNBINDS, LISTS = 0.1, 0.2
"""Shares of the changes and of the looks of clients with manners that tie names."""

_encode = msgspec.msgpack.Encoder().encode
_version = msgspec.msgpack.Decoder(int)
_listed = msgspec.msgpack.Decoder(Listed)
_page = msgspec.msgpack.Decoder(Page)
_change = msgspec.msgpack.Decoder(Change)


class NamingClient(Client):
    """One client of naming."""

    service = NAMING
    change, look = "write", "read"
    topics = ("", "", FOLDER, f"{FOLDER}x")

    def _watches(self) -> bool:
        """Whether it watches."""
        return True

    def _packed(self, key: str, argument: str | None) -> tuple[str, bytes]:
        """Return the method of the service and its arguments."""
        name, tied = FOLDER + key, self.manners.tied
        if argument is None:
            if tied and self.random.random() < LISTS:
                prefix, recursive = self.random.choice(((name, True), ("", True), (FOLDER[:-1], False)))
                return "listing", _encode({"prefix": prefix, "recursive": recursive})
            return "resolve", _encode({"name": name})
        if tied and self.random.random() < UNBINDS:
            return "unbind", _encode({"name": name})
        lifetime = SESSION if tied and self.random.random() < tied else None
        return "rebind", _encode({"name": name, "endpoint": argument, "lifetime": lifetime})

    def _learned(self, operation: Operation, method: str, outcome: int, payload: bytes) -> Any:
        """Return what the history says of an answer: a change's number, what is bound with its number."""
        if method == "unbind":
            operation.argument = None
            if outcome == RAISED:  # it was bound to nothing: that was a look
                operation.name = "read"
                return 0, None
        if operation.name == "write":
            assert outcome == DONE, (method, outcome, payload)
            return _version.decode(payload)
        if outcome == RAISED:
            return 0, None
        if method == "listing":
            found = [each for each in _page.decode(payload).entries if each.name == FOLDER + operation.key]
            return (found[0].version, found[0].endpoint) if found else (0, None)
        listed = _listed.decode(payload)
        return listed.version, listed.endpoint


def bound(events: list[Published]) -> dict[str, int]:
    """Return the number of each change that has bound something, by what was bound."""
    changes = [_change.decode(event.payload) for event in events]
    return {change.binding.endpoint: change.version for change in changes if change.binding is not None}


def unbound(events: list[Published], known: set[tuple[str, int]]) -> list[Record]:
    """Return the changes by which names were unbound, but for those known: the others no client was told of."""
    found = []
    for change in [_change.decode(event.payload) for event in events]:
        key = change.name.removeprefix(FOLDER)
        if change.binding is None and (key, change.version) not in known:
            found.append(Record("naming", key, "write", None, 0, FOREVER_NS, change.version))
    return found
