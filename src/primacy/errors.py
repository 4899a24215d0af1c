"""Every error that Primacy raises on purpose: the world failed, or the input is wrong.

    PrimacyError
     ├─ ConfigError          a table, a boot parameter, a key file: (path, got, want); nothing was changed
     ├─ LedgerError
     │   ├─ Conflict         somebody else changed the key: nothing was written
     │   ├─ Unavailable      the ledger does not answer: nothing was written
     │   ├─ Uncertain        the swap may have been written, or may still be
     │   └─ Compacted        a watch asked for revisions that are gone: read again
     ├─ JournalError         a log or a snapshot that this code cannot use
     │   ├─ DiskError        a journal cannot be written or read now (a full disk, for example); it is left as it is
     │   └─ DamagedJournal   what is on the disk is foreign or corrupt, for good; it is kept aside
     ├─ WireError            bytes from a peer that no decoder takes; they were counted and dropped
     ├─ StreamClosed         the peer or this side ended the stream
     └─ CallError            what a client's call can end in
         ├─ Refused          all the reasons why a function cannot be done now; nothing was done
         ├─ NoPrimary        no primary is known, and the deadline has come; nothing was sent
         ├─ Busy             a limit is reached (held calls, outstanding calls, sessions); nothing was done
         ├─ SessionExpired   the session ended after ten minutes of silence; the call was not executed
         ├─ Deadline         no answer in time; `maybe_applied` says whether it may have been executed
         └─ OperationFailed  the operation itself raised, on every replica alike: (kind, message)
             └─ NamingError        what the naming service says no to
                 ├─ InvalidName    a name, endpoint, attribute or lifetime that it does not take
                 ├─ NameExists     the name is bound already; nothing was changed
                 └─ NameNotFound   the name is not bound

Expected events of the protocol are values, never exceptions; our own bugs are `assert`. Each message says what
failed, on which object, and what to do next.
"""

from __future__ import annotations


class PrimacyError(Exception):
    """Base of all errors below; catch an exact type where something can be done about it."""


class ConfigError(PrimacyError):
    """A configured value is wrong: `path` (where), `got` (what stands there), `want` (what may stand there)."""

    def __init__(self, path: str, got: str, want: str) -> None:
        super().__init__(f"{path}: got {got}; {want}")
        self.path, self.got, self.want = path, got, want


class LedgerError(PrimacyError):
    """Base of the ledger's four errors."""


class Conflict(LedgerError):
    """The key's revision is not the expected one; nothing was written."""


class Unavailable(LedgerError):
    """The ledger does not answer or is not the one that was opened; nothing was written."""


class Uncertain(LedgerError):
    """The swap may have been written, or may still be; repeat the very same swap until it is settled."""


class Compacted(LedgerError):
    """The revisions after which a watch was asked for are no longer kept; read the prefix again."""


class JournalError(PrimacyError):
    """A log or a snapshot cannot be used; what is on the disk is left as it is."""


class DiskError(JournalError):
    """A journal cannot be written or read now; what is on the disk is left as it is, and may be whole."""


class DamagedJournal(JournalError):
    """A journal, or its snapshot, is foreign or corrupt, and stays so; the file is kept aside and never altered."""


class WireError(PrimacyError):
    """Bytes from a peer that no decoder takes."""


class StreamClosed(PrimacyError):
    """The stream has ended; frames that were not acknowledged may not have arrived."""


class CallError(PrimacyError):
    """Base of what a client's call can end in."""


class Refused(CallError):
    """A function cannot be done now; `reasons` holds every reason, not only the first. Nothing was done."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


class NoPrimary(CallError):
    """No primary of the service is known and the deadline has come; nothing was sent."""


class Busy(CallError):
    """A limit is reached; nothing was done. Try again later."""


class SessionExpired(CallError):
    """The client's session ended after its time of silence; the call was not executed."""


class Deadline(CallError):
    """No answer before the deadline; `maybe_applied` says whether the call may have been executed."""

    def __init__(self, message: str, maybe_applied: bool) -> None:
        super().__init__(message)
        self.maybe_applied = maybe_applied


class OperationFailed(CallError):
    """The operation itself raised, identically on every replica: `kind` (exception's name) and `message`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind, self.message = kind, message


class NamingError(OperationFailed):
    """Base of what the naming service refuses; raised by the service, and again at the caller. Nothing was changed."""

    def __init__(self, message: str) -> None:
        super().__init__(type(self).__name__, message)

    def __str__(self) -> str:
        return self.message


class InvalidName(NamingError):
    """A name, endpoint, attribute or lifetime breaks a rule; the message tells which."""


class NameExists(NamingError):
    """The name is bound already."""


class NameNotFound(NamingError):
    """The name is not bound."""
