"""The events of one node, all of them, in its order and each once: those that are there, and those to come.

The node's agent is asked page by page from the oldest on, and pushes what happens from then on. A push that does not
follow upon the event before it (one was dropped because this side read too slowly) is not taken: the next page has
both. When the agent goes, it is dialed again and again, and asked for what came after the event that was heard last;
the next life of a node remembers what the former ones have written.

Never in here: how events of several nodes go together, and which of them somebody wants to see.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from primacy.cgtp.stream import Address, Identity, Stream
from primacy.client.kept import Kept
from primacy.errors import WireError
from primacy.machines.control_wire import EventPushed, Request, Response, decode_to_caller, encode
from primacy.machines.timeline import Event, following, taken

LOOK_AGAIN_S = 1.0
"""A page is asked for even when nothing was pushed: pushes are dropped rather than waited for."""


class Heard:
    """What was heard of one node's events, from wherever: each once, in the node's order."""

    def __init__(self) -> None:
        self.after, self.life = 0, ""  # the event that was heard last
        self._events: list[Event] = []

    def accept(self, events: Iterable[Event]) -> bool:
        """Take those that were not heard yet; `events` are in the node's order. Return whether there were any."""
        fresh = following(list(events), self.after, self.life)
        if fresh:
            self.after, self.life = fresh[-1]["number"], fresh[-1]["incarnation"]
            self._events += fresh
        return bool(fresh)

    def pass_to(self, number: Any, life: Any) -> None:
        """Go on after this event: what lies before and was not told cannot be told."""
        if isinstance(number, int) and isinstance(life, str):
            self.after, self.life = number, life

    def take(self) -> list[Event]:
        """Return the events that nobody has taken yet."""
        found, self._events = self._events, []
        return found


class EventFeed:
    """Hears one node's agent. on_news: something was heard, or it is known how the node answers."""

    def __init__(
        self,
        node: str,
        addresses: Sequence[Address],
        tls: ssl.SSLContext,
        heard: Heard,
        on_news: Callable[[], None],
    ) -> None:
        self.node, self._heard = node, heard
        self.caught_up = False
        """Everything that the agent had when it was asked last was heard."""
        self._on_news = on_news
        self._asked = 0  # the request that has no answer yet
        self._number = 0
        self._refused = ""
        self._look: asyncio.TimerHandle | None = None
        self._kept = Kept(addresses, tls, Identity("node", node))
        self._kept.begin(self._dialed, self._arrived, self._gone)

    @property
    def addresses(self) -> list[Address]:
        """Where the agent is dialed."""
        return self._kept.addresses

    @property
    def up(self) -> bool:
        """Is there a link to the agent now?"""
        return self._kept.up

    @property
    def hopeless(self) -> bool:
        """Has every link refused, or the agent said no?"""
        stream = self._kept.stream
        links = stream.statistics().links.values() if stream is not None else ()
        failed = not self._kept.up and all(link.last_error for link in links) and bool(self._kept.why_down())
        return bool(self._refused) or failed

    def why_silent(self) -> str:
        """Return why the node is not caught up."""
        return self._refused or (not self._kept.up and self._kept.why_down()) or "no answer"

    def close(self) -> Stream | None:
        """End it; return the stream, so that its end may be awaited."""
        if self._look is not None:
            self._look.cancel()
        return self._kept.close("done")

    # ---- the stream ----

    def _dialed(self) -> None:
        self._ask()

    def _ask(self) -> None:
        """Ask for the events after the last one; they are pushed, too, from the first answer on."""
        self._number += 1
        self._asked = self._number
        where = {"after": self._heard.after, "life": self._heard.life, "order": "oldest", "follow": True}
        self._kept.send(encode(Request(self._asked, "events", where)))

    def _ask_again(self) -> None:
        if not self._asked:
            self._ask()

    def _arrived(self, frames: list[bytes]) -> None:
        for frame in frames:
            try:
                message = decode_to_caller(frame)
            except WireError as error:
                self._kept.abort(str(error))
                return
            if isinstance(message, Response) and message.id == self._asked:
                self._asked = 0
                self._answered(message)
            elif isinstance(message, EventPushed) and not self._asked:
                self._pushed(taken(message.event))

    def _answered(self, answer: Response) -> None:
        page = answer.result if answer.kind == "done" and isinstance(answer.result, dict) else None
        if page is None or not isinstance(page.get("events"), list):
            self._refused = "; ".join(answer.reasons) or "it answers in the words of another version"
            self._on_news()
            return
        self._refused = ""
        self._heard.accept(event for event in map(taken, page["events"]) if event is not None)
        self._heard.pass_to(page.get("after"), page.get("life"))
        if page.get("more"):
            self._ask()
            return
        self.caught_up = True
        self._look = asyncio.get_running_loop().call_later(LOOK_AGAIN_S, self._ask_again)
        self._on_news()

    def _pushed(self, event: Event | None) -> None:
        heard = self._heard
        if event is None or (event["number"], event["incarnation"]) != (heard.after + 1, heard.life):
            self._ask()
        elif heard.accept([event]):
            self._on_news()

    def _gone(self, reason: str) -> None:
        self.caught_up = False
        self._asked = 0
        if self._look is not None:
            self._look.cancel()
        self._on_news()
