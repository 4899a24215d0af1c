"""A display at the shelf, on every node: shows what the inventory's primary has in store.

    primacy up --service examples/inventory.py:Inventory --local examples/shelf_display.py:ShelfDisplay

A local service: an independent server on each node, without replicated state. The coordinator starts it, tells it of
each change of primary, has it reattach when the new primary serves (on all nodes at one time, and not before), and
stops it in order. What it shows stands in `display.json` in the node's directory.
"""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec

import primacy
from primacy.service import Context

INVENTORY = "inventory"
ARTICLES = ("bolt", "nut", "washer")
FOLLOWED_MAX = 16
DISPLAY = Path("display.json")


class ShelfDisplay(primacy.LocalService):
    """Follows the inventory's primary, wherever it is."""

    def __init__(self) -> None:
        self.open = AsyncExitStack()
        self.cluster: primacy.Cluster | None = None
        self.telling: asyncio.Task[None] | None = None
        self.shown: dict[str, Any] = {"lit": False, "stock": {}, "short": {}, "followed": []}

    @primacy.on("initialize", level=2)
    async def switch_on(self, ctx: Context) -> None:
        """The node starts, in step with the master; there is no primary to ask yet."""
        self.show(lit=True)

    @primacy.on("reconnect", level=1, timeout=10, on_failure="retry", retries=3, delay=0.5)
    async def reattach(self, ctx: Context) -> None:
        """The primaries of this term serve: ask the new one for all, and have it tell what runs short.

        The client finds the new primary by itself, and its watch goes on where it was; what is done here is what has
        to be done once for each new primary, after it serves.
        """
        assert self.primaries is not None
        if self.cluster is None:
            self.cluster = await self.open.enter_async_context(primacy.connect())
        if self.telling is None or self.telling.done():
            self.telling = asyncio.create_task(self._follow(self.cluster))
        inventory = self.cluster.service(INVENTORY)
        counts = await asyncio.gather(*(inventory.query.stock(article=article) for article in ARTICLES))
        followed = [*self.shown["followed"], [ctx.term, self.primaries.node]][-FOLLOWED_MAX:]
        self.show(stock=dict(zip(ARTICLES, counts, strict=True)), followed=followed)

    @primacy.on("shutdown", level=2)
    async def switch_off(self, ctx: Context) -> None:
        """The node leaves."""
        if self.telling is not None:
            self.telling.cancel()
        await self.open.aclose()
        self.show(lit=False)

    async def _follow(self, cluster: primacy.Cluster) -> None:
        """Show what the primary publishes; where something was missed (None), the next reattachment has it all."""
        async for told in cluster.watch(INVENTORY, "low/"):
            if told is not None:
                _, topic, payload = told
                article, left = topic.removeprefix("low/"), msgspec.msgpack.decode(payload)
                self.show(short=self.shown["short"] | {article: left})

    def show(self, **changed: Any) -> None:
        """Change the display in one step."""
        self.shown |= changed
        new = DISPLAY.with_suffix(".new")
        new.write_text(json.dumps(self.shown), encoding="utf-8")
        os.replace(new, DISPLAY)
