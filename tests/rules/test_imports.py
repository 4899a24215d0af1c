"""What may import what: the contracts of pyproject.toml, pure machines, and a light front door."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rules import tree

# All that a pure machine may know of the world. No clock, socket, file, log or random source is among it.
_PURE = {
    "__future__", "abc", "bisect", "collections", "copy", "dataclasses", "enum", "functools", "hashlib",
    "heapq", "hmac", "ipaddress", "itertools", "json", "keyword", "math", "msgspec", "operator", "re",
    "string", "struct", "types", "typing",
}  # fmt: skip
_SOURCE = str(tree.ROOT / "src")
_LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")
_IMPURE_CALLS = {"breakpoint", "eval", "exec", "id", "input", "open", "print", "__import__"}


def _run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=tree.ROOT,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_import_contracts_hold() -> None:
    ran = _run(_LINT_IMPORTS, "--no-cache", "--no-logo", PYTHONPATH=_SOURCE, COLUMNS="110")
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_machines_are_pure() -> None:
    found = []
    for path in tree.modules("src/primacy/machines"):
        for line, name in tree.imports(path):
            top = name.partition(".")[0]
            if top not in _PURE and not name.startswith(("primacy.machines", "primacy.errors")):
                found.append(f"{tree.relative(path)}:{line} imports {name}")
        for node in ast.walk(tree.parse(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in _IMPURE_CALLS:
                found.append(f"{tree.relative(path)}:{node.lineno} calls {ast.unparse(node.func)}")
            if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.Global):
                found.append(f"{tree.relative(path)}:{node.lineno} has {type(node).__name__}")
    tree.refuse(found)


def test_importing_primacy_imports_nothing_heavy() -> None:
    source = "import sys; old = set(sys.modules); import primacy; print(*sorted(set(sys.modules) - old))"
    ran = _run(sys.executable, "-S", "-c", source, PYTHONPATH=_SOURCE)
    assert ran.returncode == 0, ran.stderr
    new = {name for name in ran.stdout.split() if name.partition(".")[0] not in sys.stdlib_module_names}
    assert new == {"primacy"}
    assert not {"asyncio", "ssl", "sqlite3", "logging"} & set(ran.stdout.split())


def test_every_public_name_of_primacy_has_a_home() -> None:
    import primacy

    assert [name for name in primacy.__all__ if getattr(primacy, name, None) is None] == []
    assert set(primacy.__all__) <= set(dir(primacy))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = primacy.nothing


def test_the_guardian_needs_no_package() -> None:
    """Without site-packages an import of anything but the standard library fails."""
    family = sorted(path.stem for path in (tree.ROOT / "src/primacy").glob("guardian*.py"))
    family += ["boot", "channel", "errors", "lease_page"]
    assert "guardian" in family
    source = f"import sys, {', '.join('primacy.' + name for name in family)}; print('asyncio' in sys.modules)"
    ran = _run(sys.executable, "-S", "-c", source, PYTHONPATH=_SOURCE)
    assert (ran.returncode, ran.stdout.strip()) == (0, "False"), ran.stderr
