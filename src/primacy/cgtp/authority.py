"""The cluster's certificate authority: it makes itself, and issues the certificates of nodes and clients.

Keys are EC P-256 (a certificate in about a millisecond), files are PEM, keys have mode 0600 and are never
written wider for an instant. A client's certificate can only dial; a node's can dial and accept. Only the
tools that make a cluster or add a member import this module; running processes need `tls` alone. Source: RFC
5280, RFC 5480.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from primacy.cgtp.tls import AUTHORITY_URI, NAME, TlsFiles
from primacy.errors import ConfigError

VALIDITY_DAYS = 3650
"""Ten years: a cluster must not stop because nobody remembered a date."""
CLOCK_TOLERANCE_DAYS = 2
"""Certificates begin this long before they are made, for members whose wall clock is behind."""


class Authority:
    """The authority of one cluster, with its key in memory."""

    def __init__(
        self, cluster_id: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> None:
        self.cluster_id = cluster_id
        self._certificate = certificate
        self._key = key

    @classmethod
    def create(cls, directory: Path, cluster_id: str) -> Authority:
        """Make a new authority in `directory` (`authority.pem`, `authority.key`); refuse to replace one."""
        _check_name("cluster id", cluster_id)
        if (directory / "authority.key").exists():
            raise ConfigError(
                str(directory), "an authority that exists already", "use it, or another directory"
            )
        directory.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject(f"Primacy authority of {cluster_id}")
        builder = _builder(subject, subject, key.public_key(), f"primacy://{cluster_id}/authority")
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_key_usage(authority=True), critical=True)
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        certificate = builder.sign(key, hashes.SHA256())
        _write_key(directory / "authority.key", key)
        _write(directory / "authority.pem", certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        return cls(cluster_id, certificate, key)

    @classmethod
    def load(cls, directory: Path) -> Authority:
        """Read the authority that `create` made in `directory`; `ConfigError` if it is missing or foreign."""
        try:
            certificate = x509.load_pem_x509_certificate((directory / "authority.pem").read_bytes())
            key = serialization.load_pem_private_key((directory / "authority.key").read_bytes(), None)
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (OSError, ValueError, TypeError, x509.ExtensionNotFound) as error:
            raise ConfigError(
                str(directory), f"no usable authority ({error})", "make one with `primacy init`"
            ) from error
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        matches = [match for uri in uris if (match := AUTHORITY_URI.fullmatch(uri))]
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not matches:
            raise ConfigError(str(directory), "an authority of another kind", "make one with `primacy init`")
        return cls(matches[0][1], certificate, key)

    def issue_node(self, directory: Path, node: str) -> TlsFiles:
        """Issue the certificate of a node: it may dial and accept."""
        return self._issue(directory, "node", node)

    def issue_client(self, directory: Path, name: str) -> TlsFiles:
        """Issue the certificate of a client: it may dial only."""
        return self._issue(directory, "client", name)

    def _issue(self, directory: Path, kind: str, name: str) -> TlsFiles:
        """Write `<kind>-<name>.pem`, `.key` and a copy of `authority.pem` to `directory`; replaces an older one."""
        _check_name(f"{kind}'s name", name)
        directory.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        uri = f"primacy://{self.cluster_id}/{kind}/{name}"
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH] + (
            [ExtendedKeyUsageOID.SERVER_AUTH] if kind == "node" else []
        )
        builder = _builder(
            _subject(f"Primacy {kind} {name}"), self._certificate.subject, key.public_key(), uri
        )
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(authority=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = builder.add_extension(issuer, critical=False).sign(self._key, hashes.SHA256())
        files = TlsFiles(
            certificate=directory / f"{kind}-{name}.pem",
            key=directory / f"{kind}-{name}.key",
            authority=directory / "authority.pem",
        )
        _write_key(files.key, key)
        _write(files.certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        _write(files.authority, self._certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        return files


def _check_name(what: str, name: str) -> None:
    if not NAME.fullmatch(name):
        raise ConfigError(
            what, repr(name), "1 to 64 letters, digits, '.', '_' or '-', not '.' or '-' at an end"
        )


def _subject(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, uri: str
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=CLOCK_TOLERANCE_DAYS))
        .not_valid_after(now + timedelta(days=VALIDITY_DAYS))
        .add_extension(names, critical=False)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    encoding, layout = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    _write(path, key.private_bytes(encoding, layout, serialization.NoEncryption()), 0o600)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Replace `path` in one step, so that nobody ever reads half a file or a key with a wider mode."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
