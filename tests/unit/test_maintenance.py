"""Maintenance: which notice counts, when it ends on this node's own clock, and what the monitor makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from primacy.errors import ConfigError
from primacy.machines import membership as m
from primacy.machines.events_operator import MaintenanceBegan, MaintenanceEnded, MaintenanceEndsSoon
from primacy.machines.ids import FOREVER_NS, MS, SECOND
from primacy.machines.maintenance import (
    CLUSTER,
    Maintenance,
    Notice,
    decode,
    decode_all,
    encode,
    encode_all,
    reasons_against,
)
from primacy.machines.messages import Obituary
from tests.unit.cmm_tools import N1, N2, N3, TIMING, Cluster

WALL_NS = 1_800_000_000 * SECOND
NOW_NS = 5 * SECOND


def notice(
    serial: int = 1, *, on: bool = True, for_s: float = 0, since_ns: int = WALL_NS, **fields: Any
) -> Notice:
    until_ns = since_ns + int(for_s * SECOND) if for_s else 0
    return Notice(on, serial, "ada", fields.get("reason", ""), since_ns, until_ns)


# ---- the notices ----


def test_the_larger_serial_counts_wherever_it_comes_from() -> None:
    machine = Maintenance("n1")
    assert [type(e) for e in machine.learned(CLUSTER, notice(2), NOW_NS, WALL_NS)] == [MaintenanceBegan]
    assert machine.learned(CLUSTER, notice(1, on=False), NOW_NS, WALL_NS) == []
    assert machine.learned(CLUSTER, notice(2, on=False), NOW_NS, WALL_NS) == []
    assert machine.is_on(CLUSTER)
    assert [type(e) for e in machine.learned(CLUSTER, notice(3, on=False), NOW_NS, WALL_NS)] == [
        MaintenanceEnded
    ]
    assert not machine.is_on(CLUSTER)
    assert machine.serial(CLUSTER) == 3


def test_it_ends_by_itself_with_an_event_before() -> None:
    machine = Maintenance("n1")
    machine.learned("n2", notice(for_s=100), NOW_NS, WALL_NS)
    assert machine.wake_ns == NOW_NS + 90 * SECOND
    assert machine.tick(machine.wake_ns - 1) == []
    [soon] = machine.tick(machine.wake_ns)
    assert isinstance(soon, MaintenanceEndsSoon)
    assert soon.left_s == 10
    assert machine.wake_ns == NOW_NS + 100 * SECOND
    assert machine.tick(machine.wake_ns - 1) == []
    [ended] = machine.tick(machine.wake_ns)
    assert isinstance(ended, MaintenanceEnded)
    assert ended.cause == "expired"
    assert machine.wake_ns == FOREVER_NS
    assert machine.tick(FOREVER_NS) == []


def test_the_event_before_the_end_comes_five_minutes_before_it_at_most() -> None:
    machine = Maintenance("n1")
    machine.learned(CLUSTER, notice(for_s=7200), NOW_NS, WALL_NS)
    assert machine.wake_ns == NOW_NS + (7200 - 300) * SECOND


def test_a_node_that_learns_late_takes_what_is_left_and_one_that_comes_too_late_nothing() -> None:
    machine = Maintenance("n1")
    machine.learned("n2", notice(for_s=100), NOW_NS, WALL_NS + 60 * SECOND)
    assert machine.shown(NOW_NS)[0]["left_s"] == 40
    assert machine.learned("n3", notice(for_s=100), NOW_NS, WALL_NS + 100 * SECOND) == []
    assert machine.as_input(NOW_NS).nodes == {"n2"}


def test_without_an_end_it_lasts() -> None:
    machine = Maintenance("n1")
    machine.learned(CLUSTER, notice(reason="new kernel"), NOW_NS, WALL_NS)
    assert machine.wake_ns == FOREVER_NS
    assert machine.tick(NOW_NS + 10**18) == []
    [row] = machine.shown(NOW_NS)
    assert (row["scope"], row["until_wall_ns"], row["left_s"]) == (CLUSTER, None, None)
    assert machine.as_input(NOW_NS).cluster == "the cluster is in maintenance (new kernel)"


def test_a_notice_is_read_as_it_was_written_and_a_newer_format_is_refused() -> None:
    assert decode(encode(notice(4, for_s=5)), "here") == notice(4, for_s=5)
    for data in (b"{", b"[]", encode(Notice(True, 1, "ada", "", 0, 0, format=9))):
        with pytest.raises(ConfigError, match="here"):
            decode(data, "here")


@pytest.mark.parametrize(
    ("scope", "on", "part"),
    [
        (CLUSTER, True, ""),
        (CLUSTER, False, ""),
        ("n2", True, ""),
        ("n1", False, ""),
        ("n1", True, "switch over first"),
        ("n9", True, "no node of this cluster (there are n1, n2)"),
    ],
)
def test_what_may_be_in_maintenance(scope: str, on: bool, part: str) -> None:
    reasons = reasons_against(scope, on, ["n2", "n1"], "n1")
    assert bool(reasons) == bool(part)
    assert part in "".join(reasons)


# ---- what the monitor makes of it ----


def held(cluster: Cluster, *nodes: str, on: bool = True) -> None:
    for node in cluster.monitors:
        why = "the cluster is in maintenance" if on else ""
        cluster.give(node, m.Maintenance(now_ns=cluster.now_ns, cluster=why, nodes=frozenset(nodes)))


@pytest.mark.parametrize("obituary", [False, True])
def test_a_vice_claims_neither_by_grace_nor_by_obituary_while_the_cluster_is_in_maintenance(
    obituary: bool,
) -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    held(cluster)
    del cluster.monitors["n1"]
    if obituary:
        cluster.give("n2", m.Received(now_ns=cluster.now_ns, sender=N1, message=Obituary(N1)))
    cluster.run(TIMING.silence_ns / MS + TIMING.formation_ms)
    assert cluster.record.master == N1
    assert not cluster.monitors["n2"].vice.sealed
    told = [e.event for e in cluster.took("n2", m.Publish) if type(e.event).__name__ == "ClaimHeld"]
    assert len(told) == 1
    assert "n1" in cluster.monitors["n2"].vice.waits_for
    held(cluster, on=False)
    cluster.run(10)
    assert cluster.record.master == N2
    assert cluster.monitors["n2"].vice.waits_for == ""


def test_no_cluster_forms_by_itself_in_maintenance() -> None:
    cluster = Cluster()
    cluster.join(N1)
    held(cluster)
    cluster.run(2 * TIMING.formation_ms)
    assert cluster.record is None
    assert "maintenance" in cluster.monitors["n1"].member.waits_for
    held(cluster, on=False)
    cluster.run(10)
    assert cluster.record.master == N1


def test_a_planned_switchover_stays_possible() -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    held(cluster)
    cluster.give("n1", m.HandOver(now_ns=cluster.now_ns, term=1, in_step=True, cause="planned"))
    assert cluster.record.master == N2


def test_a_vice_in_maintenance_is_replaced_and_not_appointed_again() -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    held(cluster, "n2", on=False)
    cluster.run(700)
    assert cluster.record.vice.node == "n3"
    held(cluster, "n2", "n3", on=False)
    cluster.run(2_000)
    assert cluster.record.vice is None
    held(cluster, "n3", on=False)
    cluster.run(700)
    assert cluster.record.vice.node == "n2"


def test_a_node_in_maintenance_takes_no_part_in_formation() -> None:
    cluster = Cluster()
    cluster.join(N1)
    cluster.join(N2)
    held(cluster, "n1", on=False)
    cluster.run(TIMING.formation_ms + 50)
    assert cluster.record.master == N2
    assert "n1 is in maintenance" in cluster.monitors["n1"].member.waits_for or cluster.monitors["n1"].signed


def test_force_is_possible_in_maintenance_of_the_cluster() -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    held(cluster)
    del cluster.monitors["n1"], cluster.monitors["n2"]
    cluster.run(TIMING.silence_ns / MS + 10)
    cluster.give(
        "n3", m.Force(now_ns=cluster.now_ns, id=1, recorded=N1, assume_dead="n1", by="ada", reason="")
    )
    cluster.run(TIMING.beat_ms)
    assert cluster.record.master == N3


def test_a_notice_that_comes_when_its_time_is_over_ends_the_one_before() -> None:
    machine = Maintenance("n1")
    machine.learned("n2", notice(1), NOW_NS, WALL_NS)
    late_ns = WALL_NS + 100 * SECOND
    [ended] = machine.learned("n2", notice(2, for_s=100), NOW_NS, late_ns)
    assert isinstance(ended, MaintenanceEnded)
    assert ended.cause == "expired"
    assert not machine.is_on("n2")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_damaged_file_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(ConfigError, match=r"n1/maintenance\.json"):
        decode_all(data, "n1/maintenance.json")


def test_a_nodes_file_holds_all_notices_also_those_that_are_over() -> None:
    machine = Maintenance("n1")
    machine.learned(CLUSTER, notice(1), NOW_NS, WALL_NS)
    machine.learned("n2", notice(2, for_s=100), NOW_NS, WALL_NS)
    machine.learned(CLUSTER, notice(3, on=False), NOW_NS, WALL_NS)
    assert [row["scope"] for row in machine.shown(NOW_NS)] == ["n2"]
    kept = decode_all(encode_all(machine.notices()), "file")
    assert kept == {CLUSTER: notice(3, on=False), "n2": notice(2, for_s=100)}
