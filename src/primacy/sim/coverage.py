"""Which edges of the machines were taken: each way out of each decision in their source, counted while they run.

An *edge* is one of these, in a function of one of `MACHINES`: the function is entered; an `if` (or a conditional
expression) goes one way, or the other; a `case` of a `match` fits, or none does; the body of a loop, or a handler
of an exception, is entered. Operands of `and` and `or`, filters of comprehensions and assertions are no edges; nor is a
last `case _: assert_never(...)`, of which the type checker proves that nothing is left for it.

A probe of one assignment is put on each edge before the module is compiled, so it costs little and needs no help of
the interpreter. An edge's name says where it stands in words (module, function, condition), not by a line number,
so that a list of edges stays true while the code around it changes. `unreached.toml` holds the edges that no run
takes, and those that hardly one in thousands takes, each with its reason; only the first do not count. All of them are
taken by the unit tests, but for those that nothing can take.
"""

from __future__ import annotations

import ast
import tomllib
from collections import Counter
from importlib import resources
from typing import NamedTuple

from primacy.errors import ConfigError

PACKAGE = "primacy.machines"
MACHINES = (
    "announcing", "applying", "change_record", "client_calls", "client_session", "confirming", "coordinator", "dedup",
    "departure", "driving", "forcing", "formation", "forming", "functions", "history", "initialization", "key_writer",
    "ladder", "last_resort", "lease", "link_watch", "links", "maintenance", "master", "mastership", "mirror", "naming",
    "peers", "preconditions", "recovery", "replica", "rescue", "retiring", "rolling", "rulings", "rungs", "runs",
    "sequence", "servers", "serving", "session", "swap", "switchover", "vice", "watching",
)  # fmt: skip
"""The modules that decide, and take part in a simulated cluster."""

_VALUES = "values and messages: nothing is decided there"
_WORDS = "words for people, made of what was decided elsewhere"
_ASIDE = "beside what always runs: asked by people, or switched on by them"
OTHERS: dict[str, str] = {
    name: reason
    for reason, names in {
        _VALUES: (
            "beginning", "call_wire", "canonical", "control_wire", "coordination", "entries", "event_base", "events",
            "events_change", "events_decision", "events_node", "events_operator", "host_wire", "ids", "membership",
            "messages", "mirror_effects", "mirror_wire", "peer_wire", "policies", "recorded", "records", "timing",
        ),
        _WORDS: ("accounts", "deciding", "description", "explaining", "methods", "outline", "story", "timeline"),
        _ASIDE: ("beginning", "failback", "foresight", "naming_files", "recorded"),
    }.items()
    for name in names
}  # fmt: skip
"""All other modules of that package, and why they are not counted."""

_PROBES = "__edges__"
_TEXT_MAX = 70
_UNREACHED = "unreached.toml"


class Probes:
    """The edges of all instrumented modules, and which of them were taken."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}
        self._taken: dict[str, list[int]] = {}

    def instrument(self, module: str, source: str) -> ast.Module:
        """Return the module's tree with a probe on each edge; `counts` are what it writes to."""
        walker = _Walker(module.removeprefix(f"{PACKAGE}."))
        tree = ast.fix_missing_locations(walker.visit(ast.parse(source)))
        assert isinstance(tree, ast.Module)
        self._names[module] = walker.names
        self._taken[module] = [0] * len(walker.names)
        return tree

    def namespace(self, module: str) -> dict[str, object]:
        """What the instrumented module must find among its globals."""
        return {_PROBES: self._taken[module], _HIT: _hit(self._taken[module])}

    def report(self) -> tuple[list[str], list[str]]:
        """Return the names of the edges taken, and of those never taken, in the order of the source."""
        pairs = [
            (name, hit)
            for module in sorted(self._names)
            for name, hit in zip(self._names[module], self._taken[module], strict=True)
        ]
        return [name for name, hit in pairs if hit], [name for name, hit in pairs if not hit]


def edges_of(module: str, source: str) -> list[str]:
    """Return the names of a module's edges in the order of its source."""
    walker = _Walker(module)
    walker.visit(ast.parse(source))
    return walker.names


class Why(NamedTuple):
    """Why an edge is not taken. rare: hardly one run in thousands takes it. never: no unit test does so, either."""

    reason: str
    rare: bool
    never: bool


def unreached() -> dict[str, Why]:
    """Return the edges that no run, or hardly any, takes; a name that ends with `*` stands for several."""
    text = resources.files("primacy.sim").joinpath(_UNREACHED).read_text(encoding="utf-8")
    found: dict[str, Why] = {}
    for group in tomllib.loads(text).get("unreached", []):
        for edge in group["edges"]:
            if edge in found:
                raise ConfigError(_UNREACHED, f"{edge} twice", "name each edge once")
            found[edge] = Why(group["reason"], group.get("rare", False), group.get("never", False))
    return found


def why(edge: str, known: dict[str, Why]) -> Why | None:
    """Return why this edge is not taken; None when nothing is known about it."""
    for name, each in known.items():
        if edge == name or (name.endswith("*") and edge.startswith(name[:-1])):
            return each
    return None


