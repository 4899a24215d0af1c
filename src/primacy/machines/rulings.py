"""The decisions about roles, each as a pure function of a frozen view that holds exactly its inputs.

    claim    the vice: may and must it claim mastership now?
    drop     the master: must its vice go?
    ready    the master: may its vice count as in step?
    appoint  the master: who becomes vice?
    rescue   the coordinator: a primary was lost at the master; hand over, go on here, or end this life?

The decision about formation is formation.decide, that about an operator's request preconditions.judge. The machines
build a view, ask here, and act; nothing else decides. So a decision that was kept with its inputs can be
taken again by the very same code (deciding.py), and `what_if` asks it about what has not happened.

A view holds durations, never readings of a clock: it means the same on another day. Pure.
"""

from __future__ import annotations

from msgspec import Struct

# ---- the vice ----


class ClaimView(Struct, frozen=True):
    """What a vice looks at.

    master: who is perhaps lost. ready: the record names this very incarnation as ready vice. master_dead: there is an
    obituary of the recorded master's incarnation. silence_ns: since the last beat that was acknowledged. on_time: this
    agent itself was scheduled in time, so that it may judge others by the clock. record_read: the record was read
    since that beat. held: why nobody claims by itself now; empty when the cluster is not in maintenance.
    """

    master: str
    ready: bool
    master_dead: bool
    silence_ns: int
    lease_ns: int
    grace_ns: int
    on_time: bool
    record_read: bool
    held: str = ""


class Claim(Struct, frozen=True, tag=True):
    """Seal, and claim now; `cause` is the sentence for the record."""

    cause: str


class Hold(Struct, frozen=True, tag=True):
    """Do not claim now. read: what is missing stands perhaps in the record: read it. lost: the master is lost all the
    same, and would be claimed from."""

    reason: str
    read: bool = False
    lost: bool = False


_NOT_READY = Hold("this node is not the ready vice: it may lack acknowledged writes", read=True)


def claim(view: ClaimView) -> Claim | Hold:
    """Return whether the vice claims now. An obituary replaces the grace; nothing replaces `ready`."""
    if view.held and (view.master_dead or (view.silence_ns >= view.grace_ns and view.on_time)):
        lost = "is dead" if view.master_dead else "is not heard"
        over = "no claim until it is over (`primacy maintenance off`)"
        return Hold(f"the master {view.master} {lost}, and {view.held}: {over}", lost=True)
    if view.held:
        return Hold(f"{view.held}: no claim")
    if view.master_dead:
        return Claim(f"the processes of {view.master} are dead") if view.ready else _NOT_READY
    if view.silence_ns < view.lease_ns:
        return Hold("the master's last beat is younger than a lease")
    if not view.on_time:
        return Hold("this agent was not scheduled in time itself: it judges nobody for one beat")
    if not view.record_read:
        return Hold("the record has not been read since the last beat", read=True)
    if view.silence_ns < view.grace_ns:
        return Hold("the grace is not over")
    return Claim(f"no beat of {view.master} for the grace") if view.ready else _NOT_READY


# ---- the master and its vice ----


class DropView(Struct, frozen=True):
    """What a master looks at while it has a vice.

    dead: there is an obituary of the vice's incarnation. eligible, available: so its record has it. kept_back: why a
    function is about to take it down its ladder; empty when none is. leaving: it said that it leaves in order. unfit:
    why its mirrors fail in this appointment; empty when they do not. overdue_ns: how long the lease has been over
    (negative: it is held for so long yet). on_time: as in `ClaimView`. linked: some link of this node carries traffic.
    """

    vice: str
    dead: bool
    eligible: bool
    available: bool
    kept_back: str
    leaving: bool
    unfit: str
    overdue_ns: int
    on_time: bool
    linked: bool


class Drop(Struct, frozen=True, tag=True):
    """Take the vice out of the record; `cause` is the sentence for it. lapsed: only the clock says so."""

    cause: str
    lapsed: bool = False


class Keep(Struct, frozen=True, tag=True):
    """Leave the record as it is. fit: nothing speaks against the vice."""

    reason: str
    fit: bool = True
    lapsed: bool = False


_ANSWERS = Keep("it answers and mirrors")
_LATE = Keep("this agent was not scheduled in time itself: it judges nobody for one beat")


def drop(view: DropView) -> Drop | Keep:
    """Return whether the vice must go. By the clock only when this agent itself was on time, and not when it is this
    node that is cut off: then a ready vice claims, and clients reach that one."""
    cause, lapsed = _why_drop(view)
    if not cause:
        return _ANSWERS if view.overdue_ns < 0 else _LATE
    if not view.linked:
        return Keep("every link of this node is down: it is this node that is cut off", False, lapsed)
    return Drop(cause, lapsed)


def _why_drop(view: DropView) -> tuple[str, bool]:
    if view.dead:
        return f"the processes of {view.vice} are dead", False
    if not view.eligible:
        return f"{view.vice} is no eligible node of the table any more", False
    if not view.available:
        return f"{view.vice} is a spare by its record", False
    if view.kept_back:
        return view.kept_back, False
    if view.leaving:
        return f"{view.vice} leaves in order", False
    if view.unfit:
        return f"{view.vice}: {view.unfit}", False
    if view.overdue_ns >= 0 and view.on_time:
        return f"{view.vice} did not answer for a lease", True
    return "", False


