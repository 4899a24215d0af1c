"""Replication's rules: which entries may be shipped, acknowledged, and what their replies must wait for.

PacificA (Lin et al., 2008): the configuration (term, appointment) is decided elsewhere; the data goes
straight from the primary to the secondary, and a reply leaves only when both have it. An *entry* is
identified by (term, sequence): sequences are 1, 2, ... without a gap, terms ascend; the same sequence under
another term is another content. A *run* (term, first, last) says which sequences one term wrote; the runs of
a journal describe it whole and are never forgotten, even where a snapshot has replaced the entries. An
*appointment* is the ledger revision that appointed the vice (0: no vice is named).

What must never happen, and what prevents it here:

- a reply leaves before the vice that could claim has it: `Release` counts only acknowledgements of this term
  and this appointment, of entries that were sent in it, and *lowers* what it released when a joiner begins to
  be waited for;
- a joiner is called ready before every reply waits for it: `Joined` follows the hold, and needs an
  acknowledgement of everything up to the position at which the hold began;
- an entry survives on a joiner in place of another one: its runs are compared with the primary's and cut at
  the first (term, sequence) that differs, before anything is acknowledged;
- a master alone (or with a vice that is not settled as ready) replies without a sync, even with `memory`
  durability.

A *batch* is what one turn of the primary's loop appended: consecutive entries of one term, journaled and
shipped whole, never split. Its payload is opaque here. Effects are to be obeyed in the order of the list.
`Primary` and `Secondary` never raise on what a peer says; they assert what their own driver promises.
"""

from __future__ import annotations

from collections import deque

from primacy.machines.history import Batch, Run, common_prefix, cut, extend, last_of
from primacy.machines.mirror_effects import (
    Acknowledge,
    Apply,
    Cut,
    Fail,
    Join,
    Joined,
    Journal,
    Load,
    PrimaryEffect,
    Quiesced,
    Release,
    Restore,
    SecondaryEffect,
    SendLog,
    SendSnapshot,
    Ship,
    Stalled,
)  # fmt: skip

HOLD_LAG = 4_096
"""A joiner that lags by at most so many entries is sent the rest at once, and all replies wait for it."""

DISK, MEMORY = "disk", "memory"


