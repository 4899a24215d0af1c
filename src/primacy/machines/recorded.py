"""The record of one life of an agent: what its two machines were given, in order, and what they answered.

    file     MAGIC, then blocks
    block    length (4 bytes), digest of the payload (8 bytes), payload
    payload  the first one of a file: a `Head`; every other one: entries, each after its length (4 bytes)
    entry    [number, kind, input, effects]

Numbers begin at 0 with a life and have no gap; a life's record may be divided into several files (`Head.part`). A
machine's input and its effects stand in one entry, so that whoever reads it can give the input to a machine that began
in the same way (`Head.beginning`), and compare. A last block that is cut short is no damage: its writer was killed.

Nothing here reads or writes a file. Sets are written in order, so that the same effects are the same bytes. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, NamedTuple, Union

import msgspec

from primacy.errors import ConfigError, WireError
from primacy.machines import coordination, membership
from primacy.machines.beginning import Beginning

FORMAT = 1
MAGIC = b"primacy record\x01\n"
SUFFIX = ".record"
_DIGEST_BYTES = 8
_LENGTH_BYTES = 4
_HEAD_BYTES = _LENGTH_BYTES + _DIGEST_BYTES
_BLOCK_BYTES_MAX = 64 << 20


class Kind(IntEnum):
    """What an entry is about."""

    MONITOR = 0
    COORDINATOR = 1
    BROKEN = 2  # the step of this input broke off; instead of effects: the error
    END = 3  # the record ends here; instead of an input: why


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """First block of every file of a record.

    version: of the package. code: digest of the machines' source: with the same one, the same inputs have the same
    effects. part: number of this file of the record, from 0. first: number of its first entry. wall_ns: when the file
    was begun, for people. clock: names the clock that all `now_ns` are readings of; readings of one clock can be
    compared though they were taken by different nodes. beginning: a `Beginning`.
    """

    format: int
    version: str
    code: str
    part: int
    first: int
    wall_ns: int
    clock: str
    node: str
    incarnation: str
    beginning: msgspec.Raw


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One step of a machine."""

    number: int
    kind: int
    input: msgspec.Raw
    effects: list[msgspec.Raw]


MonitorInput = Union[tuple(membership.Input.__subclasses__())]  # type: ignore[valid-type]  # noqa: UP007
CoordinatorInput = Union[tuple(coordination.Input.__subclasses__())]  # type: ignore[valid-type]  # noqa: UP007

encode = msgspec.msgpack.Encoder(order="deterministic").encode
_head = msgspec.msgpack.Decoder(Head)
_entry = msgspec.msgpack.Decoder(Entry)
_beginning = msgspec.msgpack.Decoder(Beginning)
_inputs: dict[int, msgspec.msgpack.Decoder[Any]] = {
    Kind.MONITOR: msgspec.msgpack.Decoder(MonitorInput),
    Kind.COORDINATOR: msgspec.msgpack.Decoder(CoordinatorInput),
}
_NOT_FEED = Union[tuple(k for k in coordination.Order.__subclasses__() if k is not coordination.Feed)]  # type: ignore[valid-type]  # noqa: UP007
_effects: dict[int, msgspec.msgpack.Decoder[Any]] = {
    Kind.MONITOR: msgspec.msgpack.Decoder(membership.Effect),
    Kind.COORDINATOR: msgspec.msgpack.Decoder(_NOT_FEED),
}
_plain = msgspec.msgpack.Decoder()


def block(payload: bytes) -> bytes:
    """Return a payload as it stands in a file."""
    digest = hashlib.blake2b(payload, digest_size=_DIGEST_BYTES).digest()
    return len(payload).to_bytes(_LENGTH_BYTES, "big") + digest + payload


def joined(entries: list[bytes]) -> bytes:
    """Return the payload that holds these entries."""
    return b"".join(part for entry in entries for part in (len(entry).to_bytes(_LENGTH_BYTES, "big"), entry))


class Contents(NamedTuple):
    """What a file holds. entries: encoded. trouble: what stands after them that cannot be read; empty: nothing.

    torn: the trouble is an end that was cut short, as a killed writer leaves it.
    """

    head: Head
    entries: list[bytes]
    trouble: str
    torn: bool


def contents(data: bytes) -> Contents:
    """Return what a file of a record holds, up to the first thing that cannot be read; WireError: it is none."""
    if not data.startswith(MAGIC):
        raise WireError("it is no record of an agent (its first bytes are others)")
    payloads, trouble, torn = _payloads(data)
    if not payloads:
        raise WireError(f"its head cannot be read: {trouble or 'there is none'}")
    try:
        head = _head.decode(payloads[0])
    except (ValueError, RecursionError) as error:
        raise WireError(f"its head cannot be read: {error}") from error
    if head.format > FORMAT:
        raise WireError(f"it has format {head.format}, this version reads at most {FORMAT}")
    return Contents(head, [entry for each in payloads[1:] for entry in _divided(each)], trouble, torn)


