"""Draws the parts of the documentation that come from the code, between `<!-- drawn: NAME -->` marks.

    python docs/draw.py           write them
    python docs/draw.py --check   exit 1 when a page is not current

The sequence diagrams are not drawn by hand: the real membership monitors run with an instant network and a ledger in
memory, and what they say to each other is written down.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
for folder in (ROOT, ROOT / "src"):
    sys.path.insert(0, str(folder))

import click  # noqa: E402
import msgspec  # noqa: E402

from primacy import config  # noqa: E402
from primacy.boot import PARAMETERS  # noqa: E402
from primacy.cli.main import primacy  # noqa: E402
from primacy.config_plan import AT_ONCE, FUNCTION, MOVING, ROLLING, TWO_STEPS  # noqa: E402
from primacy.config_recovery import RECOVERY_FIELDS, Recovery  # noqa: E402
from primacy.machines import membership as m  # noqa: E402
from primacy.machines import messages  # noqa: E402
from primacy.machines.deciding import RULES  # noqa: E402
from primacy.machines.events import Event  # noqa: E402
from primacy.machines.ids import MS  # noqa: E402
from primacy.machines.policies import TABLE  # noqa: E402
from primacy.machines.story import DETAILS  # noqa: E402
from primacy.machines.swap import Purpose  # noqa: E402
from primacy.machines.timing import PROFILES, Timing  # noqa: E402
from primacy.sim.authors import client as simulated_client  # noqa: E402
from primacy.sim.authors.cluster import Cluster as SimulatedCluster  # noqa: E402
from primacy.sim.authors.faults import Faults  # noqa: E402
from primacy.sim.authors.names import Names  # noqa: E402
from primacy.sim.authors.operators import Function, Operators  # noqa: E402
from primacy.sim.coverage import Why, unreached  # noqa: E402
from primacy.sim.mutants import MUTANTS  # noqa: E402
from tests.unit.cmm_tools import N1, N2, N3, Cluster  # noqa: E402

_MARK = re.compile(r"<!-- drawn: (?P<name>[\w-]+) -->\n.*?<!-- end -->", re.DOTALL)
PAGES = (
    "docs/assurance.md",
    "docs/concepts.md",
    "docs/operations.md",
    "docs/reference/commands.md",
    "docs/reference/configuration.md",
    "docs/reference/events.md",
    "docs/reference/simulator.md",
    "docs/reference/why.md",
)


SIMULATED: dict[str, tuple[type, ...]] = {
    "`Cluster`: time, clients, what there is to see, the verdict": (SimulatedCluster,),
    "`Cluster`: faults": (Faults,),
    "`Cluster`: operators": (Operators,),
    "A client": (simulated_client.Client,),
    "A call that was begun": (simulated_client.Started,),
    "A function that was asked for": (Function,),
    "Names": (Names,),
}


class Recording(Cluster):
    """A cluster that writes down what its monitors do, each line once."""

    def __init__(self, *members: object, on: bool = False) -> None:
        self.lines: list[str] = []
        self.on = on
        super().__init__(*members)  # type: ignore[arg-type]

    def note(self, line: str) -> None:
        """Write a line down."""
        if self.on and line not in self.lines:
            self.lines.append(line)

    def _obey(self, node: str, effect: m.Effect) -> None:
        match effect:
            case m.Send(node=to, message=messages.Announce(record=said)):
                vice = f", vice {said.vice.node}{' (ready)' if said.vice.ready else ''}" if said.vice else ""
                self.note(f"{node} -> {to}   announce: term {said.term}, master {said.master.node}{vice}")
            case m.Greet(nodes=nodes):
                self.note(f"{node} -> {', '.join(nodes)}   hello")
            case m.Send(node=to, message=messages.Beat()):
                self.note(f"{node} -> {to}   beat")
            case m.Send(node=to, message=messages.Echo(vice=True)):
                self.note(f"{node} -> {to}   echo: no claim before a grace from now on")
            case m.SwapRecord(record=record):
                vice = f"vice {record.vice.node}" if record.vice else "no vice"
                ready = " (ready)" if record.ready_vice else ""
                self.note(
                    f"{node} -> ledger   swap: term {record.term}, master {record.master.node}, {vice}{ready}"
                )
            case m.Seal():
                self.note(f"{node}   seals itself: acknowledges nothing of this term any more")
            case m.Read():
                self.note(f"{node} -> ledger   read")
            case m.Grant(until_ns=0):
                self.note(f"{node}   answers nobody")
            case m.Became(role="master", how=how):
                self.note(f"{node}   becomes master by {how}; its levels run, then it serves")
            case m.Became(role="vice"):
                self.note(f"{node}   becomes vice; its servers mirror")
        super()._obey(node, effect)


def _failover(proof: bool) -> str:
    cluster = Recording(N1, N2, N3)
    cluster.formed()
    cluster.on = True
    if proof:
        cluster.note("(the guardian of n1 has reaped every process of n1)")
        cluster.note("n1's guardian -> n2   obituary")
        obituary = messages.Obituary(N1)
        del cluster.monitors["n1"]
        cluster.give("n2", m.Received(now_ns=cluster.now_ns, sender=N1, message=obituary))
    else:
        cluster.note("(the machine of n1 is gone)")
        del cluster.monitors["n1"]
        began_ns = cluster.now_ns
        while cluster.record is not None and cluster.record.term == 1:
            cluster.run(5)
        waited_ms = (cluster.now_ns - began_ns) / MS
        cluster.note(f"(at most the grace of {PROFILES['lan'].grace_ms:g} ms has passed: {waited_ms:.0f} ms)")
    return _block(cluster.lines)


def _switchover() -> str:
    cluster = Recording(N1, N2, N3)
    cluster.formed()
    cluster.on = True
    cluster.note(
        "n1   quiesces its primaries (calls are held), runs its levels downwards, drains the mirrors"
    )
    cluster.give(
        "n1", m.HandOver(now_ns=cluster.now_ns, term=1, in_step=True, cause="asked for by an operator")
    )
    return _block(cluster.lines)


def _formation() -> str:
    cluster = Recording(N1, N2, N3, on=True)
    cluster.run(20)
    cluster.serve("n1")
    cluster.run(510)
    cluster.note("n1's primaries: all replies wait for n2, and n2 has acknowledged everything up to then")
    cluster.join_mirrors("n1")
    return _block([line for line in cluster.lines if "beat" not in line and "echo" not in line])


def _profiles() -> str:
    rows = [
        f"| `{name}` | {t.beat_ms:g} | {t.lease_ms:g} | {t.grace_ms:g} | {t.member_ms:g} | {t.formation_ms:g} |"
        for name, t in PROFILES.items()
    ]
    head = "| profile | beat | lease | grace | member beat | formation window |\n| --- | --- | --- | --- | --- | --- |"
    return "\n".join([head, *rows])


def _boot() -> str:
    rows = []
    for each in PARAMETERS:
        default = (
            "(must be given)" if each.default is None else f"`{each.default}`" if each.default else "none"
        )
        rows.append(f"| `{each.name}` | {each.help} | {each.want.replace('|', '/')} | {default} |")
    return "\n".join(["| parameter | what it is | takes | default |", "| --- | --- | --- | --- |", *rows])


def _purposes() -> str:
    text = (ROOT / "src/primacy/machines/swap.py").read_text(encoding="utf-8")
    rows = []
    for purpose in Purpose:
        found = re.search(rf'{purpose.name} = "{purpose.value}"  # (.*)', text)
        rows.append(f"| `{purpose.value}` | {found[1] if found else ''} |")
    return "\n".join(["| change | what it is |", "| --- | --- |", *rows])


def _events() -> str:
    rows = []
    for kind in sorted(Event.__args__, key=lambda k: k.__name__):
        fields = ", ".join(f"`{f}`" for f in kind.__struct_fields__)
        first = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
        rows.append(f"| `{kind.__name__}` | {first} | {fields} |")
    return "\n".join(["| event | when | fields |", "| --- | --- | --- |", *rows])


def _rules() -> str:
    rows = []
    for name, rule in RULES.items():
        verdicts = "; ".join(rule.words.values())
        inputs = ", ".join(f"`{f}`" for f in rule.view.__struct_fields__)
        rows.append(f"| `{name}` | {verdicts} | {inputs} |")
    return "\n".join(["| rule | it decides | inputs |", "| --- | --- | --- |", *rows])


def _failures() -> str:
    head = "| function | `refuse`, and `retry` at last | `restart` | `escalate` |\n| --- | --- | --- | --- |"
    rows = [f"| {p.value} | {' | '.join(each.value for each in means)} |" for p, means in TABLE.items()]
    return "\n".join([head, *rows])


def _recovery() -> str:
    rows = []
    for field in msgspec.structs.fields(Recovery):
        value = f"{field.default:g}" if isinstance(field.default, float) else field.default
        rows.append(f"| `{field.name}` | {value} | {RECOVERY_FIELDS[field.name]} |")
    return "\n".join(["| `[services.ID.recovery]` | default | what it is |", "| --- | --- | --- |", *rows])


def _details() -> str:
    rows = [f"| `{kind}` | {when} |" for kind, when in sorted(DETAILS.items())]
    return "\n".join(["| event | it is a detail |", "| --- | --- |", *rows])


def _planted() -> str:
    rows = [f"| `{m.name}` | {m.clause} | {m.breaks} |" for m in MUTANTS]
    return "\n".join(
        ["| planted bug | the clause that is missing | what goes wrong |", "| --- | --- | --- |", *rows]
    )


def _unreached() -> str:
    groups: dict[Why, list[str]] = {}
    for edge, why in unreached().items():
        groups.setdefault(why, []).append(edge.partition(".")[0])
    rows = [
        f"| {why.reason} | {'hardly any' if why.rare else 'none'} | {', '.join(f'`{m}`' for m in sorted(set(of)))} |"
        for why, of in groups.items()
    ]
    return "\n".join(["| why | runs that take them | edges in |", "| --- | --- | --- |", *rows])


_TAKEN = {  # how a running cluster follows a change of a field (config_plan.py; shown by test_config_plan.py)
    config.Cluster: {"profile": TWO_STEPS},
    config.Node: {
        "links": MOVING,
        "port": MOVING,
        "eligible": FUNCTION,
    },
    config.Service: dict.fromkeys(config.Service.__struct_fields__, ROLLING)
    | {"local": "never: take the service out, then add it", "offset": "never"},
    config.Callback: dict.fromkeys(config.Callback.__struct_fields__, ROLLING),
    Timing: dict.fromkeys(Timing.__struct_fields__, TWO_STEPS),
}


def _settings() -> str:
    """Every section of the table with its fields: type, default and meaning from the code."""
    lines = []
    for kind in (config.Cluster, Timing, config.Node, config.Service, config.Callback):
        about = meanings(kind)
        lines += [f"### `{about['']}`", "", "| field | type | default | meaning | a change is taken over |"]
        lines.append("| --- | --- | --- | --- | --- |")
        for field in msgspec.structs.fields(kind):
            assert field.name in about, f"{kind.__name__}.{field.name} is not in its docstring"
            default = "required" if field.required else f"`{_shown(field.default)}`"
            default = "`[]`" if field.default is msgspec.NODEFAULT and not field.required else default
            taken = _TAKEN[kind].get(field.name, AT_ONCE)
            lines.append(
                f"| `{field.name}` | {_type(field.type)} | {default} | {about[field.name]} | {taken} |"
            )
        lines.append("")
    return "\n".join(lines[:-1])


def meanings(kind: type) -> dict[str, str]:
    """Return what a section's docstring says of each field, and of the section itself (key empty)."""
    text = " ".join((kind.__doc__ or "").split())
    names = kind.__struct_fields__
    parts = re.split(rf"(?:^|(?<=[.\]]) )((?:{'|'.join(names)})(?:, (?:{'|'.join(names)}))*): ", text)
    found = {"": re.match(r"\[+[\w.]+\]+|", text)[0] or "[timing]"}
    for group, meaning in zip(parts[1::2], parts[2::2], strict=True):
        for name in group.split(", "):
            found[name] = meaning.strip().rstrip(".").replace("|", "\\|")
    return found


