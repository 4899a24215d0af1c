"""The verb `what_if`: an operator's question about what would happen, answered by the code that would decide.

It reads the monitor and asks preconditions with a dry run; it never changes anything. The master answers, because it
knows of every node whether it could be vice; without a master the node that was asked answers from what it knows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from primacy.agent import status
from primacy.agent.node import Node
from primacy.lease_page import now_ns
from primacy.machines import foresight
from primacy.machines.foresight import Foreseen, Question, Scene
from primacy.machines.rulings import ViceCandidate

QUESTION_LENGTH_MAX = 200
ASK_S_MAX = 2.0

Outcome = tuple[str, Any, list[str]]  # (kind, result, reasons)
DryRun = Callable[[str, dict[str, Any]], Awaitable[Outcome]]


async def what_if(node: Node, dry_run: DryRun, arguments: dict[str, Any]) -> Outcome:
    """Answer a question. dry_run: asks for a function of the cluster, with arguments that say that nothing is done."""
    text = arguments.get("question")
    if not isinstance(text, str) or len(text) > QUESTION_LENGTH_MAX:
        return "refused", None, [f"question: want a text of at most {QUESTION_LENGTH_MAX} characters"]
    question = foresight.parse(text)
    if isinstance(question, str):
        return "refused", None, [question]
    facts = node.facts()
    if node.monitor.role != "master" and facts.master in facts.members:
        try:
            told = await node.peers.ask(facts.master, "what_if", arguments, ASK_S_MAX)
        except TimeoutError:
            pass  # it answers nobody now: this node tells what it knows
        else:
            if told.kind in ("done", "refused"):
                return told.kind, told.result, list(told.reasons)
    if question.node in ("master", "vice"):
        named = facts.master if question.node == "master" else facts.vice
        if not named:
            return "refused", None, [f"there is no {question.node} now"]
        question = Question(question.what, named)
    if question.what == foresight.LOSE:
        found = foresight.lose(scene(node), question.node)
    else:
        found = await _function(node, dry_run, question)
    return "done", msgspec.to_builtins(found), []


def scene(node: Node) -> Scene:
    """Return what this node's monitor knows, as a copy."""
    monitor, times = node.monitor, node.table.times
    peers, record, now = monitor.peers, monitor.record, now_ns()
    view = peers.vice_view(now, times.silence_ns, monitor.dead, monitor.master.why_kept_back())
    own = ViceCandidate(
        node=node.me.node,
        incarnation=node.me.incarnation,
        priority=peers.own.priority,
        eligible=peers.own.eligible,
        available=peers.own.available,
        kept_back=monitor.master.why_kept_back().get(node.me.node, ""),
        able=node.coordinator.servers.all_ready(),
        leaving=False,
        dead=False,
        unheard_ns=0,
    )
    vice = record.vice if record is not None else None
    nodes = tuple(
        # as vice it mirrors; it would be able again as an ordinary member
        msgspec.structs.replace(c, able=True) if vice is not None and c.node == vice.node else c
        for c in view.candidates
    )
    return Scene(
        me=node.me,
        record=record,
        serving=status.in_service(node),
        own=own,
        nodes=nodes,
        lease_ns=times.lease_ns,
        grace_ns=times.grace_ns,
        silence_ns=times.silence_ns,
        volatile=monitor.volatile,
        availability=monitor.availability,
        held=monitor.maintenance.cluster,
    )


async def _function(node: Node, dry_run: DryRun, question: Question) -> Foreseen:
    facts = node.facts()
    arguments = _arguments(question.what, question.node or None)
    kind, _, reasons = await dry_run(question.what, arguments)
    candidates: dict[str, list[str]] = {}
    if question.what == "switchover":
        for each in facts.eligible:
            if each != facts.master:
                _, _, why = await dry_run("switchover", _arguments("switchover", each))
                candidates[each] = list(why)
    then = _then(question, facts.master, facts.vice, facts.term) if kind == "done" else []
    asked = f"{question.what} {question.node}".strip()
    return Foreseen(asked, kind == "done", then, list(reasons), candidates)


def _arguments(function: str, node: str | None) -> dict[str, Any]:
    target = "to" if function == "switchover" else "node"
    return {target: node, "dry_run": True, "reason": ""}


def _then(question: Question, master: str, vice: str, term: int) -> list[str]:
    """What a function would do, in the order in which it does it."""
    node = question.node
    switched = (
        f"{master} hands over in order: {vice} is master of term {term + 1}, and {master} its vice, in step"
    )
    held = "calls are held meanwhile; none is lost, none is done twice"
    match question.what:
        case "switchover":
            return [switched, held]
        case "promote":
            return [f"{node} is available: it may be elected vice; it does not become master by this"]
        case "qualify":
            return [f"{node} is a spare: eligible, and kept back until it is promoted"]
    first = [switched, held] if node == master else []
    if node == vice:
        first = [f"{node} is taken out of the record first; another available node is appointed vice"]
    last = {
        "demote": f"{node} is a spare: it is kept back until it is promoted",
        "disqualify": f"{node} is ineligible: it runs no centralized server",
        "remove": f"{node} is no member any more",
        "shutdown": f"the services of {node} end level by level, its agent last",
    }
    return [*first, last[question.what]]
