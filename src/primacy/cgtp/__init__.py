"""CGTP, the carrier grade transport protocol: every message on every link.

A node has one or more links (an address and a port each). Nothing above this package knows how many. Two
channels:

- **streams** (`stream`): calls between agents, mirror streams, clients. Ordered, exactly once, over one TCP
  connection per link, TLS 1.3 with certificates on both sides;
- **datagrams** (`datagram`): beats, hello, announcements, obituaries. Sealed with ChaCha20-Poly1305.

This module imports nothing, so that a host that uses streams alone never pays for `cryptography`.
"""
