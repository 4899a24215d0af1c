"""A value of any type that our structs use, every field filled: for tests that run over whole unions of messages."""

from __future__ import annotations

import types
import typing
from typing import Any

import msgspec
from msgspec import inspect


def members(union: Any) -> list[type[msgspec.Struct]]:
    """The struct types of a union (or of one type)."""
    return list(typing.get_args(union)) if isinstance(union, types.UnionType) else [union]


def sample(of: Any) -> Any:
    """A value of the type, the same each time, with nothing left at its default."""
    return _value(inspect.type_info(of))


def _value(kind: inspect.Type) -> Any:
    match kind:
        case inspect.StructType():
            return kind.cls(**{field.name: _value(field.type) for field in kind.fields})
        case inspect.UnionType():
            return _value(next(each for each in kind.types if not isinstance(each, inspect.NoneType)))
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType() | inspect.FrozenSetType():
            made = [_value(kind.item_type)]
            if isinstance(kind, inspect.SetType | inspect.FrozenSetType):
                return frozenset(made)
            return made if isinstance(kind, inspect.ListType) else tuple(made)
        case inspect.TupleType():
            return tuple(_value(each) for each in kind.item_types)
        case inspect.DictType():
            return {_value(kind.key_type): _value(kind.value_type)}
        case inspect.EnumType():
            return next(iter(kind.cls))
        case inspect.LiteralType():
            return kind.values[0]
        case inspect.BoolType():
            return True
        case inspect.IntType():
            return 7
        case inspect.FloatType():
            return 0.5
        case inspect.StrType() | inspect.AnyType():
            return "text"
        case inspect.BytesType():
            return b"bytes"
        case inspect.RawType():
            return msgspec.Raw(msgspec.msgpack.encode("raw"))
    raise AssertionError(f"no sample of {kind}")
