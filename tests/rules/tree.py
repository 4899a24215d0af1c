"""The tree of files that the house rules look at, read once."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FOLDERS = (".ci", "bench", "docs", "examples", "requirements", "src", "tests")


@dataclass(frozen=True)
class Function:
    """A function of a module: its node, its dotted name in the module, and whether outsiders may call it."""

    node: ast.FunctionDef | ast.AsyncFunctionDef
    name: str
    public: bool

    @property
    def size(self) -> int:
        """Lines from `def` to the last one."""
        return (self.node.end_lineno or self.node.lineno) - self.node.lineno + 1


def files() -> list[Path]:
    """Every text file that belongs to the project, as absolute paths."""
    found = [path for path in ROOT.iterdir() if path.is_file() and path.name != ".coverage"]
    for folder in _FOLDERS:
        found += (path for path in (ROOT / folder).rglob("*") if path.is_file())
    return sorted(path for path in found if "__pycache__" not in path.parts and _is_text(path))


def modules(*folders: str) -> list[Path]:
    """Every Python module under the folders, which are relative to the root."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def relative(path: Path) -> str:
    """The path as the project's own files write it."""
    return path.relative_to(ROOT).as_posix()


@cache
def parse(path: Path) -> ast.Module:
    """The module's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def functions(path: Path) -> list[Function]:
    """Every function and method of a module, nested ones too (which are never public)."""
    return list(_functions(parse(path), prefix="", public=True))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of each import; `from a import b` yields both `a` and `a.b`."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def refuse(findings: Iterable[str]) -> None:
    """Fail with all the findings, a line for each, if there are any."""
    lines = list(findings)
    assert not lines, "\n".join(["", *lines])


def _functions(parent: ast.AST, prefix: str, public: bool) -> Iterator[Function]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            name = prefix + node.name
            yield Function(node, name, public and not node.name.startswith("_"))
            yield from _functions(node, f"{name}.", public=False)
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.", public and not node.name.startswith("_"))
        else:
            yield from _functions(node, prefix, public)


def _is_text(path: Path) -> bool:
    return b"\0" not in path.read_bytes()[:8192]
