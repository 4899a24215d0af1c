"""What becomes of the machine when its node has left: nothing, or it is halted or rebooted.

The command is the configured one (`halt_command`, `reboot_command`), else systemd's where systemd runs; else there is
none, and whoever asks for it is refused before anything begins. The guardian becomes the command, as its last act:
when all processes of the node are dead, so nothing is cut off, and nobody waits for a machine that goes away.

With `os_commands = "print"` the command is written to the node's log, and that is all: it is never run, whatever it
is, so that a cluster made to try things on never takes its machine down.

Standard library only: the guardian imports this module.
"""

from __future__ import annotations

import os
import shlex
import signal
from typing import NamedTuple, NoReturn

from primacy.boot import Boot
from primacy.guardian_log import Log

SYSTEMD_PATH = "/run/systemd/system"
"""Is there where systemd is the first process: sd_booted(3)."""

_SYSTEMD_COMMANDS = {"halt": "systemctl poweroff", "reboot": "systemctl reboot"}


class Means(NamedTuple):
    """How a node halts or reboots its machine. `reason`: why it cannot; empty: it can."""

    command: str
    is_run: bool
    reason: str


def means(boot: Boot, then: str, systemd_path: str = SYSTEMD_PATH) -> Means:
    """Return how this node would do it: `then` is halt or reboot."""
    setting = f"{then}_command"
    command, is_run = str(getattr(boot, setting)), boot.os_commands == "run"
    if not command and os.path.isdir(systemd_path):
        command = _SYSTEMD_COMMANDS[then]
    why = ""
    if not command:
        why = f"no systemd runs there, and its boot parameters set no {setting}"
    elif is_run and not _can_be_run(program := shlex.split(command)[0]):
        why = f"it finds no program {program} that it may run"
    return Means(command, is_run, f"{boot.node} cannot {then} its machine: {why}" if why else "")


def carry_out(boot: Boot, then: str, log: Log) -> bool:
    """Halt or reboot the machine: this process becomes the command.

    Returns True if the command is not to be run, False if it cannot be; the log tells.
    """
    found = means(boot, then)
    if found.reason:
        log.say(found.reason)
    elif not found.is_run:
        log.say(f'{then}: the command `{found.command}` is not run, because os_commands = "print"')
    else:
        log.say(f"{then}: {found.command}")
        try:
            _become(shlex.split(found.command))
        except OSError as error:
            log.say(f"{then}: `{found.command}` could not be run: {error}")
            return False
    return not found.reason


def _become(argv: list[str]) -> NoReturn:
    for each in (signal.SIGPIPE, signal.SIGXFSZ):  # what Python ignores would stay ignored
        signal.signal(each, signal.SIG_DFL)
    os.execvp(argv[0], argv)


def _can_be_run(program: str) -> bool:
    places = [""] if os.path.dirname(program) else os.get_exec_path()
    paths = [os.path.join(each, program) for each in places]
    return any(os.path.isfile(path) and os.access(path, os.X_OK) for path in paths)
