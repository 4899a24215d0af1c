"""One coordinator with hosts that behave: for table tests of its functions.

Hosts open when the test says so, run callbacks at once unless they are held, and quiesce at once. What the
coordinator feeds to the membership monitor is collected, and the test answers as the monitor.
"""

from __future__ import annotations

from typing import Any

from primacy.machines import coordination as c
from primacy.machines import host_wire as h
from primacy.machines import membership as m
from primacy.machines.coordinator import Coordinator
from primacy.machines.ids import MS
from primacy.machines.records import NODES, Mastership, Operations, Vice, decode_node, decode_operations
from tests.unit.cmm_tools import N1, N2, N3

ADDRESSES = {n: {"naming": [("127.0.0.1", 1)], "stock": [("127.0.0.1", 2)]} for n in ("n1", "n2", "n3")}
SERVICES = (c.ServiceEntry("naming"), c.ServiceEntry("stock"), c.ServiceEntry("door", local=True))


def record(
    term: int, master=N1, vice=None, ready: bool = False, appointment: int = 1, by=N1, stopped=None
) -> Mastership:
    """A mastership record."""
    named = Vice(vice.node, vice.incarnation, ready) if vice is not None else None
    return Mastership(term, master, named, appointment, "test", by, stopped)


class Rig:
    """The coordinator of n1 and its fake hosts. `hold`: names of callbacks that do not end by themselves."""

    def __init__(
        self, callbacks: dict[str, list[h.Callback]] | None = None, services=SERVICES, **options: Any
    ) -> None:
        self.now_ns = 1_000 * MS
        self.callbacks = callbacks or {}
        self.hold: set[str] = set()
        self.fail: dict[str, str] = {}  # callback -> reason
        self.effects: list[c.Effect] = []
        self.runs: list[h.Run] = []
        self.quiesces = True
        self.requests = 0
        self.ledger: dict[str, tuple[int, bytes | None]] = {}
        self.ledger_says: m.SwapAnswer | None = None  # instead of what the ledger would say
        self.revision = 0
        self.tells_nodes = True
        self.ssc = Coordinator(N1, services, ADDRESSES, self.now_ns, **options)
        self.give(c.Started(now_ns=self.now_ns))

    def give(self, event: c.Input) -> list[c.Effect]:
        """Give one input; let the hosts react to its effects."""
        return self._obey(self.ssc.step(event))

    def during(self, event: c.Input, action) -> list[c.Effect]:
        """Give one input, and do something of one's own in the same step."""
        effects = self.ssc.step(event)
        action()
        return self._obey(effects)

    def _obey(self, effects: list[c.Effect]) -> list[c.Effect]:
        self.effects += effects
        for effect in effects:
            if isinstance(effect, c.ToHost):
                self._host(effect.service, effect.message)
            elif isinstance(effect, c.SwapKey):
                self._swap(effect)
        return effects

    def _swap(self, swap: c.SwapKey) -> None:
        """The ledger answers, and its watch tells what was written."""
        stands = self.ledger.get(swap.key, (0, None))
        answer = m.SwapAnswer.DONE if (stands[0] if stands[1] is not None else 0) == swap.expect else None
        answer = self.ledger_says or answer or m.SwapAnswer.CONFLICT
        revision = 0
        if answer is m.SwapAnswer.DONE:
            revision = self.write(swap.key, swap.value, tell=False)
        self.give(c.KeySwapped(now_ns=self.now_ns, token=swap.token, answer=answer, revision=revision))
        if revision:
            self._told(swap.key, swap.value)

    def write(self, key: str, value: bytes | None, *, tell: bool = True) -> int:
        """Somebody writes a record; the watch tells it."""
        self.revision += 1
        self.ledger[key] = (self.revision, value)
        if tell:
            self._told(key, value)
        return self.revision

    def _told(self, key: str, value: bytes | None) -> None:
        """The watch tells what was written; of a node's record the agent makes another entry of the node."""
        self.give(c.RecordChanged(now_ns=self.now_ns, key=key, revision=self.revision, value=value))
        node = key.removeprefix(NODES)
        if key.startswith(NODES) and value is not None and self.tells_nodes:
            record = decode_node(value, node)
            entry = m.NodeEntry(node, record.eligible, record.available)
            nodes = (*(n for n in self.ssc.nodes if n.id != node), entry)
            self.give(c.NodesChanged(now_ns=self.now_ns, nodes=nodes))

    @property
    def operations(self) -> Operations:
        """The record of operations as the ledger has it."""
        _, value = self.ledger.get("operation", (0, None))
        return decode_operations(value) if value is not None else Operations()

    def _host(self, service: str, message: h.ToHost) -> None:
        match message:
            case h.Run(id=run, name=name):
                self.runs.append(message)
                if name in self.fail:
                    self.say(service, h.Ran(run, "refused", self.fail[name]))
                elif name not in self.hold:
                    self.say(service, h.Ran(run, "done"))
            case h.Quiesce(term=term) if self.quiesces:
                self.say(service, h.Quiesced(term, 7, term))
            case h.Stop():
                self.say(service, h.Stopped(1, 7))

    def say(self, service: str, message: h.ToAgent) -> None:
        """A host says something."""
        self.give(c.HostSaid(now_ns=self.now_ns, service=service, message=message))

    def open_hosts(self) -> None:
        """Every host is up and registers its callbacks."""
        for service in ("naming", "stock", "door"):
            if service in self.ssc.servers.by_service:
                self.say(service, h.Opened(service, self.callbacks.get(service, []), 0, 0))

    def exit(self, service: str, reason: str = "was ended by signal 9") -> None:
        """A host's process ends."""
        self.give(c.HostExited(now_ns=self.now_ns, service=service, reason=reason))

    def become(self, role: str, how: str, rec: Mastership, clean: bool = False) -> None:
        """The monitor says what this node is."""
        self.cmm(m.Adopted(rec.appointment, rec))
        self.cmm(m.Became(role, how, rec.appointment, rec, clean))

    def cmm(self, effect) -> None:
        """The monitor has an effect for the coordinator."""
        self.give(c.Membership(now_ns=self.now_ns, effect=effect))

    def master(self) -> None:
        """Hosts open, formation makes this node master, it serves term 1."""
        self.open_hosts()
        self.become("master", "formation", record(1))

    @classmethod
    def of_vice(cls, callbacks: dict[str, list[h.Callback]]) -> Rig:
        """Return the rig of a vice whose master serves term 1."""
        rig = cls(callbacks)
        rig.open_hosts()
        rig.cmm(m.Adopted(1, record(1, N2)))
        rig.cmm(m.Served(1))
        rig.become("vice", "appointment", record(1, N2, N1, appointment=4))
        return rig

    def pair(self) -> None:
        """This node is master with n2 as its ready vice; n3 is a member, too."""
        self.master()
        self.give(c.MembersChanged(now_ns=self.now_ns, nodes=("n1", "n2", "n3")))
        self.give(c.NodesChanged(now_ns=self.now_ns, nodes=self.facts().nodes))
        self.cmm(m.Adopted(2, record(1, N1, N2, ready=True)))
        self.effects.clear()

    def run(self, ms: float) -> None:
        """Let time pass."""
        for _ in range(max(1, int(ms // 5))):
            self.now_ns += 5 * MS
            self.give(c.Tick(now_ns=self.now_ns))

    def fed(self, kind: type) -> list:
        """What was given to the monitor, of one kind."""
        return [e.input for e in self.effects if isinstance(e, c.Feed) and isinstance(e.input, kind)]

    def told(self, service: str, kind: type) -> list:
        """What a host was told, of one kind."""
        return [
            e.message
            for e in self.effects
            if isinstance(e, c.ToHost) and e.service == service and isinstance(e.message, kind)
        ]

    def answers(self) -> list[c.Answer]:
        """The outcomes of requests: refused at once, or as the ledger says how they ended."""
        at_once = [e for e in self.effects if isinstance(e, c.Answer) and e.kind != "accepted"]
        ended = [c.Answer(1, e.outcome, e.result, e.reasons) for e in self.operations.ended]
        return at_once + ended

    def events(self, kind: type) -> list:
        """Published events of one kind."""
        return [e.event for e in self.effects if isinstance(e, c.Publish) and isinstance(e.event, kind)]

    def facts(self, **changed) -> c.Facts:
        """What the monitor of a healthy master knows."""
        known = {
            "role": "master",
            "term": self.ssc.term,
            "master": "n1",
            "vice": "n2",
            "vice_ready": True,
            "lease_held": True,
            "swap_open": False,
            "members": self.ssc.members if len(self.ssc.members) > 1 else ("n1", "n2", "n3"),
            "nodes": self.ssc.nodes or tuple(m.NodeEntry(n) for n in ("n1", "n2", "n3")),
        }
        return c.Facts(**(known | changed))

    def ask(self, verb: str, facts: c.Facts | None = None, **arguments) -> None:
        """An operator asks for a function."""
        self.requests += 1
        arguments = {"operation": f"op-{self.requests}"} | arguments
        self.give(
            c.Asked(now_ns=self.now_ns, id=1, verb=verb, arguments=arguments, facts=facts or self.facts())
        )


__all__ = ["N1", "N2", "N3", "Rig", "record"]
