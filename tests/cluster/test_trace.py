"""Real processes that record: killed, handed over, ended in order; what they recorded is replayed and holds."""

from __future__ import annotations

import pytest

from primacy.local import faults
from primacy.local.processes import agent_of
from tests.cluster.cluster_tools import wait_for
from tests.cluster.conftest import MakeLive
from tests.cluster.records import RECORD, holds


async def test_a_killed_agent_leaves_a_record_that_is_replayed(
    make_live: MakeLive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIMACY_RECORD", RECORD)
    live = make_live(profile="carrier")
    await live.start()
    async with live.client() as cluster:
        status = await live.whole(cluster, members=3)
        await cluster.control("switchover", reason="a test")
        status = await live.whole(cluster, members=3)
        directory = live.layout.node(status["master"])
        life = next(each["incarnation"] for each in status["nodes"] if each["id"] == status["master"])
        killed = faults.crash(directory)
        await wait_for(lambda: agent_of(directory) not in (None, killed), "another agent")
        await live.whole(cluster, members=3, without=life)
        await cluster.control("shutdown", node="n3", reason="a test")
    report = await holds(live)
    ends = {(each.node, each.incarnation): each.ends for each in report.lives}
    assert len(ends) == 4
    assert ends[status["master"], life].startswith("without a word")
    assert any(words == "with these words: the agent ended in order" for words in ends.values())
    assert report.terms >= 3
