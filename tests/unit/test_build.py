"""The opening words to a host, as the configuration table has its service."""

from __future__ import annotations

from pathlib import Path

from primacy.agent import build as parts
from primacy.boot import Boot, Link
from primacy.config import build
from primacy.machines.ids import Member

ME = Member("n1", "1" * 32)
BOOT = Boot(
    "n1", "/var/lib/n1", "memory://x", (Link("127.0.0.1", 7300),), "k", "a.pem", "c.pem", "k.pem", 5.0, {}
)
SERVICES = {
    "door": {"python": "door:Door", "local": True},
    "stock": {"python": "stock.py:Stock", "path": "/srv", "restart_in_place": True, "mirror_timeout_s": 3.0},
}


def _table(**changed: object) -> parts.Table:
    nodes = {"n1": {"links": ["127.0.0.1"]}, "n2": {"links": ["127.0.0.2"]}}
    return build({"nodes": nodes, "services": SERVICES} | changed, "test")


def test_the_opening_words_hold_all_that_a_host_needs() -> None:
    opened = parts.opening(ME, "c", BOOT, _table(), "stock")
    assert (opened.cluster, opened.node, opened.incarnation, opened.service) == ("c", "n1", "1" * 32, "stock")
    assert (opened.target, opened.path, opened.mirror_timeout_s) == ("stock.py:Stock", "/srv", 3.0)
    assert Path(opened.directory) == Path("/var/lib/n1/services/stock")
    assert opened.listen == [("127.0.0.1", 7303)]
    assert (opened.certificate, opened.key, opened.authority) == ("c.pem", "k.pem", "a.pem")
    assert not opened.local


def test_a_local_service_listens_nowhere() -> None:
    opened = parts.opening(ME, "c", BOOT, _table(), "door")
    assert opened.local
    assert opened.listen == []
