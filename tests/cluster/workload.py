"""Clients that append to logs and read them all the time, and what must hold of all that they saw.

    async with Workload(live, source) as work:
        ...
        work.turn()             # from now on other logs, so that each log's history stays short
    await work.judge(cluster)   # nothing lost, nothing doubled, linearizable, terms in order

Each name is unique. A call whose outcome is not known (`Deadline`) may have been executed, at any time; one that
ended in another error was not executed at all.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from types import TracebackType

from primacy.client import CallRecord, Cluster
from primacy.errors import Busy, Deadline, NoPrimary
from primacy.sim.linearizability import Log, Record, Verdict, check
from tests.cluster.cluster_tools import Live

DEADLINE_S = 30.0
LOGS = 3
_THINK_S = 0.03


class Workload:
    """`clients` connections, each with `together` closed loops, while it is entered."""

    def __init__(self, live: Live, source: random.Random, *, clients: int = 3, together: int = 2) -> None:
        self._live, self._source = live, source
        self._clients, self._together = clients, together
        self._turn = 0
        self._number = 0
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self.records: list[tuple[str, CallRecord]] = []
        """(client, record) of every call that has ended."""
        self.failed: Counter[str] = Counter()

    async def __aenter__(self) -> Workload:
        self._tasks = [asyncio.create_task(self._client(f"c{n}")) for n in range(self._clients)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping = True
        if kind is not None:
            for task in self._tasks:
                task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        if kind is None:
            assert [e for e in ended if isinstance(e, BaseException)] == []

    def turn(self) -> None:
        """Go on with other logs."""
        self._turn += 1

    @property
    def acknowledged(self) -> list[CallRecord]:
        """The appends that were acknowledged."""
        return [r for _, r in self.records if r.operation == "append" and r.outcome == "done"]

    def longest_ns(self, after_ns: int = 0) -> int:
        """Return how long the slowest call took of those that were invoked after an instant."""
        return max(
            (r.completed_ns - r.invoked_ns for _, r in self.records if r.invoked_ns >= after_ns), default=0
        )

    async def _client(self, name: str) -> None:
        def note(record: CallRecord) -> None:
            self.records.append((name, record))

        async with self._live.client(on_call=note) as cluster, asyncio.TaskGroup() as group:
            for _ in range(self._together):
                group.create_task(self._loop(name, cluster))

    async def _loop(self, name: str, cluster: Cluster) -> None:
        logbook, source = cluster.service("logbook"), self._source
        while not self._stopping:
            log = f"{self._turn}/{source.randrange(LOGS)}"
            try:
                if source.random() < 0.5:
                    self._number += 1
                    await logbook.append(log=log, name=f"{name}-{self._number}", deadline_s=DEADLINE_S)
                else:
                    await logbook.query.read(log=log, deadline_s=DEADLINE_S)
            except (Deadline, NoPrimary, Busy) as error:
                self.failed[type(error).__name__] += 1
            await asyncio.sleep(source.uniform(0, _THINK_S))

    # ---- what must hold ----

    async def judge(self, cluster: Cluster) -> None:
        """Ask the cluster what it holds, and see that it fits all that was acknowledged."""
        logbook = cluster.service("logbook")
        held = {log: await logbook.query.names(log=log) for log in await logbook.query.logs()}
        lost = [
            r for r in self.acknowledged if r.arguments["name"] not in set(held.get(r.arguments["log"], []))
        ]
        assert [_sentence(r) for r in lost] == [], "acknowledged writes are lost"
        doubled = {
            log: [n for n, count in Counter(names).items() if count > 1] for log, names in held.items()
        }
        assert {log: names for log, names in doubled.items() if names} == {}, "writes are doubled"
        finding = check(self.history(), Log())
        assert finding.verdict is Verdict.LINEARIZABLE, finding.sentence()
        assert self.out_of_term() == []

    def history(self) -> list[Record]:
        """Return the calls as the checker takes them."""
        return [
            Record(
                client=client,
                key=record.arguments["log"],
                operation=record.operation,
                argument=record.arguments.get("name"),
                invoked_ns=record.invoked_ns,
                completed_ns=record.completed_ns if record.outcome == "done" else None,
                result=tuple(record.value) if record.outcome == "done" else None,
            )
            for client, record in self.records
            if record.outcome == "done" or record.maybe_applied
        ]

    def out_of_term(self) -> list[str]:
        """Return the calls that were sent after a new term's first reply and answered from an older term."""
        answered = sorted((r for _, r in self.records if r.term), key=lambda r: r.completed_ns)
        first: dict[int, int] = {}
        for record in answered:
            first.setdefault(record.term, record.completed_ns)
        return [
            _sentence(record)
            for record in answered
            if any(term > record.term and at_ns < record.sent_ns for term, at_ns in first.items())
        ]


def _sentence(record: CallRecord) -> str:
    told = " ".join(f"{name}={value}" for name, value in record.arguments.items())
    span = f"[{record.invoked_ns / 1e6:.3f}, {record.completed_ns / 1e6:.3f}] ms"
    return f"{record.operation}({told}) -> {record.outcome} {record.value!r} term {record.term} {span}"