def headless(data: bytes) -> bool:
    """Whether a file was cut short before its head was whole: its writer was killed as it began, nothing is lost."""
    rest = data[len(MAGIC) :]
    length = int.from_bytes(rest[:_LENGTH_BYTES], "big")
    return MAGIC.startswith(data[: len(MAGIC)]) and len(rest) < _HEAD_BYTES + min(length, _BLOCK_BYTES_MAX)


def _payloads(data: bytes) -> tuple[list[bytes], str, bool]:
    found: list[bytes] = []
    at = len(MAGIC)
    while at < len(data):
        length = int.from_bytes(data[at : at + _LENGTH_BYTES], "big")
        payload = data[at + _HEAD_BYTES : at + _HEAD_BYTES + length]
        ends = at + _HEAD_BYTES + length >= len(data)
        if at + _HEAD_BYTES > len(data) or (len(payload) < length <= _BLOCK_BYTES_MAX):
            return found, f"the last block is cut short at byte {len(data)}", True
        digest = hashlib.blake2b(payload, digest_size=_DIGEST_BYTES).digest()
        if length > _BLOCK_BYTES_MAX or digest != data[at + _LENGTH_BYTES : at + _HEAD_BYTES]:
            return found, f"the block at byte {at} is not what was written", ends
        found.append(payload)
        at += _HEAD_BYTES + length
    return found, "", False


def _divided(payload: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(payload):
        length = int.from_bytes(payload[at : at + _LENGTH_BYTES], "big")
        yield payload[at + _LENGTH_BYTES : at + _LENGTH_BYTES + length]
        at += _LENGTH_BYTES + length


def decode_entry(data: bytes) -> Entry:
    """Return the entry in `data`; WireError when there is none."""
    try:
        return _entry.decode(data)
    except (ValueError, RecursionError) as error:
        raise WireError(f"entry cannot be read: {error}") from error


def decode_beginning(data: bytes | msgspec.Raw) -> Beginning:
    """Return what the machines began with; WireError when this version cannot read it."""
    try:
        return _beginning.decode(data)
    except (ValueError, RecursionError, ConfigError) as error:
        raise WireError(f"what the machines began with cannot be read: {error}") from error


def decode_input(entry: Entry) -> membership.Input | coordination.Input:
    """Return the input of an entry; WireError when this version knows no such input."""
    try:
        found: membership.Input | coordination.Input = _inputs[entry.kind].decode(entry.input)
    except (ValueError, RecursionError, ConfigError, KeyError) as error:
        raise WireError(f"input {shown(entry.input)} cannot be read: {error}") from error
    return found


def decode_effect(kind: int, effect: msgspec.Raw) -> membership.Effect | coordination.Effect | None:
    """Return an effect; None for a `Feed`, which is an input too; WireError when this version knows no such effect."""
    try:
        found: membership.Effect | coordination.Effect | None = _effects[kind].decode(effect)
    except (ValueError, RecursionError, ConfigError, KeyError) as error:
        if shown(effect).startswith("Feed("):
            return None
        raise WireError(f"effect {shown(effect)} cannot be read: {error}") from error
    return found


_NAMES = {
    kind.__name__: kind.__struct_fields__
    for module in (coordination, membership)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
}


def shown(encoded: bytes | msgspec.Raw) -> str:
    """Return an input or effect as a reader sees it: `Grant(term=3, until_ns=0)`, of whatever version it is."""
    try:
        plain = _plain.decode(encoded)
    except (ValueError, RecursionError):
        return "what cannot be read"
    if not isinstance(plain, list) or not plain or not isinstance(plain[0], str):
        return repr(plain)
    names = [*_NAMES.get(plain[0], ()), *(f"field {n}" for n in range(len(plain)))]
    fields = ", ".join(f"{name}={_inner(value)}" for name, value in zip(names, plain[1:], strict=False))
    return f"{plain[0]}({fields})"


def text(encoded: msgspec.Raw) -> str:
    """Return the words of an entry that has no input or effect."""
    try:
        return str(_plain.decode(encoded))
    except (ValueError, RecursionError):
        return "what cannot be read"


def _inner(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], str) and value[0][:1].isupper():
        return f"{value[0]}({', '.join(_inner(each) for each in value[1:])})"
    return repr(value)