def percent(taken: int, never: list[str]) -> float:
    """Return how many of the edges that a run can take were taken, in percent."""
    known = unreached()
    open_edges = sum((each := why(edge, known)) is None or each.rare for edge in never)
    return 100 * taken / (taken + open_edges) if taken + open_edges else 100.0


_HIT = "__edge__"


def _hit(taken: list[int]) -> object:
    """Return what a probe inside of an expression calls: it notes the edge, and hands its value on."""

    def hit(index: int, value: object) -> object:
        taken[index] = 1
        return value

    return hit


class _Walker(ast.NodeTransformer):
    """Puts probes on the edges inside of functions."""

    def __init__(self, module: str) -> None:
        self.names: list[str] = []
        self._scope = [module]
        self._functions = 0
        self._seen: Counter[str] = Counter()

    def _edge(self, what: str) -> int:
        name = f"{'.'.join(self._scope)}: {what}"
        self._seen[name] += 1
        if self._seen[name] > 1:
            name += f" ({self._seen[name]})"
        self.names.append(name)
        return len(self.names) - 1

    def _probe(self, at: ast.AST, what: str) -> ast.stmt:
        index = self._edge(what)
        target = ast.Subscript(ast.Name(_PROBES, ast.Load()), ast.Constant(index), ast.Store())
        return ast.copy_location(ast.Assign([target], ast.Constant(1)), at)

    def _value(self, value: ast.expr, what: str) -> ast.expr:
        index = ast.Constant(self._edge(what))
        call = ast.Call(ast.Name(_HIT, ast.Load()), [index, value], [])
        return ast.copy_location(call, value)

    # ---- scopes ----

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Go into a class."""
        self._scope.append(node.name)
        self.generic_visit(node)
        self._scope.pop()
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Probe the entry of a function, and go in; one that is only described (in a protocol) has no edges."""
        if len(node.body) == 1 and ast.get_docstring(node) is not None:
            return node
        self._scope.append(node.name)
        self._functions += 1
        entered = self._probe(node.body[0], "entered")
        self.generic_visit(node)
        self._functions -= 1
        self._scope.pop()
        node.body.insert(1 if ast.get_docstring(node) is not None else 0, entered)
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        """Leave small functions without a name alone."""
        return node

    # ---- decisions ----

    def visit_If(self, node: ast.If) -> ast.AST:
        """Probe both ways; an `elif` has its own."""
        if not self._functions:
            return node
        text = _text(node.test)
        yes = self._probe(node.body[0], f"if {text}")
        chained = len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If)
        no = None if chained else self._probe(node, f"if not {text}")
        self.generic_visit(node)
        node.body.insert(0, yes)
        if no is not None:
            node.orelse.insert(0, no)
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        """Probe both values of a conditional expression."""
        if not self._functions:
            return node
        text = _text(node.test)
        yes, no = self._value(node.body, f"when {text}"), self._value(node.orelse, f"when not {text}")
        node.body, node.orelse = yes, no
        self.generic_visit(node)
        return node

    def visit_Match(self, node: ast.Match) -> ast.AST:
        """Probe each case, and that none fits."""
        if not self._functions:
            return node
        last = node.cases[-1]
        whole = last.guard is None and isinstance(last.pattern, ast.MatchAs) and last.pattern.pattern is None
        cases = node.cases[:-1] if whole and _is_never(last.body) else list(node.cases)
        probes = [self._probe(case.body[0], f"case {_case(case)}") for case in cases]
        none = None if whole else self._probe(node, f"no case of {_text(node.subject)}")
        self.generic_visit(node)
        for case, probe in zip(cases, probes, strict=True):
            case.body.insert(0, probe)
        if none is not None:
            node.cases.append(ast.match_case(ast.MatchAs(), None, [none]))
        return node

    def visit_For(self, node: ast.For) -> ast.AST:
        """Probe the body."""
        if not self._functions:
            return node
        probe = self._probe(node.body[0], f"for {_text(node.target)} in {_text(node.iter)}")
        self.generic_visit(node)
        node.body.insert(0, probe)
        return node

    def visit_While(self, node: ast.While) -> ast.AST:
        """Probe the body."""
        if not self._functions:
            return node
        probe = self._probe(node.body[0], f"while {_text(node.test)}")
        self.generic_visit(node)
        node.body.insert(0, probe)
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        """Probe the handler."""
        if not self._functions:
            return node
        probe = self._probe(node.body[0], f"except {_text(node.type) if node.type else ''}")
        self.generic_visit(node)
        node.body.insert(0, probe)
        return node


def _is_never(body: list[ast.stmt]) -> bool:
    """Whether this is `assert_never(...)`: a type error, unless the cases before are all that there are."""
    [only, *more] = body
    call = only.value if isinstance(only, ast.Expr) and not more else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "assert_never"


def _case(case: ast.match_case) -> str:
    guard = f" if {_text(case.guard)}" if case.guard is not None else ""
    return _text(case.pattern) + guard


def _text(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= _TEXT_MAX else text[: _TEXT_MAX - 3] + "..."
