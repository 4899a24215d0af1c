"""The authority: what it issues, for whom, and with which modes."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography import x509

from primacy.cgtp.authority import Authority
from primacy.errors import ConfigError


def uris(path: Path) -> list[str]:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def usages(path: Path) -> list[str]:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return [
        usage._name for usage in certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    ]


def test_it_issues_nodes_and_clients(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "authority", "c-1")
    node, client = (
        authority.issue_node(tmp_path / "n1", "n1"),
        authority.issue_client(tmp_path / "c", "alice"),
    )
    assert uris(node.authority) == ["primacy://c-1/authority"]
    assert uris(node.certificate) == ["primacy://c-1/node/n1"]
    assert uris(client.certificate) == ["primacy://c-1/client/alice"]
    assert usages(node.certificate) == ["clientAuth", "serverAuth"]
    assert usages(client.certificate) == ["clientAuth"]


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "authority", "c-1")
    files = authority.issue_node(tmp_path / "n1", "n1")
    authority.issue_node(tmp_path / "n1", "n1")
    for key in (tmp_path / "authority" / "authority.key", files.key):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert sorted(path.name for path in (tmp_path / "n1").iterdir()) == [
        "authority.pem",
        "node-n1.key",
        "node-n1.pem",
    ]


def test_one_that_was_made_is_loaded_and_never_replaced(tmp_path: Path) -> None:
    made = Authority.create(tmp_path, "c-1")
    loaded = Authority.load(tmp_path)
    assert loaded.cluster_id == "c-1"
    one, two = made.issue_node(tmp_path / "1", "n1"), loaded.issue_node(tmp_path / "2", "n2")
    assert one.authority.read_bytes() == two.authority.read_bytes()
    with pytest.raises(ConfigError, match="exists already"):
        Authority.create(tmp_path, "c-1")


def test_no_authority_or_a_foreign_one_is_a_clear_refusal(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no usable authority"):
        Authority.load(tmp_path)
    Authority.create(tmp_path, "c-1")
    (tmp_path / "authority.pem").write_text("not a certificate")
    with pytest.raises(ConfigError, match="no usable authority"):
        Authority.load(tmp_path)
    node = Authority.create(tmp_path / "other", "c-1").issue_node(tmp_path / "n1", "n1")
    (tmp_path / "authority.pem").write_bytes(node.certificate.read_bytes())
    with pytest.raises(ConfigError, match="another kind"):
        Authority.load(tmp_path)


@pytest.mark.parametrize("name", ["", "a/b", "../x", "n 1", "-n"])
def test_a_name_that_no_uri_or_path_takes_is_refused(tmp_path: Path, name: str) -> None:
    authority = Authority.create(tmp_path / "authority", "c-1")
    with pytest.raises(ConfigError, match="letters, digits"):
        authority.issue_node(tmp_path / "n", name)
    with pytest.raises(ConfigError, match="letters, digits"):
        Authority.create(tmp_path / "another", name)
