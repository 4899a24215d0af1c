"""The configuration table of a local cluster: generated for N nodes, changed by options, written as TOML.

Each node has the two loopback addresses 127.0.0.1 and 127.0.0.2 as links and a block of ports of its own. The
first base from which the blocks of all nodes are free is taken (`ports`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from primacy import config
from primacy.config import PORTS, Cluster, Node, Service, Table
from primacy.errors import ConfigError
from primacy.local.ports import free_base
from primacy.machines.description import service_name

LINKS = ("127.0.0.1", "127.0.0.2")
NODES_MAX = 64


def generate(nodes: int, profile: str, services: dict[str, Service], port: int | None = None) -> Table:
    """Return the checked table of a cluster of nodes n1, n2, ...; `port` None: the first base that is
    free.
    """
    if not 1 <= nodes <= NODES_MAX:
        raise ConfigError("--nodes", str(nodes), f"want 1 to {NODES_MAX}")
    base = port if port is not None else free_base(nodes)
    rows = {f"n{i + 1}": Node(links=list(LINKS), port=base + i * PORTS) for i in range(nodes)}
    return checked(Table(nodes=rows, cluster=Cluster(profile=profile), services=services), "options")


def read(file: Path, services: dict[str, Service]) -> Table:
    """Return the checked table in a TOML file, with `services` added; relative paths count from the file's
    place.
    """
    table = config.load(file)
    twice = sorted(table.services.keys() & services.keys())
    if twice:
        raise ConfigError("--service", twice[0], f"want a service that is not in {file} already")
    here = file.absolute().parent
    rows = {
        name: msgspec.structs.replace(row, path=os.path.normpath(here / row.path))
        for name, row in table.services.items()
    }
    return checked(msgspec.structs.replace(table, services=rows | services), str(file))


def checked(table: Table, where: str) -> Table:
    """Return the table if there is nothing wrong with it as a whole, else raise ConfigError."""
    plain: dict[str, Any] = msgspec.to_builtins(table)
    return config.build(plain, where)


def service_of(word: str) -> tuple[str, Service]:
    """Return name and row for `FILE.py:Class` (or `module:Class`, imported from the present directory).

    The name is the class's in kebab case: `KeyValue` is `key-value`.
    """
    file, colon, name = word.rpartition(":")
    if not colon or not file or not name.isidentifier():
        raise ConfigError("--service", repr(word), "want FILE.py:Class")
    kebab = service_name(name)
    if not file.endswith(".py"):
        return kebab, Service(python=word, path=str(Path.cwd()))
    path = Path(file).absolute()
    if not path.is_file():
        raise ConfigError("--service", repr(word), f"want FILE.py:Class; there is no file {path}")
    return kebab, Service(python=f"{path.name}:{name}", path=str(path.parent))


def services_of(words: Sequence[str], local_words: Sequence[str] = ()) -> dict[str, Service]:
    """Return the rows of several `--service` and `--local` options; ConfigError when two have the same name."""
    rows: dict[str, Service] = {}
    for number, word in enumerate([*words, *local_words]):
        name, row = service_of(word)
        if name in rows:
            raise ConfigError("--service", repr(word), f"want another class: {name} is there already")
        rows[name] = msgspec.structs.replace(row, local=number >= len(words))
    return rows


def differences(stands: Table, wanted: Table) -> list[str]:
    """Return a sentence for each part in which a wanted table is not the one that stands."""
    found = []
    if wanted.nodes != stands.nodes:
        found.append(f"its nodes are {_nodes_text(stands)}, not {_nodes_text(wanted)}")
    if wanted.cluster != stands.cluster or wanted.wanted_times != stands.wanted_times:
        found.append(f"it runs with {_cluster_text(stands)}, not {_cluster_text(wanted)}")
    for name in sorted(stands.services.keys() | wanted.services.keys()):
        old, new = stands.services.get(name), wanted.services.get(name)
        if old is not None and new is not None and new.offset is None:
            new = msgspec.structs.replace(new, offset=old.offset)
        if old != new:
            found.append(f"its service {name} is {_service_text(old)}, not {_service_text(new)}")
    return found


def to_toml(table: Table) -> str:
    """Return the table as the TOML that `config.load` reads back as the same table."""
    plain = msgspec.to_builtins(table)
    lines = [
        "# The configuration table of this cluster as it was applied; the ledger holds the one in force.",
        "",
    ]
    lines += _section("cluster", plain["cluster"])
    if plain["timing"] is not None:
        lines += _section("timing", plain["timing"])
    for kind in ("nodes", "services"):
        for name, row in plain[kind].items():
            lines += _section(f"{kind}.{name}", row)
    return "\n".join(lines)


def _section(name: str, row: dict[str, Any]) -> list[str]:
    return [f"[{name}]", *(f"{key} = {_value(value)}" for key, value in row.items() if value is not None), ""]


def _value(value: Any) -> str:
    """Return a value as TOML: as JSON writes it, but for tables."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _nodes_text(table: Table) -> str:
    rows = sorted(table.nodes.items())
    return ", ".join(f"{name} ({'+'.join(row.links)} port {row.port})" for name, row in rows)


def _cluster_text(table: Table) -> str:
    own = "own timing, " if table.timing is not None else ""
    row = table.cluster
    return f"{own}profile {row.profile}, cold_start {row.cold_start}, name {row.name}"


def _service_text(row: Service | None) -> str:
    if row is None:
        return "absent"
    kind = "local" if row.local else row.durability
    return f"{row.python} in {row.path} ({kind})"
