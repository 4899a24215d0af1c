"""All clients of a world: those that the plan wants, and those that come after one that has closed or died.

A successor has its place in the network, and nothing else of it: another session, other names for what it writes. In
the end what all of them learned is judged together.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from primacy.machines.ids import MS
from primacy.sim.client import Client, Load
from primacy.sim.host import Host
from primacy.sim.linearizability import Log, Model, Record
from primacy.sim.logbook import Logbook
from primacy.sim.naming_client import NamingClient, bound, unbound
from primacy.sim.network import Network
from primacy.sim.node import Node
from primacy.sim.plan import Plan
from primacy.sim.scheduler import Scheduler
from primacy.sim.settled import Versions, carried_out, numbered, settled

AGAIN_NS = (0, 300 * MS)


class Crowd:
    """note(place, sentence): for the timeline."""

    def __init__(
        self,
        plan: Plan,
        scheduler: Scheduler,
        network: Network,
        nodes: dict[str, Node],
        note: Callable[[str, str], None],
    ) -> None:
        self.clients: list[Client] = []
        self._plan, self._scheduler, self._network, self._nodes = plan, scheduler, network, nodes
        self._note = note
        self._lives: dict[str, int] = {}
        self._stopped = False
        low, high = plan.think_ms
        for number in range(1, plan.clients + 1):
            load = Load(1 if number % 3 else 6, (low * MS, high * MS), plan.reads, plan.manners)
            self._come(Client, f"c{number}", load)
        low, high = plan.manners.names_every_ms
        for number in range(1, plan.manners.names + 1):
            self._come(NamingClient, f"d{number}", Load(1, (low * MS, high * MS), 0.5, plan.manners))

    def _come(self, kind: type[Client], name: str, load: Load) -> Client:
        life = self._lives[name] = self._lives.get(name, 0) + 1
        label = name if life == 1 else f"{name}.{life}"
        source = random.Random(f"{self._plan.seed} client {label}")
        client = kind(
            name, self._scheduler, self._network, self._nodes, source, load, label, self._client_ended
        )
        self.clients.append(client)
        client.look_around()
        return client

    def _client_ended(self, client: Client, how: str) -> None:
        self._note("client", f"{client.label} {how}")
        after_ns = int(client.random.uniform(*AGAIN_NS))
        self._scheduler.after(after_ns, self._again, client)

    def _again(self, client: Client) -> None:
        if not self._stopped:
            self._come(type(client), client.name, client.load)

    # ---- the end ----

    def last_calls(self) -> None:
        """Nothing more by itself; one read of each log, and of each name, tells what is there at last."""
        self._stopped = True
        for client in self.clients:
            client.stop()
        for kind in (Client, NamingClient):
            alive = [client for client in self.clients if type(client) is kind and client.alive]
            former = [client for client in self.clients if type(client) is kind]
            reader = alive[0] if alive else self._come(kind, former[-1].name, former[-1].load)
            reader.stop()
            for key in reader.keys:
                reader.invoke("read", key, patient=True)

    def histories(self, kind: type[Client], primary: Host | None) -> tuple[list[Record], Model, str]:
        """Return the history of a service's clients, what it is compared with, and what was told and is not true."""
        clients = [client for client in self.clients if type(client) is kind]
        records = [record for client in clients for record in client.history()]
        refused = [record for client in clients for record in client.history(refused=True)]
        if kind is NamingClient:
            return _of_names(records, refused, primary)
        results = _names(primary)
        return settled(records, results, "read"), Log(), carried_out(refused, results)


def _of_names(
    records: list[Record], refused: list[Record], primary: Host | None
) -> tuple[list[Record], Model, str]:
    """Return the history of the names. Once the primary no longer keeps all events, nobody knows all changes."""
    events = list(primary.replica.events) if primary is not None else []
    seen = [record.result for record in records if record.operation == "read" and record.result]
    results: dict[Any, int] = {value: number for number, value in seen if number} | bound(events)
    known = {(r.key, r.result) for r in records if r.operation == "write" and r.argument is None}
    whole = [*settled(records, results, "read"), *unbound(events, known)]
    if events and events[0].position > 1:
        whole = []
    return numbered(whole), Versions(), carried_out(refused, results)


def _names(primary: Host | None) -> dict[str, tuple[int, str]]:
    """Return what each append has come to, by the name that was appended."""
    service = primary.object if primary is not None else None
    if not isinstance(service, Logbook):
        return {}
    return {name: (length, name) for log in service.state.logs.values() for length, name in enumerate(log, 1)}
