"""The ladder of this node: ineligible, spare, available; and the functions that take its servers up and down.

    ineligible ──qualify──▶ spare ──promote──▶ available      (down: demote; disqualify, from either rung)
     offline                spare              available

A centralized server is offline without a process, spare with one that has registered itself but is not initialized,
available when it is initialized. The master asks for a function; this node runs its callback sequence, which may
refuse and is then undone, and says how it ended. A request that is repeated (its answer was lost, or a new master found
the intent) is the same request. Where the ledger says another rung than this node stands on, and no function about it
is in progress, the node follows: its callbacks are told, but can refuse nothing any more.  Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from primacy.machines.coordination import TellNode
from primacy.machines.ids import SECOND
from primacy.machines.membership import NodeEntry
from primacy.machines.peer_wire import Do, FunctionDone
from primacy.machines.runs import Frame
from primacy.machines.sequence import Wait, plan

if TYPE_CHECKING:
    from primacy.machines.coordinator import Coordinator
    from primacy.machines.servers import Server

INELIGIBLE, SPARE, AVAILABLE = "ineligible", "spare", "available"
READY_NS_MAX = 60 * SECOND
OPEN_NS_MAX = (
    5 * SECOND
)  # who was vice starts its servers anew: they are waited for, that they hear of the function
DONE_KEPT = 8
_STATES = {INELIGIBLE: "offline", SPARE: "spare", AVAILABLE: "available"}
_UP = ("qualify", "promote")
RUNGS = {"qualify": SPARE, "promote": AVAILABLE, "demote": SPARE, "disqualify": INELIGIBLE}


def rung_of(entry: NodeEntry | None) -> str:
    """Return the rung that a node's record gives it."""
    if entry is None or not entry.eligible:
        return INELIGIBLE
    return AVAILABLE if entry.may_lead else SPARE


