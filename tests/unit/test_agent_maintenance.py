"""The keeper of maintenance at one agent: ledger, file, monitor and operators around it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from primacy.agent.maintenance import FILE, Keeper
from primacy.errors import Unavailable
from primacy.ledger.memory import MemoryLedger, Store
from primacy.machines import coordination, membership
from primacy.machines.events import Event
from primacy.machines.ids import SECOND
from primacy.machines.maintenance import CLUSTER, Notice, encode
from primacy.machines.membership import SwapAnswer
from tests.unit.cgtp_tools import until

NODES = ("n1", "n2", "n3")


class Place:
    """One node's directory, and a ledger that answers as it is told."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.answer = SwapAnswer.DONE
        self.swaps: list[tuple[str, int, bytes]] = []
        self.inputs: list[membership.Maintenance] = []
        self.events: list[Event] = []
        self.revision = 10

    def keeper(self) -> Keeper:
        """A keeper of this node's next life."""
        return Keeper("n1", self.directory, self.swap, self._post, self.events.append)

    def swap(self, key: str, expect: int, value: bytes, answer: Callable[[SwapAnswer, int], None]) -> None:
        """Take a swap."""
        self.swaps.append((key, expect, value))
        self.revision += 1
        asyncio.get_running_loop().call_soon(answer, self.answer, self.revision)

    def _post(self, given: membership.Input | coordination.Input) -> None:
        if isinstance(given, coordination.Maintained):
            told = self.inputs[-1]
            assert (given.now_ns, given.cluster, given.nodes) == (told.now_ns, told.cluster, told.nodes)
        else:
            assert isinstance(given, membership.Maintenance)
            self.inputs.append(given)

    def named(self, kind: str) -> list[Event]:
        """The events of a kind."""
        return [event for event in self.events if type(event).__name__ == kind]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def ask(keeper: Keeper, action: str, **arguments: Any) -> tuple[str, Any, list[str]]:
    return await keeper.asked({"action": action, "by": "ada", **arguments}, NODES, "n1")


async def test_on_is_written_told_and_kept_and_off_ends_it(place: Place) -> None:
    keeper = place.keeper()
    keeper.start()
    kind, result, _ = await ask(keeper, "on", reason="switches", for_s=60)
    assert kind == "done"
    assert [row["scope"] for row in result["maintenance"]] == [CLUSTER]
    assert place.swaps[0][:2] == ("maintenance/cluster", 0)
    assert place.inputs[-1].cluster == "the cluster is in maintenance (switches)"
    assert len(place.named("MaintenanceBegan")) == 1
    await until((place.directory / FILE).exists, "the file is written")
    kind, result, _ = await ask(keeper, "off")
    assert (kind, result) == ("done", {"maintenance": [], "changed": True})
    assert place.swaps[1][:2] == ("maintenance/cluster", 11)
    assert place.inputs[-1].cluster == ""
    assert (await ask(keeper, "off"))[1]["changed"] is False
    keeper.close()


async def test_the_file_alone_brings_it_back_and_into_an_empty_ledger(place: Place) -> None:
    before = place.keeper()
    before.start()
    await ask(before, "on", node="n2")
    await until((place.directory / FILE).exists, "the file is written")
    before.close()
    place.swaps.clear()
    keeper = place.keeper()
    assert keeper.is_on("n2")
    store = MemoryLedger(Store("test"))
    await keeper.load(store)
    assert [(key, expect) for key, expect, _ in place.swaps] == [("maintenance/n2", 0)]
    inputs = len(place.inputs)
    keeper.start()
    assert place.inputs[inputs].nodes == {"n2"}
    assert keeper.maintained == {"n2"}
    keeper.close()
    await store.close()


async def test_the_ledger_alone_brings_it_back(place: Place) -> None:
    store = Store("test")
    notice = Notice(True, 3, "ada", "", time.time_ns())
    store.swap("maintenance/cluster", encode(notice), 0)
    keeper = place.keeper()
    await keeper.load(MemoryLedger(store))
    keeper.start()
    assert place.inputs[-1].cluster
    assert place.swaps == []
    await until((place.directory / FILE).exists, "the file is written")
    keeper.close()


async def test_a_ledger_that_does_not_answer_leaves_what_the_file_says(place: Place) -> None:
    ledger = MemoryLedger(Store("test"))
    await ledger.close()
    with pytest.raises(Unavailable):
        await ledger.read("")
    keeper = place.keeper()
    await keeper.load(ledger)
    keeper.start()
    assert place.inputs[-1].cluster == ""
    keeper.close()


async def test_an_older_or_damaged_notice_changes_nothing(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    keeper = place.keeper()
    keeper.start()
    await ask(keeper, "on")
    keeper.given("maintenance/cluster", 5, encode(Notice(False, 1, "eve", "", 0)))
    keeper.given("maintenance/cluster", 6, b"no json")
    keeper.given("nodes/n1", 7, b"no json")
    assert keeper.is_on(CLUSTER)
    assert "maintenance/cluster" in capsys.readouterr().err
    keeper.close()


async def test_a_damaged_file_is_told_and_the_ledger_counts(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    (place.directory / FILE).write_bytes(b'{"cluster": 7}')
    keeper = place.keeper()
    keeper.start()
    assert "cannot be read" in capsys.readouterr().err
    assert not keeper.is_on(CLUSTER)
    keeper.close()


@pytest.mark.parametrize("answer", [SwapAnswer.CONFLICT, SwapAnswer.UNAVAILABLE, SwapAnswer.UNCERTAIN])
async def test_what_was_not_surely_written_is_told_and_changes_nothing_here(
    place: Place, answer: SwapAnswer
) -> None:
    place.answer = answer
    keeper = place.keeper()
    keeper.start()
    kind, _, reasons = await ask(keeper, "on")
    assert (kind, len(reasons)) == ("failed", 1)
    assert not keeper.is_on(CLUSTER)
    keeper.close()


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        ("on", {"node": "n9"}), ("on", {"node": "n1"}), ("on", {"node": "vice"}), ("on", {"for_s": -1}),
        ("on", {"for_s": True}), ("on", {"for_s": 1e12}), ("on", {"for_s": float("nan")}), ("on", {"reason": 7}),
        ("on", {"node": 7}), ("on", {"reason": "x" * 500}), ("later", {}),
    ],
)  # fmt: skip
async def test_what_cannot_be_taken_is_refused(place: Place, action: str, arguments: dict[str, Any]) -> None:
    keeper = place.keeper()
    keeper.start()
    kind, _, reasons = await ask(keeper, action, **arguments)
    assert kind == "refused"
    assert reasons
    assert place.swaps == []
    keeper.close()


async def test_it_expires_by_itself_by_the_loops_timer(place: Place) -> None:
    keeper = place.keeper()
    keeper.start()
    keeper.given(
        "maintenance/cluster",
        1,
        encode(Notice(True, 1, "ada", "", time.time_ns(), time.time_ns() + SECOND // 5)),
    )
    assert keeper.is_on(CLUSTER)
    await until(lambda: place.named("MaintenanceEnded"), "it has expired")
    assert place.named("MaintenanceEndsSoon")
    assert place.inputs[-1].cluster == ""
    keeper.close()
