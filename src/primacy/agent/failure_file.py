"""What a life of a node that ended for a failed server tells the next one: how often each server had failed here.

Written when the node goes out, read and deleted at its next start: a life that ended of anything else begins with no
failures. Nothing rests on the file but how soon this node takes a role again; one that cannot be read counts as none.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

NAME = "failures.json"
Failures = dict[str, tuple[int, int]]  # by service: failures in a row, and hand-overs among them


def keep(directory: Path, failures: Failures) -> None:
    """Write them for the next life; what cannot be written is lost."""
    new = directory / f"{NAME}.new"
    with contextlib.suppress(OSError):
        new.write_bytes(msgspec.json.encode(failures))
        os.replace(new, directory / NAME)


def take(directory: Path) -> Failures:
    """Return what the last life told, once."""
    path = directory / NAME
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Failures)
    except (OSError, ValueError, RecursionError):
        found = {}
    with contextlib.suppress(OSError):
        path.unlink()
    return found
