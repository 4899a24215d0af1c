"""The configuration table of a local cluster that is being changed: in its ledger, and in the files beside it.

While nodes run, the agents change the table. A cluster that is down has nobody to ask: then it is written to the ledger
here, by the same rules and by one swap on the revision that it was read at. A change that was in progress when the
cluster went down goes on when it is up again; so another one is refused here as it is there, unless it takes its place.
What the operator's machine keeps follows the table in force: each node's boot file, the clients' addresses,
`cluster.toml`.
"""

from __future__ import annotations

import shutil

import msgspec

from primacy import config
from primacy.cgtp.authority import Authority
from primacy.config import Table
from primacy.config_plan import Plan, as_recorded, plan
from primacy.errors import ConfigError, Conflict, LedgerError, Refused
from primacy.ledger import open_ledger
from primacy.local.create import boot_file, endpoints, links_of, replace, write_client
from primacy.local.layout import Layout
from primacy.local.table import to_toml
from primacy.machines import change_record
from primacy.machines.change_record import CHANGE, Changes
from primacy.machines.membership import NodeEntry
from primacy.machines.records import NODES, decode_node

KEY = "config"


async def stands(layout: Layout, cluster: str | None = None) -> tuple[int, Table]:
    """Return revision and table in the ledger; `eligible` of each node as its record says. cluster: whose it is."""
    ledger = await open_ledger(layout.ledger_url, cluster)
    try:
        _, entries = await ledger.read("")
    finally:
        await ledger.close()
    rows = {entry.key: entry for entry in entries}
    if KEY not in rows:
        want = "want a cluster's ledger"
        raise ConfigError(str(layout.ledger), "a ledger without a configuration table", want)
    table = config.decode(rows[KEY].value, f"{layout.ledger}: {KEY}")
    recorded = []
    for node in table.nodes:
        row = rows.get(f"{NODES}{node}")
        if row is not None:
            kept = decode_node(row.value, node)
            recorded.append(NodeEntry(node, kept.eligible, kept.available))
    return rows[KEY].revision, as_recorded(table, recorded)


async def change(
    layout: Layout, wanted: Table, revision: int | None, dry_run: bool, *, replace_change: bool = False
) -> tuple[int, Plan]:
    """Change the table of a cluster that is down; return the new revision and what was planned.

    Refused with every reason against; then, and when the table is no longer that of `revision`, nothing has changed.
    """
    found, table = await stands(layout)
    if revision is not None and revision != found:
        raise Refused([overtaken(revision, found)])
    planned = plan(table, wanted, frozenset())
    against = list(planned.against)
    at, changes = await _changes(layout)
    if changes.current is not None and not replace_change:
        against.insert(
            0, f"{changes.current.sentence} is in progress, and goes on when nodes run; see --replace"
        )
    if planned.functions:
        names = ", ".join(" ".join(pair) for pair in planned.functions)
        against.append(f"{names}: functions of a cluster that runs: start it first")
    if against:
        raise Refused(against)
    if dry_run or not planned.writes:
        return found, planned
    ledger = await open_ledger(layout.ledger_url, None)
    try:
        # nobody runs who has the times of before
        written = msgspec.structs.replace(planned.table, replaces=None)
        if changes.current is not None:  # first: what is left of it must not follow upon this table
            await ledger.swap(
                CHANGE,
                change_record.encode(changes.dropped("a table that was applied while the cluster was down")),
                at,
            )
        return await ledger.swap(KEY, config.encode(written), found), planned
    except Conflict:
        raise Refused([overtaken(found, None)]) from None
    finally:
        await ledger.close()


async def _changes(layout: Layout) -> tuple[int, Changes]:
    """Return the changes that the ledger holds, with their revision."""
    ledger = await open_ledger(layout.ledger_url, None)
    try:
        _, entries = await ledger.read(CHANGE)
    finally:
        await ledger.close()
    found = [(e.revision, change_record.decode(e.value)) for e in entries if e.key == CHANGE]
    return found[0] if found else (0, Changes())


def overtaken(revision: int, stands: int | None) -> str:
    """The one reason of the operator who came second."""
    now = f"it stands at {stands} now" if stands is not None else "it is another one now"
    return (
        f"the table was changed meanwhile: this change was made from revision {revision}, {now}; nothing was changed: "
        "look at it (`primacy config diff`) and apply again"
    )


async def refresh(layout: Layout) -> None:
    """Nodes may have moved while nobody watched: set their boot files and the clients' addresses right, nothing else.

    Whatever is wrong with the ledger is left to the nodes, who refuse it by name.
    """
    try:
        cluster = msgspec.json.decode(layout.client_file.read_bytes())["cluster"]
        _, table = await stands(layout, cluster)
    except (OSError, ValueError, KeyError, ConfigError, LedgerError):
        return
    moved = [node for node in layout.nodes() if node in table.nodes and _relink(layout, table, node)]
    if moved:
        _write_endpoints(layout, endpoints(table))


def follow(layout: Layout, table: Table) -> None:
    """Bring the files beside the ledger up to date with the table in force."""
    for node in layout.nodes():
        if node in table.nodes:
            _relink(layout, table, node)
    _write_endpoints(layout, endpoints(table))
    replace(layout.table, to_toml(table).encode())


def expect(layout: Layout, stands: Table, wanted: Table) -> None:
    """Nodes are about to move: until `follow`, clients that begin find them at either place."""
    found = endpoints(stands)
    _write_endpoints(layout, found + [each for each in endpoints(wanted) if each not in found])


def _write_endpoints(layout: Layout, found: list[list[str]]) -> None:
    """Write where the agents are into the files of operators and of the nodes' own services, where it is another."""
    files = [layout.client_file, *(layout.node(node) / layout.client_file.name for node in layout.nodes())]
    for path in files:
        if not path.exists():
            continue
        client = msgspec.json.decode(path.read_bytes())
        if client["endpoints"] != found:
            client["endpoints"] = found
            replace(path, msgspec.json.format(msgspec.json.encode(client), indent=2) + b"\n")


def _relink(layout: Layout, table: Table, node: str) -> bool:
    """Write the node's own links into its boot file when they are others; the rest of the file is its operator's."""
    path = layout.node(node) / "node.toml"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    wanted = f"links = {msgspec.json.encode(links_of(table, node)).decode()}\n"
    if wanted in lines:
        return False
    kept = [line for line in lines if not line.startswith("links ")]
    replace(path, "".join([*kept, wanted]).encode())
    return True


def prepare_node(layout: Layout, table: Table, node: str) -> None:
    """Make the directory of a new node with its certificates and files; ConfigError when it is there already."""
    directory = layout.node(node)
    if directory.exists():
        want = "another id, or move the directory of the former node away"
        raise ConfigError(str(directory), "the directory of a node", want)
    try:
        authority = Authority.load(layout.authority)
        authority.issue_node(directory, node)
        boot_file(directory, layout, table, node)
        cluster = msgspec.json.decode(layout.client_file.read_bytes())["cluster"]
        write_client(directory, authority.issue_client(directory, f"local-{node}"), table, cluster)
    except BaseException:
        forget_node(layout, node)
        raise


def forget_node(layout: Layout, node: str) -> None:
    """Take back what `prepare_node` has made."""
    shutil.rmtree(layout.node(node), ignore_errors=True)
