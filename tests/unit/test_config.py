"""The configuration table: every wrong value is named with its place; what is returned has been checked as a whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.config import (
    BUILT_IN,
    FORMAT,
    PORTS,
    POSITIONS_BYTES_MAX,
    Node,
    Service,
    Table,
    build,
    check,
    decode,
    encode,
    load,
    numbered,
    with_node,
    without_node,
)
from primacy.errors import ConfigError
from primacy.machines.membership import NodeEntry
from primacy.machines.timing import PROFILES

TOML = """
[cluster]
name = "demo"
profile = "carrier"

[nodes.n1]
links = ["127.0.0.1", "127.0.0.2"]
priority = 2

[nodes.n2]
links = ["127.0.0.1", "127.0.0.2"]
port = 7332
eligible = false

[services.stock]
python = "stock.py:Stock"

[services.door]
python = "door:Door"
local = true
"""


def _plain(**changed: Any) -> dict[str, Any]:
    nodes = {"n1": {"links": ["127.0.0.1"]}, "n2": {"links": ["127.0.0.1"], "port": 7332}}
    return {"nodes": nodes, "services": {"stock": {"python": "stock:Stock"}}} | changed


def test_a_table_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text(TOML)
    table = load(path)
    assert table.times == PROFILES["carrier"]
    assert table.centralized() == ["naming", "stock"]
    assert table.entries() == (NodeEntry("n1", True, True, 2), NodeEntry("n2", False, True, 0))
    assert table.agent_addresses("n2") == [("127.0.0.1", 7332), ("127.0.0.2", 7332)]
    assert table.service_addresses("n1", "naming") == [("127.0.0.1", 7302), ("127.0.0.2", 7302)]
    assert table.service_addresses("n1", "stock") == [("127.0.0.1", 7303), ("127.0.0.2", 7303)]
    assert table.service("naming") is BUILT_IN["naming"]
    assert table.service("door").local


def test_own_times_replace_the_profiles() -> None:
    times = {"beat_ms": 20, "lease_ms": 100, "grace_ms": 120}
    assert build(_plain(timing=times), "x").times.beat_ms == 20


def _with_callback(**changed: Any) -> dict[str, Any]:
    row = {"function": "switchover", "name": "settle"} | changed
    return {"services": {"s": {"python": "a:B", "callbacks": [row]}}}


WRONG = [
    ({"nodes": {}}, "nodes"),
    ({"nodes": {"n1": {"links": ["127.0.0.1"], "eligible": False}}}, "nodes"),
    ({"nodes": {"N1": {"links": ["127.0.0.1"]}}}, "nodes.N1"),
    ({"nodes": {"master": {"links": ["127.0.0.1"]}}}, "nodes.master"),
    ({"nodes": {"all": {"links": ["127.0.0.1"]}}}, "nodes.all"),
    ({"nodes": {"n" * 33: {"links": ["127.0.0.1"]}}}, "nodes." + "n" * 33),
    ({"nodes": {"n1": {"links": []}}}, "nodes.n1.links"),
    ({"nodes": {"n1": {"links": ["127.0.0.1"] * 5}}}, "nodes.n1.links"),
    ({"nodes": {"n1": {"links": ["localhost"]}}}, "nodes.n1.links"),
    ({"nodes": {"n1": {"links": ["127.0.0.1"], "port": 80}}}, "nodes.n1.port"),
    ({"nodes": {"n1": {"links": ["127.0.0.1"], "port": 65535}}}, "nodes.n1.port"),
    ({"nodes": {"n1": {"links": ["127.0.0.1"], "priority": 10**30}}}, "nodes.n1.priority"),
    ({"nodes": {"n1": {"links": ["127.0.0.1"]}, "n2": {"links": ["127.0.0.1"], "port": 7331}}}, "nodes.n2"),
    ({"nodes": {"n1": {"links": ["127.0.0.1", "127.0.0.1"]}}}, "nodes.n1"),
    ({"nodes": {"n1": {"links": ["127.0.0.1"], "prot": 7300}}}, "nodes[...]"),
    ({"nodes": {"n1": {"links": "127.0.0.1"}}}, "nodes[...].links"),
    ({"nodes": []}, "nodes"),
    ({"cluster": {"profile": "fast"}}, "cluster.profile"),
    ({"cluster": {"cold_start": "maybe"}}, "cluster.cold_start"),
    ({"timing": {"beat_ms": 50, "lease_ms": 60, "grace_ms": 300}}, "timing.lease_ms"),
    ({"timing": {"beat_ms": 50, "lease_ms": 250, "grace_ms": float("inf")}}, "timing.grace_ms"),
    ({"services": {"naming": {"python": "a:B"}}}, "services.naming"),
    ({"services": {"Stock": {"python": "a:B"}}}, "services.Stock"),
    ({"services": {"s": {"python": "a"}}}, "services.s.python"),
    ({"services": {"s": {"python": ":B"}}}, "services.s.python"),
    ({"services": {"s": {"python": "a:B", "durability": "tape"}}}, "services.s.durability"),
    ({"services": {"s": {"python": "a:B", "mirror_timeout_s": 0}}}, "services.s.mirror_timeout_s"),
    ({"services": {"s": {"python": "a:B", "mirror_timeout_s": float("nan")}}}, "services.s.mirror_timeout_s"),
    (
        {"services": {"s": {"python": "a:B", "durability": "memory", "restart_in_place": True}}},
        "services.s.restart_in_place",
    ),
    *(
        ({"services": {"s": {"python": "a:B", **row, "recovery": recovery}}}, f"services.s.recovery{where}")
        for row, recovery, where in (
            ({}, {"restarts": -1}, ".restarts"),
            ({}, {"switchovers": 1_001}, ".switchovers"),
            ({}, {"node_out": -1}, ".node_out"),
            ({}, {"window_s": 0}, ".window_s"),
            ({}, {"pause_s": float("nan")}, ".pause_s"),
            ({}, {"pause_s_max": float("inf")}, ".pause_s_max"),
            ({}, {"pause_s": 9.0, "pause_s_max": 8.0}, ".pause_s"),
            ({"durability": "memory"}, {"restarts": 1}, ".restarts"),
            ({"local": True}, {"switchovers": 1}, ""),
        )
    ),
    ({"services": {"s": {"python": "a:B", "recovery": {"tries": 1}}}}, "services[...].recovery"),
    (_with_callback(function="restart"), "services.s.callbacks[0].function"),
    (_with_callback(name="_hidden"), "services.s.callbacks[0].name"),
    (_with_callback(on_failure="panic"), "services.s.callbacks[0].on_failure"),
    (_with_callback(level=-1), "services.s.callbacks[0]"),
    (_with_callback(timeout_s=float("nan")), "services.s.callbacks[0]"),
    (_with_callback(delay_s=float("inf")), "services.s.callbacks[0]"),
    (_with_callback(limit=1), "services[...].callbacks[0]"),
    ({"services": {f"s{n}": {"python": "a:B"} for n in range(PORTS)}}, "services"),
    ({"services": {f"{'s' * 30}{n:02d}": {"python": "a:B"} for n in range(20)}}, "services"),
    ({"extra": 1}, "table"),
    ({"format": FORMAT + 1}, "format"),
    ({"format": "1"}, "format"),
]


@pytest.mark.parametrize(("changed", "path"), WRONG, ids=[path for _, path in WRONG])
def test_what_is_wrong_is_named_with_its_place(changed: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(_plain(**changed), "cluster.toml")
    assert caught.value.path == f"cluster.toml: {path}"
    assert caught.value.got
    assert caught.value.want


def test_more_problems_are_counted() -> None:
    with pytest.raises(ConfigError, match="and 2 more problems"):
        build(_plain(cluster={"profile": "x", "cold_start": "y"}, services={"s": {"python": "z"}}), "t")
    assert check(build(_plain(), "t")) == []


def test_as_many_services_as_a_datagram_and_the_ports_hold() -> None:
    services = {f"s{n:02d}": Service(python="a:B") for n in range(PORTS - 3)}
    table = Table(nodes={"n1": Node(["127.0.0.1"])}, services=services)
    assert check(table) == []
    assert len(table.centralized()) == PORTS - 2
    assert sum(len(s) + 14 for s in table.centralized()) <= POSITIONS_BYTES_MAX


@pytest.mark.parametrize(
    "content",
    [b"", b"[", b"\xff\xfe", b"nodes = 1", b"a = " + b"[" * 5_000, b"format = 9"],
    ids=["empty", "no TOML", "no UTF-8", "wrong type", "deep", "newer"],
)
def test_a_file_that_is_no_table_is_a_configuration_error_that_names_it(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "cluster.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"cluster\.toml"):
        load(path)


def test_a_missing_file_or_a_directory_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError, match="want a readable TOML file"):
            load(path)


@given(st.binary(max_size=60) | st.sampled_from([b"[" * 100_000, b"[]", b"null", b"7", b'{"nodes":{}}']))
def test_a_damaged_table_of_the_ledger_is_a_configuration_error(data: bytes) -> None:
    with pytest.raises(ConfigError, match="ledger key config"):
        decode(data)


NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
NODES = st.dictionaries(NAMES, st.integers(0, 100), min_size=1, max_size=5)


@given(nodes=NODES, services=st.dictionaries(NAMES, st.booleans(), max_size=5), carrier=st.booleans())
def test_the_ledger_keeps_a_table_as_it_is(
    nodes: dict[str, int], services: dict[str, bool], carrier: bool
) -> None:
    plain = {
        "cluster": {"profile": "carrier" if carrier else "lan"},
        "nodes": {n: {"links": [f"127.0.{i}.1"], "priority": p} for i, (n, p) in enumerate(nodes.items())},
        "services": {s: {"python": "a:B", "local": local} for s, local in services.items()},
    }
    try:
        table = build(plain, "t")
    except ConfigError:
        assert {"master", "vice", "all", "naming"} & {*nodes, *services}
        return
    assert decode(encode(table)) == numbered(table)
    assert json.loads(encode(table))["format"] == FORMAT
    addresses = [a for n in table.nodes for s in table.centralized() for a in table.service_addresses(n, s)]
    addresses += [a for n in table.nodes for a in table.agent_addresses(n)]
    assert len(set(addresses)) == len(addresses)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["nodes", "cluster", "timing", "services", "replaces", "format"])


@given(st.dictionaries(KEYS, VALUES) | VALUES)
def test_whatever_stands_there_nothing_else_is_raised(plain: Any) -> None:
    try:
        table = build(plain, "t")
    except ConfigError:
        return
    assert msgspec.to_builtins(table)


def _services(*names: str, **offsets: int) -> Table:
    rows: dict[str, Any] = {n: {"python": "a:B"} for n in names}
    rows |= {n: {"python": "a:B", "offset": o} for n, o in offsets.items()}
    return build(_plain(services=rows), "t")


def test_a_service_keeps_its_port_when_another_one_goes() -> None:
    table = decode(encode(_services("a", "b", "c")))
    assert table.offsets() == {"naming": 2, "a": 3, "b": 4, "c": 5}
    left = {s: v for s, v in table.services.items() if s != "b"}
    without = msgspec.structs.replace(table, services=left)
    assert without.service_addresses("n1", "c") == table.service_addresses("n1", "c")
    more = msgspec.structs.replace(without, services={"d": Service(python="a:B"), **left})
    assert more.offsets() == {"naming": 2, "a": 3, "c": 5, "d": 6}, (
        "a port that was used a moment ago is left alone"
    )


def test_the_last_free_port_is_found_below() -> None:
    names = [f"s{i}" for i in range(PORTS - 4)]
    table = _services(*names, last=PORTS - 1)
    offsets = numbered(table).offsets()
    assert sorted(offsets.values()) == [*range(2, PORTS)]


def test_a_table_of_before_the_offsets_has_the_ports_of_then() -> None:
    plain = msgspec.to_builtins(_services("a", "b")) | {"format": 1}
    for row in plain["services"].values():
        del row["offset"]
    table = decode(json.dumps(plain).encode())
    assert table.service_addresses("n1", "b") == [("127.0.0.1", 7304)]


@pytest.mark.parametrize("offset", [0, 2, PORTS, -1])
def test_an_offset_out_of_the_block_is_refused(offset: int) -> None:
    with pytest.raises(ConfigError, match=r"services\.a\.offset"):
        _services(a=offset)


def test_an_offset_is_given_once_and_to_centralized_services() -> None:
    with pytest.raises(ConfigError, match="that of a"):
        _services(a=4, b=4)
    with pytest.raises(ConfigError, match="centralized"):
        build(_plain(services={"a": {"python": "a:B", "local": True, "offset": 4}}), "t")


def test_while_the_times_change_the_shorter_lease_and_the_longer_grace_hold() -> None:
    table = msgspec.structs.replace(_services("a"), replaces=PROFILES["carrier"])
    assert (table.times.lease_ms, table.times.grace_ms) == (40, 300)
    assert table.wanted_times == PROFILES["lan"]
    assert decode(encode(table)).replaces == PROFILES["carrier"]


def test_a_node_is_added_and_taken_out() -> None:
    table = _services("a")
    more = with_node(table, "n3", Node(links=["127.0.0.1"], port=7364))
    assert list(more.nodes) == ["n1", "n2", "n3"]
    assert without_node(more, "n3") == table
    for wrong in (
        lambda: with_node(table, "n1", Node(links=["127.0.0.9"])),
        lambda: without_node(table, "n9"),
    ):
        with pytest.raises(ConfigError, match="NODE"):
            wrong()
    with pytest.raises(ConfigError, match="overlaps"):
        with_node(table, "n3", Node(links=["127.0.0.1"], port=7301))


def test_the_last_eligible_node_is_not_taken_out() -> None:
    nodes = {"n1": {"links": ["127.0.0.1"]}, "n2": {"links": ["127.0.0.1"], "port": 7332, "eligible": False}}
    with pytest.raises(ConfigError, match="no eligible node"):
        without_node(build(_plain(nodes=nodes), "t"), "n1")
