"""The configuration table: one TOML file, kept in the ledger once applied; frozen structs, unknown keys forbidden.

    [cluster]  name, profile, cold_start        [timing]  own times instead of a profile
    [nodes.n1] links, port, priority, eligible  [services.x]  python or local, durability, path

A centralized service keeps its offset in every node's block of ports for ever: it is given one when the table is
written to the ledger, so that no port shifts when another service is removed.

Every error names the place, what stands there and what may stand there; nothing is changed by a bad table. All
configurations that this module returns have been checked as a whole.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from primacy import config_recovery
from primacy.config_recovery import Recovery
from primacy.errors import ConfigError
from primacy.machines.ids import Function
from primacy.machines.membership import NodeEntry
from primacy.machines.timing import PROFILES, Timing, between

FORMAT = 3  # 1: without the services' offsets; 2: without the change; still read
PORT = 7300
PORTS = 32  # a node's block: agent, operations, then one for each service
FIRST_SERVICE = 2
PRIORITY_MAX = 1_000_000
POSITIONS_BYTES_MAX = 600  # names of the centralized services with their journals' positions, in one datagram
_POSITION_BYTES = 14
ON_FAILURE = ("refuse", "retry", "restart", "escalate")
_ID = re.compile(r"[a-z][a-z0-9-]{0,31}")
_RESERVED = {"master", "vice", "all", "cluster"}


class Cluster(Struct, frozen=True, forbid_unknown_fields=True):
    """[cluster] name: shown to people. profile: the times, carrier | lan | wan.

    cold_start: what a cluster does that was not stopped in order, integrity (wait for a node in step) | availability.
    auto_promote: a spare is promoted when nobody else could be vice.
    failback: manual | when-in-step (the master hands over to the ready vice if that has the highest priority).
    """

    name: str = "primacy"
    profile: str = "lan"
    cold_start: str = "integrity"
    auto_promote: bool = True
    failback: str = "manual"


class Node(Struct, frozen=True, forbid_unknown_fields=True):
    """[nodes.ID] links: one IP address per link, 1 to 4.

    port: first of the node's block of ports. priority: as master or vice the larger is preferred. eligible: whether a
    new node may be master or vice; later qualify and disqualify say so.
    """

    links: list[str]
    port: int = PORT
    priority: int = 0
    eligible: bool = True


class Callback(Struct, frozen=True, forbid_unknown_fields=True):
    """[[services.ID.callbacks]] what the coordinator registers for a service, beside what the service registers itself.

    function: in which callback sequence, by its name. level: where in it. name: the service's coroutine that runs.
    timeout_s: for one try. on_failure: refuse | retry | restart | escalate. retries: how often, with retry. delay_s:
    how far apart.
    """

    function: str
    name: str
    level: int = 1
    timeout_s: float = 5.0
    on_failure: str = "refuse"
    retries: int = 0
    delay_s: float = 0.0


class Service(Struct, frozen=True, forbid_unknown_fields=True):
    """[services.ID] python: `module:Class` or `file.py:Class`. path: directory for the import.

    durability: when a write is answered, disk (on both disks) | memory (in both memories). local: a local service, one
    independent server on every node. mirror_timeout_s: how long writes wait for a secondary that is alive but silent.
    restart_in_place: when a primary's host dies, restart it on the same node instead of a switchover (`disk` only).
    callbacks: what the coordinator registers for the service, beside what its code says. recovery: what follows when
    its server fails. offset: of the service's port in every node's block; given by the cluster when it takes the
    service in, and kept; centralized services only.
    """

    python: str
    path: str = "."
    durability: str = "disk"
    local: bool = False
    mirror_timeout_s: float = 2.0
    restart_in_place: bool = False
    callbacks: list[Callback] = []
    recovery: Recovery = Recovery()
    offset: int | None = None


class Table(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole configuration table.

    replaces: written by the cluster while it changes its times: those of before, which some nodes may still have.
    change: written by the cluster: the id of the change that this table comes from.
    """

    nodes: dict[str, Node]
    cluster: Cluster = Cluster()
    timing: Timing | None = None
    services: dict[str, Service] = {}
    replaces: Timing | None = None
    change: str = ""
    format: int = FORMAT

    @property
    def wanted_times(self) -> Timing:
        """The timing that the table asks for: its own, else its profile's."""
        return self.timing if self.timing is not None else PROFILES[self.cluster.profile]

    @property
    def times(self) -> Timing:
        """The timing in force: while it is being changed, one that agrees with that of before and with the wanted."""
        wanted = self.wanted_times
        return wanted if self.replaces is None else between(self.replaces, wanted)

    def entries(self) -> tuple[NodeEntry, ...]:
        """The nodes as the membership monitor takes them."""
        return tuple(NodeEntry(i, n.eligible, True, n.priority) for i, n in sorted(self.nodes.items()))

    def centralized(self) -> list[str]:
        """Ids of the centralized services: naming first, then as in the table."""
        return ["naming", *(s for s, v in self.services.items() if not v.local)]

    def offsets(self) -> dict[str, int]:
        """The offset of each centralized service's port in a node's block.

        Services without one get the first after all that are taken, in their order, then what is free below.
        """
        found = {"naming": FIRST_SERVICE}
        given = {s: v.offset for s, v in self.services.items() if v.offset is not None and not v.local}
        found |= given
        first = max(found.values()) + 1
        free = [o for o in (*range(first, PORTS), *range(FIRST_SERVICE, first)) if o not in found.values()]
        return found | dict(zip((s for s in self.centralized() if s not in found), free, strict=False))

    def agent_addresses(self, node: str) -> list[tuple[str, int]]:
        """Where the node's agent listens (UDP and TCP), one address per link."""
        entry = self.nodes[node]
        return [(link, entry.port) for link in entry.links]

    def service_addresses(self, node: str, service: str) -> list[tuple[str, int]]:
        """Where the node's host of a centralized service listens, one address per link."""
        entry = self.nodes[node]
        offset = self.offsets()[service]
        return [(link, entry.port + offset) for link in entry.links]

    def service(self, service: str) -> Service:
        """The row of a service, built-in ones included."""
        return BUILT_IN[service] if service in BUILT_IN else self.services[service]


