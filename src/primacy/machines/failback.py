"""Going back to the preferred node: with `failback = "when-in-step"` a master hands over, in order, to the ready vice
when that is the node of the highest priority. Never during maintenance, not again at once when it did not succeed, and
not to the very life of a node that handed this mastership over itself: an operator wanted it away from there, or a
server failed there. Once that node was started again, or another node is master, it may go back.  Pure.
"""

from __future__ import annotations

from primacy.machines.coordination import Facts
from primacy.machines.ids import SECOND
from primacy.machines.records import Mastership

SETTLE_NS = 3 * SECOND  # so long the same vice must have been ready: no going back to one that comes and goes
AGAIN_NS = 60 * SECOND  # a failback that did not succeed is tried again after this

MANUAL, WHEN_IN_STEP = "manual", "when-in-step"


def preferred(facts: Facts, maintained: frozenset[str], held: bool) -> str:
    """Return the vice that should be master rather than this node; empty when there is none."""
    if facts.role != "master" or held or not (facts.vice_ready and facts.lease_held) or facts.swap_open:
        return ""
    priorities = {n.id: n.priority for n in facts.nodes if n.eligible}
    highest = max(priorities.values(), default=0)
    if facts.vice in maintained or priorities.get(facts.vice) != highest:
        return ""
    return facts.vice if priorities.get(facts.master, highest) < highest else ""


def gave_up(began: Mastership | None, now: Mastership | None) -> bool:
    """Return whether the vice is the very life of a node that handed this term over. began: its first record."""
    vice = now.vice if now is not None else None
    return began is not None and vice is not None and vice.member == began.by


class Failback:
    """Waits for the moment to go back."""

    def __init__(self) -> None:
        self._since: tuple[int, str, int] = (0, "", 0)  # (term, vice, since when it would be preferred)
        self._not_before_ns = 0

    def due(
        self, facts: Facts, now_ns: int, *, maintained: frozenset[str], held: bool, gave_up: bool = False
    ) -> str:
        """Return the node to switch over to now; empty: none. Ask every second or so."""
        vice = "" if gave_up else preferred(facts, maintained, held)
        if (facts.term, vice) != self._since[:2]:
            self._since = (facts.term, vice, now_ns)
        if not vice or now_ns < self._not_before_ns or now_ns - self._since[2] < SETTLE_NS:
            return ""
        self._not_before_ns = now_ns + AGAIN_NS
        return vice
