"""What the mirror's machines ask of their drivers, as data, to be obeyed in the order of the list.

Before `Cut`, `Load` and `Restore` the driver finishes the writes that are under way, so that what it tells by
`journaled` afterwards is about the entries of this log and not of the one before.
"""

from __future__ import annotations

from msgspec import Struct

from primacy.machines.history import Batch, Run


class Journal(Struct, frozen=True, gc=False):
    """Write the batch to the journal and begin its sync; tell by `synced` / `journaled` when it is done."""

    batch: Batch


class Ship(Struct, frozen=True, gc=False):
    """Send the batch to the secondary of this appointment, after everything sent before."""

    term: int
    appointment: int
    batch: Batch


class SendLog(Struct, frozen=True, gc=False):
    """Send entries after `after`, then call `sent` with the last one sent.

    The first of an appointment's join also tells the joiner to cut its log there (`opening`). whole: send
    *all* entries there are, before anything else happens (live shipping goes on behind them); else one chunk,
    off the hot path.
    """

    term: int
    appointment: int
    after: int
    opening: bool
    whole: bool


class SendSnapshot(Struct, frozen=True, gc=False):
    """Send the newest snapshot in chunks, off the hot path, then call `sent` with its sequence."""

    term: int
    appointment: int


class Release(Struct, frozen=True, gc=False):
    """Replies, reads and published events of positions <= `upto` may leave now, and no others.

    It replaces every earlier `Release` and may be *lower*: what it no longer covers and has not left yet must
    wait. The lease page is read at the moment of leaving, after the result is ready.
    """

    upto: int


class Joined(Struct, frozen=True, gc=False):
    """Every reply waits for this appointment's vice, and it acknowledged all entries up to `sequence`."""

    term: int
    appointment: int
    sequence: int


class Quiesced(Struct, frozen=True, gc=False):
    """All entries are released: once their replies have left, the primary may hand over at `sequence`."""

    term: int
    sequence: int
    handing_over: bool = False


class Stalled(Struct, frozen=True, gc=False):
    """A reply has waited too long for the vice, or the vice lost what it had acknowledged."""

    term: int
    appointment: int
    reason: str


class Join(Struct, frozen=True, gc=False):
    """Secondary to primary: this is my log; `kept`: my snapshot's position, below which I cannot cut."""

    term: int
    appointment: int
    runs: list[Run]
    kept: int


class Cut(Struct, frozen=True, gc=False):
    """Delete the entries after `to` from the journal, durably, before anything else is written to it."""

    to: int


class Load(Struct, frozen=True, gc=False):
    """Bring the state to `upto` from the journal's own snapshot and log (this process has applied nothing
    yet).
    """

    upto: int


class Restore(Struct, frozen=True, gc=False):
    """Replace state and journal by the received snapshot, durably; its history is `runs`."""

    sequence: int
    runs: list[Run]


class Apply(Struct, frozen=True, gc=False):
    """Apply the batch's entries to the state, now."""

    batch: Batch


class Acknowledge(Struct, frozen=True, gc=False):
    """Tell the primary that entries up to `upto` are kept here. Sent only if the lease page, read right
    before, still says `ack_term == term`; else dropped.
    """

    term: int
    appointment: int
    upto: int


class Fail(Struct, frozen=True, gc=False):
    """This process holds a state that cannot be taken back: end it, a new one joins afresh."""

    reason: str


PrimaryEffect = Journal | Ship | SendLog | SendSnapshot | Release | Joined | Quiesced | Stalled
SecondaryEffect = Join | Cut | Load | Restore | Journal | Apply | Acknowledge | Fail
