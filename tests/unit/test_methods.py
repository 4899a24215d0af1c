"""From signatures to decoders: what can be served, what a wrong call is told, what is refused at once."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
import pytest

from primacy.errors import ConfigError
from primacy.machines.methods import Method, is_coroutine, is_generator

encode = msgspec.msgpack.encode


def method(function: Any) -> Method:
    return Method("Shop.sell", function, ("self", "ctx"))


def call(function: Any, **arguments: Any) -> Any:
    made = method(function)
    return made.call((None, None), made.decode(encode(arguments)))


def test_arguments_come_by_name_in_any_order() -> None:
    def sell(self: Any, ctx: Any, article: str, count: int = 1) -> tuple[str, int]:
        return article, count

    assert call(sell, count=3, article="bolt") == ("bolt", 3)
    assert call(sell, article="bolt") == ("bolt", 1)


def test_arguments_by_name_only_and_without_annotation() -> None:
    def sell(self: Any, ctx: Any, article, *, count: int, note=None) -> Any:  # type: ignore[no-untyped-def]
        return article, count, note

    assert call(sell, article=[1], count=3) == ([1], 3, None)


def test_a_mutable_default_is_fresh_for_each_call() -> None:
    def sell(self: Any, ctx: Any, articles: list[str] = []) -> list[str]:  # noqa: B006 (what is tested)
        articles.append("bolt")
        return articles

    assert call(sell) == call(sell) == ["bolt"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"article": 5}, r"Expected `str`, got `int` - at `\$.article`"),
        ({}, "missing required field `article`"),
        ({"article": "bolt", "cuont": 1}, "unknown field `cuont`"),
    ],
)
def test_a_wrong_call_is_told_what_is_wrong(arguments: dict[str, Any], words: str) -> None:
    def sell(self: Any, ctx: Any, article: str, count: int = 1) -> None: ...

    with pytest.raises(msgspec.ValidationError, match=words):
        method(sell).decode(encode(arguments))


def variadic(self: Any, ctx: Any, *articles: str) -> None: ...
def keywords(self: Any, ctx: Any, **articles: str) -> None: ...
def positional(self: Any, ctx: Any, article: str, /) -> None: ...
def short(self: Any) -> None: ...
def unknown(self: Any, ctx: Any, article: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def undecodable(self: Any, ctx: Any, article: dict[int, str] | dict[str, int]) -> None: ...


@pytest.mark.parametrize("function", [variadic, keywords, positional, short, unknown, undecodable])
def test_what_cannot_be_served_is_refused_at_once(function: Any) -> None:
    with pytest.raises(ConfigError, match=r"Shop\.sell"):
        method(function)


def test_only_plain_methods_can_be_served() -> None:
    with pytest.raises(ConfigError, match="partial"):
        method(functools.partial(short))


def test_coroutines_and_generators_are_known() -> None:
    async def waits() -> None: ...
    def yields() -> Any:
        yield 1

    assert is_coroutine("x", waits)
    assert not is_coroutine("x", short)
    assert is_generator("x", yields)
    assert not is_generator("x", short)
