"""The layout of a local cluster's directory: where each file is, and how a directory is found.

    DIR/cluster.toml                  the configuration table, as it was applied
    DIR/ledger.sqlite                 the ledger
    DIR/cluster.key                   the key that protects hello (0600)
    DIR/authority/                    the cluster's certificate authority
    DIR/client.json, DIR/client/      the credential `admin` of operators and clients
    DIR/nodes/ID/node.toml            a node's boot parameters
    DIR/nodes/ID/node-ID.pem, .key    its certificate
    DIR/nodes/ID/guardian.json        its guardian, while there is one
    DIR/nodes/ID/node.log             standard error of guardian, agent and hosts
    DIR/nodes/ID/events.jsonl         its events
    DIR/nodes/ID/services/SERVICE/    what its server of a service keeps: the journal

Paths are absolute, because the ledger's URL and the services' paths are.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from primacy.errors import ConfigError

ENVIRONMENT = "PRIMACY_DIR"
DIRECTORY = ".primacy"
CREDENTIAL = "admin"


@dataclass(frozen=True)
class Layout:
    """The paths of one cluster's directory; nothing is looked at, so all of them can be asked for at any
    time.
    """

    root: Path

    @property
    def table(self) -> Path:
        """The configuration table."""
        return self.root / "cluster.toml"

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.root / "ledger.sqlite"

    @property
    def ledger_url(self) -> str:
        """The ledger as nodes name it."""
        return f"sqlite://{quote(str(self.ledger))}"

    @property
    def cluster_key(self) -> Path:
        """The key that protects hello."""
        return self.root / "cluster.key"

    @property
    def authority(self) -> Path:
        """The directory of the certificate authority."""
        return self.root / "authority"

    @property
    def client_file(self) -> Path:
        """What a client reads first."""
        return self.root / "client.json"

    @property
    def credential(self) -> Path:
        """The directory of the credential of operators and clients."""
        return self.root / "client"

    def node(self, node: str) -> Path:
        """The directory of one node."""
        return self.root / "nodes" / node

    def log(self, node: str) -> Path:
        """Standard error of a node's processes."""
        return self.node(node) / "node.log"

    def events(self, node: str) -> Path:
        """A node's events, one JSON object a line."""
        return self.node(node) / "events.jsonl"

    def events_aside(self, node: str) -> Path:
        """A node's older events: the file that was put aside when it had grown too large."""
        return self.events(node).with_suffix(".old.jsonl")

    def nodes(self) -> list[str]:
        """The ids of the nodes that have a directory here, sorted."""
        return sorted(path.parent.name for path in (self.root / "nodes").glob("*/node.toml"))

    @property
    def exists(self) -> bool:
        """Is there a cluster in the directory?"""
        return self.table.is_file() and self.ledger.is_file()


def find(directory: str | os.PathLike[str] | None = None) -> Layout:
    """Return the layout of the directory: the argument, else `$PRIMACY_DIR`, else `./.primacy`."""
    return Layout(Path(directory or os.environ.get(ENVIRONMENT) or DIRECTORY).absolute())


def existing(directory: str | os.PathLike[str] | None = None) -> Layout:
    """Return the layout of a directory that holds a cluster; ConfigError says what to do when it does not."""
    layout = find(directory)
    if not layout.exists:
        want = f"start a cluster there with `primacy up`, or say where one is: --dir, ${ENVIRONMENT}"
        raise ConfigError(str(layout.root), "no cluster's directory", want)
    return layout


def known_node(layout: Layout, node: str) -> str:
    """Return the node's id if it has a directory here; ConfigError names those that have."""
    if node not in layout.nodes():
        raise ConfigError("NODE", repr(node), f"want one of {', '.join(layout.nodes())}, master or vice")
    return node
