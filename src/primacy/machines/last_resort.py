"""The last resort: may an operator make this node master by force, and what may be lost by it?

Force is for a cluster that no rule can bring back: nobody is heard who is master, and nobody lives who has everything
that was acknowledged. It takes effect only when the recorded master's incarnation can answer nobody any more (its
guardian's obituary, a later life of its node, an orderly stop in the record), or on the operator's recorded word that
it is dead. By proof, two masters never answer in one time; by word they may, towards whom the dead one was not dead.

The preconditions are one function that returns all the reasons against; the same function answers a dry run. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from primacy.machines.formation import Candidate, Positions, order
from primacy.machines.ids import MS, Member
from primacy.machines.records import Mastership

STOPPED, OBITUARY, PRESENT_LIFE, WORD = "stopped", "obituary", "present life", "word"


class Witness(Struct, frozen=True):
    """What another node answered when it was asked just now, over its authenticated stream.

    member: its present life; a guardian ends all processes of a node's former life before the next one says a word.
    master: the member that its record names. silent_ms: how long ago it heard that one (None: not in this life).
    """

    member: Member
    eligible: bool
    priority: int
    positions: Positions | None
    master: Member | None
    silent_ms: float | None


class View(Struct, frozen=True):
    """Everything that a decision about force looks at, on the node that shall be master.

    eligible: the nodes that may be master or vice. master_silent_ns, vice_silent_ns: how long ago the recorded master
    and ready vice were heard (None: never in this life). silence_ns: after so long without a word a member counts as
    absent. since_start_ns: age of this life. on_time: this agent itself was scheduled in time lately. dead:
    incarnations with an obituary. held: maintenance of the cluster is on; maintained: nodes in maintenance.
    assume_dead: the node that the operator declares dead.
    """

    me: Member
    role: str
    record: Mastership | None
    eligible: frozenset[str]
    positions: Positions | None
    master_silent_ns: int | None
    vice_silent_ns: int | None
    since_start_ns: int
    silence_ns: int
    on_time: bool
    dead: frozenset[str]
    volatile: bool
    assume_dead: str
    witnesses: tuple[Witness, ...]
    held: bool = False
    maintained: frozenset[str] = frozenset()


class Force(Struct, frozen=True, tag=True):
    """This node may be made master; `cause` says on what proof, and what may be lost by it."""

    cause: str


class Refuse(Struct, frozen=True, tag=True):
    """It is refused, and nothing is done; all that speaks against it."""

    cause: str
    reasons: tuple[str, ...]


def decide(view: View) -> Force | Refuse:
    """Return whether this node may be made master by force now."""
    reasons = reasons_against(view)
    if reasons:
        return Refuse("; ".join(reasons), reasons)
    return Force(f"proof: {proof(view)}; this may be lost: {may_lose(view)}")


def proof(view: View) -> str:
    """Return why the recorded master's incarnation answers nobody any more; `word` only when nothing proves it."""
    record = view.record
    if record is None:
        return ""
    master = record.master
    if record.stopped is not None:
        return STOPPED
    return _gone(view, master) or _word(view, master)


def _gone(view: View, member: Member) -> str:
    """Return what proves that this life of a node has ended."""
    if member.incarnation in view.dead:
        return OBITUARY
    lives = [view.me, *(w.member for w in view.witnesses)]
    return PRESENT_LIFE if any(life.node == member.node and life != member for life in lives) else ""


def _word(view: View, master: Member) -> str:
    return WORD if view.assume_dead == master.node else ""


def reasons_against(view: View) -> tuple[str, ...]:
    """Return every reason why this node may not be made master by force now."""
    record, node = view.record, view.me.node
    if view.role == "master":
        return (f"{node} is master already",)
    if record is None:
        return ("there is no mastership record yet: the cluster forms by itself",)
    reasons = list(_about_me(view))
    reasons += _about_master(view, record)
    reasons += _about_complete(view, record)
    shown = proof(view)
    if not shown:
        reasons.append(
            f"nothing proves that {record.master.node}, the recorded master, is dead; "
            f"if you know that it is, say so: --assume-dead {record.master.node}"
        )
    if view.assume_dead and view.assume_dead != record.master.node:
        reasons.append(f"{view.assume_dead} is not the recorded master: {record.master.node} is")
    if shown in ("", WORD) and view.since_start_ns < view.silence_ns:
        reasons.append(
            f"{node} listens only since {_ms(view.since_start_ns)}: a living master is heard within "
            f"{_ms(view.silence_ns)}, ask again then"
        )
    return tuple(reasons)