class Ladder:
    """Where this node stands, and the function that moves it, if any. `rung`: as it is, or is about to be."""

    def __init__(self, coordinator: Coordinator, entry: NodeEntry | None) -> None:
        self._ssc = coordinator
        self.rung = self._wanted = rung_of(entry)
        self._from = self.rung  # where the function in progress began
        self._function = self._reason = ""
        self._phase = ""  # "" | opening | initializing | callbacks | ending
        self._doing: Do | None = None
        self._deadline_ns = 0
        self._done: list[FunctionDone] = []
        self._holding = ""  # the operation that was carried out here, and whose outcome is not known yet

    @property
    def doing(self) -> Do | None:
        """This node's part of an operation, while it is in progress."""
        return self._doing

    # ---- inputs ----

    def told(self, entry: NodeEntry | None) -> None:
        """The ledger's record of this node, as it stands now."""
        wanted = rung_of(entry)
        if wanted != self._wanted:
            self._wanted, self._holding = wanted, ""

    def do(self, message: Do) -> None:
        """The master wants this node to run a function; it asks again while another one is in progress here."""
        done = next((d for d in self._done if d.operation == message.operation), None)
        if done is not None:
            self._tell(done)
        elif self._ssc.role != "member":
            return  # its role is taken from it first; the master asks again
        elif self._doing is None and not self._phase:
            self._doing = message
            self._begin(message.function, message.reason)

    def proceed(self) -> None:
        """Time has passed, or something happened."""
        if not self._phase:
            self._follow()
            return
        if self._phase == "callbacks":
            return  # each of them has its own time-out
        if self._ssc.now_ns >= self._deadline_ns:
            self._too_late()
            return
        self._ssc.wake(self._deadline_ns)
        servers = self._ssc.servers.centralized
        if self._phase == "opening" and self._opened(servers):
            self._phase = "initializing"
        if self._phase == "initializing" and (self.rung != AVAILABLE or all(s.ready for s in servers)):
            self._callbacks()
        elif self._phase == "ending" and not any(s.initialized or s.process == "ending" for s in servers):
            self._phase = ""
            self._finish("done", [])

    # ---- what others ask ----

    @property
    def moving(self) -> bool:
        """Whether a function is in progress: this node is not appointed meanwhile."""
        return bool(self._phase)

    def waits(self) -> list[Wait]:
        """Who is waited for before the callbacks of the function in progress, and after them."""
        servers = self._ssc.servers.centralized
        match self._phase:
            case "opening":
                what = [f"the host of {s.service} to start" for s in servers if s.process != "open"]
            case "initializing":
                what = [f"{s.service} to be initialized" for s in servers if not s.ready]
            case "ending":
                what = [f"{s.service} to end" for s in servers if s.initialized or s.process == "ending"]
            case _:
                what = []  # its callbacks are waited for
        return [Wait(each, 0, self._deadline_ns, self._function) for each in what]

    # ---- phases ----

    def _follow(self) -> None:
        """Go where the record says, one function at a time, unless a function about this node is in progress.

        A node that has a role all the same (formation, force) comes up for it; its successor takes it down again.
        """
        leads = self._ssc.role != "member"  # its role came to it while a function about it was taking it down
        if self.rung == self._wanted or (leads and self._wanted != AVAILABLE):
            return
        if not leads and not self._settled():
            return
        order = (INELIGIBLE, SPARE, AVAILABLE)
        up = order.index(self._wanted) > order.index(self.rung)
        way = {(SPARE, True): "promote", (INELIGIBLE, True): "qualify", (AVAILABLE, False): "demote",
               (SPARE, False): "disqualify"}  # fmt: skip
        self._begin(way[self.rung, up], "the node's record says so")

    def _settled(self) -> bool:
        """Whether no function about this node is in progress, as far as this node knows."""
        operations = self._ssc.functions.operations
        if self._holding:
            known = operations.known(self._holding)
            if known is None or not known.outcome:
                return False
            self._holding = ""
        return operations.current is None or operations.current.node != self._ssc.node

    def _begin(self, function: str, reason: str) -> None:
        """Begin a function; one that leads to where this node stands already has nothing to do."""
        self._function, self._reason, self._from = function, reason, self.rung
        if self.rung == RUNGS.get(function):
            self._finish("done", [])
            return
        up = function in _UP
        self.rung = RUNGS[function] if up else self.rung
        self._phase, self._deadline_ns = "opening", self._ssc.now_ns + (READY_NS_MAX if up else OPEN_NS_MAX)

    def _opened(self, servers: list[Server]) -> bool:
        here = self.rung == INELIGIBLE or all(s.process == "open" for s in servers)
        return here and self._ssc.initialization.complete

    def _too_late(self) -> None:
        """Servers do not come up: that is no way up, and no hindrance on the way down."""
        if self._phase == "ending":
            self._phase = ""
            self._finish("done", [])
        elif self._function in _UP:
            self._refused(tuple(self._late()))
        else:
            self._callbacks()

    def _late(self) -> list[str]:
        late = [s for s in self._ssc.servers.centralized if not s.ready]
        return [
            f"{s.service} is not ready on {self._ssc.node} in time: {s.error or s.process}" for s in late
        ] or [f"{self._ssc.node} is not ready in time"]

    def _callbacks(self) -> None:
        function, ssc = self._function, self._ssc
        self._phase = "callbacks"
        servers = list(ssc.servers.by_service.values())
        old, new = _STATES[self._from], _STATES[RUNGS.get(function, INELIGIBLE)]
        ssc.runs.begin(
            function,
            function,
            plan(function, ssc.servers.callbacks(servers)),
            Frame(self._reason, old, new, peer=ssc.record.master.node if ssc.record else None),
            self._ran,
            abortable=self._doing is not None,
        )

    def _ran(self, reasons: tuple[str, ...] | None) -> None:
        if reasons is not None:
            self._refused(reasons)
        elif self._function in ("demote", "disqualify"):
            self.rung, self._phase = RUNGS[self._function], "ending"
            self._deadline_ns = self._ssc.now_ns + READY_NS_MAX
        else:
            self._phase = ""
            self._finish("done", [])

    def _refused(self, reasons: tuple[str, ...]) -> None:
        """Nothing changed: this node stands where it stood."""
        self.rung, self._phase = self._from, ""
        self._finish("refused", list(reasons))

    def _finish(self, outcome: str, reasons: list[str]) -> None:
        doing, self._doing = self._doing, None
        if doing is not None:
            done = FunctionDone(doing.operation, outcome, reasons)
            self._done = [*self._done, done][-DONE_KEPT:]
            self._holding = doing.operation
            self._tell(done)

    def _tell(self, done: FunctionDone) -> None:
        """To the master: this node's own coordinator when it is master itself."""
        ssc = self._ssc
        if ssc.role == "master":
            ssc.functions.done(ssc.node, done)
        elif ssc.record is not None:
            ssc.emit(TellNode(ssc.record.master.node, done))
