"""The rules of the naming service: what a name is, who owns a binding, what a listing holds.  Pure.

A name is a path (`shop/till/1`) bound to an endpoint and attributes.  A binding lives until it is unbound,
or as long as its owner: the client's session that bound it, or a node.  Any name may be bound, whether or
not there are names below it; a *directory* is merely what has names below it.

Invariants of `Bindings`: `names` holds the keys of `bindings` in order; `owned` holds exactly the names
that have an owner, under it; `version` is that of the last change, and every binding's is at most that.
Functions that refuse return the reason and have changed nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections.abc import Iterable

from msgspec import Struct

NAME_LENGTH_MAX = 255
DEPTH_MAX = 16
SEGMENT_LENGTH_MAX = 64
ENDPOINT_LENGTH_MAX = 255
ATTRIBUTES_MAX = 32
ATTRIBUTE_KEY_LENGTH_MAX = 64
ATTRIBUTE_VALUE_LENGTH_MAX = 1024
BINDINGS_MAX = 40_000
"""So many are encoded in 8 ms: a snapshot must not stop the primary for longer than 10 ms."""
ENTRIES_MAX = 500
"""Bindings that one `bind_many` may bring, and entries of one page of a listing."""
PAGE_BYTES_MAX = 512 << 10

SESSION = "session"
NODE = "node:"

_SEGMENT = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9._~:@+*-]{{0,{SEGMENT_LENGTH_MAX - 1}}}")
_UNPRINTABLE = re.compile(r"[\s\x00-\x1f\x7f]")


class Entry(Struct, frozen=True):
    """What is bound: as it is asked for."""

    name: str
    endpoint: str
    attributes: dict[str, str] = {}
    lifetime: str | None = None  # None: until unbound | session | node:ID


class Binding(Struct, frozen=True, array_like=True):
    """What a name is bound to."""

    endpoint: str
    attributes: dict[str, str]
    lifetime: str | None
    session: int  # the owner, with lifetime `session`; else 0
    version: int  # the sequence of the operation that bound it

    def owner(self) -> str:
        """Return the owner's key in `Bindings.owned`, or ""."""
        return f"session:{self.session}" if self.session else self.lifetime or ""


class Bindings(Struct):
    """All bindings: the service's replicated state."""

    bindings: dict[str, Binding] = {}
    names: list[str] = []
    owned: dict[str, dict[str, bool]] = {}  # owner to its names (a dict keeps their order on every replica)
    version: int = 0


class Listed(Struct, frozen=True):
    """One entry of a listing; an unbound directory has version 0 and no endpoint."""

    name: str
    endpoint: str
    attributes: dict[str, str]
    lifetime: str | None
    version: int
    directory: bool  # there are names below it (told in listings that are not recursive)


class Page(Struct, frozen=True):
    """A part of a listing: in order; `after` continues it ("" = this was the last); as of `version`."""

    entries: list[Listed]
    version: int
    after: str


class Change(Struct, frozen=True):
    """What watchers are told: the name is bound to this from `version` on, or (None) to nothing."""

    name: str
    version: int
    binding: Binding | None


# ---- what may be bound ----


def check_name(name: str) -> str:
    """Return why this cannot be a name, or ""."""
    if not name:
        return "a name is empty"
    if len(name) > NAME_LENGTH_MAX:
        return f"name {name[:40]!r}...: {len(name)} characters, at most {NAME_LENGTH_MAX} are allowed"
    segments = name.split("/")
    if len(segments) > DEPTH_MAX:
        return f"name {name!r}: {len(segments)} levels, at most {DEPTH_MAX} are allowed"
    for segment in segments:
        if not segment:
            return f"name {name!r}: an empty part; write it as a/b/c, without '/' at its ends"
        if len(segment) > SEGMENT_LENGTH_MAX:
            return f"name {name!r}: part {segment!r} is longer than {SEGMENT_LENGTH_MAX} characters"
        if not _SEGMENT.fullmatch(segment):
            return f"name {name!r}: part {segment!r}: letters, digits, and after the first also ._~:@+*-"
    return ""


def check_prefix(prefix: str) -> str:
    """Return why this cannot be what a listing or watch begins with, or ""."""
    return check_name(prefix) if prefix else ""


def check_entry(entry: Entry) -> str:
    """Return why this cannot be bound, or ""."""
    if reason := check_name(entry.name):
        return reason
    where = f"name {entry.name!r}"
    if len(entry.endpoint) > ENDPOINT_LENGTH_MAX or _UNPRINTABLE.search(entry.endpoint):
        limit = f"at most {ENDPOINT_LENGTH_MAX} characters, without spaces"
        return f"{where}: endpoint {entry.endpoint[:40]!r}: {limit}"
    if len(entry.attributes) > ATTRIBUTES_MAX:
        return f"{where}: {len(entry.attributes)} attributes, at most {ATTRIBUTES_MAX} are allowed"
    for key, value in entry.attributes.items():
        if not key or len(key) > ATTRIBUTE_KEY_LENGTH_MAX or _UNPRINTABLE.search(key):
            return (
                f"{where}: attribute {key[:40]!r}: 1 to {ATTRIBUTE_KEY_LENGTH_MAX} characters, without spaces"
            )
        if len(value) > ATTRIBUTE_VALUE_LENGTH_MAX:
            limit = f"at most {ATTRIBUTE_VALUE_LENGTH_MAX} characters"
            return f"{where}: attribute {key!r}: its value has {len(value)}; {limit}"
    lifetime = entry.lifetime
    if lifetime not in (None, SESSION) and not (lifetime.startswith(NODE) and len(lifetime) > len(NODE)):
        return f"{where}: lifetime {lifetime!r}: None, 'session' or 'node:ID'"
    return ""


