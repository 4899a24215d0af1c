"""The two clocks of mastership: the master's lease on its vice's silence, and the vice's grace.

PacificA (Lin et al., 2008, 3.2): the grace of a secondary is longer than the lease that its answers gave to the
primary. The lease is counted from the *sending* of the beat that was answered, the grace from its *receipt*, which is
later; so a master whose lease has run out has fallen silent before its vice may claim, as long as the clocks' rates
(never their readings) agree within grace / lease.  Pure; times are nanoseconds of the local boot-time clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from primacy.machines.ids import NEVER_NS


@dataclass(slots=True)
class Lease:
    """The master's side: it may answer only *before* `until_ns`. sent_ns: of the last beat that was answered."""

    lease_ns: int
    until_ns: int = NEVER_NS
    sent_ns: int = NEVER_NS
    _former_ns: int = NEVER_NS
    _since_ns: int = NEVER_NS

    def echoed(self, sent_ns: int) -> None:
        """The vice promised its silence in answer to the beat that was sent at `sent_ns`; late echoes never shorten."""
        lease_ns = self.lease_ns if sent_ns >= self._since_ns else min(self.lease_ns, self._former_ns)
        self.until_ns = max(self.until_ns, sent_ns + lease_ns)
        self.sent_ns = max(self.sent_ns, sent_ns)

    def retimed(self, lease_ns: int, now_ns: int) -> None:
        """Another length: a shorter one from now on, at the latest; a longer one of the beats from now on.

        A promise never counts for longer than its beat has told: the vice has judged by that.
        """
        answered = self.sent_ns >= self._since_ns
        self._former_ns = self.lease_ns if answered else min(self.lease_ns, self._former_ns)
        self.lease_ns, self._since_ns = lease_ns, now_ns
        self.until_ns = min(self.until_ns, now_ns + lease_ns)

    def held(self, now_ns: int) -> bool:
        """Whether the master may answer at this instant."""
        return now_ns < self.until_ns

    def forget(self) -> None:
        """Another vice, or another appointment: earlier promises count for nothing."""
        self.until_ns = self.sent_ns = NEVER_NS


@dataclass(slots=True)
class Grace:
    """The vice's side: it may claim *at or after* `owed_ns` since the last beat that it acknowledged.

    What was promised stands: shorter times count from the next beat on, and end no promise that was made before.
    """

    lease_ns: int
    grace_ns: int
    since_ns: int
    _promised_ns: int = NEVER_NS  # until when

    def begin(self, now_ns: int) -> None:
        """This node has just become vice: nothing was promised to this master yet."""
        self.since_ns, self._promised_ns = now_ns, now_ns + self.grace_ns

    def restart(self, now_ns: int) -> None:
        """A beat was acknowledged just now."""
        self.since_ns, self._promised_ns = now_ns, max(self._promised_ns, now_ns + self.grace_ns)

    def retimed(self, lease_ns: int, grace_ns: int) -> None:
        """Other times: a longer grace counts at once."""
        self.lease_ns, self.grace_ns = lease_ns, grace_ns

    @property
    def owed_ns(self) -> int:
        """How long the silence after the last acknowledged beat must be."""
        return max(self.grace_ns, self._promised_ns - self.since_ns)

    def doubtful(self, now_ns: int) -> bool:
        """Whether a whole lease has passed without a beat: time to read the record."""
        return now_ns - self.since_ns >= self.lease_ns

    def over(self, now_ns: int) -> bool:
        """Whether the vice may claim."""
        return now_ns - self.since_ns >= self.owed_ns
