"""How the ledger file comes into being, and what it must not contradict."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from primacy.errors import ConfigError
from primacy.ledger.sqlite_format import contradiction, create


def altered(path: Path, *statements: str) -> str | None:
    """Alter the file; return what contradicts itself in it then."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
        return contradiction(connection)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A new ledger of the cluster "demo"."""
    path = tmp_path / "ledger.db"
    create(str(path), "demo")
    return path


def test_a_new_ledger_is_whole_private_and_alone(path: Path) -> None:
    assert [entry.name for entry in path.parent.iterdir()] == ["ledger.db"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes()[18:20] == b"\2\2"  # the write-ahead log is on


def test_creating_leaves_an_existing_file_as_it_is(path: Path) -> None:
    before = path.read_bytes()
    create(str(path), "other")
    assert path.read_bytes() == before


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_creating_beside_the_log_of_a_lost_ledger_is_refused(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"ledger.db{suffix}").write_bytes(b"x")
    with pytest.raises(ConfigError, match=f"ledger.db{suffix}, left over"):
        create(str(tmp_path / "ledger.db"), "demo")
    assert not (tmp_path / "ledger.db").exists()


def test_creating_in_no_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        create(str(tmp_path / "none" / "ledger.db"), "demo")


def test_an_empty_ledger_is_sound(path: Path) -> None:
    assert altered(path) is None


SWAPS = (
    "INSERT INTO changes (revision, key, value) VALUES (2, 'a', '1'), (3, 'b', '1'), (4, 'c', '1')",
    "INSERT INTO changes (revision, key, value) VALUES (5, 'gone', '1')",
    "INSERT INTO changes (revision, key, value) VALUES (6, 'gone', NULL)",
    "INSERT INTO entries VALUES ('a', '1', 2), ('b', '1', 3), ('c', '1', 4)",
)


def test_entries_that_are_the_changes_replayed_are_sound(path: Path) -> None:
    assert altered(path, *SWAPS) is None
    assert altered(path, "DELETE FROM changes WHERE revision < 4") is None


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM changes WHERE revision = 4",
        "UPDATE entries SET value = '0' WHERE key = 'a'",
        "UPDATE entries SET revision = 4 WHERE key = 'b'",
        "DELETE FROM entries WHERE key = 'a'",
        "INSERT INTO entries VALUES ('d', '1', 4)",
        "INSERT INTO entries VALUES ('gone', '1', 5)",
    ],
)
def test_what_contradicts_itself_is_told(path: Path, statement: str) -> None:
    assert altered(path, *SWAPS) is None
    told = altered(path, statement)
    assert told
    assert "changes are missing" in told