class ReadyView(Struct, frozen=True):
    """What a master looks at while its vice catches up.

    joined: every reply waits for it, and it acknowledged everything up to that moment, in this appointment.
    """

    vice: str
    joined: bool
    lease_held: bool


class MakeReady(Struct, frozen=True, tag=True):
    """Write `ready`: from then on the vice may claim; `cause` is the sentence for the record."""

    cause: str


class NotYet(Struct, frozen=True, tag=True):
    """The vice goes on catching up."""

    reason: str


_CATCHING_UP = NotYet("it has not joined every mirror in this appointment")
_SILENT = NotYet("the master holds no lease of it")


def ready(view: ReadyView) -> MakeReady | NotYet:
    """Return whether the vice counts as in step: joined first, then the lease, then `ready`; in this order only."""
    if not view.joined:
        return _CATCHING_UP
    return MakeReady(f"{view.vice} is in step") if view.lease_held else _SILENT


class ViceCandidate(Struct, frozen=True):
    """A node that might become vice, as the master knows it.

    kept_back: as in `DropView`. able: it said that its servers are initialized. dead: there is an obituary of its
    present incarnation. unheard_ns: since its last message. resting_ns: how long it is not appointed again yet, after
    it was dropped.
    """

    node: str
    incarnation: str
    priority: int
    eligible: bool
    available: bool
    kept_back: str
    able: bool
    leaving: bool
    dead: bool
    unheard_ns: int
    resting_ns: int = 0


class AppointView(Struct, frozen=True):
    """What a master without a vice looks at. silence_ns: after so long without a word a node counts as absent."""

    silence_ns: int
    candidates: tuple[ViceCandidate, ...]


class Appoint(Struct, frozen=True, tag=True):
    """Make this life of this node the vice; it has to catch up."""

    node: str
    incarnation: str
    cause: str


class Nobody(Struct, frozen=True, tag=True):
    """No node may be appointed; `against` says of each why."""


_NOBODY = Nobody()


def appoint(view: AppointView) -> Appoint | Nobody:
    """Return who becomes vice: of those that nothing speaks against the highest priority, then the first id."""
    fit = [c for c in view.candidates if not against(c, view.silence_ns)]
    best = min(fit, key=lambda c: (-c.priority, c.node), default=None)
    if best is None:
        return _NOBODY
    return Appoint(best.node, best.incarnation, f"{best.node} is appointed vice")


def against(candidate: ViceCandidate, silence_ns: int) -> tuple[str, ...]:
    """Return everything that speaks against appointing this node; nothing when it may be appointed."""
    if not candidate.eligible:
        return ("it is not eligible",)
    reasons = []
    if not candidate.available:
        reasons.append("it is a spare, until it is promoted")
    if candidate.kept_back:
        reasons.append(candidate.kept_back)
    if candidate.dead:
        reasons.append("its processes are dead")
    elif candidate.unheard_ns >= silence_ns:
        reasons.append("it is not heard")
    elif not candidate.able:
        reasons.append("its servers are not initialized")
    if candidate.leaving:
        reasons.append("it leaves in order")
    if candidate.resting_ns > 0:
        reasons.append("it was dropped a moment ago")
    return tuple(reasons)


# ---- a primary was lost at the master ----


class RescueView(Struct, frozen=True):
    """What the coordinator of a master looks at when a primary's host has died.

    lost: the sentence for the record. tried: what could not be written the last time: "" | handover | renew. in_place:
    the recovery ladder wants this server restarted where it is. on_disk: all that was acknowledged is on the disk of
    this node. ready_vice: the record names a ready vice. held: why mastership does not move by itself now; empty when
    it may, or when an operator has asked for it since.
    """

    lost: str
    tried: str
    in_place: bool
    on_disk: bool
    ready_vice: bool
    held: str = ""


class HandOver(Struct, frozen=True, tag=True):
    """Make the ready vice master at once; it has everything that was acknowledged."""

    cause: str


class GoOn(Struct, frozen=True, tag=True):
    """Go on here, in a new term and without a vice."""

    cause: str


class EndLife(Struct, frozen=True, tag=True):
    """End this life of the node: what it acknowledged may be nowhere else, and is not guessed."""

    cause: str


class TryAgain(Struct, frozen=True, tag=True):
    """The record could not be changed now; the same again in a moment."""

    reason: str


class Stay(Struct, frozen=True, tag=True):
    """Nothing is done until the maintenance is over, or an operator asks for a switchover."""

    reason: str


def rescue(view: RescueView) -> HandOver | GoOn | EndLife | TryAgain | Stay:
    """Return how service is saved: by the vice if one has the data, else here if the disk has it, else by nobody.

    In maintenance: here or not at all, for then mastership does not move by itself.
    """
    if view.held and view.on_disk:
        return TryAgain("the record could not be changed") if view.tried else GoOn(view.lost)
    if view.held:
        over = "no hand-over until it is over (`primacy maintenance off`) or asked for (`primacy switchover`)"
        return Stay(
            f"{view.lost}, and what it kept in memory is not on the disk of this node; {view.held}: {over}"
        )
    if not view.tried:
        return GoOn(view.lost) if view.in_place and view.on_disk else HandOver(view.lost)
    if view.tried == "handover" and view.on_disk:
        return GoOn(view.lost)
    if view.tried == "handover" and not view.ready_vice:
        return EndLife(f"{view.lost}, and what it kept in memory is nowhere else")
    return TryAgain("the record could not be changed")
