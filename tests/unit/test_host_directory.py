"""A service's directory: locked by one process, and nothing in it is ever deleted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from primacy.errors import ConfigError
from primacy.host import directory as module
from primacy.host.directory import lock, set_aside, sync_directory


def test_two_processes_never_have_it(tmp_path: Path) -> None:
    held = lock(tmp_path / "host.lock", "inventory")
    child = os.fork()
    if child == 0:
        module.LOCK_S = 0.05
        with pytest.raises(ConfigError, match="another process that serves inventory"):
            lock(tmp_path / "host.lock", "inventory")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(held)
    os.close(lock(tmp_path / "host.lock", "inventory"))


def test_what_is_set_aside_is_kept_whole(tmp_path: Path) -> None:
    for name in ("journal.db", "journal.db-wal", "snapshot-7", "other"):
        (tmp_path / name).write_text(name)
    place = set_aside(tmp_path)
    assert sorted(path.name for path in place.iterdir()) == ["journal.db", "journal.db-wal", "snapshot-7"]
    assert (place / "snapshot-7").read_text() == "snapshot-7"
    assert (tmp_path / "other").exists()
    sync_directory(tmp_path)
    assert set_aside(tmp_path).name == "aside-2"
