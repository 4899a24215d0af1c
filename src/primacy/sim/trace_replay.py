"""One recorded life given to fresh machines: do they answer as they did?

Each machine begins as the recorded one began, is given the same inputs, and its effects are compared byte by byte. At
the first difference the comparison of that life ends, because the machines are in different states from there on. If
the machines' source is the same, a difference is a fault: of the record, of the driver (it changed a machine behind its
inputs), or of a machine that decides by something else than its inputs. If it is not, another version decides
otherwise, and that is no fault of the cluster.

What the driver does between the two machines is compared as well: what the monitor says of services is given to the
coordinator, and what that says to the monitor is given to it, all of it, once, in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from primacy import source
from primacy.errors import WireError
from primacy.machines import coordination, membership, recorded
from primacy.machines.coordinator import Coordinator
from primacy.machines.ids import SECOND
from primacy.machines.mastership import Monitor
from primacy.machines.recorded import Entry, Kind
from primacy.sim.trace_files import Life

CODE = source.digest()  # of the machines that this process has loaded
Effects = list[Any]
_DRIVERS = (
    membership.Send, membership.Greet, membership.Read, membership.SwapRecord, membership.Grant,
    membership.Acknowledge, membership.Seal, membership.Publish, membership.Wake, membership.ForceAnswered,
)  # fmt: skip
_FED = (
    membership.Health, membership.Joined, membership.Stalled, membership.Serving, membership.HandOver,
    membership.Renew, membership.StopCluster, membership.Leaving, membership.KeepBack,
)  # fmt: skip
"""Effects of the monitor that are for its driver alone, and inputs of it that only its coordinator gives."""


class Step(Struct, frozen=True):
    """One step of a machine as it was recorded; effects: without a `Feed` of a life that is not replayed."""

    life: Life
    entry: Entry
    input: membership.Input | coordination.Input
    effects: Effects

    @property
    def where(self) -> str:
        """Which step this is, in words."""
        return f"{self.life.member}, input {self.entry.number}"


class Replay:
    """The replay of one life. After `steps` was read through:

    same: how many steps have had the same effects. difference: the first that had not, in words. otherwise: it is
    another version that decides otherwise. unread: why the rest of the record could not be looked at. wrong: what the
    driver has not done as it should.
    """

    def __init__(self, life: Life) -> None:
        self.life = life
        self.same = 0
        self.difference = self.unread = ""
        self.wrong: list[str] = []
        self.began_ns = 0
        self.last_ns = 0
        self.known_code = bool(life.head.code) and life.head.code == CODE
        self._machines: dict[int, Monitor | Coordinator] = {}
        self._told: deque[tuple[int, Any]] = deque()  # when, what: of the monitor, for the coordinator
        self._fed: deque[tuple[int, Any]] = deque()  # of the coordinator, for the monitor
        try:
            beginning = recorded.decode_beginning(life.head.beginning)
        except WireError as error:
            self.unread = str(error)
            return
        self.beginning = beginning
        self.began_ns = self.last_ns = beginning.now_ns
        if life.whole:
            self._machines = {Kind.MONITOR: beginning.monitor(), Kind.COORDINATOR: beginning.coordinator()}

    @property
    def otherwise(self) -> bool:
        """Whether the difference is another version's."""
        return bool(self.difference) and not self.known_code

    def steps(self) -> Iterator[Step]:
        """Read the life through, comparing as long as that is possible."""
        if self.unread:
            return
        for entry in self.life.entries():
            if entry.kind == Kind.BROKEN:
                self._broken(entry)
                continue
            try:
                given = recorded.decode_input(entry)
            except WireError as error:
                self.unread = f"input {entry.number}: {error}"
                return
            self.last_ns = given.now_ns
            effects = self._compared(entry, given)
            try:
                effects = self._recorded(entry) if effects is None else effects
            except WireError as error:
                self.unread = f"input {entry.number}: {error}"
                return
            yield Step(self.life, entry, given, effects)
        for at_ns, said in [*list(self._told)[:1], *list(self._fed)[:1]]:
            if self._machines and at_ns + SECOND < self.last_ns:
                self._wrong(
                    f"{recorded.shown(recorded.encode(said))} was said, but never given to the other machine"
                )

    def _recorded(self, entry: Entry) -> Effects:
        found = [recorded.decode_effect(entry.kind, effect) for effect in entry.effects]
        return [effect for effect in found if effect is not None]

    def _compared(self, entry: Entry, given: Any) -> Effects | None:
        """Give the input to the machine; None: there is nothing to compare with."""
        machine = self._machines.get(entry.kind)
        if machine is None:
            return None
        self._between(entry, given)
        try:
            effects: Effects = machine.step(given)
            told = [recorded.encode(effect) for effect in effects]
        except Exception as error:
            self._differs(entry, f"here the step breaks off: {type(error).__name__}: {error}")
            return None
        kept = [bytes(effect) for effect in entry.effects]
        if told != kept:
            self._differs(entry, _first_difference(kept, told))
            return None
        self.same += 1
        if entry.kind == Kind.MONITOR:
            self._told += [(given.now_ns, e) for e in effects if not isinstance(e, _DRIVERS)]
        else:
            self._fed += [(given.now_ns, e.input) for e in effects if isinstance(e, coordination.Feed)]
        return effects

    def _between(self, entry: Entry, given: Any) -> None:
        """What one machine has said to the other arrives, in order."""
        if isinstance(given, coordination.Membership):
            said = self._told.popleft()[1] if self._told else None
            given = given.effect
        elif isinstance(given, _FED):
            said = self._fed.popleft()[1] if self._fed else None
        else:
            return
        if said != given:
            what = "nothing" if said is None else recorded.shown(recorded.encode(said))
            got = recorded.shown(recorded.encode(given))
            self._wrong(f"input {entry.number} gives {got}, but what the other machine had said was {what}")

    def _wrong(self, text: str) -> None:
        if len(self.wrong) < 1:
            self.wrong.append(text)

    def _broken(self, entry: Entry) -> None:
        why = ", ".join(recorded.text(effect) for effect in entry.effects)
        self._wrong(f"the step of input {entry.number} broke off ({why}): {recorded.shown(entry.input)}")

    def _differs(self, entry: Entry, what: str) -> None:
        self._machines = {}
        machine = "monitor" if entry.kind == Kind.MONITOR else "coordinator"
        after_s = (self.last_ns - self.began_ns) / SECOND
        self.difference = (
            f"input {entry.number}, {after_s:.3f} s after its start, to the {machine}: "
            f"{recorded.shown(entry.input)}: {what}"
        )


def _first_difference(kept: list[bytes], told: list[bytes]) -> str:
    """Return the first effect that is another one, in words."""
    for number, (was, now) in enumerate(zip(kept, told, strict=False), 1):
        if was != now:
            return f"effect {number} was {recorded.shown(was)}; here it is {recorded.shown(now)}"
    if len(kept) > len(told):
        return f"effect {len(told) + 1} was {recorded.shown(kept[len(told)])}; here there is none"
    return f"there was no effect {len(kept) + 1}; here it is {recorded.shown(told[len(kept)])}"
