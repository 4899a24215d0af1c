"""One SQLite file, and what may happen to it and to the two files beside it while it is open.

Copies are made by other processes: a process that closes a descriptor of the file loses SQLite's locks on it.
"""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from primacy.errors import Compacted, ConfigError, Conflict, Unavailable, Uncertain
from primacy.ledger.api import Change, Entry
from primacy.ledger.sqlite_format import APPLICATION_ID, FORMAT, create
from primacy.ledger.sqlite_store import CHANGES_READ_MAX, SqliteStore

KEEP = 50

CRASH = """
import os, sys
sys.path[:0] = sys.argv[2:]
from primacy.ledger.sqlite_store import SqliteStore
store = SqliteStore(sys.argv[1], 1.0, 50)
store.swap("a", b"1", 0, lambda: True)
store.checkpoint()
os._exit(0)
"""


def yes() -> bool:
    """Let the swap commit."""
    return True


def shell(script: str, *arguments: Path) -> None:
    """Do something to files in another process; "$1" and so on are the arguments."""
    subprocess.run(["sh", "-euc", script, "sh", *map(str, arguments)], check=True, timeout=30)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A new ledger of the cluster "demo"."""
    path = tmp_path / "ledger.db"
    create(str(path), "demo")
    return path


@pytest.fixture
def opened() -> Iterator[Callable[..., SqliteStore]]:
    """Open stores; they are closed at the end."""
    stores: list[SqliteStore] = []

    def open_store(path: Path, busy_s: float = 0.05, keep: int = KEEP) -> SqliteStore:
        stores.append(SqliteStore(str(path), busy_s, keep))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


@pytest.fixture
def store(path: Path, opened: Callable[..., SqliteStore]) -> SqliteStore:
    """The ledger, open, with one entry."""
    store = opened(path)
    store.swap("config", b'{"a": 1}', 0, yes)
    return store


def revision_of(store: SqliteStore, key: str = "config") -> int:
    """The key's revision."""
    return {entry.key: entry.revision for entry in store.read(key)[1]}.get(key, 0)


# The file as it should be


def test_values_are_readable_in_any_sqlite_shell(path: Path, store: SqliteStore) -> None:
    script = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchall())"
    command = ["python3", "-c", script, str(path), "select key, value, typeof(value), revision from entries"]
    seen = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
    assert seen.strip() == str([("config", '{"a": 1}', "text", 2)])


def test_a_file_reached_by_a_symbolic_link(
    tmp_path: Path, path: Path, opened: Callable[..., SqliteStore]
) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(path)
    store = opened(link)
    assert store.swap("config", b"1", 0, yes) == 2
    assert store.log_path == f"{path}-wal"
    link.unlink()
    with pytest.raises(Unavailable, match="is gone"):
        store.swap("config", b"2", 2, yes)


def test_a_swap_that_is_called_off_is_not_written(store: SqliteStore) -> None:
    with pytest.raises(Unavailable, match="nothing was written"):
        store.swap("config", b"2", 2, lambda: False)
    assert store.read("") == (2, [Entry("config", b'{"a": 1}', 2)])
    assert store.swap("config", b"2", 2, yes) == 3


def test_changes_come_in_batches_and_only_the_newest_are_kept(
    path: Path, opened: Callable[..., SqliteStore]
) -> None:
    store, revision, count = opened(path, keep=CHANGES_READ_MAX + 10), 0, CHANGES_READ_MAX + 20
    for number in range(count):
        revision = store.swap("config", str(number).encode(), revision, yes)
    with pytest.raises(Compacted, match="from revision 12 on"):
        store.changes_since("", 10)
    upto, changes = store.changes_since("", 11)
    assert (upto, len(changes)) == (11 + CHANGES_READ_MAX, CHANGES_READ_MAX)
    upto, changes = store.changes_since("", upto)
    assert [change.revision for change in changes] == list(range(upto - 9, upto + 1))
    assert upto == revision
    assert store.changes_since("x", 11) == (revision, [])


def test_moved_tells_of_own_and_foreign_swaps_once(path: Path, opened: Callable[..., SqliteStore]) -> None:
    store, other = opened(path), opened(path)
    store.moved()
    assert not store.moved()
    store.swap("a", b"1", 0, yes)
    assert [store.moved(), store.moved()] == [True, False]
    store.checkpoint()
    other.swap("b", b"1", 0, yes)
    assert not store.unsaved
    assert [store.moved(), store.moved()] == [True, False]
    assert store.unsaved  # `other` may be killed before it copies the log
    with pytest.raises(Conflict):
        store.swap("b", b"1", 0, yes)
    assert not store.moved()


def test_a_checkpoint_makes_a_plain_copy_current(tmp_path: Path, path: Path, store: SqliteStore) -> None:
    assert store.unsaved
    store.checkpoint()
    assert not store.unsaved
    assert store.moved()
    store.checkpoint()
    shell('cp "$1" "$2"', path, tmp_path / "copy.db")
    copy = SqliteStore(str(tmp_path / "copy.db"), 0.1, KEEP)
    assert copy.read("") == store.read("")
    copy.close()


