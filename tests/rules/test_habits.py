"""Habits that a reader relies on: docstrings, exact errors, finished work, no trace of a machine."""

from __future__ import annotations

import ast
import re

from tests.rules import tree

# Where a broad `except` may end an error: the supervisor, and around code that a user wrote. "path function".
# One that cleans up and raises again ends nothing and may stand anywhere.
_BROAD_EXCEPT = {
    "src/primacy/guardian_process.py _become",  # a failed child must not go on as a guardian
    "src/primacy/host/callbacks.py Callbacks._outcome",  # the author's callback
    "src/primacy/host/health.py HealthCheck._once",  # the author's health check
    "src/primacy/host/loading.py load",  # the author's module
    "src/primacy/host/snapshots.py _be_child",  # a failed child must not go on as a host
    "src/primacy/host/timers.py Timers._run",  # the author's timer
    "src/primacy/ledger/worker.py Job.execute",  # the edge of a thread: the error goes to who awaits the job
    "src/primacy/sim/callbacks.py drive",  # the author's coroutine
    "src/primacy/sim/trace_replay.py Replay._compared",  # a machine that is given what no machine was given: a finding
    "src/primacy/service.py ServiceModel.answer",  # the author's query
    "src/primacy/service.py ServiceModel.execute",  # the author's operation: a replicated result
}

# The brackets keep this file from matching itself.
_UNFINISHED = re.compile(r"\b(?:T[O]DO|F[I]XME|X[X]X|H[A]CK)\b")
_MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:home|root|Users|work)/")
_PACKAGE_INDEX = re.compile(r"index[-]url|extra[-]index|find[-]links|python[h]osted|\bpypi[.]|/simple/?\s")


def _lines_that_match(pattern: re.Pattern[str], *, but: frozenset[str] = frozenset()) -> list[str]:
    found = []
    for path in tree.files():
        if tree.relative(path) in but:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{tree.relative(path)}:{number}: {line.strip()[:100]}")
    return found


def _is_broad(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    broad = any(kind is None or ast.unparse(kind) in ("Exception", "BaseException") for kind in kinds)
    last = handler.body[-1]
    return broad and not (isinstance(last, ast.Raise) and last.exc is None)


def test_every_module_says_what_it_is_for() -> None:
    written = [path for path in tree.modules("src", "examples", "bench", "tests") if path.read_text().strip()]
    tree.refuse(tree.relative(path) for path in written if not ast.get_docstring(tree.parse(path)))


def test_every_public_function_and_class_has_a_docstring() -> None:
    found = []
    for path in tree.modules("src"):
        for function in tree.functions(path):
            decorators = {ast.unparse(node).rpartition(".")[2] for node in function.node.decorator_list}
            needs_one = function.public and not decorators & {"overload", "setter"}
            if needs_one and not ast.get_docstring(function.node):
                found.append(f"{tree.relative(path)}:{function.node.lineno} {function.name}")
        classes = [node for node in tree.parse(path).body if isinstance(node, ast.ClassDef)]
        bare = [node for node in classes if not node.name.startswith("_") and not ast.get_docstring(node)]
        found += [f"{tree.relative(path)}:{node.lineno} {node.name}" for node in bare]
    tree.refuse(found)


def test_errors_are_caught_by_exact_type() -> None:
    found = set()
    for path in tree.modules("src"):
        handlers = [node for node in ast.walk(tree.parse(path)) if isinstance(node, ast.ExceptHandler)]
        for line in (handler.lineno for handler in handlers if _is_broad(handler)):
            around = [f for f in tree.functions(path) if f.node.lineno <= line <= (f.node.end_lineno or line)]
            found.add(f"{tree.relative(path)} {around[-1].name if around else '(module)'}")
    tree.refuse(f"{at}: catch the exact type, or declare it in _BROAD_EXCEPT" for at in found - _BROAD_EXCEPT)
    tree.refuse(f"{at}: no longer there; take its entry out" for at in _BROAD_EXCEPT - found)


def test_nothing_is_left_for_later() -> None:
    tree.refuse(_lines_that_match(_UNFINISHED, but=frozenset({"LICENSE"})))
    raises = [
        f"{tree.relative(path)}:{node.lineno}"
        for path in tree.modules("src")
        for node in ast.walk(tree.parse(path))
        if isinstance(node, ast.Raise) and node.exc and "NotImplementedError" in ast.dump(node.exc)
    ]
    tree.refuse(raises)


def test_no_file_knows_a_machine_or_a_package_index() -> None:
    tree.refuse(_lines_that_match(_MACHINE_PATH))
    tree.refuse(_lines_that_match(_PACKAGE_INDEX))


def test_pinned_packages_are_hashed() -> None:
    for path in sorted((tree.ROOT / "requirements").glob("*.txt")):
        entries = re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE).strip())
        loose = [e.splitlines()[0] for e in entries if "==" not in e or "--hash=sha256:" not in e]
        assert (path.name, loose) == (path.name, [])
