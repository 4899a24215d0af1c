"""What would happen if a node were lost: asked of the very rules that would decide, from what is known now.

Nothing is changed and nobody is asked: a `Scene` is a copy of what the monitor of one node knows. The master knows
most; without one, each node knows only who might form the cluster. What an operator could ask for (switchover,
promote, ...) is answered by the functions' own preconditions, not here.  Pure.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from primacy.machines import formation, rulings
from primacy.machines.accounts import ms
from primacy.machines.ids import Member
from primacy.machines.records import Mastership

FUNCTIONS = ("switchover", "shutdown", "qualify", "promote", "demote", "disqualify", "remove")
LOSE = "lose"


class Question(Struct, frozen=True):
    """What is asked: `lose` or a function, and of which node (empty: the function's own choice)."""

    what: str
    node: str = ""


class Foreseen(Struct, frozen=True):
    """The answer. possible: a function could be carried out; after a loss: somebody would serve. then: what would
    happen, in order. reasons: all that speaks against it. candidates: for each node what speaks against it as the
    one who takes over; nothing for the one that would."""

    question: str
    possible: bool
    then: list[str]
    reasons: list[str]
    candidates: dict[str, list[str]]


class Scene(Struct, frozen=True):
    """What a monitor knows. serving: the master serves. nodes: all nodes of the table but the one that looks, as
    candidates; own: that one, as the others would see it. lease_ns, grace_ns, silence_ns: the timing. held: why
    nobody claims by itself now; empty when the cluster is not in maintenance."""

    me: Member
    record: Mastership | None
    serving: bool
    own: rulings.ViceCandidate
    nodes: tuple[rulings.ViceCandidate, ...]
    lease_ns: int
    grace_ns: int
    silence_ns: int
    volatile: bool = False
    availability: bool = False
    held: str = ""


def parse(text: str) -> Question | str:
    """Return the question that these words ask, or a sentence that says what could be asked."""
    words = text.split()
    what, node = (words[0].lower() if words else ""), " ".join(words[1:])
    known = (
        f'ask "{LOSE} NODE" or one of {", ".join(FUNCTIONS)} with a NODE (switchover: the vice by default)'
    )
    if what != LOSE and what not in FUNCTIONS:
        return f"{what or 'nothing'!r} is no question: {known}"
    if len(words) > 2:
        return f"{node!r}: want one NODE: {known}"
    if not node and what != "switchover":
        return f"{what}: say which NODE: {known}"
    return Question(what, node)


def lose(scene: Scene, node: str) -> Foreseen:
    """Return what would happen if this node were lost now."""
    everybody = {c.node: c for c in (scene.own, *scene.nodes)}
    question = f"{LOSE} {node}"
    if node not in everybody:
        known = ", ".join(sorted(everybody))
        return Foreseen(question, False, [], [f"{node} is no node of this cluster (nodes: {known})"], {})
    record = scene.record
    if record is None:
        return Foreseen(question, False, [], ["the cluster has never had a master"], {})
    if node == record.master.node:
        return _lose_master(scene, record, question, everybody)
    if record.vice is not None and node == record.vice.node:
        return _lose_vice(scene, record, question, everybody)
    then = [
        f"no role changes: {node} is neither master nor vice",
        *_next_vice(scene, everybody, {node, record.master.node}, record),
    ]
    return Foreseen(question, True, then, [], {})


def _lose_master(
    scene: Scene, record: Mastership, question: str, everybody: dict[str, rulings.ViceCandidate]
) -> Foreseen:
    master, vice = record.master.node, record.vice
    if vice is None:
        return _nobody_claims(scene, record, question, everybody)
    view = rulings.ClaimView(
        master,
        vice.ready,
        True,
        0,
        scene.lease_ns,
        scene.grace_ns,
        on_time=True,
        record_read=True,
        held=scene.held,
    )
    proven = rulings.claim(view)
    silent = rulings.claim(replace(view, master_dead=False, silence_ns=scene.grace_ns))
    if not isinstance(proven, rulings.Claim) or not isinstance(silent, rulings.Claim):
        if not scene.held:
            return _nobody_claims(scene, record, question, everybody)
        assert isinstance(proven, rulings.Hold)
        return Foreseen(question, False, [], [proven.reason], {})
    then = [
        f"if its processes die, its guardian says so, and {vice.node} claims term {record.term + 1} at once",
        f"if its machine or all its links are lost, {vice.node} claims after the grace of {ms(scene.grace_ns)}",
        f"{vice.node} has every acknowledged write; calls in progress are repeated to it under their numbers",
    ]
    then += _next_vice(scene, everybody, {master, vice.node}, None)
    candidates = {
        n: [] if n == vice.node else [f"only the ready vice ({vice.node}) has every acknowledged write"]
        for n in everybody
        if n != master
    }
    return Foreseen(question, True, then, [], candidates)


def _nobody_claims(
    scene: Scene, record: Mastership, question: str, everybody: dict[str, rulings.ViceCandidate]
) -> Foreseen:
    """There is no ready vice: who could form the cluster, and for each node why it may not."""
    master = record.master.node
    view = formation.View(
        me=scene.me,
        record=record,
        eligible=frozenset(c.node for c in everybody.values() if c.eligible),
        heard=(),
        since_start_ns=scene.grace_ns,
        waited_ns=0,
        window_ns=0,
        grace_ns=scene.grace_ns,
        dead=frozenset({record.master.incarnation}),
        volatile=scene.volatile,
        availability=scene.availability,
        held=scene.held,
    )
    candidates, formers = {}, []
    for each in everybody.values():
        if each.node == master:
            continue
        member = Member(each.node, each.incarnation)
        standing = formation.standing(view, formation.Candidate(member, each.priority, {}))
        reasons = [] if each.eligible else ["it is not eligible"]
        if isinstance(standing, formation.Wait):
            reasons.append(standing.reason)
        candidates[each.node] = reasons
        if not reasons:
            formers.append(each.node)
    if formers:
        then = [f"the cluster forms anew, with the freshest data of {', '.join(sorted(formers))}"]
        return Foreseen(question, True, then, [], candidates)
    then = ["nobody takes over: the cluster is out of service until then"]
    why = formation.stranded(record)
    return Foreseen(question, False, then, [why] if why else [], candidates)


def _lose_vice(
    scene: Scene, record: Mastership, question: str, everybody: dict[str, rulings.ViceCandidate]
) -> Foreseen:
    assert record.vice is not None
    master, vice = record.master.node, record.vice.node
    view = rulings.DropView(vice, True, True, True, "", False, "", -scene.lease_ns, on_time=True, linked=True)
    proven = rulings.drop(view)
    silent = rulings.drop(replace(view, dead=False, overdue_ns=0))
    then = []
    if isinstance(proven, rulings.Drop):
        then.append(
            f"if its processes die, its guardian says so, and {master} takes it out of the record at once"
        )
    if isinstance(silent, rulings.Drop):
        then.append(
            f"if its machine or all its links are lost, {master} answers nobody after its lease of "
            f"{ms(scene.lease_ns)} until {vice} is out of the record; then it goes on alone"
        )
    then += _next_vice(scene, everybody, {master, vice}, None)
    return Foreseen(question, True, then, [], {})


def _next_vice(
    scene: Scene,
    everybody: dict[str, rulings.ViceCandidate],
    but: set[str],
    record: Mastership | None,
) -> list[str]:
    """Who would be appointed vice, and of each other node why not. record: nobody is needed while it has a vice."""
    if record is not None and record.vice is not None:
        return []
    view = rulings.AppointView(scene.silence_ns, tuple(c for n, c in everybody.items() if n not in but))
    verdict = rulings.appoint(view)
    if isinstance(verdict, rulings.Appoint):
        return [f"{verdict.node} is appointed vice then"]
    why = [f"{c.node}: {'; '.join(rulings.against(c, scene.silence_ns))}" for c in view.candidates]
    return [f"nobody can be appointed vice then ({', '.join(why) or 'there is no other node'})"]
