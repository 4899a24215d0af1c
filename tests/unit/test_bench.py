"""The measurements' own arithmetic, their service, and where they may keep their data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy import guardian_process
from primacy.bench import idle, place
from primacy.bench.cluster import Setup
from primacy.bench.figures import Outages, Throughput, median, outage_ns, percentile, spread
from primacy.bench.functions import Durations, by_coordinators
from primacy.bench.reconnect import Reconnects, judged
from primacy.bench.service import Empty, EmptyLocal, Register
from primacy.errors import ConfigError
from primacy.local import bring_up
from primacy.local.processes import Process
from primacy.machines.ids import Function
from primacy.service import describe

_values = st.lists(st.floats(0, 1e6), min_size=1)


@given(_values, st.floats(0.01, 1))
def test_a_percentile_is_a_value_that_enough_do_not_exceed(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9


@given(_values)
def test_the_figures_are_in_order(values: list[float]) -> None:
    found = spread(values, 9)
    assert found["min"] <= found["median"] <= found["max"]
    assert found["p99"] <= found["max"]


def test_figures_of_known_values() -> None:
    assert (median([3, 1, 2]), median([4, 1, 2, 3])) == (2, 2.5)
    assert percentile(list(range(1, 101)), 0.99) == 99
    assert percentile(list(range(1, 21)), 0.99) == 20
    assert spread([]) == {}


@pytest.mark.parametrize(
    ("acknowledged", "fault", "until", "outage"),
    [
        ([10, 20, 30, 100, 110], 35, 110, 70),  # the gap around the fault
        ([10, 20, 90, 100, 110], 95, 110, 10),  # the gap before it is not the fault's
        ([10, 20, 30, 40], 15, 200, 160),  # still open at the end
        ([10, 20, 30, 40, 100], 15, 60, 20),  # later ones are not looked at; open since 40
        ([10, 100, 101, 180], 50, 181, 90),  # the longest of several
        ([], 10, 50, 40),
        ([60], 10, 70, 10),
    ],
)
def test_an_outage_is_the_longest_gap_around_the_fault(
    acknowledged: list[int], fault: int, until: int, outage: int
) -> None:
    assert outage_ns(acknowledged, fault, until) == outage


def test_results_have_the_documented_form() -> None:
    outages = Outages("failover crash", "lan", "disk", [8.0, 9.0], 100, 0, 0)
    assert outages.plain() == {
        "how": "failover crash", "profile": "lan", "durability": "disk", "runs": 2,
        "outage_ms": {"min": 8.0, "median": 8.5, "p99": 9.0, "max": 9.0},
        "acknowledged": 100, "lost": 0, "doubled": 0,
    }  # fmt: skip
    assert "median 8.5 ms" in outages.sentence()
    throughput = Throughput(64, "lan", "disk", 2.0, [1.0, 2.0, 3.0, 4.0], 0.13, None, 5, 0, 0)
    plain = throughput.plain()
    assert plain["acknowledged_per_s"] == 2.0
    assert set(plain["latency_ms"]) == {"min", "median", "p99", "max"}
    assert "2 acknowledged writes/s" in throughput.sentence()


def test_the_service_knows_what_is_not_there_exactly_once() -> None:
    register = Register()
    for id in (1, 2, 2, 3):
        register.insert(None, id)
    assert register.wrong([1, 2, 3, 4]) == [(2, 2), (4, 0)]
    assert register.totals() == (3, 1)


def test_memory_is_no_place_to_measure_syncs(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "1 0 8:1 / / rw - ext4 /dev/vda rw\n"
        f"2 1 0:30 / {tmp_path} rw shared:1 - tmpfs tmpfs rw\n"
        "3 1 0:31 / /elsewhere rw - xfs /dev/vdb rw\n"
    )
    assert place.file_system(tmp_path, mounts) == "tmpfs"
    assert place.file_system(Path("/usr"), mounts) == "ext4"
    assert place.file_system(Path("/usr"), tmp_path / "none") == "unknown"
    shared_memory = Path("/dev/shm")
    if place.file_system(shared_memory) == "tmpfs":
        with pytest.raises(ConfigError, match="want a directory on a disk"):
            place.directory(str(shared_memory))


def test_flushes_are_those_of_the_whole_disk(tmp_path: Path) -> None:
    device = tmp_path.stat().st_dev
    name = f"{os.major(device)}:{os.minor(device)}"
    disk = tmp_path / "vda"
    disk.mkdir()
    (disk / "stat").write_text(" ".join(str(number) for number in range(17)))
    (tmp_path / name).symlink_to(disk)
    assert place.flush_count(tmp_path, tmp_path) == 15
    (disk / "stat").write_text("1 2 3")
    assert place.flush_count(tmp_path, tmp_path) is None
    assert place.flush_count(tmp_path, tmp_path / "none") is None


def test_a_sync_takes_time_and_leaves_nothing(tmp_path: Path) -> None:
    assert place.fdatasync_ms(tmp_path) > 0
    assert list(tmp_path.iterdir()) == []


def test_the_cost_of_a_process_is_read_from_the_kernel() -> None:
    own = Process(os.getpid(), guardian_process.start_time(os.getpid()) or 0)
    assert idle.cpu_s(own) > 0
    assert 1 < idle.pss_mib([own]) < 1000


def _told(kind: str, wall_ms: float, **fields: Any) -> dict[str, Any]:
    return {"wall_ns": int(wall_ms * 1e6), "event": {"event": kind, "term": 2, **fields}}


def test_how_far_apart_nodes_reconnect() -> None:
    events = [
        _told("FunctionBegan", 5, function="failover"),
        _told("InService", 10),
        _told("FunctionBegan", 12, function="reconnect"),
        _told("FunctionBegan", 15, function="reconnect"),
        _told("FunctionEnded", 16, function="reconnect", duration_ms=4.0),
        _told("FunctionEnded", 21, function="reconnect", duration_ms=6.0),
    ]
    assert judged(events, 2) == (3.0, 11.0)
    assert by_coordinators(events, "reconnect") == [4.0, 6.0]
    told = Reconnects(2, "lan", [3.0], [11.0])
    assert told.plain()["spread_ms"]["max"] == 3.0
    assert "apart by 3.0 ms" in told.sentence()
    durations = Durations(2, "lan", {"reconnect": [4.0, 6.0]})
    assert durations.plain()["duration_ms"]["reconnect"]["runs"] == 2
    assert durations.lines()[1].split()[:3] == ["reconnect", "median", "5.0"]


def test_the_empty_service_has_a_callback_in_every_function() -> None:
    registered = {(each.function, each.level) for each in describe(Empty).callbacks}
    assert registered == {(f, n) for f in Function if f is not Function.RECONNECT for n in (1, 2)}
    assert {each.function for each in describe(EmptyLocal).callbacks} == {
        "initialize",
        "reconnect",
        "shutdown",
    }


def test_of_many_nodes_three_may_be_master() -> None:
    made = Setup(nodes=5, empty=True, eligible=3).table("/")
    assert [row.eligible for row in made.nodes.values()] == [True] * 3 + [False] * 2
    assert [row.local for row in made.services.values()] == [False, True]
    assert all(row.eligible for row in Setup(nodes=5).table("/").nodes.values())


def test_more_nodes_may_take_longer_to_come_up() -> None:
    limits = [bring_up.limit_s(Setup(nodes=nodes).table("/")) for nodes in (2, 8, 9, 30)]
    assert limits == [20, 20, 22, 64]
