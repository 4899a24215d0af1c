"""What a kept decision looked at, in sentences: its inputs as an operator reads them, and what the rule made of them.

Takes the inputs as they were kept (plain values), of whatever version: what is missing is left out, nothing is
guessed, and nothing is raised.  Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from primacy.machines import rulings
from primacy.machines.ids import MS

Inputs = Mapping[str, Any]


def account(rule: str, inputs: Inputs) -> list[str]:
    """Return what this decision looked at, a sentence for each thing that mattered."""
    tell = _TELL.get(rule)
    if tell is None:
        return [f"its inputs: {msgspec.json.encode(inputs, order='deterministic').decode()}"]
    try:
        return tell(inputs)
    except (KeyError, TypeError, AttributeError, msgspec.ValidationError):
        return [f"inputs of another version: {msgspec.json.encode(inputs, order='deterministic').decode()}"]


def ms(ns: int | float) -> str:
    """Return a duration as an operator reads it."""
    return f"{ns / MS:.1f} ms"


def _claim(i: Inputs) -> list[str]:
    lines = [
        "the record named this very life of the node as ready vice: it has every acknowledged write"
        if i["ready"]
        else "the record did not name this life of the node as ready vice"
    ]
    if i.get("held"):
        lines.append(f"{i['held']}")
    if i["master_dead"]:
        lines.append(
            f"the guardian of {i['master']} had said that all its processes are dead: that replaces the grace of "
            f"{ms(i['grace_ns'])}"
        )
        lines.append(f"the last beat of {i['master']} was {ms(i['silence_ns'])} old")
    else:
        lines.append(
            f"the last beat of {i['master']} was {ms(i['silence_ns'])} old, and the grace is {ms(i['grace_ns'])} "
            f"(the master is silent after its lease of {ms(i['lease_ns'])})"
        )
        lines.append(
            "the record had been read since that beat"
            if i["record_read"]
            else "the record had not been read since that beat"
        )
        lines.append(
            "this agent itself was scheduled in time" if i["on_time"] else "this agent itself was late"
        )
    return lines


def _form(i: Inputs) -> list[str]:
    record, heard = i["record"], [c["member"]["node"] for c in i["heard"]]
    if record is None:
        lines = ["the ledger held no record: the cluster had never had a master"]
    else:
        vice = record["vice"]
        named = f"{vice['node']} as {'ready' if vice['ready'] else 'not ready'} vice" if vice else "no vice"
        lines = [
            f"the last record named {record['master']['node']} as master of term {record['term']} and {named}"
        ]
        if record.get("stopped") is not None:
            lines.append("it was an orderly stop: any eligible node whose journals are complete may form")
        if record["master"]["incarnation"] in i["dead"]:
            lines.append(f"the guardian of {record['master']['node']} had said that it is dead")
    lines.append(f"heard: {', '.join(sorted(heard))}; eligible: {', '.join(sorted(i['eligible']))}")
    lines.append(f"no master had been heard for {ms(i['waited_ns'])} (window {ms(i['window_ns'])})")
    if i.get("held"):
        lines.append(f"{i['held']}")
    if i["volatile"]:
        lines.append("a service keeps its state in memory only: a restarted node is never in step")
    if i["availability"]:
        lines.append('cold_start = "availability"')
    return lines


def _drop(i: Inputs) -> list[str]:
    vice, overdue_ns = i["vice"], i["overdue_ns"]
    found = [
        (i["dead"], f"the guardian of {vice} had said that all its processes are dead"),
        (not i["eligible"], f"{vice} was no eligible node of the table"),
        (i["leaving"], f"{vice} had said that it leaves in order"),
        (bool(i["unfit"]), f"{vice} did not mirror: {i['unfit']}"),
        (not i["available"], f"{vice} was a spare by its record"),
        (bool(i["kept_back"]), f"{i['kept_back']}"),
    ]
    lines = [line for holds, line in found if holds]
    if overdue_ns >= 0:
        lines.append(f"the lease of {vice} had been over for {ms(overdue_ns)}")
    else:
        lines.append(f"the lease of {vice} was held for another {ms(-overdue_ns)}")
    if not i["linked"]:
        lines.append("every link of this node was down")
    if not i["on_time"]:
        lines.append("this agent itself was late")
    return lines


def _ready(i: Inputs) -> list[str]:
    joined = "had joined every mirror" if i["joined"] else "had not joined every mirror"
    lease = "held its lease" if i["lease_held"] else "held no lease of it"
    return [f"{i['vice']} {joined} in this appointment, and the master {lease}"]


def _appoint(i: Inputs) -> list[str]:
    view = msgspec.convert(i, rulings.AppointView)
    lines = []
    for each in view.candidates:
        reasons = rulings.against(each, view.silence_ns)
        lines.append(f"{each.node} (priority {each.priority}): {'; '.join(reasons) or 'nothing against it'}")
    return lines or ["the table has no other node"]


def _rescue(i: Inputs) -> list[str]:
    lines = [f"{i['lost']}"]
    if i["tried"]:
        lines.append(f"{'the hand-over' if i['tried'] == 'handover' else 'a new term'} could not be written")
    lines.append("the record named a ready vice" if i["ready_vice"] else "there was no ready vice")
    lines.append(
        "all that was acknowledged is on this node's disk"
        if i["on_disk"]
        else "what was acknowledged may be on no disk of this node"
    )
    if i["in_place"]:
        lines.append("the recovery ladder wants this server restarted in place")
    return lines


def _force(i: Inputs) -> list[str]:
    record, lines = i["record"], []
    if record is not None:
        lines.append(f"the record named {record['master']['node']} as master of term {record['term']}")
        if record["master"]["incarnation"] in i["dead"]:
            lines.append(f"the guardian of {record['master']['node']} had said that it is dead")
    if i["assume_dead"]:
        lines.append(f"an operator declared {i['assume_dead']} dead")
    if i["master_silent_ns"] is not None:
        lines.append(f"the master had not been heard for {ms(i['master_silent_ns'])}")
    if i["vice_silent_ns"] is not None:
        lines.append(f"the ready vice had not been heard for {ms(i['vice_silent_ns'])}")
    asked = ", ".join(sorted(w["member"]["node"] for w in i["witnesses"]))
    return [*lines, f"asked just now, and answered: {asked or 'nobody'}"]


def _recover(i: Inputs) -> list[str]:
    limits = i["limits"]
    lines = [
        f"{i['service']} has failed {i['failures']} times here lately; hand-overs for it so far: {i['switchovers']}",
        f"its table allows {limits['restarts']} restarts in place and {limits['switchovers']} hand-overs",
        "its place was primary" if i["primary"] else "its place was not primary",
    ]
    return [*lines, "the callback's policy wants the vice to take over"] if i["escalated"] else lines


def _request(i: Inputs) -> list[str]:
    facts, situation = i["facts"], i["situation"]
    vice = f"{facts['vice']} ({'ready' if facts['vice_ready'] else 'not ready'})" if facts["vice"] else "none"
    lines = [
        f"asked for: {i['function']} {i['node'] or ''}".rstrip(),
        f"term {facts['term']}, master {facts['master'] or 'none'}, vice {vice}, members {', '.join(facts['members'])}",
        "the master held the lease of its vice"
        if facts["lease_held"]
        else "the master held no lease of a vice",
        "the cluster was in service" if situation["serving"] else "the cluster was not in service",
    ]
    lines += [f"{each['id']}: {_rung(each)}, priority {each['priority']}" for each in facts["nodes"]]
    if situation["busy"]:
        lines.append(situation["busy"])
    if facts["swap_open"]:
        lines.append("a change of the record was under way")
    return lines


def _rung(node: Inputs) -> str:
    if not node["eligible"]:
        return "ineligible"
    return "available" if node["available"] else "a spare"


_TELL: dict[str, Callable[[Inputs], list[str]]] = {
    "claim": _claim,
    "form": _form,
    "drop": _drop,
    "ready": _ready,
    "appoint": _appoint,
    "rescue": _rescue,
    "request": _request,
    "force": _force,
    "recover": _recover,
}
