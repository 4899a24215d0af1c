"""Where two states of a service differ, in words; and a state with its sets in another order.

A set's order is not part of its value: it follows from hashes and from what the set has been through, so a replica that
was restored from a snapshot may see another one. Whoever reads it in an operation is not deterministic.
"""

from __future__ import annotations

from typing import Any

import msgspec

_TEXT_MAX = 200
_REBUILT_MAX = 1_000
_PLAIN = (dict, list, set, tuple, str, bytes, int, float, type(None))
_decode = msgspec.msgpack.Decoder().decode


def difference(where: str, one: Any, other: Any) -> tuple[str, str, str] | None:
    """Return (where, this, that) of the first part in which they differ, or None."""
    if isinstance(one, msgspec.Struct) and type(one) is type(other):
        for name in one.__struct_fields__:
            found = difference(f"{where}.{name}", getattr(one, name), getattr(other, name))
            if found is not None:
                return found
        return None
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *(key for key in other if key not in one)]:
            if key not in one or key not in other:
                return f"{where}[{key!r}]", brief(one, key), brief(other, key)
            found = difference(f"{where}[{key!r}]", one[key], other[key])
            if found is not None:
                return found
        return None
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        for index, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            found = difference(f"{where}[{index}]", mine, theirs)
            if found is not None:
                return found
        return None
    if isinstance(one, set | frozenset) and isinstance(other, set | frozenset):
        return None if one == other else (where, _more(one - other), _more(other - one))
    return None if one == other else (where, repr(one)[:_TEXT_MAX], repr(other)[:_TEXT_MAX])


def beside(one: Any, other: Any, mine: str, theirs: str) -> str:
    """Say which plain attributes beside the state two objects of a service have with different values."""
    found = []
    for name, value in vars(one).items():
        if name == "state" or name not in vars(other) or not isinstance(value, _PLAIN):
            continue
        part = difference(name, value, vars(other)[name])
        if part is not None:
            found.append(f"self.{part[0]} is {part[1]} {mine}, {part[2]} {theirs}")
    return f"beside the state, {'; '.join(found)}" if found else ""


def brief(of: dict[Any, Any], key: Any) -> str:
    """Return an item's text, or that there is none."""
    return repr(of[key])[:_TEXT_MAX] if key in of else "nothing"


def _more(elements: set[Any] | frozenset[Any]) -> str:
    """Return what a set has and the other one has not."""
    return f"with {', '.join(sorted(map(repr, elements))[:5])}" if elements else "without"


def same(one: bytes, other: bytes) -> bool:
    """Say whether two encoded values are equal; lists may be in another order (a set is encoded as one)."""
    if one == other:
        return True
    if not one or not other:
        return False
    mine, theirs = _decode(one), _decode(other)
    return bool(mine == theirs) or bool(_unordered(mine) == _unordered(theirs))


def _unordered(value: Any) -> Any:
    if isinstance(value, list):
        return sorted((_unordered(each) for each in value), key=repr)
    if isinstance(value, dict):
        return {key: _unordered(each) for key, each in value.items()}
    return value


def reorder_sets(value: Any) -> Any:
    """Return the value with each set in it rebuilt, so that it most likely iterates in another order."""
    if isinstance(value, set):
        return _rebuilt(value)
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            old = getattr(value, name)
            new = reorder_sets(old)
            if new is not old:
                msgspec.structs.force_setattr(value, name, new)
    elif isinstance(value, dict):
        for key, each in list(value.items()):
            value[key] = reorder_sets(each)
    elif isinstance(value, list):
        value[:] = [reorder_sets(each) for each in value]
    return value


def _rebuilt(value: set[Any]) -> set[Any]:
    """Return an equal set in a larger table (which it keeps), most likely with another element as its first."""
    rebuilt = value
    for times in (8, 64, 512):
        fillers = [object() for _ in range(64 + times * len(value))]
        rebuilt = {*fillers, *value}
        rebuilt.difference_update(fillers)
        if len(value) < 2 or len(value) > _REBUILT_MAX or next(iter(rebuilt)) != next(iter(value)):
            break
    return rebuilt
