"""What a configuration table says to the machines of a node: when a life begins, and while it goes on."""

from __future__ import annotations

import msgspec
import pytest

from primacy.config import Table, build
from primacy.config_beginning import beginning, news, taken_over, with_records
from primacy.machines.coordination import ServicesGone, SettingsChanged
from primacy.machines.host_wire import Callback
from primacy.machines.ids import Member
from primacy.machines.membership import Retimed
from primacy.machines.records import NodeRecord
from primacy.machines.rungs import UNLIMITED, Limits
from primacy.machines.timing import PROFILES

ME = Member("n1", "1" * 32)
SERVICES = {
    "door": {"python": "door:Door", "local": True},
    "stock": {"python": "stock.py:Stock", "path": "/srv", "restart_in_place": True, "mirror_timeout_s": 3.0},
}


def _table(**changed: object) -> Table:
    nodes = {"n1": {"links": ["127.0.0.1"]}, "n2": {"links": ["127.0.0.2"]}}
    return build({"nodes": nodes, "services": SERVICES} | changed, "test")


@pytest.mark.parametrize("durability", ["disk", "memory"])
@pytest.mark.parametrize("cold_start", ["integrity", "availability"])
def test_the_monitor_knows_what_a_cold_start_may_do(durability: str, cold_start: str) -> None:
    services = {"s": {"python": "a:B", "durability": durability}}
    table = _table(services=services, cluster={"cold_start": cold_start, "profile": "carrier"})
    monitor = beginning(ME, "c", table, table.entries(), 5).monitor()
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
    coordinator = beginning(ME, "c", table, entries, 0).coordinator()
    assert coordinator.ladder.rung == rung
    assert [s.service for s in coordinator.servers.centralized] == ["naming", "stock"]
    assert [s.service for s in coordinator.servers.local] == ["door"]
    assert coordinator.addresses["n2"]["stock"] == [("127.0.0.2", 7303)]
    assert coordinator.servers.by_service["stock"].row.restart_in_place


def test_what_the_table_registers_for_a_service_reaches_its_server() -> None:
    row = {"function": "failover", "name": "warm_up", "level": 7, "timeout_s": 2.0}
    row |= {"on_failure": "retry", "retries": 3}
    table = _table(services={"stock": {"python": "stock.py:Stock", "callbacks": [row]}})
    coordinator = beginning(ME, "c", table, table.entries(), 0).coordinator()
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
    servers = beginning(ME, "c", table, table.entries(), 0).coordinator().servers.by_service
    assert servers["own"].row.limits == Limits(2, 30 * 10**9, 1, 5 * 10**8, 9 * 10**9, 7)
    assert servers["stock"].row.limits == Limits(restarts=UNLIMITED)
    assert servers["naming"].row.limits == Limits()


def test_a_record_says_more_of_a_node_than_the_table() -> None:
    entries = with_records(_table(), {"n2": NodeRecord(eligible=False, available=False), "n9": NodeRecord()})
    assert [(e.id, e.eligible, e.available) for e in entries] == [("n1", True, True), ("n2", False, False)]


def test_a_life_takes_over_what_it_can() -> None:
    newer = _table(
        services={"stock": SERVICES["stock"], "more": {"python": "a:B"}},
        cluster={"profile": "carrier", "auto_promote": False, "cold_start": "availability"},
    )
    taken, gone = taken_over(_table(), newer, "n1")
    assert gone == ("door",)
    assert list(taken.services) == ["stock"], "a new service takes a new life"
    settings, times, ended = news(taken, gone, 7)
    assert isinstance(settings, SettingsChanged)
    assert settings.auto_promote is False
    assert "more" not in settings.addresses["n2"]
    assert times == Retimed(now_ns=7, timing=PROFILES["carrier"], availability=True)
    assert ended == ServicesGone(now_ns=7, services=("door",))


def test_an_altered_service_stays_as_it_was() -> None:
    newer = _table(services={"stock": {"python": "stock.py:Stock", "mirror_timeout_s": 9.0}})
    taken, _ = taken_over(_table(), newer, "n1")
    assert taken.services["stock"] == _table().services["stock"]


def test_a_node_that_is_removed_keeps_its_row_until_its_end() -> None:
    taken, gone = taken_over(_table(), _table(nodes={"n2": {"links": ["127.0.0.2"]}}), "n1")
    assert taken.nodes["n1"] == _table().nodes["n1"]
    assert gone == ()
    assert len(news(taken, gone, 0)) == 2, "nothing is said of services that stay"
