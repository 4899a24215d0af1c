"""Bytes that are the same for equal values, in whatever order their dicts and sets were filled.

MessagePack keeps the order of a dict, and that of a set depends on its history; a state that was restored from a
snapshot may iterate differently from the one that it was taken of. For digests alone: nothing reads these bytes back.
"""

from __future__ import annotations

from typing import Any

import msgspec

_encode = msgspec.msgpack.Encoder().encode
_encode_in_order = msgspec.msgpack.Encoder(order="deterministic").encode


def canonical(value: Any) -> bytes:
    """Return the canonical bytes of a value that msgspec can encode."""
    try:
        return _encode_in_order(value)
    except TypeError:  # it sorts dicts with keys of type str only, and sets of one type
        return _encode(_ordered(value))


def _ordered(value: Any) -> Any:
    """Return the value with each dict and set as a sorted list of encoded items."""
    if isinstance(value, dict):
        return sorted((_encode(_ordered(key)), _encode(_ordered(each))) for key, each in value.items())
    if isinstance(value, set | frozenset):
        return sorted(_encode(_ordered(each)) for each in value)
    if isinstance(value, list | tuple):
        return [_ordered(each) for each in value]
    if isinstance(value, msgspec.Struct):
        return [type(value).__name__, *(_ordered(getattr(value, name)) for name in value.__struct_fields__)]
    return value