class Primary:
    """The primary of one term. `committed`: the position up to which replies may leave (the last `Release`).

    runs: the log as it is at the start, all of it applied, all of older terms: a term has one primary process
    (a second one could number other entries like those that the first had shipped and not yet synced).
    synced: how much of it is known to be on disk; kept: the entries up to here can no longer be sent as log.
    appointment: the vice that the record names as ready from the start (after a switchover), or 0.
    """

    def __init__(
        self,
        term: int,
        runs: list[Run],
        *,
        durability: str,
        synced: int,
        kept: int = 0,
        appointment: int = 0,
        mirror_timeout_ns: int = 2_000_000_000,
    ) -> None:
        last_term, sequence = last_of(runs)
        assert last_term < term, f"a log of term {last_term} in term {term}: a restart needs a new term"
        assert durability in (DISK, MEMORY), durability
        self.term = term
        self.runs = list(runs)
        self.sequence = sequence
        self.kept = kept
        self.appointment = appointment
        self.acknowledged_upto = -1  # in this appointment; -1: it has not acknowledged anything yet
        self.live = False  # everything is shipped as it is appended
        self.held = appointment != 0  # every reply waits for the vice
        self.is_ready = appointment != 0  # the record names it as ready (settled)
        self.committed = 0
        self.synced_upto = min(synced, sequence)
        self._disk = durability == DISK
        self._mirror_timeout_ns = mirror_timeout_ns
        self._sent = -1  # handed to the stream in this appointment; -1: not joined
        self._hold_position = 0
        self._said_joined = self.is_ready
        self._opening = False
        self._sending = False  # one SendLog or SendSnapshot is being obeyed
        self._quiescing = self._handing_over = False
        self._said_stalled = False
        self._marks: deque[tuple[int, int]] = deque()  # (sequence, when it was seen waiting)
        self._settle([])

    # ---- the data path: once per batch ----

    def append(self, batch: Batch) -> list[PrimaryEffect]:
        """Take a batch that the driver numbered and applied: journal it and ship it to who follows."""
        assert batch.term == self.term, (batch.term, self.term)
        extend(self.runs, batch.term, batch.first, batch.last)
        self.sequence = batch.last
        if not self.live:
            return [Journal(batch)]
        self._sent = batch.last
        return [Journal(batch), Ship(self.term, self.appointment, batch)]

    def synced(self, upto: int) -> list[PrimaryEffect]:
        """The journal is on disk up to `upto`."""
        if upto <= self.synced_upto:
            return []
        assert upto <= self.sequence, (upto, self.sequence)
        self.synced_upto = upto
        return self._settle([])

    def acknowledged(self, term: int, appointment: int, upto: int) -> list[PrimaryEffect]:
        """The secondary has everything up to `upto`; counts only in this term and this appointment."""
        if term != self.term or appointment != self.appointment or not appointment:
            return []
        if not self.acknowledged_upto < upto <= self._sent:
            return []  # repeated, or of something that was never sent to it in this appointment
        self.acknowledged_upto = upto
        return self._settle(self._send_on())

    # ---- appointments ----

    def appoint(self, appointment: int) -> list[PrimaryEffect]:
        """The record names another vice, not ready (settled): expect its join; nothing waits for it yet."""
        if appointment <= self.appointment:
            return []
        self._forget_vice(appointment)
        return self._settle([])

    def alone(self) -> list[PrimaryEffect]:
        """The record names no vice (settled): replies wait for the sync here, and for nothing else."""
        self._forget_vice(0)
        return self._settle([])

    def ready(self, appointment: int) -> list[PrimaryEffect]:
        """The record names this appointment's vice as ready (settled)."""
        if appointment != self.appointment or not self.held:
            return []
        self.is_ready = True
        return self._settle([])

    def join(self, term: int, appointment: int, runs: list[Run], kept: int) -> list[PrimaryEffect]:
        """A joiner shows its log (again, when its stream was lost): send it what it lacks.

        What the hold demands stays. A joiner that comes back with less than it had acknowledged is not taken.
        """
        if term != self.term or appointment != self.appointment or not appointment:
            return []
        common = common_prefix(self.runs, runs)
        if common < self.acknowledged_upto:
            return [Stalled(self.term, appointment, "the vice lost entries that it had acknowledged")]
        self.live = self._sending = False
        self._opening = True
        self._sent = common if common >= kept else -1
        return self._settle(self._send_on(must=True))

    def sent(self, appointment: int, upto: int) -> list[PrimaryEffect]:
        """Log (or a snapshot) up to `upto` was handed to the stream, as `SendLog` or `SendSnapshot` asked."""
        if appointment != self.appointment or not self._sending:
            return []
        self._sending = self._opening = False
        self._sent = upto
        return self._settle(self._send_on())

    def lost(self) -> list[PrimaryEffect]:
        """The mirror stream ended: ship nothing until the joiner comes back by `join`; what waits, waits."""
        self.live = self._sending = False
        self._sent = -1
        return []

    def pruned(self, kept: int) -> list[PrimaryEffect]:
        """Entries up to `kept` are in a snapshot now and can no longer be sent as log."""
        self.kept = max(self.kept, kept)
        return []

    # ---- hand-over and time ----

    def quiesce(self, handing_over: bool = False) -> list[PrimaryEffect]:
        """The driver appends nothing from now on; say `Quiesced` when everything is released."""
        self._quiescing, self._handing_over = True, handing_over
        return self._settle([])

    def resume(self) -> list[PrimaryEffect]:
        """The hand-over was undone."""
        self._quiescing = False
        return []

    def tick(self, now_ns: int) -> list[PrimaryEffect]:
        """Notice a vice that lets something wait for `mirror_timeout_ns`; call it ten times as often."""
        marks = self._marks
        if not self.held or self.acknowledged_upto >= self.sequence:
            marks.clear()
            self._said_stalled = False
            return []
        while marks and marks[0][0] <= self.acknowledged_upto:
            marks.popleft()
            self._said_stalled = False
        if not marks or marks[-1][0] < self.sequence:
            marks.append((self.sequence, now_ns))
        if now_ns - marks[0][1] < self._mirror_timeout_ns or self._said_stalled:
            return []
        self._said_stalled = True
        return [Stalled(self.term, self.appointment, "a reply has waited too long for the vice")]

    # ---- inside ----

    def _forget_vice(self, appointment: int) -> None:
        self.appointment = appointment
        self.acknowledged_upto = self._sent = -1
        self.live = self.held = self.is_ready = False
        self._said_joined = self._said_stalled = self._sending = self._opening = False
        self._marks.clear()

    def _send_on(self, must: bool = False) -> list[PrimaryEffect]:
        """Send the joiner its next chunk once it acknowledged the last; near the end, hold and go live.

        must: it has just joined: answer it in any case. It is not waited for before its first acknowledgement
        (it may have to load its state first), unless everything waits for it already.
        """
        if self.live or self._sending or (self._sent < 0 and not must):
            return []
        if self._sent < self.kept:
            self._sending = True
            return [SendSnapshot(self.term, self.appointment)]
        if not self._opening and self.acknowledged_upto < self._sent:
            return []
        after, opening = self._sent, self._opening
        whole = self.sequence - after <= HOLD_LAG and (self.held or not opening)
        if whole:
            self.live, self._opening, self._sent = True, False, self.sequence
            if not self.held:
                self.held, self._hold_position = True, self.sequence
        else:
            self._sending = True
        return [SendLog(self.term, self.appointment, after, opening, whole)]

    def _settle(self, effects: list[PrimaryEffect]) -> list[PrimaryEffect]:
        """Append what follows from the present positions: `Release`, then `Joined`, then `Quiesced`."""
        committed = self.sequence
        if self.held:
            committed = min(committed, max(self.acknowledged_upto, 0))
        if self._disk or not self.is_ready:
            committed = min(committed, self.synced_upto)
        if committed != self.committed:
            self.committed = committed
            effects.append(Release(committed))
        if self.held and not self._said_joined and self.acknowledged_upto >= self._hold_position:
            self._said_joined = True
            effects.append(Joined(self.term, self.appointment, self.acknowledged_upto))
        if self._quiescing and committed == self.sequence:
            self._quiescing = False
            effects.append(Quiesced(self.term, self.sequence, self._handing_over))
        return effects


