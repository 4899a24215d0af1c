"""Every decision that is acted on, kept as an event with the rule's name and the rule's exact inputs.

`RULES` names each rule once: the type of its view and the pure function that decides. The machines note what they do
(`Decisions`), never what they look at and leave: nothing is built, encoded or published at a beat. `again` takes kept
inputs and asks the same function: the same verdict, or a difference that says that another version decided.  Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from primacy.machines import formation, last_resort, preconditions, rulings, rungs
from primacy.machines.events import Event
from primacy.machines.events_decision import Decided

Verdict = Any
TOLD_MAX = 64


class Rule(NamedTuple):
    """view: the type of its inputs. decide: the function. words: a sentence's beginning for each kind of verdict."""

    view: type[msgspec.Struct]
    decide: Callable[[Any], Verdict]
    words: dict[str, str]


RULES: dict[str, Rule] = {
    "claim": Rule(
        rulings.ClaimView,
        rulings.claim,
        {"Claim": "to claim mastership", "Hold": "not to claim mastership"},
    ),
    "form": Rule(
        formation.View, formation.decide, {"Form": "to form the cluster", "Wait": "to wait in formation"}
    ),
    "drop": Rule(
        rulings.DropView,
        rulings.drop,
        {"Drop": "to take its vice out of the record", "Keep": "to keep its vice"},
    ),
    "ready": Rule(
        rulings.ReadyView,
        rulings.ready,
        {"MakeReady": "to make its vice ready", "NotYet": "not to make its vice ready yet"},
    ),
    "appoint": Rule(
        rulings.AppointView, rulings.appoint, {"Appoint": "to appoint a vice", "Nobody": "to appoint nobody"}
    ),
    "rescue": Rule(
        rulings.RescueView,
        rulings.rescue,
        {
            "HandOver": "to hand over to its vice at once",
            "GoOn": "to go on itself in a new term",
            "EndLife": "to end this life of the node",
            "TryAgain": "to try again",
            "Stay": "to wait for the end of maintenance",
        },
    ),
    "force": Rule(
        last_resort.View,
        last_resort.decide,
        {"Force": "to take mastership by force", "Refuse": "not to use force"},
    ),
    "recover": Rule(rungs.View, rungs.decide, {"Step": "how to recover a server"}),
    "request": Rule(
        preconditions.Request,
        preconditions.judge,
        {"Permit": "to permit", "Refuse": "to refuse"},
    ),
}


class Decisions:
    """Notes the decisions of one machine. publish: takes the event."""

    def __init__(self, node: str, publish: Callable[[Event], None]) -> None:
        self._node = node
        self._publish = publish
        self._mark: object = None
        self._told: set[tuple[str, Verdict]] = set()

    def note(self, rule: str, term: int, mark: object, view: msgspec.Struct, verdict: Verdict) -> None:
        """A verdict is acted on. Trying the same again is no new decision as long as `mark` is the same."""
        if mark != self._mark or len(self._told) >= TOLD_MAX:
            self._mark, self._told = mark, set()
        if (rule, verdict) not in self._told:
            self._told.add((rule, verdict))
            self._publish(decided(rule, term, self._node, view, verdict))


def decided(rule: str, term: int, node: str, view: msgspec.Struct, verdict: Verdict) -> Decided:
    """Return the event of a decision: plain values only, in an order that does not depend on hashes."""
    result = msgspec.to_builtins(verdict, order="deterministic")
    return Decided(
        term=term,
        node=node,
        rule=rule,
        decision=in_words(rule, result),
        inputs=msgspec.to_builtins(view, order="deterministic"),
        result=result,
    )


def in_words(rule: str, result: Mapping[str, Any]) -> str:
    """Return a verdict as the end of a sentence that begins with `it decided`."""
    what = RULES[rule].words[result["type"]]
    why = result.get("cause") or result.get("reason") or ""
    return f"{what}: {why}" if why else what


class Replayed(msgspec.Struct, frozen=True):
    """A kept decision, taken again. then, now: the verdict that was kept and the one of today; now is None, and
    `problem` says why, when this version cannot take it at all."""

    rule: str
    node: str
    term: int
    same: bool
    then: dict[str, Any]
    now: dict[str, Any] | None = None
    problem: str = ""

    def sentence(self) -> str:
        """Return the comparison in words."""
        who = f"{self.node}, term {self.term}, rule `{self.rule}`"
        if self.problem:
            return f"{who}: cannot be decided again: {self.problem}"
        if self.same:
            return f"{who}: decides the same again, {in_words(self.rule, self.then)}"
        assert self.now is not None
        then = msgspec.json.encode(self.then, order="deterministic").decode()
        return f"{who}: differs: now it decides {in_words(self.rule, self.now)}; the verdict kept was {then}"


def again(kept: Decided) -> Replayed:
    """Give the kept inputs to the same rule of this version, and compare. Never raises on input."""
    found = RULES.get(kept.rule)
    if found is None:
        return _unable(kept, f"this version has no rule `{kept.rule}`; it has {', '.join(RULES)}")
    expected = {f.encode_name for f in msgspec.structs.fields(found.view)}
    if kept.inputs.keys() != expected:
        other = ", ".join(sorted(kept.inputs.keys() ^ expected))
        return _unable(kept, f"its inputs are those of another version (they differ in {other})")
    try:
        view = msgspec.convert(kept.inputs, found.view)
    except (msgspec.ValidationError, RecursionError) as error:
        return _unable(kept, f"its inputs cannot be read: {error}")
    now = msgspec.to_builtins(found.decide(view), order="deterministic")
    same = _plain(now) == _plain(kept.result)
    return Replayed(kept.rule, kept.node, kept.term, same, kept.result, now)


def _unable(kept: Decided, problem: str) -> Replayed:
    return Replayed(kept.rule, kept.node, kept.term, False, kept.result, None, problem)


def _plain(value: Any) -> bytes:
    """As JSON, so that a tuple and the list that it was read back as are the same."""
    return msgspec.json.encode(value, order="deterministic")
