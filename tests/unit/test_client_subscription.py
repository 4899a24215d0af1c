"""A watch from its reader's side: order, loss, limit, end."""

from __future__ import annotations

import asyncio

import pytest

from primacy.client.subscription import ITEMS_MAX, Item, Subscription
from primacy.errors import StreamClosed


def subscription() -> tuple[Subscription, list[Subscription]]:
    ended: list[Subscription] = []
    return Subscription(ended.append), ended


def items(first: int, count: int) -> list[Item]:
    return [(position, "t", b"") for position in range(first, first + count)]


async def test_items_come_in_order_also_to_a_reader_that_waits() -> None:
    watch, _ = subscription()
    reader = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    watch.pushed(items(1, 2), lost=False)
    assert await reader == (1, "t", b"")
    assert await anext(watch) == (2, "t", b"")


async def test_a_loss_stands_before_what_follows_it() -> None:
    watch, _ = subscription()
    watch.pushed(items(1, 2), lost=False)
    watch.pushed(items(8, 1), lost=True)
    assert [await anext(watch), await anext(watch)] == [None, (8, "t", b"")]


async def test_a_reader_that_is_too_slow_loses_and_is_told() -> None:
    watch, _ = subscription()
    watch.pushed(items(1, ITEMS_MAX), lost=False)
    watch.pushed(items(ITEMS_MAX + 1, 1), lost=False)
    watch.pushed(items(ITEMS_MAX + 2, 1), lost=False)
    assert await anext(watch) is None
    assert await anext(watch) == (ITEMS_MAX + 2, "t", b"")


async def test_its_reader_ends_it_in_order() -> None:
    watch, ended = subscription()
    watch.pushed(items(1, 1), lost=False)
    await watch.aclose()
    assert ended == [watch]
    assert [item async for item in watch] == items(1, 1)


async def test_anything_else_that_ends_it_is_an_error() -> None:
    watch, _ = subscription()
    reader = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    watch.end("the client was closed", broken=True)
    with pytest.raises(StreamClosed, match="the client was closed"):
        await reader


async def test_it_has_begun_with_the_first_that_arrives_even_if_that_is_nothing() -> None:
    watch, _ = subscription()
    begun = asyncio.ensure_future(watch.wait_begun())
    await asyncio.sleep(0)
    assert not begun.done()
    watch.pushed([], lost=False)
    await begun
    ended, _ = subscription()
    ended.end("the client was closed", broken=True)
    with pytest.raises(StreamClosed):
        await ended.wait_begun()
