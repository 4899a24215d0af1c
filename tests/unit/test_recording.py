"""The recorder of an agent: all that its machines were given and answered is in the file, and nothing waits for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from primacy.agent.recording import Recorder
from primacy.machines import coordination, membership, recorded
from primacy.machines.beginning import Beginning
from primacy.machines.events_node import RecordEnded
from primacy.machines.membership import NodeEntry
from primacy.machines.timing import PROFILES
from primacy.sim import trace
from tests.unit.agent_tools import Site
from tests.unit.cgtp_tools import until
from tests.unit.cmm_tools import N1

BEGINNING = Beginning(
    me=N1,
    cluster="test",
    now_ns=5,
    timing=PROFILES["lan"],
    nodes=(NodeEntry("n1"), NodeEntry("n2")),
    volatile=False,
    availability=False,
    services=(coordination.ServiceEntry("naming"),),
    addresses={},
    auto_promote=True,
)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path, nodes=2, links=2, record=str(tmp_path / "records"))
    yield made
    await made.close()


class Rig:
    """A recorder that records into a directory, and what it published."""

    def __init__(self, directory: Path, bytes_max: int = 64 << 20) -> None:
        self.directory, self.events = directory, list[RecordEnded]()
        self.recorder = Recorder("n1", self.events.append)
        self.recorder.open(directory, BEGINNING, bytes_max)

    def give(self, now_ns: int) -> None:
        """Record a step."""
        effects = [membership.Wake(now_ns + 1)]
        assert self.recorder.kept(membership.Tick(now_ns=now_ns), effects) is effects

    def files(self) -> list[Path]:
        """The files, oldest first."""
        return sorted(self.directory.glob(f"*{recorded.SUFFIX}"))

    def entries(self) -> list[recorded.Entry]:
        """All entries in all files."""
        found = [e for path in self.files() for e in recorded.contents(path.read_bytes()).entries]
        return [recorded.decode_entry(e) for e in found]


async def test_what_real_agents_recorded_is_replayed_with_the_same_effects(
    pair: Site, tmp_path: Path
) -> None:
    master = await pair.serve()
    other = next(r for r in pair.running.values() if r is not master)
    caller = pair.caller(master.node.me.node)
    answer = await caller.ask("switchover", reason="a test")
    assert (answer.kind, answer.reasons) == ("done", [])
    await until(lambda: other.serves, "the other one serves")
    await pair.close()
    pair.running.clear()
    pair.callers.clear()
    report = trace.check([tmp_path / "records"])
    assert [each.replay for each in report.lives] == ["same", "same"], trace.render(report)
    assert report.violations == []
    assert report.status == trace.HOLDS
    assert report.terms == 2
    assert {each.ends for each in report.lives} == {"with these words: the agent ended in order"}
    assert all(each.same == each.inputs > 50 for each in report.lives)
    assert report.unchecked == []
