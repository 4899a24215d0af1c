"""Faults as data: a list that can be printed, stored, replayed and made shorter; and how one is drawn from a seed.

A fault is drawn for a time, begins then, and ends by itself `for_ms` later, at the latest when the cluster heals. Where
a node is meant, `master`, `vice` and `other` name whoever is that when the fault begins; a fault that means nobody then
does nothing. All randomness is in the drawing: the list says everything.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec

OBITUARY = ("sent", "late", "lost")
FROZEN = ("node", "agent", "host")
LEDGER = ("unavailable", "uncertain", "written", "late", "never", "slow", "partition")
STOPS = (
    ("agent", "SwapRecord"), ("agent", "Seal"), ("agent", "Grant"), ("agent", "Became"), ("agent", "Send"),
    ("agent", "Alone"), ("agent", "Acknowledge"), ("host", "Evaluate"), ("host", "Reply"), ("host", "Acknowledge"),
    ("host", "Journal"), ("host", "Ship"), ("host", "Apply"),
)  # fmt: skip
THEN = ("freeze", "crash", "power")


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """One fault. Which fields mean something depends on `kind`; see `sentence`."""

    at_ms: int
    kind: str
    node: str = ""
    peer: str = ""
    what: str = ""
    then: str = ""
    for_ms: int = 0
    link: int = -1
    amount: float = 0.0

    def sentence(self) -> str:
        """Return the fault in words."""
        link = "all links" if self.link < 0 else f"link {self.link}"
        way = f"{self.node} -> {self.peer} on {link}"
        match self.kind:
            case "crash":
                late = f" by {self.amount:g} ms" if self.what == "late" else ""
                text = f"agent of {self.node} dies, obituary {self.what}{late}"
            case "power":
                text = f"{self.node} loses its power"
            case "freeze":
                text = f"{self.what} of {self.node} freezes" if self.what != "node" else f"{self.node} freezes"
            case "stop":
                once = f"once for {self.for_ms} ms, right before its {self.what.replace(':', ' does ')}"
                return f"from {self.at_ms} ms on: {self.then} of {self.node}, {once}"
            case "kill":
                return f"at {self.at_ms} ms: the host of {self.node} is killed"
            case "cut":
                text = f"cut {way}"
            case "isolate":
                text = f"{self.node} is cut off from all other nodes"
            case "loss":
                text = f"{self.amount:.0%} of the packets are lost {way}"
            case "delay":
                text = f"packets are up to {self.amount:g} ms late {way}"
            case "duplicate":
                text = f"{self.amount:.0%} of the packets are doubled {way}"
            case "clients":
                text = f"the clients are cut off from {self.node}"
            case "ledger":
                text = f"the ledger is {self.what} for {self.node}"
            case "watch":
                text = f"the watch of {self.node} is up to {self.amount:g} ms late"
            case "disk":
                text = f"the disk of {self.node} is {self.amount:g} times slower"
            case "obituary":
                return f"at {self.at_ms} ms: an old obituary of {self.node} arrives again"
            case "switchover":
                return f"at {self.at_ms} ms: the operator asks for a switchover"
            case _:
                text = self.kind
        return f"at {self.at_ms} ms, for {self.for_ms} ms: {text}"


Faults = tuple[Fault, ...]
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(tuple[Fault, ...])


def encode(faults: Sequence[Fault]) -> bytes:
    """Return the list as JSON."""
    return _encoder.encode(faults)


def decode(text: bytes) -> Faults:
    """Return the list in a JSON text."""
    return _decoder.decode(text)


_WEIGHTS = {
    "crash": 5, "power": 3, "freeze": 6, "stop": 6, "kill": 3, "cut": 4, "isolate": 4, "loss": 2, "delay": 3,
    "duplicate": 1, "clients": 1, "ledger": 6, "watch": 2, "disk": 2, "obituary": 2, "switchover": 4,
}  # fmt: skip


def draw(source: random.Random, nodes: Sequence[str], begin_ms: int, end_ms: int) -> Faults:
    """Draw a list of faults between two instants.

    Each list uses some of the kinds only (a search over all kinds at once finds less), and most faults come shortly
    after another one, since it is coincidences that break things.
    """
    kinds = [kind for kind in _WEIGHTS if source.random() < 0.55] or ["crash"]
    faults: list[Fault] = []
    at_ms = source.randrange(begin_ms, end_ms)
    for _ in range(source.randint(1, 12)):
        near = faults and source.random() < 0.6
        at_ms = at_ms + int(source.expovariate(1 / 150)) if near else source.randrange(begin_ms, end_ms)
        kind = source.choices(kinds, [_WEIGHTS[kind] for kind in kinds])[0]
        faults.append(_fault(source, kind, nodes, min(at_ms, end_ms)))
    return tuple(sorted(faults, key=lambda fault: fault.at_ms))


def _fault(source: random.Random, kind: str, nodes: Sequence[str], at_ms: int) -> Fault:
    who = _who(source, nodes)
    for_ms = _duration_ms(source)
    match kind:
        case "crash":
            late_ms = source.randint(20, 4000)
            return Fault(at_ms, kind, who, what=source.choice(OBITUARY), for_ms=for_ms, amount=late_ms)
        case "power" | "isolate" | "clients":
            return Fault(at_ms, kind, who, for_ms=for_ms)
        case "freeze":
            return Fault(at_ms, kind, who, what=source.choice(FROZEN), for_ms=for_ms)
        case "stop":
            process, effect = source.choice(STOPS)
            return Fault(at_ms, kind, who, what=f"{process}:{effect}", then=source.choice(THEN), for_ms=for_ms)
        case "cut" | "loss" | "delay" | "duplicate":
            peer = source.choice([node for node in (*nodes, "vice", "master") if node != who])
            link = source.choice((-1, -1, 0, 1))
            amount = {"loss": source.uniform(0.05, 0.9), "duplicate": 0.5, "delay": float(source.randint(5, 800))}
            return Fault(at_ms, kind, who, peer, for_ms=for_ms, link=link, amount=round(amount.get(kind, 0.0), 2))
        case "ledger":
            everyone = source.choice((who, who, "*"))
            return Fault(at_ms, kind, everyone, what=source.choice(LEDGER), for_ms=for_ms)
        case "watch":
            return Fault(at_ms, kind, who, for_ms=for_ms, amount=float(source.randint(50, 3000)))
        case "disk":
            return Fault(at_ms, kind, who, for_ms=for_ms, amount=float(source.choice((10, 100, 500))))
    return Fault(at_ms, kind, who)  # kill, obituary, switchover


def _who(source: random.Random, nodes: Sequence[str]) -> str:
    return source.choice(("master", "master", "vice", "vice", *nodes))


def _duration_ms(source: random.Random) -> int:
    """Durations of every order of magnitude between a beat and several graces."""
    return int(10 ** source.uniform(1, 3.5))
