"""Changes of the configuration table at an agent: asked for by operators, kept in the ledger, done by the master.

An operator's table is compared with the one that stands, judged, and written down as an intent with all its steps; from
then on the cluster carries it out by itself (`machines.applying`), whoever asked for it and whoever is master. The
asker only watches. Beside the beat path: nothing waits for what is asked here.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from primacy import config
from primacy.agent.tasks import Tasks
from primacy.config import Table
from primacy.config_intent import ID_LENGTH_MAX, against_now, intent
from primacy.config_plan import Plan, as_recorded, plan
from primacy.errors import ConfigError
from primacy.lease_page import now_ns
from primacy.machines import change_record
from primacy.machines.applying import Applying, CarryOut, Effect, Look
from primacy.machines.change_record import CHANGE, Change
from primacy.machines.coordination import KeySwapped, Publish, RecordChanged, SwapKey
from primacy.machines.membership import SwapAnswer
from primacy.machines.records import CONFIG
from primacy.machines.swap import Outcome

if TYPE_CHECKING:
    from primacy.agent.node import Node

TABLE_BYTES_MAX = 256 * 1024
BEGIN_S_MAX = 3.0
PLACE_S_MAX = 1.0
AGAIN_S = 0.02
_AWAY = "the ledger does not answer: nothing was changed; try again when `primacy status` shows it"
_CAME_FIRST = (
    "the table was changed meanwhile: another change came first a moment ago; look at it, and apply again"
)
_LEFT_OPEN = (
    "the ledger has not answered in time: the change may have begun; look with `primacy config show` first"
)

Answer = tuple[str, Any, list[str]]  # (kind, result, reasons)
Submit = Callable[[str, dict[str, Any]], Any]


class Applier:
    """The changes at this node. on_wake(): there is something to look at; told when a step could be taken."""

    def __init__(self, node: Node, submit: Submit) -> None:
        """submit(verb, arguments): hand a function of the cluster to this node's own coordinator."""
        self._node, self._submit = node, submit
        self.machine = Applying(node.me.node)
        self._tasks = Tasks(f"the agent of {node.me.node}, applying a table")
        self.on_wake: Callable[[], None] = lambda: None
        node.records.on_other.append(self._told)

    def close(self) -> None:
        """The agent ends."""
        self._tasks.cancel()

    # ---- the machine ----

    @property
    def change(self) -> Change | None:
        """The change in progress."""
        return self.machine.changes.current

    @property
    def leaving(self) -> tuple[str, ...]:
        """The nodes that the change in progress takes away."""
        return self.change.leaving if self.change is not None else ()

    def proceed(self, look: Look) -> str:
        """At the master: take the next step; return what it waits for, in words."""
        self._obey(self.machine.proceed(look))
        return self.machine.waits

    def followed(self, look: Look) -> None:
        """At the master: every member goes by the table in force."""
        self._obey(self.machine.followed(look))

    def _told(self, key: str, revision: int, value: bytes | None) -> None:
        if key not in (CHANGE, CONFIG):
            return
        try:
            change_record.decode(value if key == CHANGE and value is not None else b"{}")
        except ConfigError as error:
            sys.stderr.write(f"agent: {error}; it is left as it was\n")
            return
        self._obey(self.machine.told(RecordChanged(now_ns=now_ns(), key=key, revision=revision, value=value)))
        self.on_wake()

    def _obey(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case SwapKey():
                    self._swap(effect)
                case Publish(event=event):
                    self._node.publish(event)
                case CarryOut():
                    self._tasks.start(self._carry_out(effect))

    def _swap(self, order: SwapKey) -> None:
        def answered(answer: SwapAnswer, revision: int) -> None:
            said = KeySwapped(now_ns=now_ns(), token=order.token, answer=answer, revision=revision)
            self._obey(self.machine.swapped(said))
            self.on_wake()

        self._node.ledger.swap_key(order.key, order.expect, order.value, answered)

    async def _carry_out(self, order: CarryOut) -> None:
        arguments = {
            "node": order.node,
            "operation": order.operation,
            "reason": order.reason,
            "dry_run": False,
        }
        kind, _, reasons = await self._submit(order.function, arguments)
        why = () if kind in ("accepted", "done") else tuple(reasons) or (kind,)
        self.machine.answered(order.operation, why, now_ns())
        self.on_wake()

    # ---- operators ----

    async def serve(self, verb: str, arguments: dict[str, Any]) -> Answer:
        """At the master: `config` tells the table that stands, with `table` a change's plan; `configure` begins one.

        Arguments: table (JSON), revision (that the change was made from; none: whatever stands), reason, by; operation
        (the id of the change; asked again it is the same one), replace (it takes the place of one in progress). With
        `config` and operation: how that change stands.
        """
        wanted, id = arguments.get("table"), str(arguments.get("operation") or os.urandom(4).hex())
        if wanted is None and verb == "config":
            return "done", self._shown(id), []
        if len(id) > ID_LENGTH_MAX or not id.isalnum():
            return "refused", None, [f"operation: want an id of at most {ID_LENGTH_MAX} letters and digits"]
        if self.machine.changes.known(id) is not None:
            return await self._begun(id, {})
        if not isinstance(wanted, str) or len(wanted) > TABLE_BYTES_MAX:
            return "refused", None, [f"table: want JSON of at most {TABLE_BYTES_MAX} characters"]
        records = self._node.records
        revision, stands = records.table_revision, as_recorded(records.table, records.entries)
        try:
            table = config.decode(wanted.encode(), "table")
        except ConfigError as error:
            return "refused", None, [str(error)]
        planned = plan(stands, table, frozenset(self._node.members))
        told = {
            "revision": revision,
            "steps": [step.sentence for step in planned.steps],
            "functions": [list(pair) for pair in planned.functions],
        }
        against = [*self._against(arguments, revision), *planned.against]
        if not planned.against:
            against += await self._places(planned, table)
        if against:
            return "refused", told, against
        if verb == "config" or not planned.steps:
            return "done", told, []
        return await self._begin(id, planned, revision, told, arguments)

    def _against(self, arguments: dict[str, Any], revision: int) -> list[str]:
        """Why no change may begin now, whatever it is."""
        operations = self._node.records.operations
        return against_now(
            self.change,
            operations.current,
            revision,
            made_from=arguments.get("revision"),
            replace=bool(arguments.get("replace")),
            progress=self.progress(),
        )

    async def _places(self, planned: Plan, wanted: Table) -> list[str]:
        """What the nodes that are to move say of their new places."""
        asked = [n for n in planned.moves if n in self._node.members]
        ports = [0, *wanted.offsets().values()]
        rows = [wanted.nodes[n] for n in asked]
        answers = await asyncio.gather(
            *(
                self._place(n, {"links": r.links, "port": r.port, "offsets": ports})
                for n, r in zip(asked, rows, strict=True)
            )
        )
        return [reason for reasons in answers for reason in reasons]

    async def _place(self, member: str, place: dict[str, Any]) -> list[str]:
        node = self._node
        if member == node.me.node:
            return list((await node.answer_peer(member, "place", place))[2])
        try:
            return list((await node.peers.ask(member, "place", place, PLACE_S_MAX)).reasons)
        except TimeoutError as error:
            return [f"nodes.{member}: it cannot be asked whether it can move ({error})"]

    async def _begin(
        self, id: str, planned: Plan, revision: int, told: dict[str, Any], arguments: dict[str, Any]
    ) -> Answer:
        """Write the intent; then the change is accepted, whatever becomes of this node."""
        change = intent(
            id,
            planned,
            revision,
            reason=str(arguments.get("reason") or "asked for by an operator"),
            by=str(arguments.get("by") or "an operator"),
            now_ms=time.time_ns() // 1_000_000,
        )
        written: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def settled(outcome: Outcome) -> None:
            if not written.done():  # this agent may be ending
                written.set_result(outcome)

        self._obey(self.machine.begin(change, now_ns(), settled))
        try:
            async with asyncio.timeout(BEGIN_S_MAX):
                outcome = await written
        except TimeoutError:
            return "failed", None, [_LEFT_OPEN]
        if outcome is Outcome.DONE:
            sys.stderr.write(f"agent: {change.sentence} begins\n")
            self.on_wake()
            return await self._begun(id, told)
        return ("refused", None, [_CAME_FIRST]) if outcome is Outcome.LOST else ("failed", None, [_AWAY])

    async def _begun(self, id: str, told: dict[str, Any]) -> Answer:
        """Wait a moment for the table to be written, so that whoever asked hears of a conflict at once."""
        end_s = time.monotonic() + BEGIN_S_MAX
        while time.monotonic() < end_s:
            change = self.machine.changes.known(id)
            if change is None or change.index > 0 or change.outcome or not change.table:
                break
            await asyncio.sleep(AGAIN_S)
        change = self.machine.changes.known(id)
        if change is not None and change.outcome == "refused":
            return "refused", None, list(change.reasons)
        return "done", told | {"change": id, "revision": self.machine.revision}, []

    # ---- what is shown ----

    def progress(self) -> str:
        """How far the change in progress is, and what it waits for, in words; empty when there is none."""
        change, waits = self.change, self._node.records.change
        if change is None or change.step is None:
            return waits
        for_s = max(0, time.time_ns() // 1_000_000 - change.since_ms) // 1000
        at = f"step {change.index + 1} of {len(change.steps)}, {change.step.what}, since {for_s} s"
        return f"{at}: {waits}" if waits else at

    def _shown(self, id: str) -> dict[str, Any]:
        records, change = self._node.records, self.machine.changes.known(id)
        current = change if change is not None else self.change
        return {
            "revision": records.table_revision,
            "table": msgspec.to_builtins(as_recorded(records.table, records.entries)),
            "change": self.progress(),
            "asked": msgspec.to_builtins(msgspec.structs.replace(current, table="")) if current else None,
        }
