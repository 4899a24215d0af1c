"""TLS contexts from files, and who the peer is: the identity that its certificate proves.

TLS 1.3 only, certificates on both sides, always: there is no unauthenticated or unencrypted mode, on one
machine neither. An identity is a URI in the certificate's subject alternative name, `primacy://<cluster
id>/node/<id>` or `primacy://<cluster id>/client/<name>`; the authority's own certificate carries
`primacy://<cluster id>/authority`, so that a context knows its cluster without being told. Host names and
addresses are never compared: links move.

This module never imports `cryptography`, for hosts and clients use it and must stay small.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from primacy.errors import ConfigError, WireError

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?"
_IDENTITY = re.compile(rf"primacy://({_NAME})/(node|client)/({_NAME})")
AUTHORITY_URI = re.compile(rf"primacy://({_NAME})/authority")
NAME = re.compile(_NAME)
"""What a cluster id, a node id and a client's name may look like: 1 to 64 letters, digits, `.`, `_`, `-`."""


class Identity(msgspec.Struct, frozen=True):
    """Who a peer is, as proven by its certificate."""

    kind: str
    """`node` or `client`."""
    name: str
    """The node id, or the client's name."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class TlsFiles(msgspec.Struct, frozen=True):
    """The three PEM files by which a process proves who it is and checks others."""

    certificate: Path
    key: Path
    authority: Path


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Return the context of the accepting side; `ConfigError` names a file that is missing or wrong."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, files)
    context.num_tickets = 0  # a session is never resumed: tickets would only cost time at each handshake
    return context


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """Return the context of the dialing side; `ConfigError` names a file that is missing or wrong."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, files)


def cluster_of(context: ssl.SSLContext) -> str:
    """Return the id of the cluster whose authority this context trusts."""
    for authority in context.get_ca_certs():
        for uri in _uris(authority):
            if match := AUTHORITY_URI.fullmatch(uri):
                return match[1]
    raise ConfigError(
        "authority", "a certificate without the URI primacy://<cluster id>/authority", "use the cluster's"
    )


def identity_of(certificate: Mapping[str, Any] | None, cluster_id: str) -> Identity:
    """Return whom a peer's certificate (as `getpeercert` gives it) names; `WireError` if nobody of this cluster."""
    foreign = ""
    for uri in _uris(certificate or {}):
        if match := _IDENTITY.fullmatch(uri):
            if match[1] == cluster_id:
                return Identity(match[2], match[3])
            foreign = match[1]
    if foreign:
        raise WireError(f"the peer's certificate is of cluster {foreign}, ours is {cluster_id}")
    raise WireError("the peer's certificate names neither a node nor a client")


def _uris(certificate: Mapping[str, Any]) -> list[str]:
    return [value for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"]


def _context(protocol: int, files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    for name in ("certificate", "key", "authority"):
        path: Path = getattr(files, name)
        if not path.is_file():
            raise ConfigError(f"tls.{name}", str(path), "there is no such file; `primacy init` makes one")
    try:
        context.load_verify_locations(files.authority)
        context.load_cert_chain(files.certificate, files.key)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(
            "tls", f"{files.certificate}, {files.key}, {files.authority}", f"{error}"
        ) from error
    cluster_of(context)
    return context
