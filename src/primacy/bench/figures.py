"""Figures: order statistics, outages, and results in the form that `--json` prints.  Pure."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

NS_PER_MS = 1e6


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` (0 to 1) of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median(values: Sequence[float]) -> float:
    """Return the middle value, or the mean of the two in the middle."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def spread(values: Sequence[float], digits: int = 2) -> dict[str, float]:
    """Return {min, median, p99, max}; of no values, nothing."""
    if not values:
        return {}
    found = {"min": min(values), "median": median(values), "p99": percentile(values, 0.99)}
    return {name: round(value, digits) for name, value in (*found.items(), ("max", max(values)))}


def outage_ns(acknowledged_ns: Sequence[int], fault_ns: int, until_ns: int) -> int:
    """Return the longest time between two acknowledgements that follow each other, around a fault.

    Looked at is every such pair of which the second came after the fault and at `until_ns` or before; a pair
    that is still open at `until_ns` counts as long as it lasted until then.
    """
    first = max(1, bisect_right(acknowledged_ns, fault_ns))
    last = bisect_right(acknowledged_ns, until_ns)
    gaps = [acknowledged_ns[i] - acknowledged_ns[i - 1] for i in range(first, last)]
    open_since = acknowledged_ns[last - 1] if last else fault_ns
    return max([*gaps, until_ns - open_since])


@dataclass(frozen=True)
class Outages:
    """The result of a measurement of outages."""

    how: str
    profile: str
    durability: str
    outages_ms: list[float]
    acknowledged: int
    lost: int
    doubled: int

    def plain(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {
            "how": self.how,
            "profile": self.profile,
            "durability": self.durability,
            "runs": len(self.outages_ms),
            "outage_ms": spread(self.outages_ms),
            "acknowledged": self.acknowledged,
            "lost": self.lost,
            "doubled": self.doubled,
        }

    def sentence(self) -> str:
        """Return it as an operator reads it."""
        found = spread(self.outages_ms)
        return (
            f"{self.how} ({self.profile}, {self.durability}), {len(self.outages_ms)} runs: outage median "
            f"{found['median']:.1f} ms, p99 {found['p99']:.1f} ms, max {found['max']:.1f} ms; "
            f"{self.acknowledged} writes acknowledged, {self.lost} lost, {self.doubled} doubled"
        )


@dataclass(frozen=True)
class Throughput:
    """The result of a measurement of throughput."""

    in_flight: int
    profile: str
    durability: str
    seconds: float
    latencies_ms: list[float]
    fdatasync_ms: float
    fdatasync_count: int | None
    acknowledged: int
    lost: int
    doubled: int

    @property
    def acknowledged_per_s(self) -> float:
        """Writes acknowledged in the measured time, per second."""
        return len(self.latencies_ms) / self.seconds

    def plain(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {
            "inflight": self.in_flight,
            "profile": self.profile,
            "durability": self.durability,
            "seconds": round(self.seconds, 2),
            "acknowledged_per_s": round(self.acknowledged_per_s, 1),
            "latency_ms": spread(self.latencies_ms, 3),
            "fdatasync_ms": round(self.fdatasync_ms, 4),
            "fdatasync_count": self.fdatasync_count,
            "acknowledged": self.acknowledged,
            "lost": self.lost,
            "doubled": self.doubled,
        }

    def sentence(self) -> str:
        """Return it as an operator reads it."""
        found = spread(self.latencies_ms, 3)
        return (
            f"{self.in_flight} in flight ({self.durability}): {self.acknowledged_per_s:,.0f} acknowledged "
            f"writes/s, latency median {found['median']:.2f} ms, p99 {found['p99']:.2f} ms, max "
            f"{found['max']:.2f} ms; one fdatasync takes {self.fdatasync_ms:.3f} ms here; "
            f"{self.lost} lost, {self.doubled} doubled"
        )
