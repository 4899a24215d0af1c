"""`primacy explain` and `primacy what-if`: why it happened, and what would happen."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import msgspec

from primacy.cli import common
from primacy.cli.common import deadline_option, directory_option, json_option, print_json, say
from primacy.cli.event_source import EventSource
from primacy.errors import ConfigError, PrimacyError
from primacy.machines import deciding, explaining
from primacy.machines.events_decision import Decided
from primacy.machines.explaining import Explanation
from primacy.machines.timeline import Event

STATUS_S = 2.0
EVENTS_S = 5.0
FILE_BYTES_MAX = 64 << 20
_EVENT = re.compile(r"(?P<node>[\w.-]+):(?P<number>\d{1,15})", re.ASCII)


@click.command()
@click.argument("which", metavar="[TERM|NODE:NUMBER]", required=False)
@click.option(
    "--replay",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Decide again what FILE tells of: what `explain --json` or `events --json` has printed.",
)
@directory_option
@json_option
def explain(which: str | None, replay: str | None, directory: str | None, as_json: bool) -> int:
    """Tell why a node became master: the last time, in a TERM, or the decision behind the event NODE:NUMBER.

    Each decision was kept with its rule and with exactly what it looked at; --replay gives these inputs to the
    same code again and compares. The phases lie between events of one node, so no two clocks are compared.

    \b
    With --json: {term, how, from, to, cause, in_service, sentences, phases: [{phase, ms, what}],
      events: [...]}; for an event: {event, decision, sentences, events}.
    phase: detect, decide, give up, claim, levels, serving, reconnect.
    With --replay --json: {same, decisions: [{node, term, rule, same, then, now, problem}]}

    \b
    Exit codes: 0 done, with --replay: every decision is the same again; 1 with --replay: one differs;
    78 no such term or event, or a file that holds no decision.
    """
    if replay is not None:
        if which is not None:
            raise click.UsageError("--replay takes everything from its FILE: leave TERM or EVENT out")
        return _replay(Path(replay), as_json)
    events = common.run_async(_gather(directory))
    event = _EVENT.fullmatch(which) if which is not None else None
    if event is not None:
        return _explain_event(events, event["node"], int(event["number"]), as_json)
    found = explaining.explain(events, _term(which, events))
    if found is None:
        known = ", ".join(str(term) for term in explaining.terms(events)) or "none"
        raise ConfigError("TERM", repr(which or "the last"), f"no event tells of it (terms told of: {known})")
    now = common.run_async(_waits(directory)) if which is None else []
    if as_json:
        print_json(msgspec.to_builtins(found) | {"waits": now})
    else:
        click.echo("\n".join(_lines(found, now)))
    return common.OK


@click.command("what-if")
@click.argument("question", nargs=-1, required=True)
@directory_option
@deadline_option(5.0)
@json_option
def what_if(question: tuple[str, ...], directory: str | None, deadline_s: float, as_json: bool) -> int:
    """Tell what would happen now, or every reason against it; nothing is changed.

    \b
    primacy what-if lose NODE             who would take over, and who not, and why
    primacy what-if switchover [NODE]     and so promote, demote, qualify, disqualify, remove, shutdown NODE

    The answer comes from the rules and preconditions that would decide, asked about the state of this moment.

    \b
    With --json: {question, possible, then: [...], reasons: [...], candidates: {node: [reasons against]}}

    Exit codes: 0 possible (after a loss: another node would serve); 3 not, with all reasons; 4 no agent answers.
    """
    found = common.run_async(_ask(" ".join(question), directory, deadline_s))
    if as_json:
        print_json(found)
    else:
        click.echo("\n".join(foreseen_lines(found)))
    return common.OK if found["possible"] else common.REFUSED


def foreseen_lines(found: dict[str, Any]) -> list[str]:
    """Return the answer to a question as lines."""
    lines = [f"{found['question']}: {'this would happen' if found['possible'] else 'not possible now'}"]
    lines += [f"  {number}. {line}" for number, line in enumerate(found["then"], 1)]
    lines += [f"  - {reason}" for reason in found["reasons"]]
    takes = "takes over" if found["possible"] else "nothing against it"
    lines += [
        f"  {node}: {'; '.join(reasons) or takes}" for node, reasons in sorted(found["candidates"].items())
    ]
    return lines


def _lines(found: Explanation, waits: list[str]) -> list[str]:
    lines = list(found.sentences)
    if found.phases:
        width = max(len(p.phase) for p in found.phases)
        lines += [f"  {p.phase:<{width}} {p.ms:9.2f} ms  {p.what}" for p in found.phases]
    return lines + [f"Now: {line}" for line in waits]


def _term(which: str | None, events: list[Event]) -> int:
    if which is None:
        return explaining.last_term(events)
    if not (which.isascii() and which.isdecimal() and len(which) <= 15):
        raise ConfigError("TERM or EVENT", repr(which), "want a term (3) or an event of a node (n2:37)")
    return int(which)


def _explain_event(events: list[Event], node: str, number: int, as_json: bool) -> int:
    found = explaining.explain_event(events, node, number)
    if found is None:
        raise ConfigError(
            "EVENT", f"{node}:{number}", "no such event; `primacy events --json` has the numbers"
        )
    event, decision = found
    lines = [f"{event.get('sentence')}."]
    if decision is not None:
        lines += explaining.decision_lines(decision)
    else:
        lines.append("No decision about roles stands behind this event.")
    if as_json:
        kept = [decision] if decision is not None else []
        print_json({"event": event, "decision": decision, "sentences": lines, "events": kept})
    else:
        click.echo("\n".join(lines))
    return common.OK


# ---- deciding again ----


def _replay(path: Path, as_json: bool) -> int:
    kept = decisions_in(path)
    replayed = [deciding.again(each) for each in kept]
    same = all(each.same for each in replayed)
    if as_json:
        print_json({"same": same, "decisions": msgspec.to_builtins(replayed)})
    else:
        click.echo("\n".join(each.sentence() for each in replayed))
        if not same:
            say("not every decision is the same: another version decided, or the file was altered")
    return common.OK if same else common.FAILED


def decisions_in(path: Path) -> list[Decided]:
    """Return every decision that a file tells of: one JSON value with `events`, or one event a line."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError("--replay", str(path), f"cannot be read: {error.strerror}") from error
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError("--replay", str(path), f"want at most {FILE_BYTES_MAX >> 20} MiB")
    events = _events_in(data)
    found = [event for event in map(_decision, events) if event is not None]
    if not found:
        raise ConfigError(
            "--replay", str(path), "want what `primacy explain --json` or `primacy events --json` has printed"
        )
    return found