# Locked by somebody else


@pytest.mark.parametrize("begin", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_a_locked_file_is_unavailable_and_recovers(path: Path, store: SqliteStore, begin: str) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute(begin)
    with pytest.raises(Unavailable, match="another process holds its lock; nothing was written"):
        store.swap("config", b"2", 2, yes)
    assert revision_of(store) == 2
    other.execute("ROLLBACK")
    assert store.swap("config", b"2", 2, yes) == 3
    other.close()


def test_a_file_locked_as_a_whole_cannot_be_opened(path: Path, opened: Callable[..., SqliteStore]) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("CREATE TABLE other (x)")
    with pytest.raises(Unavailable, match="locked"):
        opened(path)
    other.close()
    assert opened(path).cluster == "demo"


def test_a_disk_that_fails_in_the_commit_makes_the_swap_uncertain(store: SqliteStore) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(store.log_path), hard))
    try:
        with pytest.raises(Uncertain, match="committing the swap of config"):
            store.swap("config", b"2", 2, yes)
        assert revision_of(store) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store.swap("config", b"2", 2, yes) == 3


# Gone, or another file in its place


def test_no_file_is_unavailable_and_none_is_created(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="primacy up"):
        SqliteStore(str(tmp_path / "ledger.db"), 0.1, KEEP)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_a_file_that_is_gone_is_unavailable_until_it_is_back(
    path: Path, store: SqliteStore, suffix: str
) -> None:
    file, aside = Path(f"{path}{suffix}"), path.with_name("aside")
    file.rename(aside)
    for _ in range(2):
        for call in (
            lambda: store.swap("config", b"2", 2, yes),
            lambda: store.read(""),
            lambda: store.changes_since("", 0),
        ):
            with pytest.raises(Unavailable, match=rf"{file} is gone .*put the very same file back"):
                call()
    assert not file.exists()
    aside.rename(file)
    assert store.swap("config", b"2", 2, yes) == 3


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
@pytest.mark.parametrize("content", ["empty", "copy"])
def test_another_file_in_its_place_is_never_followed(
    path: Path, store: SqliteStore, suffix: str, content: str
) -> None:
    file, aside = Path(f"{path}{suffix}"), path.with_name("aside")
    shell('mv "$1" "$2"; ' + (': > "$1"' if content == "empty" else 'cp "$2" "$1"'), file, aside)
    before = file.stat()
    for _ in range(2):
        with pytest.raises(Unavailable, match=rf"{file} is another file .*Nothing was written"):
            store.swap("config", b"2", 2, yes)
        with pytest.raises(Unavailable, match="is another file"):
            store.swap("config", b"2", 1, yes)  # not Conflict: that would settle it
    after = file.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    aside.rename(file)
    assert store.swap("config", b"2", 2, yes) == 3


@pytest.mark.parametrize("suffixes", [["-wal"], ["-shm"], ["-wal", "-shm"]])
def test_a_ledger_in_use_whose_log_was_taken_away_cannot_be_opened(
    path: Path, store: SqliteStore, opened: Callable[..., SqliteStore], suffixes: list[str]
) -> None:
    files = [Path(f"{path}{suffix}") for suffix in suffixes]
    for file in files:
        file.rename(f"{file}.aside")
    with pytest.raises(Unavailable, match=r"somebody has it open or locked, but .* is gone: put it back"):
        opened(path)
    assert not any(file.exists() for file in files)
    for file in files:
        Path(f"{file}.aside").rename(file)
    assert opened(path).read("") == store.read("")


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_what_a_crash_may_leave_beside_the_file_is_tidied_up(
    path: Path, opened: Callable[..., SqliteStore], suffix: str
) -> None:
    crash = (
        "import os, sys; sys.path[:0] = sys.argv[2:]; from primacy.ledger.sqlite_store import SqliteStore\n"
    )
    crash += (
        "s = SqliteStore(sys.argv[1], 1, 9); s.swap('a', b'1', 0, lambda: True); s.checkpoint(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", crash, str(path), *sys.path], check=True, timeout=30)
    Path(f"{path}{suffix}").unlink()
    assert opened(path).read("") == (2, [Entry("a", b"1", 2)])


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_a_file_that_goes_while_a_swap_commits_makes_it_uncertain(
    path: Path, store: SqliteStore, suffix: str
) -> None:
    file, aside = Path(f"{path}{suffix}"), path.with_name("aside")

    def lose_it() -> bool:
        file.rename(aside)
        return True

    with pytest.raises(Uncertain, match=f"{file} is gone"):
        store.swap("config", b"2", 2, lose_it)
    with pytest.raises(Unavailable):
        store.swap("config", b"2", 2, yes)
    aside.rename(file)
    with pytest.raises(Conflict):
        store.swap("config", b"2", 2, yes)
    assert store.read("") == (3, [Entry("config", b"2", 3)])


