"""The guardian: the process that every other process of a node descends from.

It retrieves the boot parameters, brings up the operating-system level (ends what an earlier life left behind,
checks that the node's own addresses can be used, arms the watchdog), and then starts the agent and watches over
it. When the agent dies it ends everything else and says so to the peers: its obituary is proof that no process of
this node will answer again. When the node has left in order it may halt or reboot the machine, as its last act.

It must never block, and it must stay small enough never to be the one that dies: the standard library only,
no user code, no cryptography, no thread. What it does while the agent lives is in `guardian_loop`.

    python -m primacy.guardian --node n1 --ledger sqlite:////var/lib/primacy/ledger [--show-boot [--json]]

Exit codes: 0 stopped in order; 1 not in order; 75 another guardian or a leftover has the directory; 78
configuration.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Sequence

from primacy import boot, guardian_leftovers, guardian_system, lease_page
from primacy.boot import Boot, Link
from primacy.errors import ConfigError, Refused
from primacy.guardian_log import Log
from primacy.guardian_loop import EXIT_CONFIG, EXIT_FAILED, Guardian, Timing
from primacy.guardian_watchdog import Watchdog

EXIT_REFUSED = 75
AGENT_ARGV = (sys.executable, "-m", "primacy.agent")


def main(argv: Sequence[str], agent_argv: Sequence[str] = AGENT_ARGV, timing: Timing | None = None) -> int:
    """Run a node with the options `argv` until it ends, and return the exit code."""
    _open_standard_descriptors()
    words = [each for each in argv if each not in ("--show-boot", "--json")]
    try:
        found = boot.retrieve(words, os.environ, boot.kernel_command_line())
    except ExceptionGroup as group:
        for error in group.exceptions:
            sys.stderr.write(f"{error}\n")
        return EXIT_CONFIG
    if "--show-boot" in argv:
        sys.stdout.write(_shown(found, "--json" in argv))
        return 0
    return _guard(found, agent_argv, timing or Timing())


def check_links(links: Sequence[Link]) -> list[str]:
    """Return a line for each link that is down: the system does not have its address now, and may get it
    later.

    Raises `ConfigError` for a port that another program has, and if every link is down.
    """
    down = []
    for link in links:
        try:
            _bind(link)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                want = f"wanted: an address and port of this node's own ({error.strerror})"
                raise ConfigError("links", str(link), want) from None
            down.append(f"link {link} is down: {error.strerror}")
    if len(down) == len(links):
        got = ", ".join(map(str, links))
        raise ConfigError("links", got, "wanted: at least one address that this machine has")
    return down


def _guard(found: Boot, agent_argv: Sequence[str], timing: Timing) -> int:
    log = Log(f"primacy guardian {found.node}")
    try:
        lock_fd = guardian_leftovers.lock(found.directory)
        leftovers_count = guardian_leftovers.end_leftovers(found.directory, timing.stuck_s)
        for line in check_links(found.links):
            log.say(line)
        record = guardian_leftovers.Record(found.directory, found.node)
    except ConfigError as error:
        log.say(str(error))
        return EXIT_CONFIG
    except Refused as error:
        log.say(str(error))
        return EXIT_REFUSED
    except OSError as error:
        log.say(f"the directory {found.directory} cannot be used: {error}")
        return EXIT_CONFIG
    try:
        watchdog = _arm(found, log)  # last: whoever arms it has to disarm it
    except ConfigError as error:
        log.say(str(error))
        record.close()
        return EXIT_CONFIG
    links = ", ".join(map(str, found.links))
    log.say(
        f"system level is up: {links}; cgroup {record.cgroup}; watchdog {watchdog};"
        f" leftovers ended: {leftovers_count}"
    )
    guardian = Guardian(found, record, log, agent_argv, timing, watchdog)
    code = guardian.run()
    if code != EXIT_FAILED:
        record.close()
    log.say(f"the node has ended (exit code {code})")
    os.close(lock_fd)
    if guardian.then and not guardian_system.carry_out(found, guardian.then, log):
        return EXIT_FAILED
    return code


def _arm(found: Boot, log: Log) -> Watchdog | None:
    if not found.watchdog:
        return None
    return Watchdog(found.watchdog, found.watchdog_timeout_s, lease_page.now_ns(), log.say)


def _bind(link: Link) -> None:
    family = socket.AF_INET6 if ":" in link.address else socket.AF_INET
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((link.address, link.port))


def _shown(found: Boot, as_json: bool) -> str:
    if as_json:
        return found.to_json() + "\n"
    rows = found.explain()
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "".join(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {source}\n" for name, value, source in rows)


def _open_standard_descriptors() -> None:
    """Fill closed standard descriptors: else a lease page could become number 2, and take the log."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
