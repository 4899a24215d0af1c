"""Timing profiles: beat, lease and grace, and what follows from them. Relations are checked when a table is read."""

from __future__ import annotations

from msgspec import Struct

from primacy.errors import ConfigError
from primacy.machines.ids import MS

TIME_MS_MAX = 600_000
DRIFT = 0.05  # clock rates may differ by this much at most: far more than any quartz, less than a broken one


class Timing(Struct, frozen=True, forbid_unknown_fields=True):
    """Times of one cluster, in milliseconds.

    beat_ms: the master's beat to its vice. lease_ms: how long the master may trust the vice's last answer.
    grace_ms: how long the vice waits before it claims; lease * (1 + drift) <= grace. member_ms: the beat to all other
    members. formation_ms: how long a cold start waits for eligible nodes that are not heard.
    """

    beat_ms: float
    lease_ms: float
    grace_ms: float
    member_ms: float = 500
    formation_ms: float = 2000

    def __post_init__(self) -> None:
        if not 1 <= self.beat_ms <= 10_000:
            raise ConfigError("timing.beat_ms", f"{self.beat_ms:g}", "want 1 to 10000")
        for name in ("lease_ms", "grace_ms", "member_ms", "formation_ms"):
            if not getattr(self, name) <= TIME_MS_MAX:  # not a number is no time either
                raise ConfigError(
                    f"timing.{name}", f"{getattr(self, name):g}", f"want at most {TIME_MS_MAX:g}"
                )
        if self.lease_ms < 2 * self.beat_ms:
            raise ConfigError(
                "timing.lease_ms",
                f"{self.lease_ms:g}",
                f"want at least two beats ({2 * self.beat_ms:g}): one lost beat must not end the lease",
            )
        if self.grace_ms < self.lease_ms * (1 + DRIFT):
            raise ConfigError(
                "timing.grace_ms",
                f"{self.grace_ms:g}",
                f"want at least lease_ms * {1 + DRIFT:g} = {self.lease_ms * (1 + DRIFT):g}: "
                "the master must be silent before its vice claims",
            )
        if self.member_ms < self.beat_ms:
            raise ConfigError(
                "timing.member_ms", f"{self.member_ms:g}", f"want at least beat_ms ({self.beat_ms:g})"
            )
        if self.formation_ms < self.grace_ms:
            raise ConfigError(
                "timing.formation_ms", f"{self.formation_ms:g}", f"want at least grace_ms ({self.grace_ms:g})"
            )

    @property
    def beat_ns(self) -> int:
        """Time between two beats to the vice, ns."""
        return int(self.beat_ms * MS)

    @property
    def lease_ns(self) -> int:
        """Length of the lease, ns."""
        return int(self.lease_ms * MS)

    @property
    def grace_ns(self) -> int:
        """Length of the grace, ns."""
        return int(self.grace_ms * MS)

    @property
    def member_ns(self) -> int:
        """Time between two beats to a member that is not vice, ns."""
        return int(self.member_ms * MS)

    @property
    def formation_ns(self) -> int:
        """Length of the formation window, ns."""
        return int(self.formation_ms * MS)

    @property
    def silence_ns(self) -> int:
        """After so long without a word a member counts as absent (never a decision about roles by itself), ns."""
        return 3 * self.member_ns + self.grace_ns


PROFILES: dict[str, Timing] = {
    "carrier": Timing(beat_ms=10, lease_ms=40, grace_ms=50),
    "lan": Timing(beat_ms=50, lease_ms=250, grace_ms=300),
    "wan": Timing(beat_ms=500, lease_ms=2500, grace_ms=3000, member_ms=2000, formation_ms=10_000),
}


def between(old: Timing, new: Timing) -> Timing:
    """Return the timing that lies between two: nodes that have it agree with those that have either.

    The shorter lease and the longer grace: whichever node is master, its lease ends before its vice's grace. So a
    cluster goes from one timing to any other in two steps, and each node may take each step when it likes.
    """
    return Timing(
        beat_ms=min(old.beat_ms, new.beat_ms),
        lease_ms=min(old.lease_ms, new.lease_ms),
        grace_ms=max(old.grace_ms, new.grace_ms),
        member_ms=min(old.member_ms, new.member_ms),
        formation_ms=max(old.formation_ms, new.formation_ms),
    )


def covers(grace_ns: int, lease_ns: int) -> bool:
    """Return whether a vice with this grace may promise its silence to a master with this lease."""
    return grace_ns >= lease_ns * (1 + DRIFT)
