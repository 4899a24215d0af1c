"""Which ports are taken, and the first range that is free."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import primacy
from primacy.config import PORT, PORTS
from primacy.errors import ConfigError
from primacy.local import ports

_HEAD = "  sl  local_address rem_address   st tx_queue rx_queue\n"


def row(port: int, state: str) -> str:
    """Return a line of the kernel's table."""
    return f"   0: 0100007F:{port:04X} 00000000:0000 {state} 00000000:00000000\n"


def tables(net: Path, tcp: str = "", udp: str = "") -> Path:
    """Write the kernel's tables of IPv4."""
    (net / "tcp").write_text(_HEAD + tcp)
    (net / "udp").write_text(_HEAD + udp)
    return net


def test_listeners_and_udp_take_a_port_and_connections_do_not(tmp_path: Path) -> None:
    net = tables(tmp_path, row(7300, "0A") + row(7301, "01") + row(7302, "06"), row(7303, "07"))
    assert ports.listening(net) == {7300}
    assert ports.taken(net) == {7300, 7303}


def test_the_first_base_is_taken_from_which_all_blocks_are_free(tmp_path: Path) -> None:
    assert ports.free_base(3, tables(tmp_path)) == PORT
    assert ports.free_base(3, tables(tmp_path, row(PORT, "0A"))) == PORT + PORTS
    last = PORT + 3 * PORTS - 1
    assert ports.free_base(3, tables(tmp_path, udp=row(last, "07"))) == PORT + 3 * PORTS
    assert ports.free_base(2, tables(tmp_path, udp=row(last, "07"))) == PORT


def test_a_machine_without_free_ports_is_told(tmp_path: Path) -> None:
    every = "".join(row(port, "0A") for port in range(PORT, ports.PORT_LAST, PORTS))
    with pytest.raises(ConfigError, match="--port"):
        ports.free_base(1, tables(tmp_path, every))


def test_the_kernel_tells_of_our_own_sockets() -> None:
    with socket.socket() as listener, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        listener.bind(("127.0.0.2", 0))
        assert listener.getsockname()[1] not in ports.listening()
        listener.listen()
        datagrams.bind(("127.0.0.1", 0))
        assert listener.getsockname()[1] in ports.listening()
        assert {listener.getsockname()[1], datagrams.getsockname()[1]} <= ports.taken()


def test_the_lock_is_one_commands_at_a_time() -> None:
    source = "from primacy.local import ports\nwith ports.lock(): print('locked', flush=True)"
    environment = {**os.environ, "PYTHONPATH": str(Path(primacy.__file__).parents[1])}
    with ports.lock():
        other = subprocess.Popen([sys.executable, "-c", source], env=environment, stdout=subprocess.PIPE)
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(0.5)
    assert other.stdout is not None
    with other.stdout:
        assert other.stdout.read() == b"locked\n"
    assert other.wait(10) == 0
