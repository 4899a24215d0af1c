"""The records of a stream's connection: bytes to values and back. Pure; knows no socket, no loop, no TLS.

A connection carries records, each with one header: length of the body, kind, sequence number, cumulative
acknowledgement (little-endian).

    hello     dialer's first record: which stream, which link, what it understands, what it has received
    welcome   acceptor's first record, its answer
    refusal   instead of a welcome: the reason; the connection ends
    batch     the frames of one loop turn, under the next sequence number: count, table of lengths, frames
    acknowledge  everything up to this number has been delivered
    close     the stream has ended in order; nothing follows

Every batch goes on every open link, in order, so a reader delivers number n+1 after n and drops the rest; of
a duplicate it reads the header only. A gap cannot happen between honest peers: it is an error like garbage.
Bytes that are no record raise `WireError`; the connection's owner counts it and closes the connection, never
the stream.

Never in here: a decision about streams, a limit that is not the wire's.
"""

from __future__ import annotations

import struct

import msgspec

from primacy.errors import WireError

WIRE_MIN = 1
WIRE_MAX = 1
FRAME_BYTES_MAX = 1 << 20
"""The largest frame that may be sent."""
BATCH_BYTES = 256 << 10
"""Frames are joined into one batch until it has this size; a single larger frame makes a batch of its own."""
BATCH_FRAMES_MAX = 16 << 10
RECORD_BYTES_MAX = FRAME_BYTES_MAX + BATCH_BYTES + 4 * BATCH_FRAMES_MAX
"""The largest body that a reader accepts."""

ANOTHER_PROCESS = "peer process is another one"
"""Why a stream ends whose peer has been replaced by another process."""

HELLO, WELCOME, REFUSAL, BATCH, ACKNOWLEDGE, CLOSE = range(1, 7)
_KINDS = range(HELLO, CLOSE + 1)

_HEADER = struct.Struct("<IBQQ")
_COUNT = struct.Struct("<I")
HEADER_BYTES = _HEADER.size


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """The dialer's first words on a connection."""

    wire_min: int
    wire_max: int
    stream: bytes
    """16 random bytes, chosen by the dialer for this stream."""
    link: int
    fresh: bool
    """No link of this stream was ever up, as far as the dialer knows: the acceptor may make a new stream."""
    instance: bytes
    """The process that the dialer has reached before, or empty."""
    received: int
    """The last batch that the dialer has delivered."""


class Welcome(msgspec.Struct, frozen=True, tag="welcome"):
    """The acceptor's answer: the connection is a link of the stream now."""

    wire: int
    instance: bytes
    """16 random bytes of the accepting process."""
    received: int
    """The last batch that the acceptor has delivered."""


class Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    """The acceptor's answer: no. If `final`, it will never be yes, and the stream ends."""

    reason: str
    final: bool


class Close(msgspec.Struct, frozen=True, tag="close"):
    """The stream has ended in order, for this reason."""

    reason: str


Control = Hello | Welcome | Refusal | Close
_KIND_OF: dict[type[Control], int] = {Hello: HELLO, Welcome: WELCOME, Refusal: REFUSAL, Close: CLOSE}
_encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[Control] = msgspec.msgpack.Decoder(Control)


def encode_batch(sequence: int, acknowledged: int, frames: list[bytes]) -> bytes:
    """Join the frames of one batch; the caller keeps to `BATCH_BYTES` and `BATCH_FRAMES_MAX`."""
    count = len(frames)
    if count == 1:
        frame = frames[0]
        size = len(frame)
        return _HEADER.pack(8 + size, BATCH, sequence, acknowledged) + struct.pack("<II", 1, size) + frame
    body = b"".join(frames)
    lengths = struct.pack(f"<{count}I", *map(len, frames))
    header = _HEADER.pack(4 + len(lengths) + len(body), BATCH, sequence, acknowledged)
    return b"".join((header, _COUNT.pack(count), lengths, body))


def encode_acknowledge(acknowledged: int) -> bytes:
    """Say that every batch up to this number has been delivered."""
    return _HEADER.pack(0, ACKNOWLEDGE, 0, acknowledged)


def encode_control(control: Control) -> bytes:
    """Encode one of the records that begin or end a stream."""
    body = _encode(control)
    return _HEADER.pack(len(body), _KIND_OF[type(control)], 0, 0) + body


