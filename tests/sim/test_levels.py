"""What the checker of levels lets pass, and what it tells."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest

from primacy.machines.host_wire import Context, Ran, Run, Serve
from primacy.machines.ids import Member
from primacy.machines.records import Mastership
from primacy.sim.host_process import Around, HostProcess
from primacy.sim.levels import Levels
from primacy.sim.network import Network
from primacy.sim.scheduler import Clock, Scheduler
from primacy.sim.settings import DOOR, LOGBOOK, Row, rows

N1, N2 = Member("n1", "a"), Member("n2", "b")
ROWS = {row.id: row for row in rows("disk")}


class Judge:
    """The checker, hosts of two nodes, and what it has told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.scheduler = Scheduler()
        knows = SimpleNamespace(record=Mastership(1, N1, None, 0, "why", N1))
        nodes = {m.node: SimpleNamespace(agent=SimpleNamespace(member=m, monitor=knows)) for m in (N1, N2)}
        self.levels = Levels(lambda clause, text: self.told.append(f"{clause}: {text}"), nodes)  # type: ignore[arg-type]
        self.hosts = {(m, s): self._host(m, ROWS[s]) for m in (N1, N2) for s in (LOGBOOK, DOOR)}
        self._runs = 0

    def _host(self, member: Member, row: Row) -> HostProcess:
        network = Network(self.scheduler, random.Random(1), (1, 2))
        around = Around(
            observer=None,  # type: ignore[arg-type]  # it is never asked
            network=network,
            snapshot_every=10,
            find=lambda member, service: None,
            said=lambda host, message: None,
            ended=lambda host, how: None,
            mood=lambda service: "",
        )
        clock = Clock(self.scheduler, 1_000_000, 0)
        return HostProcess(row, member, self.scheduler, clock, random.Random(1), around)

    def run(self, member: Member, service: str, function: str, level: int, **more: str) -> int:
        """A coordinator starts what the service has in this level."""
        self._runs += 1
        host = self.hosts[member, service]
        of_level = [c for c in host.description.callbacks if (c.function, c.level) == (function, level)]
        context = Context(
            function, level, 1, more.get("cause", "why"), "x", more.get("to", "y"), None, True, 1.0
        )
        self.levels.ordered(host, Run(self._runs, of_level[0].name, context))
        return self._runs

    def ran(self, member: Member, service: str, number: int) -> None:
        """It hears how that ended."""
        self.levels.heard(self.hosts[member, service], Ran(number, "done"))

    def whole(self, member: Member, service: str, function: str, *levels: int, **more: str) -> None:
        """All of these levels, one after the other."""
        for level in levels:
            self.ran(member, service, self.run(member, service, function, level, **more))


def test_levels_in_order_are_right() -> None:
    judge = Judge()
    judge.whole(N1, LOGBOOK, "failover", 1, 3, to="primary")
    judge.levels.ordered(judge.hosts[N1, LOGBOOK], Serve(1))
    judge.whole(N1, LOGBOOK, "shutdown", 3, 1)
    judge.whole(N1, LOGBOOK, "switchover", 3, 2, 1, to="secondary")
    judge.whole(N1, LOGBOOK, "switchover", 1, 2, 3, cause="undone: why")
    judge.whole(N2, DOOR, "reconnect", 1, 2)
    assert judge.told == []


def test_a_level_that_begins_before_the_one_before_has_ended_is_told() -> None:
    judge = Judge()
    judge.run(N1, LOGBOOK, "failover", 1)
    judge.run(N1, LOGBOOK, "failover", 3)
    assert judge.told[0].startswith("S5: logbook.last (failover, level 3) begins on n1/a while level 1")


def test_services_of_a_node_keep_step_and_nodes_do_not() -> None:
    judge = Judge()
    first = judge.run(N1, LOGBOOK, "shutdown", 3)
    judge.run(N2, DOOR, "shutdown", 2)
    assert judge.told == []
    judge.run(N1, DOOR, "shutdown", 2)
    assert "while level 3 is not complete" in judge.told[0]
    judge.ran(N1, LOGBOOK, first)


@pytest.mark.parametrize(("function", "level", "left_out"), [("failover", 3, 1), ("shutdown", 1, 3)])
def test_a_level_that_is_left_out_is_told(function: str, level: int, left_out: int) -> None:
    judge = Judge()
    judge.run(N1, LOGBOOK, function, level)
    assert f"of level {left_out} has not been run" in judge.told[0]


def test_undoing_in_the_wrong_order_is_told() -> None:
    judge = Judge()
    judge.whole(N1, LOGBOOK, "promote", 3, 1, cause="undone: why")
    assert judge.told == []
    judge.whole(N2, LOGBOOK, "promote", 1, 3, cause="undone: why")
    assert "level 1 was undone before it" in judge.told[0]


def test_initialization_waits_for_the_master_and_reconnecting_for_its_service() -> None:
    judge = Judge()
    judge.whole(N1, LOGBOOK, "initialize", 1, cause="the node starts")
    judge.whole(N2, LOGBOOK, "initialize", 1, cause="the node starts")
    assert judge.told == []
    judge.run(N2, LOGBOOK, "initialize", 3, cause="the node starts")
    assert "before a master has completed that level" in judge.told[0]
    judge.run(N2, DOOR, "reconnect", 1)
    assert "before term 1 serves" in judge.told[1]


def test_serving_before_the_last_level_is_told() -> None:
    judge = Judge()
    judge.run(N1, LOGBOOK, "failover", 1, to="primary")
    judge.levels.ordered(judge.hosts[N1, LOGBOOK], Serve(1))
    assert "serves term 1, but failover runs in logbook" in judge.told[0]


def test_what_ran_in_a_process_that_is_gone_is_waited_for_by_nobody() -> None:
    judge = Judge()
    judge.run(N1, LOGBOOK, "shutdown", 3)
    judge.levels.exited(judge.hosts[N1, LOGBOOK])
    judge.run(N1, DOOR, "shutdown", 2)
    assert judge.told == []
