"""The host of a local service: callbacks, and where the primaries are."""

from __future__ import annotations

from typing import Any

import primacy
from primacy.host.local import LocalServer
from primacy.machines.host_wire import Cancel, Context, Open, Opened, Primaries, Ran, Run, Stopped
from primacy.service import LocalService
from tests.unit.waiting import wait_until


class Proxy(LocalService):
    """Follows the primaries."""

    seen: str = ""

    @primacy.on("reconnect", level=1)
    async def reattach(self, ctx: Context) -> None:
        assert self.primaries is not None
        self.seen = self.primaries.node


def opened() -> Open:
    return Open("c", "a", "00", "proxy", "x:Proxy", "", "", "disk", [], "", "", "", local=True)


async def test_it_reattaches_when_it_is_told_to() -> None:
    told: list[Any] = []
    service = Proxy()
    server = LocalServer(opened(), service, told.append)
    await server.start()
    assert isinstance(told[0], Opened)
    assert [callback.name for callback in told[0].callbacks] == ["reattach"]
    server.heard(Primaries(3, "b", {}), [])
    server.heard(Run(1, "reattach", Context("reconnect", 1, 3, "", "", "", None, True, 5.0)), [])
    server.heard(Cancel(9), [])
    await wait_until(lambda: Ran(1, "done", "") in told, "it ran")
    assert service.seen == "b"
    await server.stop()
    assert told[-1] == Stopped(0, 0)