BUILT_IN = {"naming": Service(python="primacy.services.naming:Naming")}


def numbered(table: Table) -> Table:
    """Return the table with the offset of every centralized service in it, in the newest format."""
    offsets = table.offsets()
    rows = {
        s: msgspec.structs.replace(v, offset=None if v.local else offsets[s])
        for s, v in table.services.items()
    }
    return msgspec.structs.replace(table, services=rows, format=FORMAT)


def without_node(table: Table, node: str) -> Table:
    """Return the table without this node, which it has; ConfigError when no eligible node would be left.

    The change that ends a node's removal: written by a swap on the revision that `table` was read at.
    """
    if node not in table.nodes:
        raise ConfigError("NODE", repr(node), f"want one of the table's nodes: {', '.join(table.nodes)}")
    left = {n: row for n, row in table.nodes.items() if n != node}
    return _checked(msgspec.structs.replace(table, nodes=left), f"the table without {node}")


def with_node(table: Table, node: str, row: Node) -> Table:
    """Return the table with one node more; ConfigError when it is there already, or does not fit in."""
    if node in table.nodes:
        raise ConfigError("NODE", repr(node), f"want a new one; the table has {', '.join(table.nodes)}")
    return _checked(msgspec.structs.replace(table, nodes=table.nodes | {node: row}), f"the table with {node}")


