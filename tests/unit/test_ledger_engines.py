"""Which URL names which engine of the ledger."""

from __future__ import annotations

import importlib

import pytest

from primacy.errors import ConfigError
from primacy.ledger.engines import ENGINES, create_ledger, open_ledger


@pytest.mark.parametrize(
    "url", ["", "ledger.db", "/var/ledger.db", "redis://localhost", "worker:///x", "api://"]
)
async def test_an_unknown_scheme_is_refused_with_the_known_ones(url: str) -> None:
    for call in (open_ledger(url, None), create_ledger(url, "demo")):
        with pytest.raises(ConfigError, match=r"memory://, sqlite://"):
            await call


@pytest.mark.parametrize("module", ENGINES.values())
def test_every_engine_offers_both_functions(module: str) -> None:
    engine = importlib.import_module(module)
    assert callable(engine.open_engine)
    assert callable(engine.create_engine)