def _events_in(data: bytes) -> list[Any]:
    try:
        whole = json.loads(data)
    except (ValueError, RecursionError):
        lines = []
        for line in data.splitlines():
            try:
                lines.append(json.loads(line))
            except (ValueError, RecursionError):
                continue  # cut off, or no event
        return lines
    if isinstance(whole, dict) and isinstance(whole.get("events"), list):
        return list(whole["events"])
    return whole if isinstance(whole, list) else [whole]


def _decision(event: Any) -> Decided | None:
    inner = event.get("event") if isinstance(event, dict) else None
    try:
        return msgspec.convert(inner, Decided)
    except (msgspec.ValidationError, RecursionError):
        return None


# ---- asking ----


async def _ask(question: str, directory: str | None, deadline_s: float) -> dict[str, Any]:
    async with common.connected(directory, deadline_s) as cluster:
        found: dict[str, Any] = await cluster.control("what_if", deadline_s=deadline_s, question=question)
        return found


async def _gather(directory: str | None) -> list[Event]:
    """Return the events of all nodes: from their agents, of dead nodes of this machine from their files."""
    async with EventSource(directory, EVENTS_S, say) as source:
        return await source.gather()


async def _waits(directory: str | None) -> list[str]:
    """Return what the cluster waits for now, if it is not in service and an agent tells."""
    try:
        async with common.connected(directory, STATUS_S) as cluster:
            found: dict[str, Any] = await cluster.control("status", deadline_s=STATUS_S)
    except PrimacyError:
        return []  # no agent answers: the events are what there is
    return [] if found.get("in_service") else list(found.get("waits") or [])
