"""Cold start: who may claim mastership when no master lives, and who should.

Safety rests on three things only: the swap on the record's revision, whose data is complete, and the wait of a
restarted vice (its former life may just have given a lease to the recorded master).  The window and the order among
candidates serve liveness and a good choice, nothing else.

Whose data is complete: after an orderly stop, every eligible node whose journals stand where the record says they
stood; otherwise the nodes that the last record shows in step, its master and its ready vice. With `memory`
durability a new incarnation is never in step.  Pure.
"""

from __future__ import annotations

from msgspec import Struct

from primacy.machines.ids import Member
from primacy.machines.records import Mastership

Positions = dict[str, tuple[int, int]]


class Candidate(Struct, frozen=True):
    """What is known of an eligible node that was heard (or of this node itself)."""

    member: Member
    priority: int
    positions: Positions


class View(Struct, frozen=True):
    """Everything that a decision about formation looks at.

    eligible: ids of all eligible nodes of the table. heard: those heard lately, this node included. since_start_ns:
    age of this incarnation. waited_ns: how long no master has been heard. dead: incarnations with an obituary.
    volatile: some centralized service has `memory` durability. availability: `cold_start = "availability"`.
    """

    me: Member
    record: Mastership | None
    eligible: frozenset[str]
    heard: tuple[Candidate, ...]
    since_start_ns: int
    waited_ns: int
    window_ns: int
    grace_ns: int
    dead: frozenset[str]
    volatile: bool = False
    availability: bool = False


class Form(Struct, frozen=True):
    """This node claims now; `cause` is the sentence for the record."""

    cause: str


class Wait(Struct, frozen=True):
    """This node does not claim now; `reason` says what it waits for. passing: time alone ends this wait."""

    reason: str
    passing: bool = False


def decide(view: View) -> Form | Wait:
    """Return whether this node claims mastership now.  Never raises."""
    me = next((c for c in view.heard if c.member == view.me), None)
    if me is None or view.me.node not in view.eligible:
        return Wait("this node is not eligible")
    mine = standing(view, me)
    if isinstance(mine, Wait):
        return mine
    missing = sorted(view.eligible - {c.member.node for c in view.heard})
    if missing and view.waited_ns < view.window_ns:
        return Wait(f"formation window: not heard yet: {', '.join(missing)}", passing=True)
    better = _better(view, me)
    if better is not None and view.waited_ns < 2 * view.window_ns:
        return Wait(f"{better.member.node} is the better candidate", passing=True)
    return mine


def standing(view: View, candidate: Candidate) -> Form | Wait:
    """Return whether this candidate's data is complete and its wait is over, as far as this node can tell."""
    record, node = view.record, candidate.member.node
    if record is None:
        return Form("first formation of the cluster")
    if record.stopped is not None:
        behind = sorted(s for s, p in record.stopped.items() if candidate.positions.get(s) != p)
        if behind:
            return Wait(f"{node} is behind the orderly stop in {', '.join(behind)}")
        return Form("formation after an orderly stop")
    # a guardian ends all processes of its node's former life before the next one says a word
    assumed_dead = record.master.incarnation in view.dead or record.master.node == node
    if view.availability and assumed_dead:
        return Form("formation by cold_start = availability: writes since the last mirror may be lost")
    in_step = f"the data of {record.master.node}"
    if record.ready_vice is not None:
        in_step += f" or {record.ready_vice.node}"
    if view.volatile:
        return Wait(
            f"a service keeps its state in memory only: waiting for {in_step}, or for the operator's force"
        )
    if node == record.master.node:
        return Form("formation by the recorded master's node")
    if record.ready_vice is not None and node == record.ready_vice.node:
        if assumed_dead or view.since_start_ns >= view.grace_ns:
            return Form("formation by the recorded ready vice's node")
        return Wait("the grace since this restart is not over", passing=True)
    return Wait(f"only {in_step} is complete: waiting for it, or for the operator's force")


def _better(view: View, me: Candidate) -> Candidate | None:
    """Return a heard candidate that should claim rather than this node."""
    record = view.record
    for other in view.heard:
        if record is not None and record.ready_vice == other.member:
            return other  # it lives, and claims by itself after the grace
    rivals = [c for c in view.heard if isinstance(standing(view, c), Form)]
    best = min(rivals, key=_order, default=me)
    return None if best.member == me.member else best


def _order(candidate: Candidate) -> tuple[list[tuple[int, int]], int, str]:
    freshest = sorted(((-term, -sequence) for term, sequence in candidate.positions.values()))
    return freshest, -candidate.priority, candidate.member.node
