"""Clusters in virtual time whose table changes: `coordinators.World`, and at each node what follows a changed table.

The very machines that carry a change out in production (`Applying`, `Rolling`); a table is a number of its version
here, and a node has it when it was started with it. A node that is told to restart leaves in order, and is back soon.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from primacy.machines import coordination as c
from primacy.machines import membership as m
from primacy.machines.applying import Applying, CarryOut, Effect, Look
from primacy.machines.change_record import CHANGE, Change, Changes, decode
from primacy.machines.ids import MS
from primacy.machines.membership import NodeEntry
from primacy.machines.records import CONFIG
from primacy.machines.rolling import Renew, Report, Rest, Rolling, View, Wait, Yield
from tests.sim.coordinators import LEDGER_NS, Node, World

LOOK_NS, RESTART_NS = 250 * MS, 300 * MS


def table(version: int, change: str = "") -> str:
    """Return a table in the ledger."""
    return json.dumps({"version": version, "change": change})


@dataclass
class Follower:
    """What one life of a node knows of changes."""

    applying: Applying
    version: int
    rolling: Rolling = field(default_factory=Rolling)
    known: int = 0  # the newest version that it was told of
    revision: int = 0
    renewing: bool = False
    yielding: int = 0  # the request of a switchover
    asked: dict[str, int] = field(default_factory=dict)  # operation -> request
    waits: str = ""


class ChangingWorld(World):
    """A cluster with a table. on_mark(changes): called whenever the ledger's record of changes is another one.

    on_renew(node): called when a node is told to restart. loses(number): of the followers' swaps, counted, whether this
    one's `order` is lost (it is not written), its `answer` is (it is written), or nothing is.
    """

    def __init__(self, entries: tuple[NodeEntry, ...], on_mark: Callable[[Changes], None]) -> None:
        self.followers: dict[str, Follower] = {}
        self.on_mark = on_mark
        self.on_renew: Callable[[Node], None] = lambda node: None
        self.loses: Callable[[int], str] = lambda number: ""
        self._swaps = 0
        super().__init__(entries)
        self.store.swap(CONFIG, table(1).encode(), 0)

    @property
    def changes(self) -> Changes:
        """The record in the ledger."""
        found = self.store.read(CHANGE)[1]
        return decode(found[0].value) if found else Changes()

    def follower(self, node: Node) -> Follower:
        """What the present life of a node knows."""
        return self.followers[node.id]

    def start(self, node: Node) -> None:
        """Begin a life: with the table that stands."""
        found = self.store.read(CONFIG)[1]
        version = json.loads(found[0].value)["version"] if found else 1
        self.followers[node.id] = Follower(Applying(node.id), version, known=version)
        super().start(node)
        self._look_again(node, node.life)

    def crash(self, node: Node) -> None:
        """Its processes die; a node that was told to restart is back soon."""
        super().crash(node)
        if self.follower(node).renewing:
            self.follower(node).renewing = False
            self.scheduler.after(RESTART_NS, self._back, node, node.life)

    def _back(self, node: Node, life: int) -> None:
        if not node.alive and node.life == life and node.id in self.table:
            self.start(node)

    # ---- the ledger ----

    def _told(self, node: Node, life: int, key: str, revision: int, value: bytes | None) -> None:
        super()._told(node, life, key, revision, value)
        if not node.alive or node.life != life or key not in (CHANGE, CONFIG):
            return
        follower = self.follower(node)
        if key == CONFIG and value is not None and revision > follower.revision:
            follower.known, follower.revision = json.loads(value)["version"], revision
        told = c.RecordChanged(now_ns=self.now_ns, key=key, revision=revision, value=value)
        self._carry(node, follower.applying.told(told))

    def _written(self) -> None:
        super()._written()
        if self.store.changes_since("", self.store.revision - 1)[-1].key == CHANGE:
            self.on_mark(self.changes)

    # ---- looking ----

    def _look_again(self, node: Node, life: int) -> None:
        if not node.alive or node.life != life:
            return
        if node.monitor.role == "master":
            self._look(node)
        else:
            self.follower(node).rolling.resigned()
        self.scheduler.after(LOOK_NS, self._look_again, node, life)

    def _look(self, node: Node) -> None:
        follower = self.follower(node)
        self._answers(follower)
        view = self._view(node, follower)
        operations = node.ssc.functions.operations
        look = Look(
            self.now_ns, 0, node.monitor.term, view.serving, view.busy, follower.rolling.against(view), operations,
            self.entries(),
        )  # fmt: skip
        self._carry(node, follower.applying.proceed(look))
        follower.waits = follower.applying.waits
        if follower.waits or follower.yielding:
            return
        match decision := follower.rolling.decide(view):
            case Rest() if follower.revision >= follower.applying.revision:
                self._carry(node, follower.applying.followed(look))
            case Wait(reason=reason):
                follower.waits = reason
            case Renew(node=member):
                self._renew(self.nodes[member], view.reports[member].incarnation)
            case Yield(to=to):
                follower.yielding = self.ask(node, "switchover", f"yield-{self.now_ns}", to=to)
            case _:
                assert isinstance(decision, Rest), decision

    def _answers(self, follower: Follower) -> None:
        for operation, request in list(follower.asked.items()):
            answer = self.answers.get(request)
            if answer is not None:
                del follower.asked[operation]
                why = () if answer.kind == "accepted" else answer.reasons or (answer.kind,)
                follower.applying.answered(operation, why, self.now_ns)
        if follower.yielding in self.answers:
            follower.yielding = 0

    def _view(self, node: Node, follower: Follower) -> View:
        facts, current = self._facts(node), node.ssc.functions.operations.current
        reports = {}
        for member in node.heard:
            other, theirs = self.nodes[member], self.followers[member]
            if other.alive:
                behind = ("another version",) if theirs.version != theirs.known else ()
                reports[member] = Report(other.member.incarnation, theirs.revision, behind)
        change = follower.applying.changes.current
        return View(
            now_ns=self.now_ns,
            me=node.id,
            serving=node.ssc.serving.serves,
            busy=f"{current.function} {current.node} is in progress" if current is not None else "",
            nodes=facts.nodes,
            members=node.heard,
            vice=facts.vice,
            vice_ready=facts.vice_ready,
            able=tuple(p.entry.id for p in node.monitor.peers if p.able),
            revision=follower.revision,
            mixing=False,
            reports=reports,
            leaving=change.leaving if change is not None else (),
        )

    def _renew(self, node: Node, life: str) -> None:
        if node.alive and node.member.incarnation == life:
            self.follower(node).renewing = True
            self.post(node, c.Terminate(now_ns=self.now_ns, reason="a test", facts=self._facts(node)))
            self.on_renew(node)

    # ---- effects ----

    def apply(self, node: Node, change: Change, outcomes: list[Any]) -> None:
        """Begin a change at a node; what becomes of its intent is put into `outcomes`."""
        self._carry(node, self.follower(node).applying.begin(change, self.now_ns, outcomes.append))

    def _carry(self, node: Node, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case c.SwapKey():
                    self._swap_for(node, effect)
                case CarryOut():
                    asked = self.ask(node, effect.function, effect.operation, node=effect.node)
                    self.follower(node).asked[effect.operation] = asked
                case c.Publish(event=event):
                    self.events.append((node.id, event))

    def _swap_for(self, node: Node, order: c.SwapKey) -> None:
        self._swaps += 1
        lost = self.loses(self._swaps)
        answer, revision = m.SwapAnswer.UNCERTAIN, 0
        if lost != "order":
            written = self._swap(order.key, order.value, order.expect)
            answer, revision = written if not lost else (answer, 0)
        life, follower = node.life, self.follower(node)

        def answered() -> None:
            if node.alive and node.life == life:
                said = c.KeySwapped(now_ns=self.now_ns, token=order.token, answer=answer, revision=revision)
                self._carry(node, follower.applying.swapped(said))

        self.scheduler.after(LEDGER_NS, answered)


__all__ = ["ChangingWorld", "Follower", "table"]
