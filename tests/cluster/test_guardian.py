"""The guardian's start: boot parameters, the operating-system level, one guardian a directory; its size."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from primacy import boot, guardian
from primacy.boot import Link
from primacy.errors import ConfigError
from tests.cluster.guarded import DEADLINE_S, Guarded, free_ports, wait_until

SOURCE = Path(guardian.__file__).parents[1]
RSS_KB_MAX = 20_000


def run(argv: Sequence[str], path: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "primacy.guardian", *argv],
        cwd=path, capture_output=True, text=True, timeout=DEADLINE_S, check=False, stdin=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), **environ},
    )  # fmt: skip


def test_show_boot_tells_each_value_and_its_source(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text('ledger = "sqlite:///x"\n')
    ran = run(["--dir=.", "--show-boot"], tmp_path, PRIMACY_NODE="n1")
    assert (ran.returncode, ran.stderr) == (0, "")
    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in ran.stdout.splitlines()}
    assert list(rows) == [each.name for each in boot.PARAMETERS]
    assert rows["node"] == ["n1", "environment PRIMACY_NODE"]
    assert rows["ledger"] == ["sqlite:///x", f"file {tmp_path}/node.toml"]
    assert rows["dir"] == [str(tmp_path), "command line"]
    ran = run(["--dir=.", "--show-boot", "--json"], tmp_path, PRIMACY_NODE="n1")
    assert json.loads(ran.stdout)["node"] == {"value": "n1", "source": "environment PRIMACY_NODE"}
    assert os.listdir(tmp_path) == ["node.toml"], "showing has begun something"


def test_wrong_parameters_are_told_together_and_nothing_is_begun(tmp_path: Path) -> None:
    ran = run(["--links=nowhere", "--color"], tmp_path, PRIMACY_NODE="master")
    assert ran.returncode == 78
    assert len(ran.stderr.splitlines()) == 4
    for word in ("--links: got 'nowhere'", "'--color'", "PRIMACY_NODE: got 'master'", "ledger: got nothing"):
        assert word in ran.stderr
    assert os.listdir(tmp_path) == []


def test_a_port_that_another_program_has_is_a_wrong_configuration(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        ran = run(["--node=n1", "--ledger=sqlite:///x", f"--links=127.0.0.1:{port}"], tmp_path)
    assert ran.returncode == 78
    assert f"links: got 127.0.0.1:{port}" in ran.stderr


def test_a_directory_that_cannot_be_made_is_a_wrong_configuration(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = run(["--node=n1", "--ledger=sqlite:///x", "--dir=file/node"], tmp_path)
    assert ran.returncode == 78
    assert "cannot be used" in ran.stderr


def test_links_are_checked() -> None:
    port = free_ports(1)[0]
    good, down = Link("127.0.0.1", port), Link("192.0.2.1", port)
    assert guardian.check_links([good, Link("127.0.0.2", port)]) == []
    [line] = guardian.check_links([good, down])
    assert f"link 192.0.2.1:{port} is down" in line
    with pytest.raises(ConfigError, match="at least one address"):
        guardian.check_links([down])
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(ConfigError, match=r"links: got 127\.0\.0\.1"),
    ):
        guardian.check_links([good])


def test_a_second_guardian_is_refused_and_harms_nobody(tmp_path: Path) -> None:
    with Guarded(tmp_path) as guarded:
        agent = guarded.next_agent()
        [pid] = guarded.spawn_host(agent, "h")
        ran = run(guarded.options, tmp_path)
        assert ran.returncode == 75
        assert f"a guardian at work (pid {guarded.process.pid})" in ran.stderr
        assert os.path.exists(f"/proc/{pid}")
        agent.say({"do": "page", "service": "still", "term": 1})
        agent.hear("page")


def test_the_agent_learns_what_was_retrieved(tmp_path: Path) -> None:
    with Guarded(tmp_path) as guarded:
        agent = guarded.next_agent()
        assert agent.parent_pid == guarded.process.pid
        variables = Path(f"/proc/{agent.pid}/environ").read_bytes().split(b"\0")
        text = next(each for each in variables if each.startswith(boot.BOOT_VARIABLE.encode()))
        found = boot.from_json(text.partition(b"=")[2].decode())
        assert found == boot.retrieve(guarded.options, {}, "")


def test_closed_standard_descriptors_are_filled(tmp_path: Path) -> None:
    code = "import os; os.close(0); os.close(2); from primacy.guardian import main; main(['--show-boot']); \
os.write(1, b' '.join(os.readlink(f'/proc/self/fd/{n}').encode() for n in (0, 2)))"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=DEADLINE_S, check=True, cwd=tmp_path,
        env={"PYTHONPATH": str(SOURCE), "PRIMACY_NODE": "n1", "PRIMACY_LEDGER": "sqlite:///x"},
    )  # fmt: skip
    assert ran.stdout.endswith(b"/dev/null /dev/null") or b"/dev/null /dev/null" in ran.stdout


def test_the_guardian_stays_small_and_alone_in_its_thread(tmp_path: Path) -> None:
    with Guarded(tmp_path) as guarded:
        agent = guarded.next_agent()
        for number in range(20):
            agent.say({"do": "spawn", "name": f"p{number}", "argv": ["true"]})
            agent.hear("spawned")
            agent.hear("exited")
        status = Path(f"/proc/{guarded.process.pid}/status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines())
        assert int(fields["VmRSS"].split()[0]) < RSS_KB_MAX
        assert fields["Threads"].strip() == "1"
        assert len(os.listdir(f"/proc/{guarded.process.pid}/fd")) < 20
        used = Path(f"/proc/{guarded.process.pid}/maps").read_text()
        assert "libssl" not in used
        assert "site-packages" not in used


def test_a_guardian_without_an_agent_program_goes_on_trying(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    argv = ["--node=n1", "--ledger=sqlite:///x", f"--links=127.0.0.1:{port}", "--dir=node"]
    code = f"""
from primacy.guardian import main
from primacy.guardian_loop import Timing
raise SystemExit(main({argv!r}, ["/no/such/agent"], Timing(restart_first_s=0.01, restart_last_s=0.02)))
"""
    log = tmp_path / "log"
    with log.open("wb") as opened:
        process = subprocess.Popen(
            [sys.executable, "-c", code], stderr=opened, cwd=tmp_path, env={"PYTHONPATH": str(SOURCE)}
        )
    try:
        wait_until(
            lambda: log.read_text().count("exited with 127: [Errno 2] No such file") >= 5, "it tries again"
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
    finally:
        process.kill()
        process.wait()
