"""The guardian's words: every order is checked whole, and garbage has a reason."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.guardian_message import (
    Alive,
    DropPage,
    Garbage,
    Hold,
    Kill,
    MakePage,
    Order,
    Spawn,
    Stop,
    encode,
    exited,
    parse,
)

SPAWN: dict[str, Any] = {"do": "spawn", "name": "h", "argv": ["true"]}


@pytest.mark.parametrize(
    ("fields", "fds_count", "order"),
    [
        (SPAWN, 0, Spawn("h", ["true"], {}, None, [])),
        (
            SPAWN | {"env": {"A": "1", "B": None}, "cwd": "/", "fds": ["X", "Y"]}, 2,
            Spawn("h", ["true"], {"A": "1", "B": None}, "/", ["X", "Y"]),
        ),
        ({"do": "kill", "name": "h", "signal": 15}, 0, Kill("h", 15)),
        ({"do": "kill", "name": "h"}, 0, Kill("h", 9)),
        ({"do": "page", "service": "s", "term": 2**64 - 1}, 0, MakePage("s", 2**64 - 1)),
        ({"do": "drop-page", "service": "s", "term": 0}, 0, DropPage("s", 0)),
        ({"do": "obituaries", "items": [1]}, 0, Hold([1])),
        ({"do": "stop", "unknown": "is ignored"}, 0, Stop()),
        ({"do": "stop", "then": "halt"}, 0, Stop("halt")),
        ({"do": "alive", "silence_s": 2}, 0, Alive(2.0)),
    ],
)  # fmt: skip
def test_orders(fields: dict[str, Any], fds_count: int, order: Order) -> None:
    assert parse(json.dumps(fields).encode(), fds_count) == order


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"do": ["stop"]}', "do: .* unknown"),
        (b"{}", "do: 'None' is unknown"),
        (SPAWN | {"name": ""}, "name"),
        (SPAWN | {"name": "two words"}, "name"),
        (SPAWN | {"name": "x" * 65}, "name"),
        (SPAWN | {"name": 1}, "name"),
        (SPAWN | {"argv": []}, "argv"),
        (SPAWN | {"argv": "true"}, "argv"),
        (SPAWN | {"argv": ["a\0b"]}, "argv"),
        (SPAWN | {"argv": ["", "x"]}, "argv"),
        (SPAWN | {"argv": ["\ud800"]}, "argv"),
        (SPAWN | {"env": ["A"]}, "env"),
        (SPAWN | {"env": {"A": 1}}, "env"),
        (SPAWN | {"env": {"A=B": "1"}}, "env"),
        (SPAWN | {"env": {"": "1"}}, "env"),
        (SPAWN | {"cwd": 1}, "cwd"),
        (SPAWN | {"fds": "X"}, "fds"),
        (SPAWN | {"fds": ["X"]}, "fds: 1 named, 0 received"),
        ({"do": "kill", "name": "h", "signal": 99}, "signal"),
        ({"do": "kill", "name": "h", "signal": "TERM"}, "signal"),
        ({"do": "page", "service": "s"}, "term"),
        ({"do": "page", "service": "s", "term": -1}, "term"),
        ({"do": "page", "service": "s", "term": True}, "term"),
        ({"do": "page", "service": "s", "term": 2**64}, "term"),
        ({"do": "page", "term": 1}, "service"),
        ({"do": "obituaries"}, "items"),
        ({"do": "stop", "then": "dance"}, "then"),
        ({"do": "stop", "then": ["halt"]}, "then"),
        ({"do": "alive"}, "silence_s"),
        ({"do": "alive", "silence_s": 0}, "silence_s"),
        ({"do": "alive", "silence_s": True}, "silence_s"),
        (b'{"do": "alive", "silence_s": NaN}', "silence_s"),
        ({"do": "alive", "silence_s": 1e9}, "silence_s"),
    ],
)
def test_garbage(message: bytes | dict[str, Any], reason: str) -> None:
    with pytest.raises(Garbage, match=reason):
        parse(message if isinstance(message, bytes) else json.dumps(message).encode())


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: (
    st.lists(inner) | st.dictionaries(st.sampled_from(
        ["do", "name", "argv", "env", "cwd", "fds", "signal", "service", "term", "items"]
    ) | st.text(), inner)
)))  # fmt: skip
def test_anything_is_an_order_or_garbage(value: object) -> None:
    for fields in (value, {**value, "do": "spawn"} if isinstance(value, dict) else value):
        with suppress(Garbage):
            parse(json.dumps(fields).encode())


def test_the_notice_of_an_end() -> None:
    notice = json.loads(exited("h", 7, 3, ""))
    assert notice == {"is": "exited", "name": "h", "pid": 7, "status": 3, "signal": None, "error": None}
    notice = json.loads(exited("h", 7, -9, "why"))
    assert notice == {"is": "exited", "name": "h", "pid": 7, "status": None, "signal": 9, "error": "why"}
    assert json.loads(encode("spawned", name="h", pid=1)) == {"is": "spawned", "name": "h", "pid": 1}
