"""Which cluster a client means, where its agents listen, and by which credential the client is known there.

`DIR/client.json` holds it for a local cluster (paths are relative to the file):

    {"cluster": "demo", "certificate": "tls/client-local.pem", "key": "tls/client-local.key",
     "authority": "tls/authority.pem",
     "endpoints": [["127.0.0.1:7300", "127.0.0.2:7300"], ["127.0.0.1:7310", "127.0.0.2:7310"]]}

One list per node, one address per link.  The directory is looked up as: the argument, else `$PRIMACY_DIR`,
else `./.primacy`.  Nothing is ever guessed beyond that: what is missing is a `ConfigError` that says what
to do.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from primacy.cgtp.tls import TlsFiles
from primacy.errors import ConfigError

FILE = "client.json"
ENVIRONMENT = "PRIMACY_DIR"
DIRECTORY = ".primacy"

Address = tuple[str, int]
Endpoint = str | Sequence[str]
"""One node's agent: `host:port`, or a list with one for each of its links."""


class ClientFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of `client.json`."""

    cluster: str
    """The cluster's id, as its certificates say it."""
    endpoints: list[list[str]]
    """`host:port` of the agents: one list per node, one address per link."""
    certificate: str
    """The client's certificate; a path relative to this file, like the next two."""
    key: str
    authority: str


class Settings(msgspec.Struct, frozen=True):
    """What is needed to connect."""

    endpoints: list[list[Address]]
    tls: TlsFiles
    where: str
    """Where this was found, for messages."""


def find(directory: str | os.PathLike[str] | None = None) -> Settings:
    """Return the settings of the cluster in `directory` (else `$PRIMACY_DIR`, else `./.primacy`)."""
    folder = Path(directory or os.environ.get(ENVIRONMENT) or DIRECTORY)
    path = folder / FILE
    try:
        content = msgspec.json.decode(path.read_bytes(), type=ClientFile)
    except FileNotFoundError as error:
        want = (
            f"start a cluster there with `primacy up`, or say where one is: directory=, ${ENVIRONMENT}, --dir"
        )
        raise ConfigError(str(path), "no such file", want) from error
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(
            str(path), str(error), "the client.json that `primacy up` or `primacy init` writes"
        ) from error
    return Settings(
        endpoints=_endpoints(content.endpoints, f"{path}: endpoints"),
        tls=TlsFiles(folder / content.certificate, folder / content.key, folder / content.authority),
        where=str(path),
    )


def given(endpoints: Sequence[Endpoint], credential: str | os.PathLike[str]) -> Settings:
    """Return the settings for agents and a credential that the caller names."""
    lists = [[endpoint] if isinstance(endpoint, str) else list(endpoint) for endpoint in endpoints]
    return Settings(_endpoints(lists, "endpoints"), credential_files(Path(credential)), "endpoints=")


def write(path: Path, content: ClientFile) -> None:
    """Write `client.json` in one step."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
    os.replace(new, path)


def credential_files(credential: Path) -> TlsFiles:
    """Return the three files of a credential: of a certificate, or of the directory that holds one.

    A directory has a `client.json`, a `cert.pem`, or exactly one `client-*.pem`.  The key lies beside the
    certificate (NAME.key or key.pem), and so does the authority (authority.pem or ca.pem); a file may also
    hold all of it.
    """
    if (credential / FILE).is_file():
        return find(credential).tls
    if credential.is_dir():
        found = sorted([*credential.glob("client-*.pem"), *credential.glob("cert.pem")])
        if len(found) != 1:
            got = ", ".join(path.name for path in found) or "no certificate"
            raise ConfigError(str(credential), got, "name one certificate: credential=DIR/client-NAME.pem")
        credential = found[0]
    beside = credential.parent
    return TlsFiles(
        certificate=credential,
        key=_first([credential.with_suffix(".key"), beside / "key.pem"], credential),
        authority=_first([beside / "authority.pem", beside / "ca.pem"], credential),
    )


def _first(candidates: list[Path], otherwise: Path) -> Path:
    return next((path for path in candidates if path.is_file()), otherwise)


def address(text: str, where: str) -> Address:
    """Return the address in `host:port` or `[host]:port`."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not (colon and host and port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise ConfigError(where, repr(text), "an address as host:port, such as 127.0.0.1:7300")
    return host, int(port)


def _endpoints(lists: Sequence[Sequence[str]], where: str) -> list[list[Address]]:
    if not lists or not all(lists):
        raise ConfigError(
            where, "an empty list", "at least one node, each with at least one address host:port"
        )
    return [[address(text, where) for text in node] for node in lists]
