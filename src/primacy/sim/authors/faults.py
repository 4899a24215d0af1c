"""Faults by name, for a test: each begins at this instant, and ends after `for_s`, or when everything heals.

Wherever a NODE is taken, `master` and `vice` are understood. One that means nobody now is a ConfigError.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec

from primacy.errors import ConfigError
from primacy.machines.ids import MS
from primacy.sim.authors.stage import Stage
from primacy.sim.disk import DAMAGES
from primacy.sim.draw import draw, draw_force
from primacy.sim.draw_operators import draw_operators
from primacy.sim.faults import LEDGER, OBITUARY, Fault
from primacy.sim.node import Node

WINDOW_MS = 8_000
"""Faults at random are drawn for so long at a time: some come close together, then there is a pause."""
FORCED = 0.5
"""The share of these times in which somebody uses force, if that is drawn at all."""
_BEGIN_MS = 1


class Faults:
    """The faults of a `Cluster`."""

    stage: Stage

    def __init__(self) -> None:
        self.drawn: list[tuple[Fault, ...]] = []
        """What each call of `chaos` has come to."""
        self.given: dict[int, tuple[Fault, ...]] | None = None
        """By number of the call (from 0): faults in the place of those that `chaos` draws; no entry, no fault."""
        self._removed = 0

    # ---- processes ----

    def crash(self, node: str = "master", *, back_s: float | None = 0.1, obituary: str = "sent") -> None:
        """The node's agent dies, and its hosts with it; a new life begins after `back_s` (None: when all heals).

        obituary: `sent` (failover at once), `late`, or `lost` (after the grace).
        """
        _one_of("obituary", obituary, OBITUARY)
        self._begin("crash", node, back_s, what=obituary, amount=1000.0)

    def power(
        self, node: str = "master", *, torn: bool = False, silent: bool = False, for_s: float | None = None
    ) -> None:
        """The node loses its power, and what its disk had not synced; it comes back after `for_s`.

        torn: what it was writing is half there. silent: nobody hears of the end of its streams, for seconds.
        """
        self._begin("power", node, for_s, what=" ".join(["silent"] * silent + ["torn"] * torn))

    def freeze(self, node: str = "master", *, for_s: float | None = None, what: str = "node") -> None:
        """The node's processes are not scheduled. what: `node`, `agent`, or `host` (of the first service)."""
        _one_of("what", what, ("node", "agent", "host"))
        self._begin("freeze", node, for_s, what=what)

    def kill_host(self, node: str = "master", service: str = "") -> None:
        """The process of a service (the first one) is killed: the node lives on."""
        self._begin("kill", node, 0, what=service and self._service(service))

    # ---- the network ----

    def isolate(self, node: str = "master", *, for_s: float | None = None) -> None:
        """The node is cut off from all other nodes, on all links; clients reach it."""
        self._begin("isolate", node, for_s)

    def cut(
        self, a: str, b: str, *, link: int | None = None, one_way: bool = False, for_s: float | None = None
    ) -> None:
        """Nothing passes between two nodes, on one link (0 or 1) or on all; one_way: from `a` to `b`."""
        self._both("cut", a, b, link, one_way, for_s)

    def lose(
        self, a: str, b: str, share: float, *, link: int | None = None, for_s: float | None = None
    ) -> None:
        """This share (0 to 1) of the packets between two nodes is lost."""
        self._both("loss", a, b, link, False, for_s, amount=share)

    def delay(
        self, a: str, b: str, ms: float, *, link: int | None = None, for_s: float | None = None
    ) -> None:
        """Packets between two nodes are up to so late, and overtake each other."""
        self._both("delay", a, b, link, False, for_s, amount=ms)

    def hold(
        self, a: str, b: str, *, in_order: bool = True, one_way: bool = False, for_s: float | None = None
    ) -> None:
        """Packets between two nodes are held, and all arrive when it ends; one_way: those from `a` to `b`."""
        self._two("hold", a, b)
        what, then = "order" if in_order else "any order", "to" if one_way else ""
        self._begin("hold", a, for_s, peer=self._node(b).id, what=what, then=then)

    def cut_clients(self, node: str = "master", *, for_s: float | None = None) -> None:
        """All clients are cut off from the node."""
        self._begin("clients", node, for_s)

    # ---- disk and ledger ----

    def disk(self, node: str = "master", *, slower: float = 100.0, for_s: float | None = None) -> None:
        """The node's disk is so many times slower."""
        self._begin("disk", node, for_s, amount=slower)

    def fill_disk(self, node: str = "master", *, for_s: float | None = None) -> None:
        """The node's disk is full: a process that writes to it ends, and nothing that is there is damaged."""
        self._begin("full", node, for_s)

    def damage(self, node: str = "master", service: str = "", *, what: str = "journal") -> None:
        """The journal of a service (of each one) is damaged at rest; its next process notices.

        what: `journal`, `snapshot`, or `deleted`.
        """
        _one_of("what", what, DAMAGES)
        self._begin("damage", node, 0, peer=service and self._service(service), what=what)

    def set_wall_clock(self, node: str = "master", *, hours: float, for_s: float | None = None) -> None:
        """The node's wall clock is set by so many hours (negative: back), and set right when it ends."""
        self._begin("wall", node, for_s, amount=hours)

    def ledger(
        self, how: str = "unavailable", node: str | None = None, *, for_s: float | None = None
    ) -> None:
        """The ledger is so for a node, or (None) for all.

        how: unavailable | uncertain (half of the answers are lost) | written (done, the answer is lost) | late | never
        | slow | partition | deaf.
        """
        _one_of("how", how, LEDGER)
        if node is None:
            self._now(Fault(self._now_ms(), "ledger", "*", what=how, for_ms=_ms(for_s)))
        else:
            self._begin("ledger", node, for_s, what=how)

    # ---- callbacks ----

    def refuse_callbacks(self, service: str, node: str = "master", *, for_s: float | None = None) -> None:
        """Every callback of the service refuses on this node."""
        self._begin("mood", node, for_s, peer=self._service(service), what="refuse")

    def raise_in_callbacks(self, service: str, node: str = "master", *, for_s: float | None = None) -> None:
        """Every callback of the service raises on this node."""
        self._begin("mood", node, for_s, peer=self._service(service), what="raise")

    def hang_callbacks(self, service: str, node: str = "master", *, for_s: float | None = None) -> None:
        """Every callback of the service hangs on this node, until its time-out."""
        self._begin("mood", node, for_s, peer=self._service(service), what="hang")

    # ---- at random ----

    def chaos(self, seconds: float, *, operators: bool = True, force: bool = False) -> tuple[Fault, ...]:
        """Draw faults for the next `seconds` of virtual time from the seed, and return them; time does not run here.

        operators: also functions that somebody asks for (`remove`, too, as long as two nodes stay), nodes that are shut
        down, callbacks that fail. force: also masters by force, after which what was acknowledged `may_have_lost`.
        """
        call = len(self.drawn)
        drawn = self._draw(self.stage.source(f"chaos {call + 1}"), seconds, operators, force)
        mine = drawn if self.given is None else self.given.get(call, ())
        self.drawn.append(mine)
        self.schedule(mine)
        return mine

    def schedule(self, faults: Sequence[Fault]) -> None:
        """Let each fault begin at its time (`at_ms`), which counts from now: what `chaos` returns, or your own."""
        now_ms, replace = self._now_ms(), msgspec.structs.replace
        self.stage.injector.schedule(replace(fault, at_ms=now_ms + fault.at_ms) for fault in faults)

    def heal(self) -> None:
        """End all faults; nodes that are down start again. Virtual time does not run."""
        self.stage.injector.heal()
        self.stage.checkers.note("fault", "all faults end")

    # ---- inside ----

    def _draw(self, source: random.Random, seconds: float, operators: bool, force: bool) -> tuple[Fault, ...]:
        """Draw a list whose times count from now."""
        ids, grace_ms = self.stage.plan.ids, self.stage.plan.timing.grace_ms
        drawn: list[Fault] = []
        end_ms = _BEGIN_MS + max(2, int(seconds * 1000))
        forced = random.Random(f"force {source.getrandbits(32)}") if force else None
        for at_ms in range(_BEGIN_MS, end_ms, WINDOW_MS):
            span = (at_ms, max(at_ms + 2, min(at_ms + WINDOW_MS, end_ms)))
            drawn += draw(source, ids, grace_ms, *span)
            if operators:
                drawn += draw_operators(source, ids, grace_ms, *span)
            if forced is not None and forced.random() < FORCED:
                drawn += draw_force(forced, ids, grace_ms, *span)
        return tuple(self._adapted(fault, source) for fault in drawn if self._spared(fault))

    def _spared(self, fault: Fault) -> bool:
        """Whether a node may be removed: two nodes stay, whatever comes of the requests."""
        if fault.what != "remove":
            return True
        self._removed += 1
        return self._removed <= len(self.stage.plan.ids) - 2

    def _adapted(self, fault: Fault, source: random.Random) -> Fault:
        """Return the fault for the services that are here."""
        own = [row.id for row in self.stage.settings.rows]
        if fault.kind == "kill" and fault.what not in own:
            return msgspec.structs.replace(fault, what=source.choice(own))
        if fault.kind == "mood" and fault.peer not in own:
            return msgspec.structs.replace(fault, peer=source.choice(own))
        return fault

    def _begin(self, kind: str, node: str, for_s: float | None, **fields: Any) -> None:
        self._now(Fault(self._now_ms(), kind, self._node(node).id, for_ms=_ms(for_s), **fields))

    def _both(
        self,
        kind: str,
        a: str,
        b: str,
        link: int | None,
        one_way: bool,
        for_s: float | None,
        amount: float = 0.0,
    ) -> None:
        one, other = self._two(kind, a, b)
        if link not in (None, 0, 1):
            raise ConfigError(f"{kind}(link={link!r})", "no such link", "want 0, 1, or None for both")
        pairs = [(one, other)] if one_way else [(one, other), (other, one)]
        for source, target in pairs:
            which = -1 if link is None else link
            self._now(
                Fault(self._now_ms(), kind, source, target, for_ms=_ms(for_s), link=which, amount=amount)
            )

    def _two(self, kind: str, a: str, b: str) -> tuple[str, str]:
        one, other = self._node(a).id, self._node(b).id
        if one == other:
            raise ConfigError(f"{kind}({a!r}, {b!r})", f"{one} twice", "want two nodes")
        return one, other

    def _now(self, fault: Fault) -> None:
        self.stage.injector.now(fault)

    def _now_ms(self) -> int:
        return self.stage.scheduler.now_ns // MS

    def _service(self, name: str) -> str:
        known = [row.id for row in self.stage.settings.rows]
        _one_of("service", name, tuple(known))
        return name

    def _node(self, name: str) -> Node:
        """Return a node by its id, or by `master` or `vice`; ConfigError when there is none now."""
        record, nodes = self.stage.ledger.record, self.stage.nodes
        known = {
            "master": record.master.node if record is not None else "",
            "vice": record.vice.node if record is not None and record.vice is not None else "",
        }
        id = known.get(name, name)
        if id not in nodes:
            got = f"no {name} now" if name in known else "no such node"
            raise ConfigError(f"node {name!r}", got, f"want master, vice, or one of: {', '.join(nodes)}")
        return nodes[id]


def _ms(for_s: float | None) -> int:
    """How long, as faults say it: a negative time lasts until everything heals."""
    if for_s is not None and for_s < 0:
        raise ConfigError("for_s", f"{for_s}", "want 0 or more seconds, or None: until everything heals")
    return -1 if for_s is None else int(for_s * 1000)


def _one_of(what: str, got: str, known: tuple[str, ...]) -> None:
    if got not in known:
        raise ConfigError(what, repr(got), f"want one of: {', '.join(known)}")
