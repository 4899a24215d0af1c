"""From a method's signature to the decoder of its arguments: names, types and defaults, checked in one pass.

A caller sends a MessagePack map of keyword arguments. The decoder is a Struct made from the annotations, so a
wrong name, a missing argument or a wrong type is found before anything happens, with a message that names it.
Whoever wrote the method learns of a signature that cannot be served when the service is described, not when
it is called.
"""

from __future__ import annotations

import copy
import typing
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import asdict, astuple

from primacy.errors import ConfigError

_VARIADIC = 0x04 | 0x08  # CO_VARARGS, CO_VARKEYWORDS
_COROUTINE = 0x80 | 0x100 | 0x200  # CO_COROUTINE, CO_ITERABLE_COROUTINE, CO_ASYNC_GENERATOR
_GENERATOR = 0x20


class Method:
    """One method that is called with decoded arguments behind its leading ones (`self`, and `ctx` if it takes
    one).
    """

    __slots__ = ("_by_name", "_decode", "function", "names", "where")

    def __init__(self, where: str, function: Callable[..., Any], leading: tuple[str, ...]) -> None:
        """Describe `function`; ConfigError when its signature cannot be served."""
        self.where = where
        self.function = function
        code = code_of(where, function)
        count = code.co_argcount + code.co_kwonlyargcount
        names = code.co_varnames[:count]
        if code.co_flags & _VARIADIC or code.co_posonlyargcount > len(leading):
            raise ConfigError(where, "*args, **kwargs or positional-only arguments", "name every argument")
        if code.co_argcount < len(leading):
            raise ConfigError(
                where, f"({', '.join(names)})", f"it is called with ({', '.join(leading)}, ...)"
            )
        self.names = names[len(leading) :]
        self._by_name = code.co_kwonlyargcount > 0
        try:
            hints = typing.get_type_hints(function, include_extras=True)
            fields = [self._field(name, hints) for name in self.names]
            struct = msgspec.defstruct("Arguments", fields, kw_only=True, forbid_unknown_fields=True)
            self._decode = msgspec.msgpack.Decoder(struct).decode
        except (NameError, TypeError, ValueError) as error:
            want = "annotations that can be evaluated, of types that msgspec can decode"
            raise ConfigError(where, f"its annotations ({error})", want) from error

    def decode(self, arguments: bytes) -> Any:
        """Return the arguments, decoded; raises msgspec's `DecodeError` or `RecursionError` in words."""
        return self._decode(arguments)

    def call(self, leading: tuple[Any, ...], arguments: Any) -> Any:
        """Call the method with what `decode` returned."""
        if self._by_name:
            return self.function(*leading, **asdict(arguments))
        return self.function(*leading, *astuple(arguments))

    def _field(self, name: str, hints: dict[str, Any]) -> tuple[str, Any] | tuple[str, Any, Any]:
        """Return the Struct field of one argument, with a default of its own for each call."""
        kind = hints.get(name, Any)
        function: Any = self.function
        code = function.__code__
        defaults = dict(function.__kwdefaults__ or {})
        positional = code.co_varnames[: code.co_argcount]
        values = function.__defaults__ or ()
        defaults |= zip(positional[len(positional) - len(values) :], values, strict=True)
        if name not in defaults:
            return name, kind
        default = defaults[name]
        return name, kind, msgspec.field(default_factory=lambda: copy.copy(default))


def code_of(where: str, function: Callable[..., Any]) -> Any:
    """Return the function's code; ConfigError when it is not a plain function."""
    code = getattr(function, "__code__", None)
    if code is None:
        raise ConfigError(
            where, f"a {type(function).__name__}", "a plain method (put our decorator outermost)"
        )
    return code


def is_coroutine(where: str, function: Callable[..., Any]) -> bool:
    """Say whether the method is `async def`."""
    return bool(code_of(where, function).co_flags & _COROUTINE)


def is_generator(where: str, function: Callable[..., Any]) -> bool:
    """Say whether the method has a `yield`."""
    return bool(code_of(where, function).co_flags & _GENERATOR)
