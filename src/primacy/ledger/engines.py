"""Which URL names which engine of the ledger.

A new engine is one module with `open_engine` and `create_engine`, one line in `ENGINES`, and one line in the
contract suite's list of engines. No engine is imported before a URL names its scheme.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

from primacy.errors import ConfigError
from primacy.ledger.api import Ledger

ENGINES: Final = {
    "memory": "primacy.ledger.memory",
    "sqlite": "primacy.ledger.sqlite",
}
"""URL scheme -> module. The module offers `open_engine(url, cluster)` and `create_engine(url, cluster)`."""


async def open_ledger(url: str, cluster: str | None) -> Ledger:
    """Open the existing ledger at `url`; never creates one.

    Raises `ConfigError` for an unknown scheme, a foreign or newer store, or another cluster's ledger
    (`cluster` None: any); `Unavailable` when there is none at `url` or it does not answer.
    """
    opened: Callable[[str, str | None], Awaitable[Ledger]] = _engine(url, "open_engine")
    return await opened(url, cluster)


async def create_ledger(url: str, cluster: str) -> Ledger:
    """Create the ledger of `cluster` at `url` if there is none, and open it.

    For the commands that found a cluster only: a node that created what it cannot find would be a second
    truth. Raises `ConfigError` when another cluster's ledger, or anything else, is there already.
    """
    created: Callable[[str, str], Awaitable[Ledger]] = _engine(url, "create_engine")
    return await created(url, cluster)


def _engine(url: str, function: str) -> Callable[..., Awaitable[Ledger]]:
    scheme = urlsplit(url).scheme
    module = ENGINES.get(scheme)
    if module is None:
        known = ", ".join(f"{name}://" for name in sorted(ENGINES))
        raise ConfigError("ledger", repr(url), f"a URL that starts with one of {known}")
    entry: Callable[..., Awaitable[Ledger]] = getattr(importlib.import_module(module), function)
    return entry
