"""Finding the cluster and the credential, and saying what to do when they are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from primacy.client import settings
from primacy.errors import ConfigError

CONTENT = settings.ClientFile(
    "demo", [["127.0.0.1:7300", "[::1]:7300"]], "client/cert.pem", "client/key.pem", "authority/ca.pem"
)

ISSUED = ("client-a.pem", "client-a.key", "authority.pem")


def test_what_is_written_is_found_with_paths_relative_to_the_file(tmp_path: Path) -> None:
    settings.write(tmp_path / settings.FILE, CONTENT)
    found = settings.find(tmp_path)
    assert found.endpoints == [[("127.0.0.1", 7300), ("::1", 7300)]]
    assert found.tls.certificate == tmp_path / "client/cert.pem"
    assert found.tls.authority == tmp_path / "authority/ca.pem"
    assert found.where == str(tmp_path / "client.json")


def test_the_directory_is_the_argument_else_the_environment_else_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("argument", "environment", "work/.primacy"):
        (tmp_path / name).mkdir(parents=True)
        settings.write(tmp_path / name / settings.FILE, CONTENT)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv(settings.ENVIRONMENT, raising=False)
    assert settings.find().where == ".primacy/client.json"
    monkeypatch.setenv(settings.ENVIRONMENT, str(tmp_path / "environment"))
    assert settings.find().where == str(tmp_path / "environment/client.json")
    assert settings.find(tmp_path / "argument").where == str(tmp_path / "argument/client.json")


def test_an_absent_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="primacy up") as caught:
        settings.find(tmp_path / "nowhere")
    assert caught.value.path == str(tmp_path / "nowhere/client.json")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        '{"cluster": 1}',
        '{"cluster":"a","endpoints":[],"certificate":"","key":"","authority":"","unknown":1}',
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / settings.FILE).write_text(content)
    with pytest.raises(ConfigError, match=r"client\.json"):
        settings.find(tmp_path)


@pytest.mark.parametrize("text", ["", "host", ":7300", "host:", "host:0", "host:65536", "host:7a", "host:-1"])
def test_a_wrong_address_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(ConfigError, match="host:port") as caught:
        settings.address(text, "endpoints")
    assert caught.value.path == "endpoints"


@pytest.mark.parametrize("endpoints", [[], [[]], ["nonsense"]])
def test_wrong_endpoints_are_refused(tmp_path: Path, endpoints: list[str]) -> None:
    with pytest.raises(ConfigError, match="endpoints"):
        settings.given(endpoints, tmp_path / "client-a.pem")


@pytest.mark.parametrize(
    ("files", "name", "expected"),
    [
        (ISSUED, "", ISSUED),
        (ISSUED, "client-a.pem", ISSUED),
        (("cert.pem", "key.pem", "ca.pem"), "", ("cert.pem", "key.pem", "ca.pem")),
        (("all.pem",), "all.pem", ("all.pem", "all.pem", "all.pem")),
    ],
)
def test_a_credential_is_a_certificate_or_the_directory_that_holds_it(
    tmp_path: Path, files: tuple[str, ...], name: str, expected: tuple[str, ...]
) -> None:
    for file in files:
        (tmp_path / file).touch()
    found = settings.credential_files(tmp_path / name if name else tmp_path)
    assert (found.certificate.name, found.key.name, found.authority.name) == expected


def test_a_directory_with_client_json_is_a_credential(tmp_path: Path) -> None:
    settings.write(tmp_path / settings.FILE, CONTENT)
    assert settings.credential_files(tmp_path).certificate == tmp_path / "client/cert.pem"


def test_two_certificates_are_one_too_many(tmp_path: Path) -> None:
    for name in ("client-a.pem", "client-b.pem"):
        (tmp_path / name).touch()
    with pytest.raises(ConfigError, match=r"client-a\.pem, client-b\.pem"):
        settings.credential_files(tmp_path)


def test_an_empty_directory_is_no_credential(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no certificate"):
        settings.credential_files(tmp_path)