class Reader:
    """Cuts the records out of one connection's bytes."""

    __slots__ = ("_have", "_need", "_pieces", "_skip", "acknowledged", "close", "delivered", "duplicates")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []  # of an incomplete record, joined only once
        self._have = 0  # their bytes
        self._need = 0  # bytes without which nothing more can be read
        self._skip = 0  # bytes of a duplicate's body that are still to come
        self.acknowledged = 0
        """The peer's highest cumulative acknowledgement on this connection."""
        self.delivered = 0
        """The last batch delivered by the stream; kept by `feed`, which is given the stream's."""
        self.duplicates = 0
        self.close: Close | None = None
        """The peer's farewell, once it has been read."""

    def opening(self, data: bytes) -> Control | None:
        """Return the first record of the connection once it is complete; what follows it is kept for `feed`."""
        buffer = b"".join((*self._pieces, data))
        self._keep(buffer, HEADER_BYTES)
        if len(buffer) < HEADER_BYTES:
            return None
        length, kind, _, _ = _HEADER.unpack_from(buffer)
        if kind not in (HELLO, WELCOME, REFUSAL) or length > BATCH_BYTES:
            raise WireError(f"the connection does not begin with a handshake (kind {kind}, {length} bytes)")
        end = HEADER_BYTES + length
        if len(buffer) < end:
            return None
        self._keep(buffer[end:], HEADER_BYTES)
        control = _decode_control(buffer[HEADER_BYTES:end])
        if _KIND_OF[type(control)] != kind:
            raise WireError(f"a record of kind {kind} holds another one")
        return control

    def feed(self, data: bytes, delivered: int) -> list[bytes]:
        """Return the frames of the batches after number `delivered`, in order; the other fields tell the rest."""
        if self._skip:
            if len(data) <= self._skip:
                self._skip -= len(data)
                self.delivered = delivered
                return []
            data = data[self._skip :]
            self._skip = 0
        frames: list[bytes] = []
        if self._pieces:
            self._pieces.append(data)
            self._have += len(data)
            if self._have < self._need:
                self.delivered = delivered
                return frames
            data = b"".join(self._pieces)
        at, size, need = 0, len(data), HEADER_BYTES
        while size - at >= HEADER_BYTES:
            length, kind, sequence, acknowledged = _HEADER.unpack_from(data, at)
            if length > RECORD_BYTES_MAX:
                raise WireError(f"a record of {length} bytes, at most {RECORD_BYTES_MAX} are allowed")
            start = at + HEADER_BYTES
            end = start + length
            if kind == BATCH:
                if sequence > delivered + 1:
                    raise WireError(f"batch {sequence} follows batch {delivered}")
                if acknowledged > self.acknowledged:
                    self.acknowledged = acknowledged
                if sequence <= delivered:
                    self.duplicates += 1
                    if end > size:
                        self._skip = end - size
                        at = size
                        break
                elif end > size:
                    need = end - at
                    break
                else:
                    _cut(data, start, end, frames)
                    delivered = sequence
            elif end > size:
                need = end - at
                break
            else:
                self._other(kind, acknowledged, data[start:end])
            at = end
        self._keep(data[at:], need)
        self.delivered = delivered
        return frames

    def _keep(self, rest: bytes, need: int) -> None:
        self._pieces = [rest] if rest else []
        self._have, self._need = len(rest), need

    def _other(self, kind: int, acknowledged: int, body: bytes) -> None:
        if kind == ACKNOWLEDGE and not body:
            if acknowledged > self.acknowledged:
                self.acknowledged = acknowledged
        elif kind == CLOSE and isinstance(control := _decode_control(body), Close):
            self.close = control
        else:
            raise WireError(f"a record of kind {kind} and {len(body)} bytes in the middle of a stream")


def _decode_control(body: bytes) -> Control:
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:  # msgspec raises all three
        raise WireError(f"no handshake: {error}") from error


def _cut(buffer: bytes, start: int, end: int, frames: list[bytes]) -> None:
    """Append the frames of the batch whose body is `buffer[start:end]`."""
    if end - start < 4:
        raise WireError("a batch without a count")
    (count,) = _COUNT.unpack_from(buffer, start)
    at = start + 4 + 4 * count
    if at > end or count > BATCH_FRAMES_MAX:
        raise WireError(f"a batch of {count} frames in {end - start} bytes")
    for length in struct.unpack_from(f"<{count}I", buffer, start + 4):
        after = at + length
        frames.append(buffer[at:after])
        at = after
    if at != end:
        raise WireError("a batch whose lengths do not add up")
