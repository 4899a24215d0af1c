"""Primacy: one primary, always.

Centralized system services on a cluster of nodes: each has one primary server, one secondary that mirrors
it, and spares; callback sequences with levels take them through initialization, switchover, failover and
shutdown.

This module is the front door and must stay light: `import primacy` imports nothing but this file (PEP 562).
A name is looked up in its home module when it is first used, so a guardian never pays for a codec, nor a
service for a client.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from primacy.client import Cluster as Cluster
    from primacy.client import connect as connect
    from primacy.client import connect_sync as connect_sync
    from primacy.errors import Busy as Busy
    from primacy.errors import CallError as CallError
    from primacy.errors import ConfigError as ConfigError
    from primacy.errors import Deadline as Deadline
    from primacy.errors import NoPrimary as NoPrimary
    from primacy.errors import OperationFailed as OperationFailed
    from primacy.errors import PrimacyError as PrimacyError
    from primacy.errors import Refused as Refused
    from primacy.errors import SessionExpired as SessionExpired
    from primacy.service import HealthContext as HealthContext
    from primacy.service import LocalService as LocalService
    from primacy.service import OperationContext as OperationContext
    from primacy.service import Service as Service
    from primacy.service import TimerContext as TimerContext
    from primacy.service import health as health
    from primacy.service import on as on
    from primacy.service import operation as operation
    from primacy.service import query as query
    from primacy.service import timer as timer

__version__ = "0.1.0"

_HOMES = {
    "primacy.client": ("Cluster", "connect", "connect_sync"),
    "primacy.errors": (
        "Busy",
        "CallError",
        "ConfigError",
        "Deadline",
        "NoPrimary",
        "OperationFailed",
        "PrimacyError",
        "Refused",
        "SessionExpired",
    ),
    "primacy.service": (
        "HealthContext",
        "LocalService",
        "OperationContext",
        "Service",
        "TimerContext",
        "health",
        "on",
        "operation",
        "query",
        "timer",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [*sorted(_HOME_OF), "__version__"]  # noqa: PLE0604 (strings, from the table above)


def __getattr__(name: str) -> Any:
    """Import a public name's home module when the name is first used."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'primacy' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
