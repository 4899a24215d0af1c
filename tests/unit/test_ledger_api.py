"""What is alike in every engine: what may be swapped, and whose ledger may be opened."""

from __future__ import annotations

import pytest

from primacy.errors import ConfigError
from primacy.ledger.api import KEY_LENGTH_MAX, VALUE_BYTES_MAX, check_cluster, check_swap


@pytest.mark.parametrize(
    ("key", "value", "expect"),
    [("config", b"{}", 0), ("nodes/n1", b"{}", 7), ("nodes/n1", None, 7), ("k" * KEY_LENGTH_MAX, b"", 0)],
)
def test_what_may_be_swapped(key: str, value: bytes | None, expect: int) -> None:
    check_swap(key, value, expect)


@pytest.mark.parametrize(
    ("key", "value", "expect"),
    [
        ("", b"{}", 0),
        ("k" * (KEY_LENGTH_MAX + 1), b"{}", 0),
        ("nodes/Zürich", b"{}", 0),
        ("nodes/\n", b"{}", 0),
        ("config", b"{}", -1),
        ("config", None, 0),
    ],
)
def test_what_is_our_own_bug(key: str, value: bytes | None, expect: int) -> None:
    with pytest.raises(AssertionError):
        check_swap(key, value, expect)


def test_a_value_is_text() -> None:
    with pytest.raises(UnicodeDecodeError):
        check_swap("config", b"\xff", 0)


def test_a_value_has_a_limit() -> None:
    check_swap("config", b"1" * VALUE_BYTES_MAX, 0)
    with pytest.raises(ConfigError, match=rf"config: got {VALUE_BYTES_MAX + 1} bytes"):
        check_swap("config", b"1" * (VALUE_BYTES_MAX + 1), 0)


def test_the_cluster_is_checked_when_it_is_named() -> None:
    check_cluster("here", "demo", None)
    check_cluster("here", "demo", "demo")
    with pytest.raises(ConfigError, match=r"'demo'.*'other'"):
        check_cluster("here", "demo", "other")