def _shown(value: object) -> str:
    words = {True: "true", False: "false", None: "none"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def _type(kind: object) -> str:
    """The first of the types that a field takes (the other is: nothing), in TOML's words."""
    first = str(kind).split(" | ")[0] if "|" in str(kind) else getattr(kind, "__name__", str(kind))
    words = {"str": "text", "int": "integer", "float": "number", "bool": "true or false"}
    return words.get(first, "a list")


def _commands() -> str:
    """The help of every command, as a terminal of 100 columns shows it."""
    parts = []
    context = click.Context(primacy, info_name="primacy", max_content_width=100, terminal_width=100)
    for name in primacy.list_commands(context):
        command = primacy.get_command(context, name)
        assert command is not None, name
        parts += _help(command, context, name)
    return "\n".join(parts)


def _help(command: click.Command, parent: click.Context, name: str) -> list[str]:
    context = click.Context(command, info_name=name, parent=parent, max_content_width=100, terminal_width=100)
    lines = [f"## {context.command_path}", "", _block(command.get_help(context).splitlines()), ""]
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None, inner
            lines += _help(found, context, inner)
    return lines


def _simulator() -> str:
    """The public methods of the simulated cluster and of its clients, by group, with what their docstrings say."""
    parts = []
    for title, kinds in SIMULATED.items():
        parts += [f"### {title}", "", "| | |", "| --- | --- |"]
        for kind in kinds:
            for name, member in vars(kind).items():
                if name.startswith("_") or not (inspect.isfunction(member) or isinstance(member, property)):
                    continue
                function = member.fget if isinstance(member, property) else member
                text = inspect.getdoc(function)
                shown = name if isinstance(member, property) else f"{name}{_signature(function)}"
                words = " ".join((text or "").split()).replace("|", "\\|")
                parts.append(f"| `{shown}` | {words} |")
        parts.append("")
    return "\n".join(parts).rstrip()


def _signature(function: Callable[..., object]) -> str:
    """The parameters without their types: what one writes in a call."""
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "self"
    ]
    return str(inspect.Signature(parameters))