def test_closing_never_deletes_the_log_of_the_file_in_its_place(path: Path) -> None:
    store = SqliteStore(str(path), 0.1, KEEP)
    store.swap("config", b"1", 0, yes)
    path.rename(path.with_name("aside"))
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink()
    create(str(path), "demo")
    follower = SqliteStore(str(path), 0.1, KEEP)
    follower.swap("config", b"2", 0, yes)
    store.close()
    assert Path(f"{path}-wal").exists()
    assert follower.swap("config", b"3", 2, yes) == 3
    follower.close()
    assert SqliteStore(str(path), 0.1, KEEP).read("")[1] == [Entry("config", b"3", 3)]


# Written over in place: the same inode, another content


def saved_copy(store: SqliteStore, path: Path, name: str) -> Path:
    """A copy of the ledger as it is now."""
    store.checkpoint()
    copy = path.with_name(name)
    shell('cp "$1" "$2"', path, copy)
    return copy


def test_an_older_copy_written_over_it_is_noticed(path: Path, store: SqliteStore) -> None:
    old = saved_copy(store, path, "old")
    store.swap("config", b"2", 2, yes)
    new = saved_copy(store, path, "new")
    shell('cat "$2" > "$1"', path, old)
    for call in (lambda: store.swap("config", b"3", 2, yes), lambda: store.read("")):
        with pytest.raises(Unavailable, match=r"went back from revision 3 to 2.*put the right content back"):
            call()
    shell('cat "$2" > "$1"', path, new)
    assert store.read("") == (3, [Entry("config", b"2", 3)])
    assert store.swap("config", b"3", 3, yes) == 4


def test_an_older_copy_that_has_grown_again_is_noticed(path: Path, store: SqliteStore) -> None:
    old = saved_copy(store, path, "old")
    grown = SqliteStore(str(old), 0.1, KEEP)
    for expect in (2, 3):
        grown.swap("config", b"another life", expect, yes)
    grown.close()
    store.swap("config", b"2", 2, yes)
    store.checkpoint()
    shell('cat "$2" > "$1"', path, old)
    with pytest.raises(Unavailable, match="revision 3 is another change than it was"):
        store.read("")


def test_another_clusters_ledger_written_over_it_is_noticed(path: Path, store: SqliteStore) -> None:
    store.checkpoint()
    other = path.with_name("other.db")
    create(str(other), "other")
    shell('cat "$2" > "$1"', path, other)
    with pytest.raises(Unavailable, match="cluster 'other' now"):
        store.read("")


@pytest.mark.parametrize(
    "script", [': > "$1"', 'head -c 20000 /dev/zero > "$1"', 'head -c 20000 /dev/urandom > "$1"']
)
def test_rubbish_written_over_it_is_unavailable_until_it_is_right_again(
    path: Path, store: SqliteStore, script: str
) -> None:
    right = saved_copy(store, path, "right")
    shell(script, path)
    for _ in range(2):
        with pytest.raises(Unavailable):
            store.read("")
        with pytest.raises(Unavailable):
            store.swap("config", b"2", 2, yes)
    shell('cat "$2" > "$1"', path, right)
    assert store.swap("config", b"2", 2, yes) == 3


# What is refused at opening


def altered(path: Path, *statements: str) -> None:
    """Alter the closed file."""
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def test_a_newer_format_is_refused(path: Path, opened: Callable[..., SqliteStore]) -> None:
    altered(path, f"PRAGMA user_version = {FORMAT + 1}")
    with pytest.raises(ConfigError, match=f"format {FORMAT + 1}; format {FORMAT} at most"):
        opened(path)


@pytest.mark.parametrize("content", ["empty", "text", "database", "no version"])
def test_what_is_no_ledger_is_refused_and_left_as_it_is(
    path: Path, opened: Callable[..., SqliteStore], content: str
) -> None:
    if content == "no version":
        altered(path, "PRAGMA user_version = 0")
    else:
        path.unlink()
        path.write_bytes(b"" if content == "empty" else b"Not a database, but a text.\n" * 100)
        if content == "database":
            path.unlink()
            altered(path, "CREATE TABLE t (x)", f"PRAGMA application_id = {APPLICATION_ID + 1}")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="ledger"):
        opened(path)
    assert path.read_bytes() == before


def test_a_ledger_that_contradicts_itself_is_refused(path: Path, opened: Callable[..., SqliteStore]) -> None:
    altered(
        path,
        "INSERT INTO changes (revision, key) VALUES (2, 'a')",
        "INSERT INTO entries VALUES ('a', '1', 2)",
    )
    with pytest.raises(Unavailable, match=r"is damaged .*0 changes are missing, 1 entries differ"):
        opened(path)


def test_a_ledger_without_the_wal_mode_gets_it_back(path: Path, opened: Callable[..., SqliteStore]) -> None:
    altered(path, "PRAGMA journal_mode=DELETE")
    store = opened(path)
    assert store.swap("config", b"1", 0, yes) == 2
    assert store.changes_since("", 0) == (2, [Change("config", b"1", 2)])
    assert os.path.exists(store.log_path)
