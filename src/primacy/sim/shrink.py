"""Makes a failing plan smaller: fewer faults, then plainer times, then fewer nodes and clients.

The list of faults is shortened by delta debugging (Zeller and Hildebrandt, 2002): the result is a list from which no
single fault can be taken away. A plan is accepted only if its run violates the same clause. Everything is tried in an
order that does not depend on anything but the plan, so the same failure always becomes the same smaller one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from primacy.sim.faults import Fault, Faults
from primacy.sim.plan import Plan

RUNS_MAX = 400
_ROUND_MS = (1_000, 100, 10)
_NAMED = ("master", "vice", "*", "")


class Shrinker:
    """fails: whether the run with these faults still fails in the same way. runs: how many were tried."""

    def __init__(self, fails: Callable[[Faults], bool], runs_max: int = RUNS_MAX) -> None:
        self._fails = fails
        self._runs_max = runs_max
        self.runs = 0

    def shrink(self, faults: Faults) -> Faults:
        """Return a shorter list that fails, too (or the same one)."""
        return self._plainer(self._fewer(faults))

    def _try(self, faults: Faults) -> bool:
        if self.runs >= self._runs_max:
            return False
        self.runs += 1
        return self._fails(faults)

    def _fewer(self, faults: Faults) -> Faults:
        if not faults or self._try(()):
            return ()
        parts = 2
        while len(faults) >= 2:
            size = -(-len(faults) // parts)
            for begin in range(0, len(faults), size):
                rest = faults[:begin] + faults[begin + size :]
                if self._try(rest):
                    faults, parts = rest, max(parts - 1, 2)
                    break
            else:
                if parts >= len(faults):
                    break
                parts = min(2 * parts, len(faults))
        return faults

    def _plainer(self, faults: Faults) -> Faults:
        """Halve each duration as often as it goes, then round the times: of what is left each digit matters."""
        for index in range(len(faults)):
            while faults[index].for_ms >= 20:
                shorter = _with(faults, index, for_ms=faults[index].for_ms // 2)
                if not self._try(shorter):
                    break
                faults = shorter
        for index in range(len(faults)):
            for field in ("at_ms", "for_ms", "amount"):
                faults = self._rounded(faults, index, field)
        return faults

    def _rounded(self, faults: Faults, index: int, field: str) -> Faults:
        value = getattr(faults[index], field)
        for unit in _ROUND_MS:
            plain = type(value)(round(value / unit) * unit)
            if plain == value:
                return faults
            if plain > 0:
                candidate = _with(faults, index, **{field: plain})
                if self._try(candidate):
                    return candidate
        return faults


class Reducer:
    """fails: whether the run of this plan still fails in the same way. runs: how many were tried."""

    def __init__(self, fails: Callable[[Plan], bool], runs_max: int = RUNS_MAX) -> None:
        self._fails = fails
        self._runs_max = runs_max
        self.runs = 0

    def reduce(self, plan: Plan) -> Plan:
        """Return a smaller plan that fails, too (or the same one)."""
        shrinker = Shrinker(lambda faults: self._fails(_faulted(plan, faults)), self._runs_max)
        faults = shrinker.shrink(plan.faults)
        self.runs = shrinker.runs
        plan = _faulted(plan, faults)
        for smaller in (_fewer_nodes, _fewer_machines, _fewer_clients, _plain_rungs, _plain_clocks, _sooner):
            for candidate in smaller(plan):
                if self.runs >= self._runs_max:
                    return plan
                self.runs += 1
                if self._fails(candidate):
                    plan = candidate
                    break
        return plan


def _faulted(plan: Plan, faults: Faults) -> Plan:
    return msgspec.structs.replace(plan, faults=faults)


def _with(faults: Faults, index: int, **changes: Any) -> Faults:
    changed: Fault = msgspec.structs.replace(faults[index], **changes)
    return (*faults[:index], changed, *faults[index + 1 :])


def _fewer_nodes(plan: Plan) -> Iterator[Plan]:
    """Plans without the last nodes, the smallest first; a node that a fault names stays."""
    named = {name for fault in plan.faults for name in (fault.node, fault.peer) if name not in _NAMED}
    for count in range(1, plan.nodes):
        smaller = msgspec.structs.replace(
            plan,
            nodes=count,
            rungs=plan.rungs[: max(count - plan.nodes + len(plan.rungs), 0)],
            rates_ppm=plan.rates_ppm[:count],
            offsets_ms=plan.offsets_ms[:count],
        )
        if not (named & set(plan.ids)) - set(smaller.ids):
            yield smaller


def _fewer_machines(plan: Plan) -> Iterator[Plan]:
    """Plans with fewer machines beside the nodes; one that a fault names stays."""
    named = {name for fault in plan.faults for name in (fault.node, fault.peer)}
    for count in range(plan.spares):
        if not named & set(plan.spare_ids[count:]):
            yield msgspec.structs.replace(plan, spares=count)


def _fewer_clients(plan: Plan) -> Iterator[Plan]:
    for count in range(1, plan.clients):
        yield msgspec.structs.replace(plan, clients=count)


def _plain_rungs(plan: Plan) -> Iterator[Plan]:
    """All nodes available at first."""
    if plan.rungs:
        yield msgspec.structs.replace(plan, rungs=())


def _plain_clocks(plan: Plan) -> Iterator[Plan]:
    """Clocks that all run at one rate, and begin where they are easy to read."""
    if plan.rates_ppm or plan.offsets_ms:
        yield msgspec.structs.replace(plan, rates_ppm=(), offsets_ms=())
        yield msgspec.structs.replace(plan, rates_ppm=())
        yield msgspec.structs.replace(plan, offsets_ms=())


def _sooner(plan: Plan) -> Iterator[Plan]:
    """The end of all faults a second after the last one has ended."""
    last_ms = max((fault.at_ms + fault.for_ms for fault in plan.faults), default=0) + 1_000
    if last_ms < plan.heal_ms:
        yield msgspec.structs.replace(plan, heal_ms=last_ms)