# ---- changes ----


def put(state: Bindings, entry: Entry, session: int, version: int) -> Change:
    """Bind a name, replacing what it is bound to."""
    remove(state, entry.name, version)
    owner = session if entry.lifetime == SESSION else 0
    binding = Binding(entry.endpoint, entry.attributes, entry.lifetime, owner, version)
    state.bindings[entry.name] = binding
    if not state.names or state.names[-1] < entry.name:
        state.names.append(entry.name)
    else:
        insort(state.names, entry.name)
    if key := binding.owner():
        state.owned.setdefault(key, {})[entry.name] = True
    state.version = version
    return Change(entry.name, version, binding)


def remove(state: Bindings, name: str, version: int) -> Change | None:
    """Unbind a name; None when it is not bound."""
    binding = state.bindings.pop(name, None)
    if binding is None:
        return None
    del state.names[bisect_left(state.names, name)]
    if key := binding.owner():
        del state.owned[key][name]
        if not state.owned[key]:
            del state.owned[key]
    state.version = version
    return Change(name, version, None)


def remove_owned(state: Bindings, owners: Iterable[str], version: int, upto: int) -> list[Change]:
    """Unbind what these owners hold; `upto`: not what was bound after this version."""
    changes = []
    for owner in owners:
        for name in list(state.owned.get(owner, ())):
            if state.bindings[name].version <= upto and (change := remove(state, name, version)):
                changes.append(change)
    return changes


def owning_sessions(state: Bindings) -> list[int]:
    """Return the sessions that own bindings."""
    return [int(owner.removeprefix("session:")) for owner in state.owned if owner.startswith("session:")]


def owning_nodes(state: Bindings) -> list[str]:
    """Return the nodes that own bindings."""
    return [owner.removeprefix(NODE) for owner in state.owned if owner.startswith(NODE)]


def session_owner(session: int) -> str:
    """Return the key of a session in `Bindings.owned`."""
    return f"session:{session}"


def node_owner(node: str) -> str:
    """Return the key of a node in `Bindings.owned`."""
    return NODE + node


# ---- listings ----


def under(name: str, prefix: str) -> bool:
    """Is this name the prefix, or below it?  ("" is above all names.)"""
    return not prefix or name == prefix or name.startswith(prefix + "/")


def page(state: Bindings, prefix: str, recursive: bool, after: str) -> Page:
    """Return the next part of a listing.

    Recursive: the prefix itself and every bound name below it.  Otherwise what lies directly below it,
    bound or a directory.  after: "" to begin, then `Page.after`.
    """
    entries: list[Listed] = []
    size = 0
    names, last = state.names, ""
    index = bisect_left(names, after + "\0") if after else bisect_left(names, prefix)
    depth = prefix.count("/") + 2 if prefix else 1
    while index < len(names) and names[index].startswith(prefix):
        name = names[index]
        if not under(name, prefix) or (not recursive and name == prefix):
            index += 1
            continue
        if len(entries) == ENTRIES_MAX or size > PAGE_BYTES_MAX:
            return Page(entries, state.version, last)
        child = name if recursive else "/".join(name.split("/")[:depth])
        if child == name:
            entries.append(_listed(state, name, directory=not recursive and _is_directory(state, name)))
            index += 1
        else:  # a directory: told once, unless it was told as a name; then go on behind all that is below it
            if child not in state.bindings:
                entries.append(Listed(child, "", {}, None, 0, True))
            index = bisect_left(names, child + "0", index)  # "0" is the character after "/"
        last = names[index - 1]
        size += _size(entries[-1]) if entries else 0
    return Page(entries, state.version, "")


def _listed(state: Bindings, name: str, *, directory: bool) -> Listed:
    binding = state.bindings[name]
    return Listed(name, binding.endpoint, binding.attributes, binding.lifetime, binding.version, directory)


def _is_directory(state: Bindings, name: str) -> bool:
    index = bisect_left(state.names, name + "/")
    return index < len(state.names) and state.names[index].startswith(name + "/")


def _size(entry: Listed) -> int:
    """Return about how many bytes an entry takes on the wire."""
    return (
        64
        + len(entry.name)
        + len(entry.endpoint)
        + sum(len(k) + 4 * len(v) for k, v in entry.attributes.items())
    )
