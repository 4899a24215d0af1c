"""What a user calls: `inventory.add(article="bolt", count=3)` and `inventory.query.stock(article="bolt")`.

Any attribute is an operation of that name; the service itself decides which there are.  Arguments go by
keyword only.  Two keywords belong to the call and not to the operation: `deadline_s`, and for queries
`confirm`; so the author of a service gives arguments other names.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from primacy.client.conversation import Conversation

DEADLINE_S = 30.0
"""How long a call may take unless the caller says otherwise; time enough for a failover in its middle."""


class Operation:
    """One operation of one service; calling it makes the call."""

    __slots__ = ("_conversation", "_name")

    def __init__(self, conversation: Conversation, name: str) -> None:
        self._conversation, self._name = conversation, name

    def __call__(
        self, /, *positional: object, deadline_s: float = DEADLINE_S, **arguments: Any
    ) -> Awaitable[Any]:
        if positional:
            raise _by_keyword(self._conversation.service, self._name)
        return self._conversation.call(self._name, arguments, deadline_s)

    def __repr__(self) -> str:
        return f"<operation {self._conversation.service}.{self._name}>"


class Query:
    """One query of one service; calling it asks."""

    __slots__ = ("_conversation", "_name")

    def __init__(self, conversation: Conversation, name: str) -> None:
        self._conversation, self._name = conversation, name

    def __call__(
        self, /, *positional: object, deadline_s: float = DEADLINE_S, confirm: bool = False, **arguments: Any
    ) -> Awaitable[Any]:
        if positional:
            raise _by_keyword(self._conversation.service, f"query.{self._name}")
        return self._conversation.query(self._name, arguments, deadline_s, confirm=confirm)

    def __repr__(self) -> str:
        return f"<query {self._conversation.service}.{self._name}>"


class Queries:
    """The queries of a service, as attributes."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def __getattr__(self, name: str) -> Query:
        _check(name)
        query = self.__dict__[name] = Query(self._conversation, name)
        return query


class Service:
    """A service of the cluster: its operations as attributes, its queries under `query`."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self.query = Queries(conversation)

    def __getattr__(self, name: str) -> Operation:
        _check(name)
        operation = self.__dict__[name] = Operation(self._conversation, name)
        return operation

    def __repr__(self) -> str:
        return f"<service {self._conversation.service}>"


def _check(name: str) -> None:
    if name.startswith("_"):  # what Python itself asks for must not become an operation
        raise AttributeError(f"no operation or query begins with an underscore: {name}")


def _by_keyword(service: str, name: str) -> TypeError:
    return TypeError(
        f"{service}.{name}() takes its arguments by keyword only: write {service}.{name}(argument=value)"
    )
