"""A link that goes down and comes up again costs nothing: no error, no reconnect, no pause, no change of roles."""

from __future__ import annotations

import asyncio
import random

from tests.cluster.cluster_tools import wait_for
from tests.cluster.conftest import MakeLive
from tests.cluster.workload import Workload

PAUSE_S_MAX = 5.0  # far below a time-out of a call, above what a busy machine does by itself
DOWN_S = 1.0


async def test_a_link_down_and_up_costs_no_call_and_no_role(
    make_live: MakeLive, random_source: random.Random
) -> None:
    live = make_live(profile="lan")
    await live.start()
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        appointments = len(live.of_kind("ViceAppointed"))
        async with Workload(live, random_source) as work:
            await wait_for(lambda: len(work.acknowledged) > 20, "writes before")
            for node in (before["master"], before["vice"]):
                for link in (0, 1):
                    written = len(work.acknowledged)
                    await live.ask(cluster, node, "link", link=link, up=False)
                    await asyncio.sleep(DOWN_S)
                    assert len(work.acknowledged) > written
                    await live.ask(cluster, node, "link", link=link, up=True)
                    # the other link may go down only when this one carries traffic again
                    await live.status(
                        cluster,
                        lambda s: all(at["up"] for n in s["nodes"] for at in n["links"]),
                        f"link {link + 1} of {node} is up again",
                    )
        assert work.longest_ns() / 1e9 < PAUSE_S_MAX
        assert dict(work.failed) == {}
        after = await live.whole(cluster, members=3)
        assert [after[key] for key in ("term", "master", "vice")] == [
            before[key] for key in ("term", "master", "vice")
        ]
        assert len(live.of_kind("ViceAppointed")) == appointments
        assert live.of_kind("NodeChanged", node=before["master"], reachable=False) == []
        for link in (1, 2):
            told = live.of_kind("LinkChanged", node=before["master"], peer=before["vice"], link=link)
            assert [event["up"] for event in told][-2:] == [False, True]
        await work.judge(cluster)
