"""Faults that `chaos` has drawn, as data: told as lines of Python for a test, and kept in a file that runs again.

A kept run is JSON: which test, its seed, the faults in the place of those that `chaos` draws, and what was not true
when it was kept. Times count from the call of `chaos` that drew them, so a run outlives changes of the test before it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from primacy.errors import ConfigError
from primacy.sim.faults import Fault

_POSITIONAL = ("at_ms", "kind", "node")


class Drawn(Fault, frozen=True, omit_defaults=True):
    """A fault that was drawn for a test. cluster, call: of its which cluster, in which call of `chaos`, from 0."""

    cluster: int = 0
    call: int = 0


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run that was kept. test: as `file.py::function`; told: what was not true then, in words."""

    test: str
    seed: int
    faults: tuple[Drawn, ...]
    told: str = ""


def drawn_in(cluster: int, calls: Iterable[Sequence[Fault]]) -> tuple[Drawn, ...]:
    """Return what the calls of a cluster's `chaos` have drawn, each fault with its place."""
    return tuple(
        msgspec.convert({**msgspec.structs.asdict(fault), "cluster": cluster, "call": number}, Drawn)
        for number, faults in enumerate(calls)
        for fault in faults
    )


def given_to(cluster: int, faults: Iterable[Drawn]) -> dict[int, tuple[Fault, ...]]:
    """Return what each call of this cluster's `chaos` is given."""
    given: dict[int, tuple[Fault, ...]] = {}
    for fault in faults:
        if fault.cluster == cluster:
            given[fault.call] = (*given.get(fault.call, ()), fault)
    return given


def code(fault: Fault) -> str:
    """Return the expression that makes this fault."""
    words = []
    for field in msgspec.structs.fields(Fault):
        value = getattr(fault, field.name)
        text = json.dumps(value) if isinstance(value, str) else repr(value)
        if field.name in _POSITIONAL:
            words.append(text)
        elif value != field.default:
            words.append(f"{field.name}={text}")
    return f"Fault({', '.join(words)})"


def lines(faults: Sequence[Drawn]) -> list[str]:
    """Return the lines of Python that let these faults begin, in the place of the calls of `chaos`."""
    told = ["from primacy.sim import Fault"]
    places = sorted({(fault.cluster, fault.call) for fault in faults})
    for cluster, call in places:
        mine = [fault for fault in faults if (fault.cluster, fault.call) == (cluster, call)]
        told += ["cluster.schedule(", "    [", *(f"        {code(fault)}," for fault in mine), "    ]"]
        which = f", call {call + 1} of cluster {cluster + 1}" if len(places) > 1 or any(places[0]) else ""
        told.append(f")  # in the place of cluster.chaos(...){which}")
    return told


def write(folder: Path, kept: Kept) -> Path:
    """Keep a run in this folder, which is made if it must be, and return the file."""
    test = kept.test.replace(".py", "").replace("::", ".")
    path = folder / f"{test}.{kept.seed}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(msgspec.to_builtins(kept), indent=1) + "\n", encoding="utf-8")
    return path


def read(path: Path | str) -> Kept:
    """Read a kept run; ConfigError says what is wrong with the file."""
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=Kept)
    except (OSError, msgspec.DecodeError) as error:
        want = "want a file that --primacy-keep has written"
        raise ConfigError(f"kept run {path}", str(error), want) from None
