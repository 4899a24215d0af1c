"""Sealing and opening datagrams: ChaCha20-Poly1305, one key per ordered pair of lives. Pure but for random
nonces.

    sealed    version 1, kind 1, key id (8), receiver's incarnation (16), counter (8) | ciphertext, tag (16)
    hello     version 1, kind 2, key id (8), random nonce (12)                        | ciphertext, tag (16)

The header is authenticated with the content. A sealed datagram's nonce is its counter, and its key is derived
from the pair's secret and both incarnations, so no nonce recurs under a key: a counter never goes back within
one life, and another life has another key. Only its sender and its receiver have the key, so a node speaks
only for itself. The cluster key opens hello only; its nonces are random (96 bits, a few per second), and
hello grants nothing. Source: RFC 8439; RFC 4303 for the counter.

Never in here: whom a key belongs to, or what the content means.
"""

from __future__ import annotations

import os
import struct
from hashlib import blake2b
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

KEY_BYTES = 32
TAG_BYTES = 16
INCARNATION_BYTES = 16
PAYLOAD_BYTES_MAX = 1200
"""With header and tag 1250 bytes: it is never fragmented on an Ethernet."""
OBITUARY_COUNTER = 0
"""Reserved: sealed once, in advance, for the guardian to release."""

VERSION = 1
SEALED, HELLO = 1, 2
_SEALED_HEADER = struct.Struct("!BB8s16sQ")
_HELLO_HEADER = struct.Struct("!BB8s12s")
_NONCE = struct.Struct("!IQ")
SEALED_BYTES_MIN = _SEALED_HEADER.size + TAG_BYTES
HELLO_BYTES_MIN = _HELLO_HEADER.size + TAG_BYTES
DATAGRAM_BYTES_MAX = SEALED_BYTES_MIN + PAYLOAD_BYTES_MAX


class SealedHeader(NamedTuple):
    """What a sealed datagram says in clear."""

    key_id: bytes
    receiver: bytes
    counter: int


def new_secret() -> bytes:
    """Return a fresh secret for one direction of one pair, to be given to the peer inside a TLS stream."""
    return os.urandom(KEY_BYTES)


def parse_sealed(datagram: bytes) -> SealedHeader:
    """Read the header of a datagram of kind `SEALED` and at least `SEALED_BYTES_MIN` bytes; believe none of it."""
    _, _, key_id, receiver, counter = _SEALED_HEADER.unpack_from(datagram)
    return SealedHeader(key_id, receiver, counter)


class PairKey:
    """The key of one ordered pair: what `sender` seals for `receiver` (incarnations), from their secret."""

    __slots__ = ("_cipher", "_receiver", "id")

    def __init__(self, secret: bytes, sender: bytes, receiver: bytes) -> None:
        assert len(secret) == KEY_BYTES
        assert len(sender) == len(receiver) == INCARNATION_BYTES
        key = blake2b(
            sender + receiver, key=secret, digest_size=KEY_BYTES, person=b"primacy datagram"
        ).digest()
        self._cipher = ChaCha20Poly1305(key)
        self._receiver = receiver
        self.id = _key_id(key)

    def seal(self, counter: int, payload: bytes) -> bytes:
        """Seal under a counter that was never used before."""
        header = _SEALED_HEADER.pack(VERSION, SEALED, self.id, self._receiver, counter)
        return header + self._cipher.encrypt(_NONCE.pack(0, counter), payload, header)

    def open(self, datagram: bytes, counter: int) -> bytes | None:
        """Return what was sealed, or None if it was not sealed with this key, or has been changed."""
        header = datagram[: _SEALED_HEADER.size]
        try:
            return self._cipher.decrypt(_NONCE.pack(0, counter), datagram[_SEALED_HEADER.size :], header)
        except InvalidTag:
            return None


class ClusterKey:
    """The key that all members share; it protects hello only."""

    __slots__ = ("_cipher", "id")

    def __init__(self, key: bytes) -> None:
        assert len(key) == KEY_BYTES
        self._cipher = ChaCha20Poly1305(key)
        self.id = _key_id(key)

    def seal(self, payload: bytes) -> bytes:
        """Seal a hello."""
        nonce = os.urandom(12)
        header = _HELLO_HEADER.pack(VERSION, HELLO, self.id, nonce)
        return header + self._cipher.encrypt(nonce, payload, header)

    def open(self, datagram: bytes) -> bytes | None:
        """Return what a hello of at least `HELLO_BYTES_MIN` bytes says, or None if it is not of this cluster."""
        _, _, key_id, nonce = _HELLO_HEADER.unpack_from(datagram)
        if key_id != self.id:
            return None
        header = datagram[: _HELLO_HEADER.size]
        try:
            return self._cipher.decrypt(nonce, datagram[_HELLO_HEADER.size :], header)
        except InvalidTag:
            return None


def _key_id(key: bytes) -> bytes:
    """Name a key without telling it."""
    return blake2b(key, digest_size=8, person=b"primacy key id").digest()
