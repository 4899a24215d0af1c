"""A request to the agent of one node in particular: what only that node can do or tell.

The client's own requests go to any agent, which passes them on; a link is taken down by the node that has it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from primacy.cgtp.stream import Identity, dial
from primacy.cgtp.tls import client_context
from primacy.client import settings
from primacy.client.cluster import Cluster
from primacy.errors import ConfigError, Deadline, NoPrimary, OperationFailed, Refused, WireError
from primacy.machines.control_wire import Request, Response, decode_to_caller, encode

_ID = 1


async def ask(
    cluster: Cluster,
    directory: str | None,
    node: str,
    verb: str,
    arguments: dict[str, Any],
    deadline_s: float,
) -> Any:
    """Have the agent of `node` carry out a verb and return its result.

    Raises `Refused`, `OperationFailed`, `NoPrimary` (no connection: nothing was done), `Deadline`.
    """
    addresses = next((entry.agent for entry in cluster.topology.nodes if entry.id == node), None)
    if addresses is None:
        known = ", ".join(entry.id for entry in cluster.topology.nodes)
        raise ConfigError("NODE", repr(node), f"want one of {known}, master or vice")
    answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def arrived(frames: list[bytes]) -> None:
        for frame in frames:
            try:
                message = decode_to_caller(frame)
            except WireError:
                continue  # a newer agent's word that was not asked for
            if isinstance(message, Response) and message.id == _ID and not answered.done():
                answered.set_result(message)

    stream = dial([(host, port) for host, port in addresses], client_context(settings.find(directory).tls),
                  Identity("node", node))  # fmt: skip
    stream.on_frames(arrived)
    stream.on_closed(lambda reason: None if closed.done() else closed.set_result(reason))
    stream.send(encode(Request(_ID, verb, arguments)))
    try:
        either: list[asyncio.Future[Any]] = [answered, closed]
        await asyncio.wait(either, timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED)
        if answered.done():
            return _result(verb, answered.result())
        if closed.done():
            raise NoPrimary(f"{verb}: the agent of {node} cannot be reached: {closed.result()}")
        raise Deadline(
            f"{verb}: no answer from {node} within {deadline_s:g} s", maybe_applied=stream.links_up > 0
        )
    finally:
        stream.close("done")
        await stream.wait_closed()


def _result(verb: str, response: Response) -> Any:
    if response.kind == "done":
        return response.result
    if response.kind == "refused":
        raise Refused(response.reasons)
    if response.kind == "unavailable":
        raise NoPrimary("; ".join(response.reasons) or f"{verb}: there is no master at the moment")
    raise OperationFailed(verb, "; ".join(response.reasons) or response.kind)
