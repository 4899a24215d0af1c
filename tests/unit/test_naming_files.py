"""/etc/services and /etc/hosts as entries."""

from __future__ import annotations

import pytest

from primacy.machines.naming import Entry, check_entry
from primacy.machines.naming_files import parse_hosts, parse_services

SERVICES = """
# Network services, Internet style
tcpmux          1/tcp                           # TCP port service multiplexer
http            80/tcp          www w3          # WorldWideWeb HTTP
http            80/udp
whois++         63/tcp
broken
wrong           port/tcp
toolarge        65536/tcp
http            81/tcp
-bad            9/tcp
"""

HOSTS = """
127.0.0.1   localhost loop
::1         localhost ip6-localhost ip6-loopback   # both addresses
10.0.0.1    db1.example.com db1
10.0.0.300  nobody
10.0.0.2
not-an-address x
"""


def test_services() -> None:
    parsed = parse_services(SERVICES)
    assert parsed.entries == [
        Entry(
            "services/tcpmux/tcp",
            ":1",
            {"port": "1", "protocol": "tcp", "comment": "TCP port service multiplexer"},
        ),
        Entry(
            "services/http/tcp",
            ":80",
            {"port": "80", "protocol": "tcp", "aliases": "www w3", "comment": "WorldWideWeb HTTP"},
        ),
        Entry("services/http/udp", ":80", {"port": "80", "protocol": "udp"}),
        Entry("services/whois++/tcp", ":63", {"port": "63", "protocol": "tcp"}),
    ]
    assert [problem.split(":")[0] for problem in parsed.problems] == [f"line {n}" for n in (7, 8, 9, 10, 11)]
    assert "twice" in parsed.problems[3]


def test_hosts() -> None:
    parsed = parse_hosts(HOSTS)
    assert parsed.entries == [
        Entry(
            "hosts/localhost",
            "127.0.0.1",
            {"addresses": "127.0.0.1 ::1", "aliases": "loop ip6-localhost ip6-loopback"},
        ),
        Entry("hosts/db1.example.com", "10.0.0.1", {"addresses": "10.0.0.1", "aliases": "db1"}),
    ]
    assert parsed.problems == [
        "line 5: '10.0.0.300' is no IP address",
        "line 6: no host name after 10.0.0.2",
        "line 7: 'not-an-address' is no IP address",
    ]


@pytest.mark.parametrize("prefix", ["", "site/a"])
def test_the_prefix_is_the_callers(prefix: str) -> None:
    (service,) = parse_services("http 80/tcp", prefix).entries
    (host,) = parse_hosts("::1 one", prefix).entries
    assert service.name == "/".join([*([prefix] if prefix else []), "http", "tcp"])
    assert host.name == "/".join([*([prefix] if prefix else []), "one"])
    assert check_entry(service) == check_entry(host) == ""
