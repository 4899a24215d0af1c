"""The client for programs without a loop: the same names, each call waits.  A loop in a thread of its own
does it all.

    with primacy.connect_sync() as cluster:
        inventory = cluster.service("inventory")
        inventory.add(article="bolt", count=3)
        for change in cluster.names.watch("shop"):
            ...

There is no copy of the logic: a `Blocking` stands before an object of the asynchronous client and passes
everything on. It may be used from several threads at once.  Callbacks (`on_change`, `on_call`) run in the
loop's thread.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from types import TracebackType
from typing import Any

import uvloop

from primacy.client import settings
from primacy.client.cluster import Cluster, connect
from primacy.client.conversation import CallRecord
from primacy.client.handles import DEADLINE_S, Queries, Service
from primacy.client.names import Names

_FACADES = (Service, Queries, Names)
"""Parts of the client that are passed on as `Blocking`; everything else is plain data or a function."""


def connect_sync(
    directory: str | os.PathLike[str] | None = None,
    *,
    endpoints: Sequence[settings.Endpoint] | None = None,
    credential: str | os.PathLike[str] | None = None,
    deadline_s: float = DEADLINE_S,
    on_call: Callable[[CallRecord], None] | None = None,
) -> BlockingCluster:
    """Return the blocking twin of `connect`, which tells the arguments."""
    return BlockingCluster(
        lambda: connect(
            directory, endpoints=endpoints, credential=credential, deadline_s=deadline_s, on_call=on_call
        )
    )


class _Runner:
    """A loop in a thread."""

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._work, name="primacy-client", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        self.loop.run_forever()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run in the loop, wait, return what it returns; an interrupt here cancels it there."""
        assert threading.current_thread() is not self._thread, "a callback must not wait for its own loop"
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """End the loop and its thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()


class Blocking:
    """Stands before an object of the asynchronous client: what is awaited there returns here."""

    def __init__(self, target: Any, runner: _Runner) -> None:
        self._target, self._runner = target, runner

    def __getattr__(self, name: str) -> Any:
        return _pass_on(getattr(self._target, name), self._runner)

    def __repr__(self) -> str:
        return f"<blocking {self._target!r}>"


class BlockingCluster(Blocking):
    """The twin of `Cluster`; a context manager."""

    def __init__(self, make: Callable[[], Cluster]) -> None:
        self._make = make

    def __enter__(self) -> BlockingCluster:
        runner = _Runner()
        try:
            super().__init__(runner.run(_enter(self._make)), runner)
        except BaseException:
            runner.stop()
            raise
        return self

    def __getattr__(self, name: str) -> Any:
        async def read_there() -> Any:
            return getattr(self._target, name)

        if "_runner" not in self.__dict__:
            raise AttributeError(f"{name}: enter the cluster first: with primacy.connect_sync() as cluster")
        return _pass_on(self._runner.run(read_there()), self._runner)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._runner.run(self._target.close())
        finally:
            self._runner.stop()


async def _enter(make: Callable[[], Cluster]) -> Cluster:
    return await make().__aenter__()


def _pass_on(value: Any, runner: _Runner) -> Any:
    """Return what stands for `value` on this side."""
    if isinstance(value, _FACADES):
        return Blocking(value, runner)
    if not callable(value):
        return value

    async def call_there(positional: tuple[Any, ...], arguments: dict[str, Any]) -> Any:
        result = value(*positional, **arguments)
        return await result if inspect.isawaitable(result) else result

    def call(*positional: Any, **arguments: Any) -> Any:
        result = runner.run(call_there(positional, arguments))
        if hasattr(result, "__anext__"):
            return _iterate(result, runner)
        return _pass_on(result, runner) if isinstance(result, _FACADES) else result

    return call


def _iterate(there: Any, runner: _Runner) -> Iterator[Any]:
    """Yield what the asynchronous iterator yields; end it when this one is closed."""

    async def step() -> tuple[bool, Any]:
        try:
            return True, await anext(there)
        except StopAsyncIteration:
            return False, None

    try:
        while True:
            more, item = runner.run(step())
            if not more:
                return
            yield item
    finally:
        runner.run(there.aclose())
