"""The engines of the ledger, for the one suite that runs against each of them."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from primacy.ledger import Ledger, create_ledger, open_ledger

KEEP = 60


class Engine:
    """An empty store of one engine, and clients of it that are closed at the end of the test."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.stack = AsyncExitStack()

    async def create(self, cluster: str = "demo") -> Ledger:
        """Create the store, or open the one that is there."""
        return self._kept(await create_ledger(self.url, cluster))

    async def open(self, cluster: str | None = "demo") -> Ledger:
        """Another client of the store."""
        return self._kept(await open_ledger(self.url, cluster))

    async def forget(self, ledger: Ledger) -> None:
        """Make the store forget every change up to now."""
        expect = 0
        for number in range(KEEP + 1):
            expect = await ledger.swap("filler", json.dumps(number).encode(), expect)
        await ledger.swap("filler", None, expect)

    def _kept(self, ledger: Ledger) -> Ledger:
        self.stack.push_async_callback(ledger.close)
        return ledger


@pytest.fixture(params=["memory", "sqlite"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    """Each engine in turn."""
    urls = {
        "memory": f"memory://{secrets.token_hex(8)}?keep={KEEP}",
        "sqlite": f"sqlite://{tmp_path}/ledger.db?keep={KEEP}",
    }
    engine = Engine(urls[request.param])
    async with engine.stack:
        yield engine
