"""A status and an event as people read them: plain lines, and tables for a terminal.

Pure: dictionaries in, text or rich renderables out. The plain lines say all that the tables say.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from primacy.cli.activity import activity
from primacy.machines.timeline import Event, term_of

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

ROLE_STYLES = {
    "master": "bold green",
    "vice": "cyan",
    "available": "",
    "spare": "dim",
    "ineligible": "dim",
    "out": "red",
}
STATE_STYLES = {"primary": "green", "secondary": "cyan", "offline": "red"}
EVENT_STYLES = {
    "MasterElected": "bold green",
    "InService": "green",
    "ViceInStep": "cyan",
    "ViceDropped": "yellow",
    "LeaseLapsed": "yellow",
    "ClaimBegan": "yellow",
    "ObituaryHeard": "red",
    "ServerDied": "red",
    "CallbackFailed": "red",
    "RecoveryStep": "yellow",
    "FormationWaits": "yellow",
    "Decided": "dim",
    "MasterForced": "bold red",
    "ClaimHeld": "yellow",
    "MaintenanceBegan": "magenta",
    "MaintenanceEndsSoon": "bold magenta",
    "MaintenanceEnded": "magenta",
}


def headline(status: dict[str, Any]) -> str:
    """Return the cluster in one sentence."""
    state = "in service" if status.get("in_service") else "NOT in service"
    master = f"master {status['master']}" if status.get("master") else "no master"
    vice = f"vice {status['vice']} ({'ready' if status.get('vice_ready') else 'catching up'})"
    return (
        f"cluster {status.get('cluster') or '?'}: {state}, term {status.get('term', 0)}, {master}, "
        f"{vice if status.get('vice') else 'no vice'}{_maintenance_of_cluster(status)}"
    )


def maintenance_lines(status: dict[str, Any]) -> list[str]:
    """Return what is in maintenance, one line each; of a status or of the answer of `primacy maintenance`."""
    lines = []
    for row in status.get("maintenance") or []:
        of = "the cluster: no automatic failover" if row["scope"] == "cluster" else f"{row['scope']}: no role"
        until = "until it is switched off"
        if row.get("until_wall_ns"):
            at = datetime.fromtimestamp(row["until_wall_ns"] / 1e9).astimezone().strftime("%Y-%m-%d %H:%M:%S")
            until = f"until {at} ({_span(row['left_s'])} left)"
        reason = f": {row['reason']}" if row.get("reason") else ""
        lines.append(f"maintenance of {of}, {until}, by {row['by']}{reason}")
    return lines


def status_lines(status: dict[str, Any]) -> list[str]:
    """Return a status as plain lines."""
    lines = [headline(status)]
    for node in status.get("nodes", []):
        parts = [f"node {node['id']}", node["role"]]
        parts.append(links_text(node) or "no link known")
        parts += [f"{service} {state}" for service, state in node.get("servers", {}).items()]
        if activity(node):
            parts.append(activity(node))
        lines.append("; ".join(parts))
    for service in status.get("services", []):
        lines.append(
            f"service {service['name']}; primary {service.get('primary') or '-'}; "
            f"secondary {service.get('secondary') or '-'}; {service.get('durability')}; "
            f"sequence {_number(service.get('sequence'))}; lag {_number(service.get('lag'))}"
        )
    ledger = status.get("ledger")
    if isinstance(ledger, dict) and not ledger.get("available", True):
        lines.append(f"ledger {ledger.get('url')} does not answer: roles stay as they are until it does")
    lines += maintenance_lines(status)
    if status.get("change"):
        lines.append(f"the table changes: {status['change']}")
    lines += [f"waits: {reason}" for reason in status.get("waits") or []]
    return lines


def links_text(node: dict[str, Any]) -> str:
    """Return the links of a node with their state."""
    return ", ".join(f"{link['address']} {'up' if link['up'] else 'DOWN'}" for link in node.get("links", []))


def event_line(event: Event) -> str:
    """Return an event as one plain line: time, node, term, sentence."""
    return f"{clock(event)} {event['node']:<4} term {term_of(event) or '-':<3} {one_line(event['sentence'])}"


def one_line(sentence: str) -> str:
    """Return a sentence on one line; of one that carries a traceback, the beginning and the end."""
    lines = sentence.strip().splitlines()
    return sentence if len(lines) < 2 else f"{lines[0]} ... {lines[-1]}"


def clock(event: Event) -> str:
    """Return the wall clock of an event, to the millisecond."""
    at = datetime.fromtimestamp(event["wall_ns"] / 1e9).astimezone()
    return at.strftime("%H:%M:%S.") + f"{at.microsecond // 1000:03}"


def status_tables(status: dict[str, Any]) -> RenderableType:
    """Return a status as a heading and two tables."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [heading(status), _nodes_table(status)]
    if status.get("services"):
        parts.append(_services_table(status))
    ledger = status.get("ledger")
    if isinstance(ledger, dict) and not ledger.get("available", True):
        parts.append(Text("the ledger does not answer: roles stay as they are until it does", "yellow"))
    parts += [Text(line, "bold magenta") for line in maintenance_lines(status)]
    if status.get("change"):
        parts.append(Text(f"the table changes: {status['change']}", "cyan"))
    parts += [Text(f"waits: {reason}", "yellow") for reason in status.get("waits") or []]
    return Group(*parts)


