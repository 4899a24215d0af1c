"""Streams: one logical, ordered, exactly-once stream of frames over one TLS connection per link.

    stream = dial([("127.0.0.1", 7300), ("127.0.0.2", 7300)], client_context(files), Identity("node", "n2"))
    stream.on_frames(lambda frames: ...)
    await stream.wait_up(timeout_s=5)
    stream.send(b"...")

Every batch of frames goes on every open link and carries a number; the receiver delivers the next number and
drops the rest, so losing a link is no event for whoever uses the stream. The parts:

    framing     bytes to records and back                        (pure)
    outbox      what is sent and not acknowledged                (pure)
    connection  TLS over a non-blocking socket
    link        one connection's place in a stream
    endpoint    `Stream`, one end
    dialer      `dial`, the end that keeps its links up
    listener    `Listener`, the end that accepts
"""

from primacy.cgtp.address import Address
from primacy.cgtp.dialer import dial
from primacy.cgtp.endpoint import Stream
from primacy.cgtp.framing import FRAME_BYTES_MAX
from primacy.cgtp.link import LinkStatistics, StreamStatistics
from primacy.cgtp.listener import Listener
from primacy.cgtp.tls import Identity

__all__ = [
    "FRAME_BYTES_MAX",
    "Address",
    "Identity",
    "LinkStatistics",
    "Listener",
    "Stream",
    "StreamStatistics",
    "dial",
]
