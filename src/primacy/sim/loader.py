"""Loads modules of the project with some of their source rewritten: for planted bugs, and for coverage.

So real code has no switches for them.

`install` must run before the modules are imported; each snippet must stand in its module's source exactly
once. Such modules are compiled anew and leave no cache behind.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any, NamedTuple

from primacy.errors import ConfigError
from primacy.sim.coverage import MACHINES, PACKAGE, Probes


class Edit(NamedTuple):
    """Replace `snippet`, which stands in the module's source exactly once."""

    module: str
    snippet: str
    replacement: str


def rewrite(source: str, edits: Iterable[Edit]) -> str:
    """Return the source with the edits made. ConfigError when a snippet is not there, or more than once."""
    for edit in edits:
        count = source.count(edit.snippet)
        if count != 1:
            raise ConfigError(
                f"edit of {edit.module}",
                f"{count} times {edit.snippet!r}",
                "want it once: the code has changed",
            )
        source = source.replace(edit.snippet, edit.replacement)
    return source


def install(edits: Iterable[Edit], probes: Probes | None = None) -> None:
    """Let every import of the edited modules, from now on, load the rewritten source.

    probes: put probes on the edges of all machines, too.
    """
    by_module: dict[str, list[Edit]] = {}
    for edit in edits:
        by_module.setdefault(edit.module, []).append(edit)
    if probes is not None:
        for name in MACHINES:
            by_module.setdefault(f"{PACKAGE}.{name}", [])
    for module in by_module:
        assert module not in sys.modules, f"{module} is imported already"
    sys.meta_path.insert(0, _Finder(by_module, probes))


class _Finder(MetaPathFinder):
    def __init__(self, by_module: dict[str, list[Edit]], probes: Probes | None) -> None:
        self._by_module, self._probes = by_module, probes

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find an edited module where it is always found, and load it otherwise."""
        if fullname not in self._by_module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        assert spec is not None and spec.origin is not None, fullname
        probes = self._probes if fullname.startswith(f"{PACKAGE}.") else None
        spec.loader = _Loader(fullname, spec.origin, self._by_module[fullname], probes)
        return spec


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, edits: list[Edit], probes: Probes | None) -> None:
        super().__init__(fullname, path)
        self._edits, self._probes = edits, probes

    def path_stats(self, path: str) -> Any:
        """Pretend that the source's age is unknown: no cached code is read or written."""
        raise OSError(path)

    def source_to_code(  # type: ignore[override]  # the stubs call it static; the base class does not
        self, data: Any, path: Any, *, _optimize: int = -1
    ) -> CodeType:
        """Compile the rewritten source."""
        text = rewrite(bytes(data).decode("utf-8"), self._edits)
        if self._probes is None:
            return super().source_to_code(text.encode("utf-8"), path)
        return super().source_to_code(self._probes.instrument(self.name, text), path)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module, with what its probes write to."""
        if self._probes is None:
            super().exec_module(module)
            return
        code = self.get_code(self.name)  # numbers its edges
        assert code is not None, self.name
        vars(module).update(self._probes.namespace(self.name))
        exec(code, vars(module))
