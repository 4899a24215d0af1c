"""Faults as data: a list that can be printed, stored, replayed and made shorter (draw.py draws one).

A fault is drawn for a time, begins then, and ends by itself `for_ms` later, at the latest when the cluster
heals (then only, when `for_ms` is negative). Where a node is meant, `master`, `vice` and `other` name whoever is that
when the fault begins; a fault that means nobody then does nothing. All randomness is in the drawing: the list says
everything.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

OBITUARY = ("sent", "late", "lost")
FROZEN = ("node", "agent", "host")
LEDGER = ("unavailable", "uncertain", "written", "late", "never", "slow", "partition", "deaf")
STOPS = (
    ("agent", "SwapRecord"), ("agent", "Seal"), ("agent", "Grant"), ("agent", "Became"), ("agent", "Send"),
    ("agent", "Alone"), ("agent", "Acknowledge"), ("agent", "SwapKey"), ("agent", "ToHost"), ("agent", "TellNode"),
    ("agent", "Feed"), ("host", "Evaluate"), ("host", "Reply"), ("host", "Acknowledge"),
    ("host", "Journal"), ("host", "Ship"), ("host", "Apply"),
)  # fmt: skip
THEN = ("freeze", "crash", "power")
_POWER = {"silent": ", and nobody hears of it", "torn": ", and what it was writing is torn"}


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
        match self.kind:
            case "crash":
                late = f" by {self.amount:g} ms" if self.what == "late" else ""
                text = f"agent of {self.node} dies, obituary {self.what}{late}"
            case "power":
                text = f"{self.node} loses its power" + "".join(_POWER[what] for what in self.what.split())
            case "freeze":
                text = (
                    f"{self.what} of {self.node} freezes" if self.what != "node" else f"{self.node} freezes"
                )
            case "stop":
                once = f"once for {self.for_ms} ms, right before its {self.what.replace(':', ' does ')}"
                return f"from {self.at_ms} ms on: {self.then} of {self.node}, {once}"
            case "kill":
                return (
                    f"at {self.at_ms} ms: the host of {self.what or 'the service'} on {self.node} is killed"
                )
            case "ledger":
                text = f"the ledger is {self.what} for {self.node}"
            case "watch":
                text = f"the watch of {self.node} is up to {self.amount:g} ms late"
            case "disk":
                text = f"the disk of {self.node} is {self.amount:g} times slower"
            case "damage":
                return f"at {self.at_ms} ms: {_of_the_world(self)}"
            case "obituary":
                return f"at {self.at_ms} ms: an old obituary of {self.node} arrives again"
            case "force":
                word = "declares the master dead and " if self.what == "word" else ""
                text = f"the operator {word}asks {self.node} to be master by force"
            case "switchover":
                return f"at {self.at_ms} ms: the operator asks for a switchover"
            case "ask":
                about = self.peer or ("all nodes" if self.what == "shutdown" else "the vice")
                return f"at {self.at_ms} ms: an operator asks {self.node} for {self.what} {about}"
            case "configure":
                return f"at {self.at_ms} ms: an operator asks {self.node} to configure {self._change}"
            case "leave":
                text = f"the system of {self.node} asks it to stop"
            case "maintain":
                text = f"an operator asks {self.node} for maintenance of {self.peer or 'the cluster'}{self._ending}"
            case "mood":
                what = "health checks" if self.what in ("sick", "stuck") else "callbacks"
                text = f"{what} of {self.peer} on {self.node}: {self.what}"
            case _:
                text = _of_the_network(self)
        lasts = f"for {self.for_ms} ms" if self.for_ms >= 0 else "until all heals"
        return f"at {self.at_ms} ms, {lasts}: {text}"

    @property
    def _ending(self) -> str:
        """When something ends by itself, in words."""
        return f" that ends after {self.amount:g} ms" if self.amount else ""

    @property
    def _change(self) -> str:
        """A change of the configuration in words."""
        about = f" {self.peer}" if self.peer else ""
        amount = f" by {self.amount:g}" if self.amount else ""
        how = {"replace": ", in the place of another change", "looked": ", having looked at it"}
        return f"{self.what}{about}{amount}{how.get(self.then, '')}"


def _of_the_network(fault: Fault) -> str:
    """What is cut, lost, late or doubled between nodes, and between them and clients."""
    link = "all links" if fault.link < 0 else f"link {fault.link}"
    way = f"{fault.node} -> {fault.peer} on {link}"
    match fault.kind:
        case "cut":
            return f"cut {way}"
        case "isolate":
            return f"{fault.node} is cut off from all other nodes"
        case "unlink":
            return f"an operator takes all links of {fault.node} down"
        case "filter":
            return f"datagrams between {fault.node} and {fault.peer} are filtered, streams pass"
        case "loss":
            return f"{fault.amount:.0%} of the packets are lost {way}"
        case "delay":
            return f"packets are up to {fault.amount:g} ms late {way}"
        case "duplicate":
            return f"{fault.amount:.0%} of the packets are doubled {way}"
        case "clients":
            return f"the clients are cut off from {fault.node}"
        case "client":
            return f"client {fault.peer} is cut off from {fault.node}"
    return _of_the_world(fault)


def _of_the_world(fault: Fault) -> str:
    """The faults of the network, of disks and of wall clocks that `inject_world.py` makes happen."""
    match fault.kind:
        case "hold":
            return f"packets {_ways(fault)} are held, and released in {fault.what or 'order'}"
        case "half-open":
            return f"streams {_ways(fault)} are half-open: nothing passes on those that there are"
        case "full":
            return f"the disk of {fault.node} is full"
        case "damage":
            done = "deleted" if fault.what == "deleted" else f"damaged ({fault.what})"
            return f"the journal of {fault.peer or 'each service'} on {fault.node} is {done}"
        case "wall":
            return f"the wall clock of {fault.node} is set by {fault.amount:+g} h"
    return fault.kind


def _ways(fault: Fault) -> str:
    """Between whom, or from whom to whom; `*`: all other nodes."""
    peer = "all other nodes" if fault.peer == "*" else fault.peer
    match fault.then:
        case "to":
            return f"from {fault.node} to {peer}"
        case "from":
            return f"from {peer} to {fault.node}"
    return f"between {fault.node} and {peer}"


Faults = tuple[Fault, ...]
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(tuple[Fault, ...])


def encode(faults: Sequence[Fault]) -> bytes:
    """Return the list as JSON."""
    return _encoder.encode(faults)


def decode(text: bytes) -> Faults:
    """Return the list in a JSON text."""
    return _decoder.decode(text)
