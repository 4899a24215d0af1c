"""The service of the simulated cluster: named logs, to which clients append names that are never used twice.

`append(key, name)` and `read(key)` return (length, last), as `linearizability.Log` expects. So a name that is
lost, doubled or in another order shows in every later result.
"""

from __future__ import annotations

import msgspec

from primacy.machines.call_wire import DONE
from primacy.machines.replica import Replica
from primacy.machines.session import Reply


class Append(msgspec.Struct, frozen=True, array_like=True):
    """Arguments of `append`."""

    key: str
    name: str


class Result(msgspec.Struct, frozen=True, array_like=True):
    """What both operations return: how many names the log holds, and the last one."""

    length: int
    last: str


encode = msgspec.msgpack.Encoder().encode
_append = msgspec.msgpack.Decoder(Append)
_result = msgspec.msgpack.Decoder(Result)
_state = msgspec.msgpack.Decoder(dict[str, list[str]])
_sorted = msgspec.msgpack.Encoder(order="sorted").encode


class Logbook:
    """A `primacy.machines.replica.Model`."""

    def __init__(self) -> None:
        self.logs: dict[str, list[str]] = {}
        self.names: set[str] = set()
        self.doubled: list[str] = []

    def prepare(self, operation: str, arguments: bytes) -> Append | str:
        """Return the arguments of an append."""
        return _append.decode(arguments) if operation == "append" else f"no operation {operation}"

    def execute(self, prepared: Append, replica: Replica, session: int) -> Reply:
        """Append the name; a name that is there already is noted as doubled."""
        log = self.logs.setdefault(prepared.key, [])
        log.append(prepared.name)
        if prepared.name in self.names:
            self.doubled.append(prepared.name)
        self.names.add(prepared.name)
        return DONE, encode(Result(len(log), prepared.name))

    def read(self, key: str) -> bytes:
        """Return the encoded result of a read."""
        log = self.logs.get(key, [])
        return encode(Result(len(log), log[-1] if log else ""))

    def snapshot(self) -> bytes:
        """Return the state, whole."""
        return encode(self.logs)

    def digest(self) -> bytes:
        """Return bytes that are the same for the same state."""
        return _sorted(self.logs)

    def restore(self, snapshot: bytes) -> None:
        """Replace the state."""
        self.logs = _state.decode(snapshot)
        names = [name for log in self.logs.values() for name in log]
        self.names = set(names)
        if len(names) != len(self.names):
            self.doubled = sorted({name for name in names if names.count(name) > 1})


def decode(payload: bytes) -> tuple[int, str]:
    """Return the (length, last) of a reply."""
    result = _result.decode(payload)
    return result.length, result.last