class Secondary:
    """A secondary of one appointment: journals and applies what its primary ships, and acknowledges it.

    runs: its own log; kept: the position of its snapshot, below which it cannot cut. loaded: its state is
    applied up to the end of its log already (it was the primary until a switchover, or its stream was lost
    meanwhile); a fresh joiner applies nothing before it knows what it must cut.
    """

    def __init__(
        self,
        term: int,
        appointment: int,
        runs: list[Run],
        *,
        kept: int = 0,
        loaded: bool = False,
        journaled: int | None = None,
    ) -> None:
        assert last_of(runs)[0] <= term, (runs[-1:], term)
        self.term = term
        self.appointment = appointment
        self.runs = list(runs)
        self.sequence = last_of(runs)[1]
        self.kept = kept
        self.loaded = loaded
        self.journaled_upto = self.sequence if journaled is None else min(journaled, self.sequence)
        self._following = False

    def join(self) -> list[SecondaryEffect]:
        """A stream to the primary is up (again): show it this log."""
        self._following = False
        return [Join(self.term, self.appointment, list(self.runs), self.kept)]

    def follow(self, term: int, appointment: int, after: int) -> list[SecondaryEffect]:
        """The primary compared the logs: they agree up to `after`, and its log goes on behind it.

        Each `Join` is answered once, on its own stream, and only the present stream is heard: so this is the answer to
        the last one, and fits, unless a snapshot that was taken here meanwhile reaches further.
        """
        if not self._is_mine(term, appointment):
            return []
        if after > self.sequence or after < self.kept:
            return self.join()  # an answer to another question
        effects: list[SecondaryEffect] = []
        if after < self.sequence:
            if self.loaded:
                return [
                    Fail(f"the primary's log differs after entry {after}; {self.sequence} are applied here")
                ]
            self.runs = cut(self.runs, after)
            self.sequence = after
            self.journaled_upto = min(self.journaled_upto, after)
            effects.append(Cut(after))
        if not self.loaded:
            self.loaded = True
            effects.append(Load(after))
        self._following = True
        effects.append(Acknowledge(term, appointment, self.journaled_upto))
        return effects

    def restore(self, term: int, appointment: int, sequence: int, runs: list[Run]) -> list[SecondaryEffect]:
        """A snapshot of the primary is here, complete and checked: it replaces everything."""
        if not self._is_mine(term, appointment) or last_of(runs)[1] != sequence:
            return []
        if self._following and sequence <= self.sequence:  # sent twice: what was acknowledged since stays
            return [Acknowledge(term, appointment, self.journaled_upto)]
        self.runs = list(runs)
        self.sequence = self.kept = self.journaled_upto = sequence
        self.loaded = self._following = True
        return [Restore(sequence, list(runs)), Acknowledge(term, appointment, sequence)]

    def append(self, term: int, appointment: int, batch: Batch) -> list[SecondaryEffect]:
        """Take a batch that the primary of `term` shipped; its own term may be older (catch-up).

        An older term's or another appointment's is refused; after a gap the joiner shows its log again.
        """
        if not self._is_mine(term, appointment) or not self._following or batch.last <= self.sequence:
            return []
        if batch.first != self.sequence + 1 or batch.term < last_of(self.runs)[0] or batch.term > term:
            return self.join()
        extend(self.runs, batch.term, batch.first, batch.last)
        self.sequence = batch.last
        return [Journal(batch), Apply(batch)]

    def journaled(self, upto: int) -> list[SecondaryEffect]:
        """The journal keeps everything up to `upto`: synced with `disk` durability, written with `memory`."""
        if upto <= self.journaled_upto:
            return []
        self.journaled_upto = min(upto, self.sequence)
        return self.again()

    def again(self) -> list[SecondaryEffect]:
        """Say once more how far the journal is: a word that the page withheld, or that came too soon, is not lost."""
        if not self._following:
            return []
        return [Acknowledge(self.term, self.appointment, self.journaled_upto)]

    def pruned(self, kept: int) -> None:
        """Entries up to `kept` are in a snapshot of this secondary now: it cannot cut below."""
        self.kept = max(self.kept, kept)

    def _is_mine(self, term: int, appointment: int) -> bool:
        return term == self.term and appointment == self.appointment