def load(path: Path) -> Table:
    """Return the checked table in a TOML file; ConfigError names what is wrong, where, and what may stand there."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(str(path), error.strerror or str(error), "want a readable TOML file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), f"no UTF-8 ({error})", "want a TOML file") from error
    try:
        plain = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(str(path), f"no TOML: {error}", "want a TOML file") from error
    return build(plain, str(path))


def build(plain: Any, where: str) -> Table:
    """Return the checked table of plain values (TOML or JSON); `where` names their source in errors."""
    newer = plain.get("format", FORMAT) if isinstance(plain, dict) else FORMAT
    if isinstance(newer, int) and newer > FORMAT:
        raise ConfigError(f"{where}: format", str(newer), f"want at most {FORMAT}: upgrade this node first")
    try:
        table = msgspec.convert(plain, Table)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.path}", error.got, error.want) from error
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, ConfigError):
            cause = error.__cause__
            raise ConfigError(f"{where}: {cause.path}", cause.got, cause.want) from error
        message, _, at = str(error).partition(" - at `$")
        raise ConfigError(
            f"{where}: {at.rstrip('`').lstrip('.') or 'table'}", message, "see the reference"
        ) from error
    return _checked(table, where)


def _checked(table: Table, where: str) -> Table:
    problems = check(table)
    if problems:
        path, got, want = problems[0]
        more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
        raise ConfigError(f"{where}: {path}", got, want + more)
    return table


def check(table: Table) -> list[tuple[str, str, str]]:
    """Return every problem of a table as (path, got, want); an empty list means that it may be applied."""
    problems = list(_check_cluster(table))
    problems += _check_nodes(table)
    problems += _check_services(table)
    return problems


def _check_cluster(table: Table) -> list[tuple[str, str, str]]:
    found = []
    if table.cluster.profile not in PROFILES:
        found.append(("cluster.profile", repr(table.cluster.profile), f"want one of {', '.join(PROFILES)}"))
    if table.cluster.cold_start not in ("integrity", "availability"):
        found.append(("cluster.cold_start", repr(table.cluster.cold_start), "want integrity or availability"))
    if table.cluster.failback not in ("manual", "when-in-step"):
        found.append(("cluster.failback", repr(table.cluster.failback), "want manual or when-in-step"))
    return found


def _check_nodes(table: Table) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    taken: dict[tuple[str, int], str] = {}
    if not table.nodes:
        found.append(("nodes", "no node", "want at least one [nodes.ID]"))
    elif not any(n.eligible for n in table.nodes.values()):
        found.append(("nodes", "no eligible node", "want at least one with eligible = true"))
    for node, entry in sorted(table.nodes.items()):
        where = f"nodes.{node}"
        if not _ID.fullmatch(node) or node in _RESERVED:
            found.append(
                (where, repr(node), "want a-z, 0-9 and -, at most 32, not master, vice, all or cluster")
            )
        if not 1 <= len(entry.links) <= 4:
            found.append((f"{where}.links", f"{len(entry.links)} links", "want 1 to 4 addresses"))
        if not -PRIORITY_MAX <= entry.priority <= PRIORITY_MAX:
            want = f"want {-PRIORITY_MAX} to {PRIORITY_MAX}"
            found.append((f"{where}.priority", str(entry.priority), want))
        if not 1024 <= entry.port <= 65535 - PORTS:
            found.append((f"{where}.port", str(entry.port), f"want 1024 to {65535 - PORTS}"))
        for link in entry.links:
            try:
                address = str(ipaddress.ip_address(link))
            except ValueError:
                found.append((f"{where}.links", repr(link), "want an IP address"))
                continue
            for (other, port), owner in taken.items():
                if other == address and abs(port - entry.port) < PORTS:
                    found.append(
                        (where, f"{address} port {entry.port}", f"overlaps the {PORTS} ports of {owner}")
                    )
                    break
            taken[(address, entry.port)] = node
    return found


def _check_services(table: Table) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    for service, entry in sorted(table.services.items()):
        where = f"services.{service}"
        if not _ID.fullmatch(service) or service in BUILT_IN:
            found.append(
                (where, repr(service), "want a-z, 0-9 and -, at most 32, not a built-in service's name")
            )
        if entry.durability not in ("disk", "memory"):
            found.append((f"{where}.durability", repr(entry.durability), "want disk or memory"))
        if entry.python.count(":") != 1 or not all(entry.python.split(":")):
            found.append((f"{where}.python", repr(entry.python), "want module:Class or file.py:Class"))
        if not 0.1 <= entry.mirror_timeout_s <= 60:
            found.append((f"{where}.mirror_timeout_s", f"{entry.mirror_timeout_s:g}", "want 0.1 to 60"))
        found += _check_callbacks(where, entry.callbacks)
        found += config_recovery.problems(
            f"{where}.recovery", entry.recovery, durability=entry.durability, local=entry.local
        )
        if entry.restart_in_place and entry.durability == "memory":
            found.append((f"{where}.restart_in_place", "true", "want durability = disk with it"))
    found += _check_offsets(table)
    if len(table.centralized()) > PORTS - FIRST_SERVICE:
        found.append(
            ("services", f"{len(table.centralized())} centralized", f"want at most {PORTS - FIRST_SERVICE}")
        )
    names_bytes = sum(len(service.encode()) + _POSITION_BYTES for service in table.centralized())
    if names_bytes > POSITIONS_BYTES_MAX:
        got = f"{len(table.centralized())} centralized ones with names of {names_bytes} bytes"
        want = f"want fewer or shorter names ({_POSITION_BYTES} + length each, at most {POSITIONS_BYTES_MAX})"
        found.append(("services", got, want))
    return found


def _check_offsets(table: Table) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    taken = {FIRST_SERVICE: "naming"}
    for service, entry in table.services.items():
        if entry.offset is None:
            continue
        where = f"services.{service}.offset"
        if entry.local or not FIRST_SERVICE < entry.offset < PORTS:
            want = f"want {FIRST_SERVICE + 1} to {PORTS - 1}, for a centralized service (or leave it out)"
            found.append((where, str(entry.offset), want))
        elif entry.offset in taken:
            found.append((where, str(entry.offset), f"want another than that of {taken[entry.offset]}"))
        else:
            taken[entry.offset] = service
    return found


def _check_callbacks(where: str, callbacks: list[Callback]) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    for number, entry in enumerate(callbacks):
        at = f"{where}.callbacks[{number}]"
        if entry.function not in list(Function):
            found.append((f"{at}.function", repr(entry.function), f"want one of {', '.join(Function)}"))
        if not entry.name.isidentifier() or entry.name.startswith("_"):
            found.append((f"{at}.name", repr(entry.name), "want the name of a coroutine of the service"))
        if entry.on_failure not in ON_FAILURE:
            found.append((f"{at}.on_failure", repr(entry.on_failure), f"want one of {', '.join(ON_FAILURE)}"))
        if not (entry.level >= 0 and 0 < entry.timeout_s <= 86_400):
            got = f"level {entry.level}, timeout_s {entry.timeout_s:g}"
            found.append((at, got, "want a level from 0 and a time-out of more than 0 s, at most a day"))
        if not (entry.retries >= 0 and 0 <= entry.delay_s <= 86_400):
            got = f"retries {entry.retries}, delay_s {entry.delay_s:g}"
            found.append((at, got, "want none negative, and a delay of at most a day"))
    return found


def encode(table: Table) -> bytes:
    """Return the table as JSON, as the ledger holds it: with the services' offsets."""
    return msgspec.json.encode(numbered(table))


def decode(data: bytes, where: str = "ledger key config") -> Table:
    """Return the table that the ledger holds; ConfigError when it is damaged or newer than this code."""
    try:
        plain = msgspec.json.decode(data)
    except (ValueError, RecursionError) as error:
        raise ConfigError(where, repr(data[:80]), f"a configuration table ({error})") from error
    return build(plain, where)
