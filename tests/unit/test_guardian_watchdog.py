"""The watchdog: fed in time, not for a silent agent, disarmed by the magic letter, and never waited for."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from primacy.errors import ConfigError
from primacy.guardian_watchdog import FIRST_SILENCE_S, INTERVAL_S_DEFAULT, Watchdog

S = 1_000_000_000


class Device:
    """A pipe in the place of the device; time is told by the test."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "watchdog"
        os.mkfifo(self.path)
        self._fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.said: list[str] = []
        self.now_ns = 5 * S
        self.watchdog = Watchdog(str(self.path), 10, self.now_ns, self.said.append)

    def run(self, seconds: float) -> int:
        """Let time pass as the guardian does; return how often the device was fed."""
        end_ns = self.now_ns + int(seconds * S)
        while self.watchdog.due_ns <= end_ns:
            self.now_ns = self.watchdog.due_ns
            self.watchdog.feed_due(self.now_ns)
        self.now_ns = end_ns
        return len(self.eaten())

    def eaten(self) -> bytes:
        """What the device was fed since."""
        try:
            return os.read(self._fd, 1 << 16)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    made = Device(tmp_path)
    yield made
    made.close()


def test_it_is_fed_at_once_and_then_in_time(device: Device) -> None:
    assert device.run(0) == 1
    assert device.run(5 * INTERVAL_S_DEFAULT) == 5
    assert device.said == []


def test_a_new_agent_has_its_time_to_say_something(device: Device) -> None:
    assert device.run(FIRST_SILENCE_S) == FIRST_SILENCE_S / INTERVAL_S_DEFAULT + 1
    assert device.run(10) == 0


def test_a_silent_agent_starves_it_and_is_told_of_once(device: Device) -> None:
    for _ in range(4):
        device.watchdog.heard(device.now_ns, 2.0)
        assert device.run(1) > 0
    device.run(1)
    assert device.run(60) == 0
    assert len(device.said) == 1
    assert "the agent has been silent for" in device.said[0]
    device.watchdog.heard(device.now_ns, 2.0)
    assert device.run(0) == 1  # at once: the device may have waited long
    assert device.said[1:] == ["the agent beats again: the watchdog is fed again"]


def test_only_the_magic_letter_disarms_it(device: Device) -> None:
    device.watchdog.close(disarm=True)
    assert device.eaten() == b"V"
    other = Watchdog(str(device.path), 10, 0, device.said.append)
    other.close(disarm=False)
    assert device.eaten() == b""


def test_a_device_that_takes_nothing_is_told_of_once_and_tried_again(device: Device) -> None:
    fd = os.open(device.path, os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(fd, bytes(4096))
    os.close(fd)
    device.watchdog.heard(device.now_ns, 60.0)
    for _ in range(5):
        device.watchdog.feed_due(device.watchdog.due_ns)
    assert len(device.said) == 1
    assert "does not take what it is fed" in device.said[0]
    while device.eaten():
        continue
    assert device.run(10) > 0
    assert len(device.said) == 1


def test_a_device_without_a_time_out_to_set_is_used_as_it_is(device: Device) -> None:
    assert device.watchdog.timeout_s == 0
    assert str(device.watchdog) == f"{device.path}, time-out of its own"


def test_a_terminal_is_no_harm_either(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    watchdog = Watchdog(os.ttyname(theirs), 10, 0, lambda text: None)
    watchdog.feed_due(0)
    assert os.read(ours, 10) != b""
    watchdog.close(disarm=True)
    for each in (ours, theirs):
        os.close(each)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.write_text("kept"), "it is no device"),
        (lambda path: path.mkdir(), "it is no device"),
        (os.mkfifo, "No such device"),  # nobody reads it
    ],
    ids=["nothing", "file", "directory", "dead pipe"],
)
def test_what_cannot_be_fed_is_a_wrong_configuration(tmp_path: Path, make: object, why: str) -> None:
    path = tmp_path / "dog"
    make(path)  # type: ignore[operator]
    with pytest.raises(ConfigError, match=why) as caught:
        Watchdog(str(path), 10, 0, lambda text: None)
    assert (caught.value.path, caught.value.got) == ("watchdog", str(path))
    assert not path.is_file() or path.read_text() == "kept"
