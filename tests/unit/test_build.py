"""The machines of a node as its configuration table has them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from primacy.agent import build as parts
from primacy.boot import Boot, Link
from primacy.config import build
from primacy.machines.host_wire import Callback
from primacy.machines.ids import Member
from primacy.machines.rungs import UNLIMITED, Limits
from primacy.machines.timing import PROFILES

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


@pytest.mark.parametrize("durability", ["disk", "memory"])
@pytest.mark.parametrize("cold_start", ["integrity", "availability"])
def test_the_monitor_knows_what_a_cold_start_may_do(durability: str, cold_start: str) -> None:
    services = {"s": {"python": "a:B", "durability": durability}}
    table = _table(services=services, cluster={"cold_start": cold_start, "profile": "carrier"})
    monitor = parts.beginning(ME, "c", table, table.entries(), 5).monitor()
    assert (monitor.volatile, monitor.availability) == (durability == "memory", cold_start == "availability")
    assert (monitor.timing, monitor.started_ns, monitor.cluster) == (PROFILES["carrier"], 5, "c")


@pytest.mark.parametrize(
    ("eligible", "available", "rung"), [(1, 1, "available"), (1, 0, "spare"), (0, 1, "ineligible")]
)
def test_a_node_stands_where_its_record_says(eligible: int, available: int, rung: str) -> None:
    table = _table()
    entries = tuple(
        msgspec.structs.replace(e, eligible=bool(eligible), available=bool(available))
        for e in table.entries()
    )
    coordinator = parts.beginning(ME, "c", table, entries, 0).coordinator()
    assert coordinator.ladder.rung == rung
    assert [s.service for s in coordinator.servers.centralized] == ["naming", "stock"]
    assert [s.service for s in coordinator.servers.local] == ["door"]
    assert coordinator.addresses["n2"]["stock"] == [("127.0.0.2", 7303)]
    assert coordinator.servers.by_service["stock"].row.restart_in_place


def test_what_the_table_registers_for_a_service_reaches_its_server() -> None:
    row = {"function": "failover", "name": "warm_up", "level": 7, "timeout_s": 2.0}
    row |= {"on_failure": "retry", "retries": 3}
    table = _table(services={"stock": {"python": "stock.py:Stock", "callbacks": [row]}})
    coordinator = parts.beginning(ME, "c", table, table.entries(), 0).coordinator()
    [registered] = coordinator.servers.by_service["stock"].row.callbacks
    assert registered == Callback("failover", 7, "warm_up", 2.0, "retry", 3, 0.0)


def test_the_recovery_of_a_service_reaches_its_server() -> None:
    recovery = {
        "restarts": 2,
        "window_s": 30.0,
        "switchovers": 1,
        "pause_s": 0.5,
        "pause_s_max": 9,
        "node_out": 7,
    }
    own = {"python": "a:B", "restart_in_place": True, "recovery": recovery}
    table = _table(services={"own": own, "stock": SERVICES["stock"]})
    servers = parts.beginning(ME, "c", table, table.entries(), 0).coordinator().servers.by_service
    assert servers["own"].row.limits == Limits(2, 30 * 10**9, 1, 5 * 10**8, 9 * 10**9, 7)
    assert servers["stock"].row.limits == Limits(restarts=UNLIMITED)
    assert servers["naming"].row.limits == Limits()


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
