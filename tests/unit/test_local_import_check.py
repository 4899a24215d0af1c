"""Services' code is imported by a process of its own before anything is made or started."""

from __future__ import annotations

from pathlib import Path

import pytest

import primacy
from primacy.config import Service
from primacy.errors import ConfigError
from primacy.local import import_check

_GOOD = """
import primacy
class Shop(primacy.Service):
    pass
"""


@pytest.fixture(autouse=True)
def own_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process that imports find the package where this one did."""
    monkeypatch.setenv("PYTHONPATH", str(Path(primacy.__file__).parents[1]))


async def test_code_that_can_be_imported_passes(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(_GOOD)
    await import_check.check({"shop": Service(python="shop.py:Shop", path=str(tmp_path))})
    await import_check.check({})


async def test_an_error_comes_with_the_traceback(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(_GOOD + "import nothing_of_that_name\n")
    with pytest.raises(ConfigError, match=r"(?s)services\.shop.*Traceback.*shop\.py.*nothing_of_that_name"):
        await import_check.check({"shop": Service(python="shop.py:Shop", path=str(tmp_path))})


async def test_a_class_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(_GOOD)
    with pytest.raises(ConfigError, match="Shop"):
        await import_check.check({"market": Service(python="shop.py:Market", path=str(tmp_path))})


@pytest.mark.parametrize(("base", "local"), [("Service", True), ("LocalService", False)])
async def test_a_local_service_is_no_centralized_one(tmp_path: Path, base: str, local: bool) -> None:
    (tmp_path / "shop.py").write_text(_GOOD.replace("primacy.Service", f"primacy.{base}"))
    await import_check.check({"shop": Service(python="shop.py:Shop", path=str(tmp_path), local=not local)})
    with pytest.raises(ConfigError, match=f"which is a {base}"):
        await import_check.check({"shop": Service(python="shop.py:Shop", path=str(tmp_path), local=local)})
