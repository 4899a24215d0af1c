"""The recorder of an agent: all that its machines were given and answered is in the file, and nothing waits for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from primacy.agent import recording
from primacy.agent.recording import Recorder
from primacy.machines import coordination, membership, recorded
from primacy.machines.events_node import RecordEnded
from primacy.machines.recorded import Kind
from primacy.sim import trace
from tests.unit.agent_tools import Site
from tests.unit.cgtp_tools import until
from tests.unit.trace_tools import beginning

BEGINNING = beginning()


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path, nodes=2, links=2, record=str(tmp_path / "records"))
    yield made
    await made.close()


class Rig:
    """A recorder that records into a directory, and what it published."""

    def __init__(self, directory: Path, bytes_max: int = 64 << 20, file_bytes: int = 16 << 20) -> None:
        self.directory, self.events = directory, list[RecordEnded]()
        self.recorder = Recorder("n1", self.events.append)
        self.recorder.open(directory, BEGINNING, bytes_max, file_bytes)

    def give(self, now_ns: int) -> None:
        """Record a step."""
        effects = [membership.Wake(now_ns + 1)]
        assert self.recorder.kept(membership.Tick(now_ns=now_ns), effects) is effects

    def files(self) -> list[Path]:
        """The files of the node's that have a head, oldest first."""
        found = sorted(self.directory.glob(f"n1-????????T*{recorded.SUFFIX}"))
        return [path for path in found if not recorded.headless(path.read_bytes())]

    def has(self, number: int) -> bool:
        """Whether the newest file ends with this entry; older ones may go at any time."""
        found = sorted(self.directory.glob(f"n1-????????T*{recorded.SUFFIX}"))
        if not found or recorded.headless(data := found[-1].read_bytes()):
            return False
        entries = recorded.contents(data).entries
        return bool(entries) and recorded.decode_entry(entries[-1]).number == number

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


async def test_what_was_recorded_is_with_the_kernel_within_milliseconds(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "records")
    rig.give(1)
    rig.give(2)
    await until(lambda: rig.files() and len(rig.entries()) == 2, "both steps are in the file")
    assert rig.recorder.records
    [file] = rig.files()
    assert file.stat().st_mode & 0o777 == 0o600
    head = recorded.contents(file.read_bytes()).head
    assert (head.node, head.part, head.first, bool(head.code), bool(head.clock)) == ("n1", 0, 0, True, True)
    assert recorded.decode_beginning(head.beginning) == BEGINNING
    rig.recorder.close("the end")
    last = rig.entries()[-1]
    assert (last.number, last.kind, recorded.text(last.input)) == (2, Kind.END, "the end")
    assert not rig.recorder.records
    rig.give(3)
    assert len(rig.entries()) == 3


async def test_a_record_is_divided_and_its_oldest_files_go(tmp_path: Path) -> None:
    of_another = tmp_path / "n1-2-20261122T000000000-00000000-0000.record"
    of_another.write_bytes(b"another node's")
    rig = Rig(tmp_path, bytes_max=30_000, file_bytes=5_000)
    for number in range(40):
        rig.recorder.kept(membership.KeepBack(now_ns=number, node="n2", why="x" * 2_000), [])
        await until(lambda n=number: rig.has(n), "it is written")
    rig.recorder.close("the end")
    own = rig.files()
    assert of_another.exists()
    assert 4 <= len(own) <= 6
    assert sum(path.stat().st_size for path in own) <= 30_000 + 5_000
    heads = [recorded.contents(path.read_bytes()).head for path in own]
    assert [h.part for h in heads] == list(range(heads[0].part, heads[0].part + len(own)))
    assert heads[0].part > 0
    of_another.unlink()
    numbers = [entry.number for entry in rig.entries()]
    assert numbers == list(range(heads[0].first, 41))
    [life] = trace.check([tmp_path]).lives
    assert (life.replay, life.inputs) == ("not replayed", 40 - heads[0].first)


async def test_a_directory_that_cannot_be_made_ends_the_record_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "records").write_text("a file in the way")
    rig = Rig(tmp_path / "records")
    await until(lambda: rig.events, "the event is published")
    assert "records: File exists" in rig.events[0].reason
    rig.give(1)
    assert not rig.recorder.records
    assert "n1 records its inputs no more" in rig.events[0].sentence()


@pytest.mark.parametrize(
    ("why", "reason"),
    [("x" * (recording.QUEUE_BYTES_MAX + 1), "does not keep up"), ("\ud800", "cannot be written")],
)
async def test_a_record_that_cannot_go_on_ends_with_the_reason(tmp_path: Path, why: str, reason: str) -> None:
    rig = Rig(tmp_path)
    rig.give(1)
    rig.recorder.kept(membership.KeepBack(now_ns=2, node="n2", why=why), [])
    rig.give(3)
    [event] = rig.events
    assert reason in event.reason
    await until(lambda: rig.files() and len(rig.entries()) == 2, "its last words are written")
    assert recorded.text(rig.entries()[-1].input) == event.reason


async def test_the_step_that_broke_off_is_the_last_that_is_written(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.give(1)
    exited = coordination.HostExited(now_ns=2, service="nobody's", reason="x")
    rig.recorder.broke_off(exited, KeyError("nobody's"), 2.0)
    kinds = [entry.kind for entry in rig.entries()]
    assert kinds == [Kind.MONITOR, Kind.BROKEN, Kind.END]
    assert recorded.text(rig.entries()[1].effects[0]) == 'KeyError: "nobody\'s"'


async def test_without_the_parameter_nothing_is_recorded(tmp_path: Path) -> None:
    recorder = Recorder("n1", lambda event: None)
    effects = [membership.Wake(1)]
    assert recorder.kept(membership.Tick(now_ns=1), effects) is effects
    recorder.close("the end")
    assert list(tmp_path.iterdir()) == []
