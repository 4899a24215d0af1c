"""What a service class consists of: its marked methods, found and checked in one pass.

The decorators leave a `Marks` on each function; `described` collects them into operations, queries, timers
and callbacks. What cannot be served is a ConfigError that names the method, when the class is described:
never later.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from primacy.errors import ConfigError
from primacy.machines.host_wire import Callback
from primacy.machines.methods import Method, is_coroutine, is_generator

MARK = "__primacy__"
"""Where the decorators leave what they were told: a `Marks` on the function."""


_HUMPS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def service_name(name: str) -> str:
    """Return the name of a service whose class has this name: `KeyValue` is `key-value`."""
    return _HUMPS.sub("-", name).replace("_", "-").lower()


class Marks(msgspec.Struct):
    """What the decorators said about one method."""

    kind: str = ""  # operation | query | timer | health | "" (callbacks only)
    callbacks: list[Callback] = []
    confirm: bool = False
    seconds: float = 0.0
    timeout_s: float = 0.0
    failures: int = 0


class Health(msgspec.Struct, frozen=True):
    """The health check of a service: the coroutine `name` every `period_s`; so many `failures` in a row count."""

    name: str
    period_s: float
    timeout_s: float
    failures: int


class Timer(msgspec.Struct, frozen=True):
    """One timer of a service: the coroutine `name` every `seconds`."""

    name: str
    seconds: float


class Description(msgspec.Struct, frozen=True):
    """What a service class consists of, checked."""

    operations: dict[str, Method]
    queries: dict[str, Method]
    confirmed: set[str]
    timers: list[Timer]
    callbacks: list[Callback]
    health: list[Health] = []  # at most one


def described(service: type[Any], *, reserved: set[str], local: bool) -> Description:
    """Return what the class consists of; ConfigError says what is wrong, where, and what may stand there.

    reserved: names that the base class needs. local: a local service, which has callbacks only.
    """
    found = Description({}, {}, set(), [], [], [])
    for name in dir(service):
        function = getattr(service, name, None)
        marks: Marks | None = getattr(function, MARK, None)
        if function is None or marks is None:
            continue
        where = f"{service.__name__}.{name}"
        if name in reserved:
            raise ConfigError(where, f"the name {name!r}", "another name: the base class needs this one")
        if marks.kind and local:
            raise ConfigError(where, f"@{marks.kind}", "a local service has callbacks only")
        if marks.kind and marks.callbacks:
            raise ConfigError(where, f"@{marks.kind} and @on", "one of the two")
        _add(found, name, where, function, marks)
    if len(found.health) > 1:
        names = ", ".join(check.name for check in found.health)
        raise ConfigError(service.__name__, f"several @health: {names}", "one, which may look at everything")
    return found


def coroutines(service: type[Any]) -> set[str]:
    """Return the names of what may run as a callback: the coroutines of the class, whoever registers them."""
    names = [name for name in dir(service) if not name.startswith("_")]
    functions: list[Any] = [getattr(service, name, None) for name in names]
    return {
        name
        for name, function in zip(names, functions, strict=True)
        if hasattr(function, "__code__") and is_coroutine(name, function)
    }


def _add(found: Description, name: str, where: str, function: Callable[..., Any], marks: Marks) -> None:
    waits = is_coroutine(where, function)
    if marks.kind in ("operation", "query"):
        if waits or is_generator(where, function):
            raise ConfigError(where, "a coroutine or generator", f"@{marks.kind} is for a plain `def`")
        if marks.kind == "operation":
            found.operations[name] = Method(where, function, ("self", "ctx"))
        else:
            found.queries[name] = Method(where, function, ("self",))
            if marks.confirm:
                found.confirmed.add(name)
        return
    if not waits:
        raise ConfigError(
            where, "a plain `def`", "`async def`: callbacks, timers and health checks are coroutines"
        )
    if marks.kind == "timer":
        found.timers.append(Timer(name, marks.seconds))
    if marks.kind == "health":
        found.health.append(Health(name, marks.seconds, marks.timeout_s, marks.failures))
    places = [(callback.function, callback.level) for callback in marks.callbacks]
    for function_name, level in places:
        if places.count((function_name, level)) > 1:
            raise ConfigError(where, f"@on({function_name!r}, level={level}) twice", "once")
    found.callbacks.extend(msgspec.structs.replace(callback, name=name) for callback in marks.callbacks)


def marks_of(handler: Callable[..., Any]) -> Marks:
    """Return the function's marks, made now if there are none."""
    marks: Marks | None = getattr(handler, MARK, None)
    if marks is None:
        marks = Marks()
        setattr(handler, MARK, marks)
    return marks


def mark_kind(handler: Callable[..., Any], kind: str) -> Marks:
    """Say what the function is; ConfigError when it is something else already."""
    marks = marks_of(handler)
    if marks.kind:
        raise ConfigError(handler.__qualname__, f"both @{marks.kind} and @{kind}", "one of the two")
    marks.kind = kind
    return marks
