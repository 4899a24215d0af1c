"""Every message of every wire: it arrives as it was sent, from a newer version too, and garbage is a WireError."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.errors import WireError
from primacy.machines import call_wire, control_wire, host_wire, messages, peer_wire
from tests.unit.samples import members, sample


class Wire(NamedTuple):
    """One direction of one wire: all that may be sent, and what reads it."""

    sent: Any
    decode: Callable[[bytes], Any]


WIRES = {
    "datagrams": Wire(messages.Message, messages.decode),
    "agent to agent": Wire(peer_wire.Message, peer_wire.decode),
    "agent to host": Wire(host_wire.ToHost, host_wire.decode_to_host),
    "host to agent": Wire(host_wire.ToAgent, host_wire.decode_to_agent),
    "client to host": Wire(call_wire.ToHost, call_wire.decode_to_host),
    "host to client": Wire(call_wire.ToClient, call_wire.decode_to_client),
    "caller to agent": Wire(control_wire.Request, control_wire.decode_to_agent),
    "agent to caller": Wire(control_wire.ToCaller, control_wire.decode_to_caller),
}
EACH = [pytest.param(w, m, id=f"{name}: {m.__name__}") for name, w in WIRES.items() for m in members(w.sent)]

encode = msgspec.msgpack.encode


@pytest.mark.parametrize(("wire", "message"), EACH)
def test_a_message_arrives_as_it_was_sent(wire: Wire, message: type[msgspec.Struct]) -> None:
    sent = sample(message)
    assert encode(wire.decode(encode(sent))) == encode(sent)
    assert type(wire.decode(encode(sent))) is message


@pytest.mark.parametrize(("wire", "message"), EACH)
def test_a_newer_sender_may_add_fields(wire: Wire, message: type[msgspec.Struct]) -> None:
    sent = encode(sample(message))
    newer = encode([*msgspec.msgpack.decode(sent), "a field of the next version"])
    assert encode(wire.decode(newer)) == sent


@pytest.mark.parametrize(("wire", "message"), EACH)
def test_a_message_cut_anywhere_is_an_error(wire: Wire, message: type[msgspec.Struct]) -> None:
    sent = encode(sample(message))
    for length in range(len(sent)):
        with pytest.raises(WireError):
            wire.decode(sent[:length])


@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES.keys())
@given(garbage=st.binary(max_size=200))
def test_garbage_raises_nothing_but_an_error_of_the_wire(wire: Wire, garbage: bytes) -> None:
    try:
        read = wire.decode(garbage)
    except WireError:
        return
    assert type(read) in members(wire.sent)


@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES.keys())
@pytest.mark.parametrize("nested", [b"\x91" * 100_000, b"\x81\xa1a" * 50_000], ids=["arrays", "maps"])
def test_deep_nesting_is_an_error_of_the_wire(wire: Wire, nested: bytes) -> None:
    first = sample(members(wire.sent)[0])
    tag = msgspec.msgpack.decode(encode(first))[0]
    for frame in (nested, b"\x9f" + encode(tag) + nested):
        with pytest.raises(WireError):
            wire.decode(frame)


@pytest.mark.parametrize(("wire", "message"), EACH)
def test_a_damaged_byte_anywhere_raises_nothing_else(wire: Wire, message: type[msgspec.Struct]) -> None:
    """Bad UTF-8, wrong types, wrong lengths: each byte in turn becomes each of a few others."""
    sent = encode(sample(message))
    for at in range(len(sent)):
        for byte in (0x00, 0x80, 0xC0, 0xCB, 0xDB, 0xFF):
            try:
                read = wire.decode(sent[:at] + bytes([byte]) + sent[at + 1 :])
            except WireError:
                continue
            assert type(read) in members(wire.sent)
