"""Where a node listens, and whether it could listen elsewhere: with real sockets."""

from __future__ import annotations

import socket

import msgspec
import pytest

from primacy.agent.placing import answer, moved
from primacy.boot import Boot, Link
from primacy.config import PORTS, Node, Table
from primacy.errors import ConfigError
from tests.unit.agent_tools import free_addresses

(HERE,) = free_addresses(1)
TABLE = Table(nodes={"n1": Node(links=[HERE], port=9000)})


def _boot(*links: Link) -> Boot:
    return Boot(
        node="n1", directory="d", ledger="l", links=links, cluster_key="k", authority="a", certificate="c",
        private_key="p", stop_grace_s=5.0, sources={},
    )  # fmt: skip


def _reasons(links: list[str], port: int) -> list[str]:
    kind, _, reasons = answer("n1", TABLE, {"links": links, "port": port, "offsets": [0, 2]})
    assert kind == ("refused" if reasons else "done")
    return reasons


def test_an_address_that_the_machine_lacks_and_a_port_that_is_taken_are_told() -> None:
    assert _reasons([HERE], 9000) == []
    (missing,) = _reasons([HERE, "203.0.113.9"], 9000)
    assert missing.startswith("nodes.n1: 203.0.113.9 is no address of its machine now")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((HERE, 0))
        port = taken.getsockname()[1]
        assert _reasons([HERE], port) == [f"nodes.n1: {HERE}: port {port} is taken by another program"]


def test_what_the_node_has_itself_is_free_for_its_next_life() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind((HERE, 9000 + PORTS - 1))
        assert _reasons([HERE], 9000 + PORTS - 1) == []


@pytest.mark.parametrize(
    "arguments", [{}, {"links": 1, "port": 2, "offsets": []}, {"links": [], "port": "2"}]
)
def test_garbage_is_refused(arguments: dict[str, object]) -> None:
    assert answer("n1", TABLE, arguments)[0] == "refused"


def test_the_table_says_where_a_node_listens() -> None:
    assert moved(_boot(Link(HERE, 9000)), TABLE) == ""
    assert moved(_boot(Link(HERE, 9100)), TABLE).startswith(f"links: {HERE}:9000, as the table says")
    elsewhere = Table(nodes={"n1": msgspec.structs.replace(TABLE.nodes["n1"], links=["203.0.113.9"])})
    with pytest.raises(ConfigError) as caught:
        moved(_boot(Link(HERE, 9000)), elsewhere)
    assert "this machine has none of these addresses" in str(caught.value)
