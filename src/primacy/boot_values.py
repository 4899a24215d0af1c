"""What a boot parameter takes: each function returns the value of a text or a TOML value, or raises `ValueError`.

The second argument of each is the node's directory, to which paths are relative. Standard library only: the guardian
imports this module.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
from typing import NamedTuple

PORT_DEFAULT = 7300
LINKS_MAX = 8
STOP_GRACE_S_MAX = 3600.0
RECORD_MB_MIN, RECORD_MB_MAX = 32, 1_000_000
LEDGER_SCHEMES = ("sqlite:///", "etcd://", "etcds://", "etcd+managed://")

_NODE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class Link(NamedTuple):
    """One of the node's own addresses; the port is the first of its block on every link."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def node(value: object, _: str) -> str:
    """Return a node's id."""
    if not isinstance(value, str) or not _NODE_ID.fullmatch(value) or value in ("master", "vice"):
        raise ValueError
    return value


def ledger(value: object, _: str) -> str:
    """Return a ledger's URL."""
    if not isinstance(value, str) or not any(
        value.startswith(each) and len(value) > len(each) for each in LEDGER_SCHEMES
    ):
        raise ValueError
    return value


def directory(value: object, _: str) -> str:
    """Return the absolute path of a directory."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError
    return os.path.abspath(value)


def path(value: object, directory: str) -> str:
    """Return a path, taken relative to the node's directory."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError
    return os.path.join(directory, value)


def links(value: object, _: str) -> tuple[Link, ...]:
    """Return the addresses of a node: a list, or a text with commas."""
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list) or not 1 <= len(words) <= LINKS_MAX:
        raise ValueError
    links = tuple(_link(each) for each in words)
    if len(set(links)) != len(links):
        raise ValueError
    return links


def _link(word: object) -> Link:
    if not isinstance(word, str):
        raise ValueError
    found = re.fullmatch(r"(?:\[(?P<v6>[^]]+)\]|(?P<v4>[^:]+))(?::(?P<port>\d{1,5}))?", word.strip())
    if found is None:
        raise ValueError
    address, port = found["v6"] or found["v4"], int(found["port"] or PORT_DEFAULT)
    try:
        socket.inet_pton(socket.AF_INET6 if found["v6"] else socket.AF_INET, address)
    except OSError:
        raise ValueError from None
    if not 1 <= port <= 65535:
        raise ValueError
    return Link(address, port)


def stop_grace_s(value: object, _: str) -> float:
    """Return a number of seconds above 0."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError
    seconds = float(value)
    if not 0 < seconds <= STOP_GRACE_S_MAX:
        raise ValueError
    return seconds


def command(value: object, _: str) -> str:
    """Return a command as a shell would write it: from a list, or from such a text."""
    words = shlex.split(value) if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(each, str) and "\0" not in each for each in words):
        raise ValueError
    if words[:1] == [""]:
        raise ValueError
    return shlex.join(words)


def os_commands(value: object, _: str) -> str:
    """Return `run` or `print`."""
    if value not in ("run", "print"):
        raise ValueError
    return str(value)


def device(value: object, directory: str) -> str:
    """Return a path, or nothing."""
    return "" if value == "" else path(value, directory)


def watchdog_timeout_s(value: object, _: str) -> int:
    """Return a whole number of seconds."""
    seconds = stop_grace_s(value, _)
    if seconds < 1 or not seconds.is_integer():
        raise ValueError
    return int(seconds)


def watchdog_silence_s(value: object, _: str) -> float:
    """Return a number of seconds; 0: as if nothing was said."""
    return 0.0 if str(value) in ("0", "0.0") else stop_grace_s(value, _)


def record_mb(value: object, _: str) -> int:
    """Return a size in MiB."""
    number = int(value) if isinstance(value, str) else value
    if (
        isinstance(number, bool)
        or not isinstance(number, int)
        or not RECORD_MB_MIN <= number <= RECORD_MB_MAX
    ):
        raise ValueError
    return number
