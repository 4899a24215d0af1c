"""Contexts and identities: whom a certificate names, and what is refused before anything is dialed."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from primacy.cgtp.authority import Authority
from primacy.cgtp.tls import NAME, Identity, TlsFiles, client_context, cluster_of, identity_of, server_context
from primacy.errors import ConfigError, WireError
from tests.unit.cgtp_tools import Credentials


def certificate(*uris: str) -> dict[str, object]:
    return {"subjectAltName": (*tuple(("URI", uri) for uri in uris), ("DNS", "primacy://c1/node/n9"))}


@pytest.mark.parametrize(
    ("uris", "identity"),
    [
        (["primacy://c1/node/n1"], Identity("node", "n1")),
        (["primacy://c1/client/alice.smith-2"], Identity("client", "alice.smith-2")),
        (["https://example.org", "primacy://c2/node/n1", "primacy://c1/node/n2"], Identity("node", "n2")),
    ],
)
def test_whom_a_certificate_names(uris: list[str], identity: Identity) -> None:
    assert identity_of(certificate(*uris), "c1") == identity


@pytest.mark.parametrize(
    ("uris", "message"),
    [
        ([], "neither a node nor a client"),
        (["primacy://c2/node/n1"], "of cluster c2, ours is c1"),
        (["primacy://c1/authority"], "neither"),
        (["primacy://c1/root/n1"], "neither"),
        (["primacy://c1/node/"], "neither"),
        (["primacy://c1/node/n1/x"], "neither"),
        (["primacy://c1/node/../n1"], "neither"),
        (["PRIMACY://c1/node/n1"], "neither"),
        (["primacy://c1/node/n1\n"], "neither"),
    ],
)
def test_whom_it_does_not_name(uris: list[str], message: str) -> None:
    with pytest.raises(WireError, match=message):
        identity_of(certificate(*uris), "c1")


def test_no_certificate_is_nobody() -> None:
    with pytest.raises(WireError):
        identity_of(None, "c1")


def test_both_contexts_demand_tls_1_3_and_a_certificate(tmp_path: Path) -> None:
    files = Credentials(tmp_path, "c-7").node("n1")
    for context in (server_context(files), client_context(files)):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert cluster_of(context) == "c-7"


@pytest.mark.parametrize("field", TlsFiles.__struct_fields__)
def test_a_missing_file_is_named(tmp_path: Path, field: str) -> None:
    files = Credentials(tmp_path).node("n1")
    missing = msgspec.structs.replace(files, **{field: tmp_path / "nowhere.pem"})
    with pytest.raises(ConfigError, match=r"nowhere\.pem"):
        client_context(missing)


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    credentials = Credentials(tmp_path)
    files = msgspec.structs.replace(credentials.node("n1"), key=credentials.node("n2").key)
    with pytest.raises(ConfigError, match="n2"):
        client_context(files)


def test_an_authority_that_names_no_cluster_is_refused(tmp_path: Path) -> None:
    files = Credentials(tmp_path).node("n1")
    with pytest.raises(ConfigError, match="authority"):
        client_context(msgspec.structs.replace(files, authority=files.certificate))


def test_names_are_safe_in_paths_and_uris() -> None:
    good = ["n1", "a", "A-1_b.c", "x" * 64]
    bad = ["", ".", "..", "-n", "n-", "a/b", "a b", "ä", "x" * 65, "n1\n"]
    assert [name for name in good + bad if NAME.fullmatch(name)] == good


def test_streams_need_no_cryptography() -> None:
    """Hosts and clients stay small: the package that only agents and tools need is not imported."""
    code = "import sys, primacy.cgtp.stream; sys.exit('cryptography' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": "src"}, check=False).returncode == 0
    )


def test_an_authority_of_the_same_name_is_another_one(tmp_path: Path) -> None:
    ours = Authority.create(tmp_path / "ours", "c1").issue_node(tmp_path / "n1", "n1")
    theirs = Authority.create(tmp_path / "theirs", "c1").issue_node(tmp_path / "n2", "n2")
    server, client = server_context(ours), client_context(theirs)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    dialer = client.wrap_bio(to_client, to_server)
    acceptor = server.wrap_bio(to_server, to_client, server_side=True)
    with pytest.raises(ssl.SSLWantReadError):
        dialer.do_handshake()
    with pytest.raises(ssl.SSLWantReadError):
        acceptor.do_handshake()
    with pytest.raises(ssl.SSLCertVerificationError):
        dialer.do_handshake()
