"""The host of a local service: callbacks, and nothing else. It has no state to replicate and no clients."""

from __future__ import annotations

from collections.abc import Callable

from primacy.host.callbacks import Callbacks
from primacy.machines import host_wire
from primacy.machines.description import coroutines
from primacy.machines.host_wire import Cancel, Open, Primaries, Run
from primacy.service import LocalService, describe


class LocalServer:
    """A local service, from `Open` to `Stop`."""

    def __init__(self, open: Open, service: LocalService, tell: Callable[[host_wire.ToAgent], None]) -> None:
        self._name = open.service
        self._service = service
        self._tell = tell
        self._description = describe(type(service))
        self._callbacks = Callbacks(service, coroutines(type(service)), tell)

    async def start(self) -> None:
        """Tell the agent which callbacks there are."""
        self._tell(host_wire.Opened(self._name, self._description.callbacks, 0, 0))

    def heard(self, message: host_wire.ToHost, fds: list[int]) -> None:
        """Obey one message of the agent."""
        if isinstance(message, Run):
            self._callbacks.run(message.id, message.name, message.context)
        elif isinstance(message, Cancel):
            self._callbacks.cancel(message.id)
        elif isinstance(message, Primaries):
            self._service.primaries = message

    async def stop(self) -> None:
        """End in order."""
        await self._callbacks.close()
        self._tell(host_wire.Stopped(0, 0))
