"""The worker processes of `primacy sim`: one per core, each with its own jobs, and what all of them found.

The result never depends on how many there are. Seeds are given out in order, and none after one that fails; what was
found in seeds behind the first failing one is left out, whoever came first.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from primacy.errors import StreamClosed
from primacy.sim.jobs import (
    Edges,
    Hunt,
    Hunted,
    Job,
    Ran,
    Replay,
    Report,
    Result,
    Run,
    Told,
    decode_result,
    encode,
)

_LINE_BYTES_MAX = 64 << 20
_END_S = 5.0


class Worker:
    """One process that takes one job at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._busy = False

    async def ask(self, job: Job) -> Result:
        """Let it do a job. StreamClosed when it has ended instead; what it had to say is on standard error."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        self._busy = True
        try:
            stdin.write(encode(job) + b"\n")
            await stdin.drain()
            line = await stdout.readline()
        except ConnectionError:
            line = b""
        self._busy = False
        if not line:
            raise StreamClosed(
                f"a worker of the simulator has ended in the middle of {job}; see its error above"
            )
        result: Result = decode_result(line)
        return result

    async def end(self) -> None:
        """Let it end; in the middle of a job it is killed, since it has nothing that could be lost."""
        if self._busy:
            self._process.kill()
        assert self._process.stdin is not None
        self._process.stdin.close()
        await asyncio.wait_for(self._process.wait(), _END_S)


@asynccontextmanager
async def worker(*, mutant: str = "", coverage: bool = False) -> AsyncIterator[Worker]:
    """Yield a worker with this bug planted in it, or with probes on all edges."""
    options = [*(["--mutant", mutant] if mutant else []), *(["--coverage"] if coverage else [])]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "primacy.sim.worker",
        *options,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES_MAX,
    )
    one = Worker(process)
    try:
        yield one
    finally:
        await one.end()


@dataclass
class Tally:
    """What came of the runs of a campaign. edges: (taken, never taken), when they were counted."""

    ran: dict[int, Ran] = field(default_factory=dict)
    edges: Edges | None = None
    stopped: bool = False

    @property
    def failure(self) -> Ran | None:
        """The run of the lowest seed that violates something."""
        return min((r for r in self.ran.values() if r.clause), key=lambda r: r.seed, default=None)

    def counted(self) -> list[Ran]:
        """The runs up to the first failure, in the order of their seeds: the same whatever ran beside them."""
        failure = self.failure
        runs = (self.ran[seed] for seed in sorted(self.ran))
        return [r for r in runs if failure is None or r.seed <= failure.seed]

    def add(self, edges: Edges) -> None:
        """Add what one worker has taken."""
        if self.edges is None:
            self.edges = edges
        else:
            taken = set(self.edges.taken) | set(edges.taken)
            every = _merged(self.edges, edges)
            self.edges = Edges([e for e in every if e in taken], [e for e in every if e not in taken])


def _merged(one: Edges, other: Edges) -> list[str]:
    return sorted({*one.taken, *one.never, *other.taken, *other.never})


async def run_seeds(
    jobs: Iterable[Run], count: int, tally: Tally, on_ran: Callable[[Ran], None], *, coverage: bool
) -> None:
    """Run all of them in so many processes, until one fails or `tally.stopped` is set; end what is under way."""
    waiting = iter(jobs)

    async def work() -> None:
        async with worker(coverage=coverage) as process:
            for job in waiting:
                found = await process.ask(job)
                assert isinstance(found, Ran)
                tally.ran[found.seed] = found
                on_ran(found)
                if tally.stopped or tally.failure is not None:
                    break
            if coverage:
                edges = await process.ask(Report())
                assert isinstance(edges, Edges)
                tally.add(edges)

    await _together(count, work)


async def run_hunts(
    names: Iterable[str], seed: int, runs: int, count: int, on_hunted: Callable[[Hunted], None]
) -> None:
    """Hunt each planted bug in a process of its own, so many of them at a time."""
    waiting: Iterator[str] = iter(names)

    async def work() -> None:
        async with worker() as plain:
            for name in waiting:
                async with worker(mutant=name) as process:
                    on_hunted(await _hunt(process, plain, name, seed, runs))

    await _together(count, work)


async def _hunt(process: Worker, plain: Worker, name: str, seed: int, runs: int) -> Hunted:
    """Hunt on until a run fails that does not fail without the planted bug: any other finding is not about it."""
    after = 0
    while True:
        found = await process.ask(Hunt(name, seed, runs, after))
        assert isinstance(found, Hunted)
        if not found.found:
            return found
        told = await plain.ask(Replay(found.plan))
        assert isinstance(told, Told)
        if not told.clause:
            return found
        after = found.runs


async def tell(job: Replay, mutant: str = "") -> Told:
    """Replay a plan in a process of its own, and tell it."""
    async with worker(mutant=mutant) as process:
        found = await process.ask(job)
    assert isinstance(found, Told)
    return found


async def _together(count: int, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do the same work in so many tasks; the first error ends all of them, and is raised."""
    tasks = [asyncio.create_task(work()) for _ in range(count)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
