"""What each boot parameter takes, and what it does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from primacy import boot_values
from primacy.boot_values import Link


@pytest.mark.parametrize(
    ("parse", "given", "value"),
    [
        (boot_values.node, "n1", "n1"),
        (boot_values.ledger, "sqlite:///a", "sqlite:///a"),
        (boot_values.path, "a", "/d/a"),
        (boot_values.path, "/a", "/a"),
        (boot_values.device, "", ""),
        (boot_values.device, "kept", "/d/kept"),
        (boot_values.links, "127.0.0.1,[::1]:9", (Link("127.0.0.1", 7300), Link("::1", 9))),
        (boot_values.stop_grace_s, "2.5", 2.5),
        (boot_values.watchdog_timeout_s, 3, 3),
        (boot_values.watchdog_silence_s, "0", 0.0),
        (boot_values.command, ["sh", "-c", "a b"], "sh -c 'a b'"),
        (boot_values.os_commands, "print", "print"),
        (boot_values.record_mb, "64", 64),
        (boot_values.record_mb, 1_000_000, 1_000_000),
    ],
)
def test_what_is_taken(parse: Callable[[object, str], object], given: object, value: object) -> None:
    assert parse(given, "/d") == value


@pytest.mark.parametrize(
    ("parse", "given"),
    [
        (boot_values.node, "master"),
        (boot_values.ledger, "sqlite:///"),
        (boot_values.directory, ""),
        (boot_values.path, 7),
        (boot_values.links, "127.0.0.1,127.0.0.1"),
        (boot_values.links, "host"),
        (boot_values.stop_grace_s, 0),
        (boot_values.watchdog_timeout_s, 1.5),
        (boot_values.command, [""]),
        (boot_values.os_commands, "perhaps"),
        (boot_values.record_mb, "31"),
        (boot_values.record_mb, True),
        (boot_values.record_mb, 64.0),
        (boot_values.record_mb, "many"),
    ],
)
def test_what_is_not(parse: Callable[[object, str], object], given: object) -> None:
    with pytest.raises(ValueError):
        parse(given, "/d")
