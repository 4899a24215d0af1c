"""A new cluster's directory: table, ledger, keys and certificates; whole, or not there at all.

Everything is made in a directory beside the wanted one, which takes its place by one rename at the end. So
a command that is broken off leaves nothing that looks like a cluster, and an existing directory is never
altered.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Awaitable
from pathlib import Path

import msgspec

from primacy import config
from primacy.cgtp.authority import Authority
from primacy.cgtp.tls import TlsFiles
from primacy.client.settings import FILE
from primacy.config import Table
from primacy.errors import ConfigError
from primacy.ledger import create_ledger
from primacy.local.layout import CREDENTIAL, Layout
from primacy.local.table import to_toml
from primacy.machines.records import NodeRecord
from primacy.machines.records import encode as encode_record

KEY_BYTES = 32


async def create(layout: Layout, table: Table, condition: Awaitable[None] | None = None) -> str:
    """Make the directory of a new cluster with this table, and return the cluster's id.

    `condition` is awaited before the directory takes its place; if it raises, nothing was made. Raises
    `ConfigError` when the directory exists and is not empty.
    """
    root = layout.root
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise ConfigError(
            str(root), "something that is no cluster's directory", "want an empty or a new directory"
        )
    new = Layout(root.with_name(f"{root.name}.new-{secrets.token_hex(4)}"))
    slug = re.sub(r"[^a-z0-9]+", "-", table.cluster.name.lower()).strip("-")[:40]
    cluster = f"{slug or 'primacy'}-{secrets.token_hex(4)}"
    try:
        new.root.mkdir(mode=0o700, parents=True)
        await _create_ledger(new, table, cluster)
        _create_keys(new, layout, table, cluster)
        new.table.write_text(to_toml(table), encoding="utf-8")
        if condition is not None:
            await condition
        os.rename(new.root, root)
    except OSError as error:
        raise ConfigError(
            str(root), error.strerror or str(error), "want a directory that can be made"
        ) from error
    finally:
        shutil.rmtree(new.root, ignore_errors=True)
    return cluster


async def _create_ledger(new: Layout, table: Table, cluster: str) -> None:
    ledger = await create_ledger(new.ledger_url, cluster)
    try:
        await ledger.swap("config", config.encode(table), 0)
        for node, row in table.nodes.items():
            await ledger.swap(f"nodes/{node}", encode_record(NodeRecord(eligible=row.eligible)), 0)
    finally:
        await ledger.close()


def _create_keys(new: Layout, final: Layout, table: Table, cluster: str) -> None:
    """Make the cluster's key, its authority, the certificates, and the files that name them."""
    with os.fdopen(os.open(new.cluster_key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(KEY_BYTES) + "\n")
    authority = Authority.create(new.authority, cluster)
    for node in table.nodes:
        authority.issue_node(new.node(node), node)
        boot_file(new.node(node), final, table, node)
        write_client(new.node(node), authority.issue_client(new.node(node), f"local-{node}"), table, cluster)
    write_client(new.root, authority.issue_client(new.credential, CREDENTIAL), table, cluster)


def write_client(folder: Path, files: TlsFiles, table: Table, cluster: str) -> None:
    """Write the `client.json` of a credential: in the cluster's directory, and in a node's for its local services."""
    client = {
        "cluster": cluster,
        "endpoints": endpoints(table),
        "certificate": _relative(files.certificate, folder),
        "key": _relative(files.key, folder),
        "authority": _relative(files.authority, folder),
    }
    (folder / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(client), indent=2) + b"\n")


def boot_file(directory: Path, layout: Layout, table: Table, node: str) -> None:
    """Write the boot parameters of a node into its directory, in one step."""
    parameters = {
        "node": node,
        "ledger": layout.ledger_url,
        "links": links_of(table, node),
        "cluster_key": str(layout.cluster_key),
        "authority": "authority.pem",
        "certificate": f"node-{node}.pem",
        "private_key": f"node-{node}.key",
        "halt_command": ["systemctl", "poweroff"],
        "reboot_command": ["systemctl", "reboot"],
        "os_commands": "print",  # all nodes are on one machine, which is somebody's own
    }
    text = "".join(f"{name} = {msgspec.json.encode(value).decode()}\n" for name, value in parameters.items())
    replace(directory / "node.toml", text.encode())


def endpoints(table: Table) -> list[list[str]]:
    """Return where the agents listen, as a client reads it: per node one address for each link."""
    return [links_of(table, node) for node in sorted(table.nodes)]


def links_of(table: Table, node: str) -> list[str]:
    """Return a node's addresses as its boot file has them."""
    return [_join(*address) for address in table.agent_addresses(node)]


def replace(path: Path, content: bytes) -> None:
    """Write a file in one step: nobody reads half of it."""
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(content)
    os.replace(new, path)


def _join(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
