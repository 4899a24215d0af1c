"""An operator's change of the table as the master takes it in: may it begin now, and what is written down of it.

    plan of the change + what is in progress  ->  every reason against, or the intent with all its steps

What is refused here has changed nothing. What is written is carried out by whoever is master (`machines.applying`).
Pure.
"""

from __future__ import annotations

import msgspec

from primacy import config
from primacy.config_plan import Plan
from primacy.machines.applying import OVERTAKEN
from primacy.machines.change_record import TAKES_AWAY, Change
from primacy.machines.records import Operation, brief

ID_LENGTH_MAX = 32


def against_now(
    change: Change | None,
    busy: Operation | None,
    revision: int,
    *,
    made_from: int | None,
    replace: bool,
    progress: str,
) -> list[str]:
    """Return every reason why no change may begin now, whatever it is.

    change, busy: the change and the function in progress. revision: of the table that stands; made_from: the one that
    the operator has seen (None: whatever stands). progress: how far the change in progress is, in words.
    """
    reasons = []
    if made_from is not None and made_from != revision:
        reasons.append(OVERTAKEN.format(wanted=made_from, now=revision))
    if busy is not None and busy.function in ("qualify", *TAKES_AWAY):
        reasons.append(f"{busy.function} {busy.node} is in progress: wait for its end, and apply again")
    if change is not None and not replace:
        reasons.append(f"{change.sentence} is in progress: {progress}; wait for its end, or see --replace")
    return reasons


def intent(id: str, planned: Plan, revision: int, *, reason: str, by: str, now_ms: int) -> Change:
    """Return a change as it begins. now_ms: by the wall clock, for people."""
    table = msgspec.structs.replace(planned.table, change=id)
    return Change(
        id=id,
        reason=brief(reason),
        by=by,
        began_ms=now_ms,
        since_ms=now_ms,
        revision=revision,
        steps=planned.intent,
        table=config.encode(table).decode() if planned.writes else "",
    )
