"""The recovery ladder's rungs: what a failure calls for, by how often a server has failed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.machines.ids import SECOND, ServerState
from primacy.machines.rungs import FORGET_WINDOWS, FREE_FAILURES, UNLIMITED, History, Limits, Rung

PRIMARY, SECONDARY, SPARE = ServerState.PRIMARY, ServerState.SECONDARY, ServerState.SPARE
START_NS = 10_000 * SECOND


class Server:
    """A server that fails when the test says so."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.history = History()
        self.now_ns = START_NS

    def fail(
        self, state: ServerState = PRIMARY, *, lived_s: float = 1.0, escalated: bool = False
    ) -> tuple[Rung, float]:
        """Fail after so long in this state; return the rung and the pause in seconds."""
        since_ns = self.now_ns
        self.now_ns += int(lived_s * SECOND)
        self.history.failed(self.limits, state, since_ns, self.now_ns)
        rung = self.history.rung(self.limits, primary=state is PRIMARY, escalated=escalated)
        return rung, (self.history.until_ns - self.now_ns) / SECOND


@pytest.mark.parametrize(
    ("limits", "want"),
    [
        (
            Limits(),
            [("switchover", 0), ("switchover", 0), ("switchover", 1), ("failed", 2), ("failed", 4), ("failed", 8)],
        ),
        (
            Limits(restarts=2, switchovers=1),
            [("restart", 0), ("restart", 0), ("switchover", 1), ("failed", 2), ("failed", 4)],
        ),
        (
            Limits(restarts=4, switchovers=0, pause_ns=3 * SECOND, pause_ns_max=5 * SECOND),
            [*[("restart", 0)] * 4, ("failed", 3), ("failed", 5), ("failed", 5)],
        ),
        (Limits(restarts=UNLIMITED), [("restart", 0), ("restart", 0), ("restart", 1), ("restart", 2)]),
        (Limits(switchovers=0), [("failed", 0), ("failed", 0), ("failed", 1)]),
        (Limits(node_out=2), [("switchover", 0), ("node out", 0), ("switchover", 1), ("switchover", 2), ("failed", 4)]),
    ],
)  # fmt: skip
def test_a_primary_climbs_the_ladder(limits: Limits, want: list[tuple[str, float]]) -> None:
    server = Server(limits)
    assert [(rung.value, pause_s) for rung, pause_s in (server.fail() for _ in want)] == want


def test_a_server_that_lived_for_a_window_begins_at_the_bottom() -> None:
    server = Server(Limits(restarts=1))
    assert [server.fail(lived_s=61)[0] for _ in range(5)] == [Rung.RESTART] * 5
    assert [server.fail(lived_s=59)[0] for _ in range(3)] == [Rung.SWITCHOVER] * 3
    assert server.fail(lived_s=59)[0] is Rung.FAILED
    assert server.fail(lived_s=60)[0] is Rung.RESTART


def test_a_life_in_a_lower_place_proves_nothing_of_a_higher_one() -> None:
    """Two nodes that both cannot run a service do not swing for ever: time as secondary makes none of them well."""
    server = Server(Limits(switchovers=1))
    assert server.fail()[0] is Rung.SWITCHOVER
    server.now_ns += 300 * SECOND  # as secondary, in good health, while the other one tries
    assert server.fail()[0] is Rung.FAILED


def test_what_is_long_past_is_forgotten() -> None:
    server = Server(Limits(switchovers=1))
    server.fail()
    server.now_ns += FORGET_WINDOWS * 60 * SECOND
    assert server.fail() == (Rung.SWITCHOVER, 0)


def test_a_secondary_is_only_started_again_and_its_node_rests_longer_each_time() -> None:
    server = Server(Limits())
    found = [server.fail(SECONDARY) for _ in range(12)]
    assert {rung for rung, _ in found} == {Rung.RESTART}
    pauses = [pause_s for _, pause_s in found]
    assert pauses[:FREE_FAILURES] == [0] * FREE_FAILURES
    assert pauses == sorted(pauses)
    assert pauses[-1] == 60


def test_a_new_life_goes_on_counting() -> None:
    limits = Limits(switchovers=1)
    server = Server(limits)
    server.history.recall(limits, 4, 1, server.now_ns)
    assert server.history.until_ns - server.now_ns == 2 * SECOND
    assert server.fail() == (Rung.FAILED, 4)


def test_a_rest_does_not_count_as_good_health() -> None:
    server = Server(Limits(switchovers=0, window_ns=SECOND // 10, pause_ns_max=60 * SECOND))
    for _ in range(12):
        _, pause_s = server.fail(lived_s=0.05)
        server.now_ns += int(pause_s * SECOND)
    assert pause_s == 60


@given(
    lives_s=st.lists(st.floats(0.01, 59.9), min_size=1, max_size=5),
    nodes=st.integers(1, 4),
    limits=st.builds(
        Limits,
        restarts=st.integers(0, 3),
        switchovers=st.integers(0, 3),
        node_out=st.sampled_from([0, 0, 2, 4]),
    ),
    seconds_to_join=st.floats(0.0, 70.0),
)
def test_a_service_that_runs_nowhere_makes_the_mastership_move_a_limited_number_of_times(
    lives_s: list[float], nodes: int, limits: Limits, seconds_to_join: float
) -> None:
    """Whatever each life lasts, while it is shorter than the window, and whoever is ready to take over."""
    servers = [Server(limits) for _ in range(nodes)]
    master, moves, last_move, now_ns = 0, 0, 0, START_NS
    for failure in range(300):
        server, lived_s = servers[master], lives_s[failure % len(lives_s)]
        server.now_ns = now_ns
        rung, pause_s = server.fail(lived_s=lived_s)
        now_ns = server.now_ns
        able = [n for n, s in enumerate(servers) if n != master and s.history.until_ns <= now_ns]
        if rung in (Rung.SWITCHOVER, Rung.NODE_OUT) and able and lived_s >= seconds_to_join:
            master, moves, last_move = able[0], moves + 1, failure
            continue
        if rung is Rung.SWITCHOVER:
            server.history.switchovers -= 1  # nobody could take over
        now_ns += int(pause_s * SECOND)
    assert moves <= nodes * (limits.switchovers + (1 if limits.node_out else 0))
    if seconds_to_join <= min(lives_s):
        assert last_move <= nodes * (limits.restarts + limits.switchovers + max(2, limits.node_out))


def test_an_escalated_failure_leaves_the_restart_out() -> None:
    server = Server(Limits(restarts=5))
    assert server.fail(escalated=True)[0] is Rung.SWITCHOVER
    assert server.fail(SPARE, escalated=True)[0] is Rung.RESTART


def test_the_pause_stays_within_its_limit_however_often_it_fails() -> None:
    server = Server(Limits())
    assert max(server.fail()[1] for _ in range(100)) == 60