def _block(lines: list[str]) -> str:
    return "\n".join(["```text", *lines, "```"])


DRAWN: dict[str, Callable[[], str]] = {
    "formation": _formation,
    "failover-proven": lambda: _failover(True),
    "failover-silent": lambda: _failover(False),
    "switchover": _switchover,
    "profiles": _profiles,
    "boot": _boot,
    "changes": _purposes,
    "events": _events,
    "rules": _rules,
    "failures": _failures,
    "recovery": _recovery,
    "settings": _settings,
    "commands": _commands,
    "details": _details,
    "simulator": _simulator,
    "planted": _planted,
    "unreached": _unreached,
}


def current(text: str) -> str:
    """Return a page with its drawn parts as the code has them now."""
    return _MARK.sub(
        lambda found: f"<!-- drawn: {found['name']} -->\n{DRAWN[found['name']]()}\n<!-- end -->", text
    )


def stale() -> list[str]:
    """The pages that are not current."""
    return [p for p in PAGES if current(text := (ROOT / p).read_text(encoding="utf-8")) != text]


def main() -> int:
    """Write the pages, or check them."""
    if "--check" in sys.argv:
        for page in stale():
            sys.stderr.write(f"{page} is not current: run python docs/draw.py\n")
        return bool(stale())
    for page in PAGES:
        path = ROOT / page
        path.write_text(current(path.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
