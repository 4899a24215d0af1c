"""From the guardian's hand to a running agent: parameters, keys, ledger, table, then the node until it ends.

Exit codes: 0 ended in order; 70 a bug of our own; 75 ended in order, to be started again (with a changed table); 78
the configuration is wrong (the guardian does not start the agent again).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import uvloop

from primacy import boot as boot_parameters
from primacy.agent import placing, realtime
from primacy.agent.control import Control
from primacy.agent.guardian_link import GuardianLink
from primacy.agent.node import Node
from primacy.agent.pulse import Pulse
from primacy.boot import BOOT_VARIABLE, Boot
from primacy.cgtp import tls
from primacy.cgtp.stream import Listener, Stream
from primacy.config import Table, decode
from primacy.config_beginning import with_records
from primacy.errors import ConfigError, LedgerError
from primacy.ledger import open_ledger
from primacy.ledger.api import Ledger
from primacy.machines.membership import NodeEntry
from primacy.machines.records import NODES, decode_node

EXIT_CONFIG = 78
EXIT_BUG = 70
EXIT_RENEW = 75
GUARDIAN_VARIABLE = "PRIMACY_GUARDIAN_FD"
RETRY_S = 0.5


def main() -> int:
    """Run the agent; return its exit code."""
    try:
        boot = boot_parameters.from_json(os.environ[BOOT_VARIABLE])
        fd = int(os.environ[GUARDIAN_VARIABLE])
    except (KeyError, ValueError):
        say("the agent is started by the guardian: run `primacy node`")
        return EXIT_CONFIG
    refused = realtime.prepare()
    for line in refused:
        say(line)
    try:
        return uvloop.run(_run(boot, fd))
    except ConfigError as error:
        say(str(error))
        return EXIT_CONFIG


def say(line: str) -> None:
    """One line to standard error, which the guardian's starter has chosen."""
    sys.stderr.write(f"agent: {line}\n")
    sys.stderr.flush()


async def _run(boot: Boot, fd: int) -> int:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_on_bug)
    guardian = GuardianLink(fd)
    guardian.on_trouble = say
    guardian.attach(loop, lambda: os._exit(1))
    pulse = Pulse(guardian, boot.watchdog_silence_s)
    if boot.watchdog:
        pulse.start(loop)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    files = tls.TlsFiles(Path(boot.certificate), Path(boot.private_key), Path(boot.authority))
    server, client = tls.server_context(files), tls.client_context(files)
    cluster = tls.cluster_of(server)
    opened = await open_table(boot, cluster, stop)
    if opened is None:
        guardian.stop()
        return 0
    ledger, table, entries = opened
    pulse.follow(table.times.beat_ns)
    node = Node(boot, table, cluster, entries, ledger, guardian, client, read_key(Path(boot.cluster_key)))
    await node.maintenance.load(ledger)
    control = Control(node)
    control.changing.on_times = pulse.follow
    listener = Listener()

    def accept(stream: Stream) -> None:
        (node.peers if stream.peer.kind == "node" else control).accept(stream)

    await listener.start(table.agent_addresses(boot.node), server, accept)
    node.on_link = listener.set_link
    node.refused_connections = lambda: listener.refused
    realtime.quieten_collector()
    node.start()
    leaving = loop.create_task(_leave_on(stop, node))
    await node.ended.wait()
    leaving.cancel()
    if node.refused:
        return EXIT_CONFIG
    if not node.renewing:
        guardian.stop(node.then)
    await asyncio.sleep(0.02)  # let the last answers leave
    listener.close()
    control.close()
    await node.close()
    pulse.close()
    say(f"ended in order: {node.reason}")
    return EXIT_RENEW if node.renewing else 0


def _on_bug(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Our own bug ends the process: the guardian tells of its death, and the vice goes on."""
    error = context.get("exception")
    told = "".join(traceback.format_exception(error)) if error is not None else str(context.get("message"))
    say(f"this is a bug, the agent ends: {told}")
    os._exit(EXIT_BUG)


async def _leave_on(stop: asyncio.Event, node: Node) -> None:
    await stop.wait()
    node.depart("the system asked it to stop")


async def open_table(
    boot: Boot, cluster: str, stop: asyncio.Event
) -> tuple[Ledger, Table, tuple[NodeEntry, ...]] | None:
    """Open the ledger and load the configuration table; wait for a ledger that does not answer yet.

    None: the system wants this node to stop. ConfigError: what was found is not for this node.
    """
    said = ""
    ledger: Ledger | None = None
    while True:
        try:
            if ledger is None:
                ledger = await open_ledger(boot.ledger, cluster)
            _, found = await ledger.read("")
            rows = {e.key: e.value for e in found}
            if "config" not in rows:
                raise ConfigError(
                    f"ledger {boot.ledger}", "no configuration table", "`primacy up` writes one"
                )
            table = decode(rows["config"])
            break
        except LedgerError as error:
            if str(error) != said:
                said = str(error)
                say(f"waiting for the ledger: {said}")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S):
                    await stop.wait()
                    return None
    if boot.node not in table.nodes:
        raise ConfigError("node", boot.node, f"one of the table's nodes: {', '.join(table.nodes)}")
    if moved := placing.moved(boot, table):
        say(moved)
    kept = {n: decode_node(rows[f"{NODES}{n}"], n) for n in table.nodes if f"{NODES}{n}" in rows}
    return ledger, table, with_records(table, kept)


def read_key(path: Path) -> bytes:
    """Return the cluster's key; ConfigError says what the file should hold."""
    try:
        key = bytes.fromhex(path.read_text().strip())
    except (OSError, ValueError) as error:
        raise ConfigError(
            "cluster_key", str(path), f"a readable file with 64 hexadecimal digits ({error})"
        ) from error
    if len(key) != 32:
        raise ConfigError("cluster_key", f"{len(key)} bytes in {path}", "32 bytes as 64 hexadecimal digits")
    return key
