"""Processes: found, started, described and ended; mostly in a process of its own, as `reap` takes all."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from primacy import guardian_process

SOURCE = Path(guardian_process.__file__).parents[1]


def run(script: str) -> str:
    """Run a script that asserts; return what it prints."""
    text = (
        "import os, signal, sys, time\nfrom primacy import guardian_process as process\n"
        + textwrap.dedent(script)
    )
    ran = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=20, check=False,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_children_are_found_in_both_ways() -> None:
    run("""
        pids = [os.fork() for _ in range(1)]
        if pids == [0]:
            signal.pause()
        assert process.children() == process.children_by_scan() == pids
        assert process.parent_of(pids[0]) == os.getpid()
        assert process.kill_children() == 1
        os.waitpid(pids[0], 0)
        assert process.children() == process.children_by_scan() == []
    """)


def test_a_subreaper_ends_a_hidden_tree_until_nobody_is_left() -> None:
    run("""
        process.become_subreaper()
        read_fd, write_fd = os.pipe()
        for _ in range(3):
            if os.fork() == 0:
                for _ in range(3):
                    os.setsid()
                    if os.fork() != 0:
                        os._exit(0)
                os.write(write_fd, os.getpid().to_bytes(4, "little"))
                signal.pause()
        hidden = [int.from_bytes(os.read(read_fd, 4), "little") for _ in range(3)]
        ended, any_left = process.reap()
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        while any_left:
            process.kill_children()
            more, any_left = process.reap()
            ended += more
            if any_left and not more:
                signal.sigtimedwait([signal.SIGCHLD], 0.1)
        assert {(pid, -9) for pid in hidden} <= set(ended)
        assert [code for _, code in ended].count(0) == 9
        assert not any(os.path.exists(f"/proc/{pid}") for pid in hidden)
        assert process.reap() == ([], False)
    """)


def test_a_started_program_has_a_session_and_dies_with_us() -> None:
    printed = run("""
        read_fd, write_fd = os.pipe()
        code = f"import os, signal; os.write({write_fd}, str(os.getsid(0)).encode()); signal.pause()"
        spawned = process.spawn([sys.executable, "-c", code], os.environ, "/", [write_fd])
        assert int(os.read(read_fd, 20)) == spawned.pid
        assert os.readlink(f"/proc/{spawned.pid}/cwd") == "/"
        assert os.readlink(f"/proc/{spawned.pid}/fd/0") == "/dev/null"
        assert sorted(os.listdir(f"/proc/{spawned.pid}/fd"))[:3] == ["0", "1", "2"]
        assert len(os.listdir(f"/proc/{spawned.pid}/fd")) == 4
        print(spawned.pid)
        sys.stdout.flush()
        os._exit(0)
    """)
    pid = int(printed)
    process = os.pidfd_open(pid) if os.path.exists(f"/proc/{pid}") else None
    if process is not None:
        import select

        assert select.select([process], [], [], 5)[0], "it lives on"
        os.close(process)


def test_a_program_that_cannot_be_started_says_why() -> None:
    run("""
        for argv, cwd, why in (
            (["/no/such/program"], None, "No such file"),
            (["true"], "/no/such/directory", "No such file"),
            (["/etc/passwd"], None, "Permission denied"),
        ):
            spawned = process.spawn(argv, os.environ, cwd)
            _, status = os.waitpid(spawned.pid, 0)
            assert os.waitstatus_to_exitcode(status) == process.EXIT_NOT_STARTED
            assert why in process.read_error(spawned.error_fd)
        spawned = process.spawn(["false"], os.environ)
        assert os.waitstatus_to_exitcode(os.waitpid(spawned.pid, 0)[1]) == 1
        assert process.read_error(spawned.error_fd) == ""
    """)


def test_what_runs_before_the_program_runs_in_the_new_process() -> None:
    run("""
        read_fd, write_fd = os.pipe()
        spawned = process.spawn(["true"], os.environ, before_exec=lambda pid: os.write(write_fd, b"%d" % pid))
        assert int(os.read(read_fd, 20)) == spawned.pid
        def fail(pid):
            raise RuntimeError("no disk")
        spawned = process.spawn(["true"], os.environ, before_exec=fail)
        os.waitpid(spawned.pid, 0)
        assert process.read_error(spawned.error_fd) == "no disk"
    """)


def test_signals_of_the_child_never_reach_our_wakeup_descriptor() -> None:
    run("""
        import socket
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        signal.set_wakeup_fd(theirs.fileno())
        signal.signal(signal.SIGTERM, lambda *_: None)
        for _ in range(50):
            end = lambda pid: os.kill(pid, signal.SIGTERM)
            spawned = process.spawn(["sleep", "9"], os.environ, before_exec=end)
            assert os.waitstatus_to_exitcode(os.waitpid(spawned.pid, 0)[1]) == -signal.SIGTERM
        ours.setblocking(False)
        try:
            raise AssertionError(ours.recv(100))
        except BlockingIOError:
            pass
    """)


def test_a_process_whose_parent_is_not_the_expected_one_ends() -> None:
    run("""
        pid = os.fork()
        if pid == 0:
            process.die_with_parent(os.getppid() + 1)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        pid = os.fork()
        if pid == 0:
            process.die_with_parent(os.getppid())
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    """)


def test_what_is_told_of_a_process() -> None:
    me = os.getpid()
    assert me in guardian_process.processes()
    assert guardian_process.state(me) == "R"
    assert guardian_process.parent_of(me) == os.getppid()
    started = guardian_process.start_time(me)
    assert started is not None
    assert started > 0
    assert guardian_process.describe(me).startswith(f"pid {me} (")
    nobody = 2**22 + 1
    assert guardian_process.start_time(nobody) is None
    assert guardian_process.parent_of(nobody) is None
    assert guardian_process.state(nobody) == "X"
    assert guardian_process.describe(nobody) == f"pid {nobody}"


def test_a_name_with_brackets_and_spaces_confuses_nobody(tmp_path: Path) -> None:
    odd = tmp_path / "a) R (b"
    odd.write_bytes(Path("/bin/sleep").read_bytes())
    odd.chmod(0o755)
    sleeper = subprocess.Popen([str(odd), "60"])
    try:
        assert guardian_process.parent_of(sleeper.pid) == os.getpid()
        assert guardian_process.describe(sleeper.pid).startswith(f"pid {sleeper.pid} (a) R (b, state ")
    finally:
        sleeper.kill()
        sleeper.wait()