def may_lose(view: View) -> str:
    """Return in words what may be lost when this node is made master by force."""
    record = view.record
    assert record is not None
    had = record.master.node
    if record.ready_vice is not None and record.ready_vice.node != had:
        had += f" or {record.ready_vice.node}"
    at = ", ".join(f"{s} at {n} of term {t}" for s, (t, n) in sorted((view.positions or {}).items()))
    lost = f"every write acknowledged by {had} that the journals of {view.me.node} do not have ({at})"
    if view.volatile:
        lost += "; what services with memory durability held in memory only"
    if proof(view) == WORD:
        lost += f"; if {record.master.node} still runs, what it answers until it sees the new term"
    return lost


def best(candidates: Iterable[Candidate]) -> str:
    """Return the node that should be made master: the freshest journals, then priority, then id; empty when none."""
    chosen = min(candidates, key=order, default=None)
    return chosen.member.node if chosen is not None else ""


def _about_me(view: View) -> list[str]:
    node, reasons = view.me.node, []
    if node not in view.eligible:
        reasons.append(f"{node} is not eligible, or a spare")
    elif view.positions is None:
        reasons.append(f"a journal of {node} is not open yet, or was set aside or lost: see `primacy status`")
    if node in view.maintained:
        reasons.append(f"{node} is in maintenance: `primacy maintenance off {node}` first")
    if not view.on_time:
        reasons.append(f"the agent of {node} itself was not scheduled a moment ago: ask again")
    return reasons


def _about_master(view: View, record: Mastership) -> list[str]:
    """Who hears the recorded master, or its ready vice."""
    master, vice, reasons = record.master, record.ready_vice, []
    if not _gone(view, master):
        silent_ns = view.master_silent_ns
        if silent_ns is not None and silent_ns < view.silence_ns:
            reasons.append(f"{view.me.node} heard the master {master.node} {_ms(silent_ns)} ago")
        for witness in view.witnesses:
            silent_ms = witness.silent_ms
            if witness.member == master:
                reasons.append(f"the master {master.node} lives: it answered just now")
            elif witness.master == master and silent_ms is not None and silent_ms * MS < view.silence_ns:
                ago = _ms(int(silent_ms * MS))
                reasons.append(f"{witness.member.node} heard the master {master.node} {ago} ago")
    if vice is None or _gone(view, vice):
        return reasons
    heard = view.vice_silent_ns is not None and view.vice_silent_ns < view.silence_ns
    if vice == view.me or heard or any(w.member == vice for w in view.witnesses):
        reasons.append(f"the ready vice {vice.node} lives: it claims by itself{_when(view)}")
    return reasons


def _about_complete(view: View, record: Mastership) -> list[str]:
    """Who has everything in a later life, and so forms the cluster by itself."""
    mine = Witness(view.me, view.me.node in view.eligible, 0, view.positions, None, None)
    complete = []
    for witness in (mine, *view.witnesses):
        member, positions = witness.member, witness.positions
        if positions is None or not witness.eligible or member.node in view.maintained:
            continue
        if record.stopped is not None:
            if all(positions.get(s) == p for s, p in record.stopped.items()):
                complete.append(member.node)
        elif not view.volatile:
            former = [
                m for m in (record.master, record.ready_vice) if m is not None and m.node == member.node
            ]
            if former and member not in former:
                complete.append(member.node)
    return [f"{node} is back with everything that was acknowledged: it forms the cluster by itself{_when(view)}"
            for node in sorted(set(complete))]  # fmt: skip


def _when(view: View) -> str:
    return " when the maintenance is over: `primacy maintenance off`" if view.held else ""


def _ms(ns: int) -> str:
    return f"{ns / MS:.0f} ms"