def heading(status: dict[str, Any]) -> Text:
    """Return the headline, coloured."""
    from rich.text import Text

    return Text(headline(status), "bold" if status.get("in_service") else "bold yellow")


def events_text(events: Sequence[Event], width: int | None = None) -> Text:
    """Return events as coloured lines; longer ones are cut to `width`."""
    from rich.text import Text

    text = Text()
    for event in events:
        inner = event.get("event")
        kind = inner.get("event", "") if isinstance(inner, dict) else ""
        line = Text()
        line.append(f"{clock(event)} ", "dim")
        line.append(f"{event['node']:<4} ", "bold")
        line.append(one_line(event["sentence"]), EVENT_STYLES.get(kind, ""))
        if width is not None:
            line.truncate(width, overflow="ellipsis")
        text.append_text(line)
        text.append("\n")
    text.rstrip()
    return text


def _nodes_table(status: dict[str, Any]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    services = list(
        dict.fromkeys(name for node in status.get("nodes", []) for name in node.get("servers", {}))
    )
    table = Table(pad_edge=False, box=None, header_style="dim")
    for name in ("node", "role", "links", *services, "in progress"):
        table.add_column(name)
    for node in status.get("nodes", []):
        links = Text(" ").join(
            Text(link["address"], "green" if link["up"] else "red strike") for link in node.get("links", [])
        )
        states = [node.get("servers", {}).get(service, "-") for service in services]
        table.add_row(
            Text(node["id"], "bold"),
            Text(node["role"], ROLE_STYLES.get(node["role"], "")),
            links,
            *(Text(state, STATE_STYLES.get(state, "")) for state in states),
            Text(activity(node), "yellow"),
        )
    return table


def _services_table(status: dict[str, Any]) -> RenderableType:
    from rich.table import Table

    table = Table(pad_edge=False, box=None, header_style="dim")
    for name in ("service", "primary", "secondary", "durability"):
        table.add_column(name)
    table.add_column("sequence", justify="right")
    table.add_column("lag", justify="right")
    for service in status["services"]:
        row = [service["name"], service.get("primary") or "-", service.get("secondary") or "-"]
        row += [str(service.get("durability")), _number(service.get("sequence")), _number(service.get("lag"))]
        table.add_row(*row)
    return table


def _maintenance_of_cluster(status: dict[str, Any]) -> str:
    """Return what the headline adds, so that a view of one line does not hide it either."""
    scopes = [row["scope"] for row in status.get("maintenance") or []]
    return f", MAINTENANCE of {', '.join(scopes)}" if scopes else ""


def _span(seconds: float) -> str:
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {left} s" if minutes else f"{left} s"


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)
