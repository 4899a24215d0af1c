"""The words between guardian and agent: JSON objects, one a packet.

From the agent (`do`), with its answer (`is`):

    spawn {name, argv, env?, cwd?, fds?}    spawned {name, pid}
    (a child has ended)                     exited {name, pid, status, signal, error}
    kill {name, signal}                     none: exited follows
    page {service, term}                    page {service, term}, with the descriptor of the lease page
    drop-page {service, term}               none
    obituaries {items}                      none, or error: a link that is down
    alive {silence_s}                       none: the agent's loop turns; silent for longer, it is taken for stuck
    stop {then?}                            none: the agent is about to exit with 0; then: halt | reboot the machine

Anything else is answered by error {what, of}. When the agent has not read for so long that notices were
refused, the next that it reads is missed {count, children}: the children that are alive, name to pid.

`parse` checks everything, so that what it returns can be obeyed; the guardian trusts no other word. Pure;
standard library only.
"""

from __future__ import annotations

import json
import re
import signal as signals
from typing import Any, NamedTuple

NAME_CHARACTERS_MAX = 64
SILENCE_S_MAX = 3600.0
THEN = ("", "halt", "reboot")
TERM_MAX = 2**64 - 1

_NAME = re.compile(rf"[!-~]{{1,{NAME_CHARACTERS_MAX}}}")


class Garbage(ValueError):
    """A message that makes no sense; the text says why, and is the answer."""


class Spawn(NamedTuple):
    """Start a program. `env` is added to the guardian's own environment; None takes a variable away.

    Each name in `fds` becomes a variable with the number of the descriptor that came at that place.
    """

    name: str
    argv: list[str]
    env: dict[str, str | None]
    cwd: str | None
    fds: list[str]


class Kill(NamedTuple):
    """Send a signal to a child."""

    name: str
    signal: int


class MakePage(NamedTuple):
    """Hand out the lease page of (service, term); the same one each time."""

    service: str
    term: int


class DropPage(NamedTuple):
    """Revoke and forget the lease page of (service, term)."""

    service: str
    term: int


class Hold(NamedTuple):
    """Replace the obituaries that are held."""

    items: list[Any]


class Alive(NamedTuple):
    """The agent's loop turns. It will say so again within `silence_s`, or is stuck."""

    silence_s: float


class Stop(NamedTuple):
    """The agent is about to exit with 0, and is not to be started again.

    `then`: what the machine is to do when all is dead (one of `THEN`).
    """

    then: str = ""


Order = Spawn | Kill | MakePage | DropPage | Hold | Alive | Stop


def parse(message: bytes, fds_count: int = 0) -> Order:
    """Return the order that came with that many descriptors; raises `Garbage`."""
    try:
        fields = json.loads(message)
    except (ValueError, RecursionError):
        raise Garbage("not JSON") from None
    if not isinstance(fields, dict):
        raise Garbage("not a JSON object")
    match fields.get("do"):
        case "spawn":
            return _spawn(fields, fds_count)
        case "kill":
            number = fields.get("signal", int(signals.SIGKILL))
            if not isinstance(number, int) or number not in set(signals.valid_signals()):
                raise Garbage("signal: wanted the number of a signal")
            return Kill(_name(fields, "name"), int(number))
        case "page":
            return MakePage(_name(fields, "service"), _term(fields))
        case "drop-page":
            return DropPage(_name(fields, "service"), _term(fields))
        case "obituaries":
            items = fields.get("items")
            if not isinstance(items, list):
                raise Garbage("items: wanted a list")
            return Hold(items)
        case "stop":
            then = fields.get("then", "")
            if then not in THEN:
                raise Garbage("then: wanted halt, reboot or nothing")
            return Stop(then)
        case "alive":
            return Alive(_silence_s(fields))
        case other:
            raise Garbage(f"do: {str(other)[:NAME_CHARACTERS_MAX]!r} is unknown")


def encode(kind: str, **fields: object) -> bytes:
    """Return the message to the agent of that kind."""
    return json.dumps({"is": kind, **fields}, separators=(",", ":")).encode()


def exited(name: str, pid: int, code: int, error: str) -> bytes:
    """Return the notice of a child's end; `code` is its exit status, or its signal's number, negated."""
    status, number = (code, None) if code >= 0 else (None, -code)
    return encode("exited", name=name, pid=pid, status=status, signal=number, error=error or None)


def _spawn(fields: dict[str, Any], fds_count: int) -> Spawn:
    argv, env, cwd, fds = (fields.get(key) for key in ("argv", "env", "cwd", "fds"))
    if not isinstance(argv, list) or not argv or not all(_is_word(each) for each in argv) or not argv[0]:
        raise Garbage("argv: wanted a list of texts, the program first")
    if not isinstance(env, dict | None) or not all(
        _is_variable(key) and (value is None or _is_word(value)) for key, value in (env or {}).items()
    ):
        raise Garbage("env: wanted texts, or null to take a variable away")
    if not (cwd is None or _is_word(cwd)):
        raise Garbage("cwd: wanted a path")
    if not isinstance(fds, list | None) or not all(_is_variable(each) for each in fds or []):
        raise Garbage("fds: wanted names of environment variables")
    if len(fds or []) != fds_count:
        raise Garbage(f"fds: {len(fds or [])} named, {fds_count} received")
    return Spawn(_name(fields, "name"), argv, env or {}, cwd, fds or [])


def _name(fields: dict[str, Any], key: str) -> str:
    name = fields.get(key)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Garbage(f"{key}: wanted 1 to {NAME_CHARACTERS_MAX} printable ASCII characters, no space")
    return name


def _term(fields: dict[str, Any]) -> int:
    term = fields.get("term")
    if not isinstance(term, int) or isinstance(term, bool) or not 0 <= term <= TERM_MAX:
        raise Garbage("term: wanted a number from 0 to 2**64 - 1")
    return term


def _silence_s(fields: dict[str, Any]) -> float:
    silence_s = fields.get("silence_s")
    if not isinstance(silence_s, int | float) or silence_s is True or not 0 < silence_s <= SILENCE_S_MAX:
        raise Garbage(f"silence_s: wanted seconds, above 0, up to {SILENCE_S_MAX:g}")
    return float(silence_s)


def _is_word(value: object) -> bool:
    """Whether the system takes it as an argument: text without NUL and without half surrogate pairs."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_variable(value: object) -> bool:
    return isinstance(value, str) and value != "" and "=" not in value and _is_word(value)
