"""What an agent knows of the ledger: told to the machines in order, and to those who wait for an outcome."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from primacy import config
from primacy.agent.ledger_line import LedgerLine
from primacy.agent.records import Records
from primacy.config import Node, Table
from primacy.config_beginning import with_records
from primacy.ledger.memory import MemoryLedger, Store
from primacy.machines import coordination, membership
from primacy.machines.membership import NodeEntry
from primacy.machines.records import NodeRecord, Operation, Operations, encode
from tests.unit.waiting import wait_until

TABLE = Table(nodes={f"n{i}": Node(links=["127.0.0.1"], port=7300 + 100 * i) for i in (1, 2, 3)})
OPERATION = Operation("op", "demote", "n2", "why", "n1", 1)


class Known:
    """Records with what they have told."""

    def __init__(self) -> None:
        self.ledger = MemoryLedger(Store("c"))
        self.posted: list[Any] = []
        self.tables: list[Table] = []
        line = LedgerLine(self.ledger, lambda available, reason: None)
        self.line = line
        self.records = Records(TABLE, TABLE.entries(), line, self.posted.append)
        self.records.on_table = self.tables.append
        self.nodes: list[tuple[NodeEntry, ...]] = []
        self.records.on_nodes = self.nodes.append

    def of(self, kind: type) -> list[Any]:
        """What was posted, of one kind."""
        return [each for each in self.posted if isinstance(each, kind)]


@pytest.fixture
async def known() -> AsyncIterator[Known]:
    """Records that watch a ledger with a table."""
    made = Known()
    await made.ledger.swap("config", config.encode(TABLE), 0)
    made.records.start()
    await wait_until(lambda: made.of(coordination.RecordChanged), "the table is told")
    yield made
    await made.line.close()


def test_a_record_says_more_than_the_table() -> None:
    entries = with_records(TABLE, {"n2": NodeRecord(eligible=True, available=False)})
    assert [(e.id, e.available) for e in entries] == [("n1", True), ("n2", False), ("n3", True)]


async def test_a_nodes_record_is_told_to_both_machines_before_the_record_itself(known: Known) -> None:
    await known.ledger.swap("nodes/n2", encode(NodeRecord(available=False)), 0)
    await wait_until(lambda: len(known.of(coordination.RecordChanged)) == 2, "it is told")
    assert [e.available for e in known.records.entries] == [True, False, True]
    assert known.nodes == [known.records.entries]
    kinds = [type(each) for each in known.posted[-3:]]
    assert kinds == [membership.TableChanged, coordination.NodesChanged, coordination.RecordChanged]


async def test_a_record_that_cannot_be_read_changes_nothing(
    known: Known, capfd: pytest.CaptureFixture[str]
) -> None:
    await known.ledger.swap("nodes/n2", b"[1]", 0)
    await known.ledger.swap("nodes/n3", encode(NodeRecord(available=False)), 0)
    await wait_until(lambda: not known.records.entries[2].available, "the next one is told")
    assert known.records.entries[1].available
    assert "nodes/n2" in capfd.readouterr().err


async def test_an_outcome_is_told_to_those_who_wait(known: Known) -> None:
    waiting = asyncio.ensure_future(known.records.ended("op"))
    revision = await known.ledger.swap("operation", encode(Operations(OPERATION)), 0)
    await wait_until(lambda: known.records.operations.current, "the intent is known")
    assert not waiting.done()
    done = Operations(OPERATION).with_outcome("refused", ("no",), {})
    await known.ledger.swap("operation", encode(done), revision)
    assert ((await waiting).outcome, (await known.records.ended("op")).reasons) == ("refused", ("no",))


async def test_who_gives_up_waiting_is_forgotten(known: Known) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.01):
            await known.records.ended("never")
    assert known.records._waiting == {}


async def test_a_node_is_taken_out_of_the_table(known: Known) -> None:
    known.records.edit(coordination.EditTable("n3"))
    await wait_until(lambda: known.tables, "the new table is told")
    assert sorted(known.tables[-1].nodes) == ["n1", "n2"]
    assert [e.id for e in known.records.entries] == ["n1", "n2"]


async def test_a_swap_is_answered(known: Known) -> None:
    known.records.swap_key(coordination.SwapKey(7, "nodes/n1", 0, encode(NodeRecord())))
    await wait_until(lambda: known.of(coordination.KeySwapped), "the ledger answers")
    [answer] = known.of(coordination.KeySwapped)
    assert (answer.token, answer.answer) == (7, membership.SwapAnswer.DONE)
