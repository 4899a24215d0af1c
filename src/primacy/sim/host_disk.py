"""What a simulated host does with its journal: opens it, makes the state from it, and says what it may not become.

In the place of a journal that is damaged or was deleted there is a new one, which can only join a primary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from primacy.machines import host_wire
from primacy.machines.history import last_of

if TYPE_CHECKING:
    from primacy.sim.host import Host


def open_journal(host: Host) -> None:
    """Open it; DiskError when that cannot be done now."""
    note = host.writer.journal.open()
    if note:
        host.tell(host_wire.Note(note, "this server joins from its peer"))


def may_lead(host: Host, term: int) -> bool:
    """Say whether this process can be primary of a term with its journal; if not, it ends."""
    last_term, _ = last_of(host.writer.runs)
    if host.incomplete:
        host.fail("incomplete", "the journal is not complete: this server can only join a primary")
    elif last_term >= term:
        host.fail("term", f"the journal has entries of term {last_term}; assigned is {term}")
    return host.alive


def load(host: Host, upto: int | None) -> None:
    """Bring the state to `upto` (None: the end) of this process's own log; DamagedJournal when it cannot be made."""
    journal, replica = host.writer.journal, host.replica
    if replica.sequence < journal.snapshot.sequence:
        state = journal.state()
        if journal.snapshot.sequence:
            replica.restore(state)
            host.observer.applied(host, None)
    for batch in host.writer.batches:
        if replica.sequence < batch.first and (upto is None or batch.last <= upto):
            replica.apply(batch.term, batch.first, batch.last, batch.payload)
            host.observer.applied(host, batch)
