"""The ledger: one interface (`api`), and engines that a URL chooses (`engines`), imported only then."""

from __future__ import annotations

from primacy.ledger.api import Change, Entry, Ledger
from primacy.ledger.engines import ENGINES, create_ledger, open_ledger

__all__ = ["ENGINES", "Change", "Entry", "Ledger", "create_ledger", "open_ledger"]
