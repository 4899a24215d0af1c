"""What becomes of the machine: which command, whether it is run, and every reason why it cannot be.

No test here may ever halt the machine that runs it: commands are harmless programs, and systemd's are only looked at.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from primacy.boot import Boot, retrieve
from primacy.guardian_log import Log
from primacy.guardian_system import carry_out, means


def _boot(*options: str) -> Boot:
    return retrieve(["--node=n1", "--ledger=sqlite:///x", *options], {}, "")


@pytest.mark.parametrize(
    ("then", "command"), [("halt", "systemctl poweroff"), ("reboot", "systemctl reboot")]
)
def test_systemd_does_it_where_it_runs(tmp_path: Path, then: str, command: str) -> None:
    found = means(_boot("--os-commands=print"), then, str(tmp_path))
    assert found == (command, False, "")


def test_what_is_configured_comes_before_systemd(tmp_path: Path) -> None:
    found = means(_boot("--halt-command=true 'a b'"), "halt", str(tmp_path))
    assert found == ("true 'a b'", True, "")


@pytest.mark.parametrize("options", [(), ("--os-commands=print",), ("--reboot-command=true",)])
def test_nothing_configured_and_no_systemd_is_a_reason(tmp_path: Path, options: tuple[str, ...]) -> None:
    found = means(_boot(*options), "halt", str(tmp_path / "none"))
    assert found.reason.startswith("n1 cannot halt its machine: no systemd runs there")
    assert "halt_command" in found.reason


@pytest.mark.parametrize("program", ["/no/such/program", "no-such-program", "plain-file"])
def test_a_program_that_cannot_be_run_is_a_reason(tmp_path: Path, program: str) -> None:
    if program == "plain-file":
        program = str(tmp_path / program)
        Path(program).write_text("not executable\n")
    found = means(_boot(f"--reboot-command={program} x"), "reboot", str(tmp_path / "none"))
    assert found.reason == f"n1 cannot reboot its machine: it finds no program {program} that it may run"
    printed = means(_boot(f"--reboot-command={program} x", "--os-commands=print"), "reboot", str(tmp_path))
    assert printed.reason == ""  # it is never run, so it need not be there


def test_a_printed_command_is_written_to_the_log_and_nothing_else_happens(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with open(tmp_path / "log", "wb") as opened:
        log = Log("guardian", opened.fileno())
        assert carry_out(_boot(f"--halt-command=touch {trace}", "--os-commands=print"), "halt", log)
    assert f"the command `touch {trace}` is not run" in (tmp_path / "log").read_text()
    assert not trace.exists()


def test_what_cannot_be_run_is_told(tmp_path: Path) -> None:
    program = tmp_path / "garbage"
    program.write_bytes(b"\0 no program of any system\n")
    program.chmod(0o755)
    for command in (str(program), "/no/such/program"):
        with open(tmp_path / "log", "wb") as opened:
            assert not carry_out(_boot(f"--halt-command={command}"), "halt", Log("guardian", opened.fileno()))
        assert command in (tmp_path / "log").read_text()


def test_the_process_becomes_the_command(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    option = f"--halt-command=sh -c 'echo $$ > {trace}; exit 7'"
    code = f"""
from primacy.boot import retrieve
from primacy.guardian_log import Log
from primacy.guardian_system import carry_out
carry_out(retrieve(["--node=n1", "--ledger=sqlite:///x", {option!r}], {{}}, ""), "halt", Log("guardian"))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.DEVNULL, env=os.environ
    )
    assert process.wait(30) == 7
    assert int(trace.read_text()) == process.pid
