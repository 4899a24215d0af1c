"""Importing a service: by file, by module, built in; and what is told when it cannot be."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from primacy.errors import ConfigError
from primacy.host.loading import load

SOURCE = '''
import primacy

class Shop(primacy.Service):
    """A shop."""

number = 7
'''


@pytest.fixture(autouse=True)
def _path_is_restored() -> Iterator[None]:
    before = list(sys.path)
    yield
    sys.path[:] = before


def test_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "shop_by_file.py").write_text(SOURCE)
    assert load("shop_by_file.py:Shop", str(tmp_path)).__name__ == "Shop"
    assert load(f"{tmp_path}/shop_by_file.py:Shop", "").__name__ == "Shop"


def test_from_a_module(tmp_path: Path) -> None:
    (tmp_path / "shop_by_module.py").write_text(SOURCE)
    assert load("shop_by_module:Shop", str(tmp_path)).__name__ == "Shop"


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        (SOURCE, "broken_1.py:Shoop", "no 'Shoop' in it; its service classes: Shop"),
        (SOURCE, "broken_1.py:number", "a int"),
        ("raise RuntimeError('of its own')", "broken_2.py:Shop", "RuntimeError: of its own"),
        ("import nowhere_at_all", "broken_3.py:Shop", "No module named 'nowhere_at_all'"),
        ("def (", "broken_4.py:Shop", "SyntaxError"),
        (SOURCE, "absent.py:Shop", "a file that exists"),
        (SOURCE, "absent_module:Shop", "No module named 'absent_module'"),
        (SOURCE, "Shop", "file.py:Class"),
        (SOURCE, "builtin:absent", "cannot be imported"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, source: str, target: str, words: str) -> None:
    for number in range(1, 5):
        (tmp_path / f"broken_{number}.py").write_text(source)
    with pytest.raises(ConfigError) as caught:
        load(target, str(tmp_path))
    assert words in str(caught.value)
