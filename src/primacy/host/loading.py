"""Importing what a host is to run: a service class by its target.

A target is `builtin:<name>` (a module of `primacy.services`), `<module>:<Class>`, or `<file>.py:<Class>`;
modules and files are looked for in the service's `path` first. What goes wrong is a ConfigError with the
author's traceback.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from primacy.errors import ConfigError
from primacy.service import LocalService, Service

BUILTIN = "builtin"


def load(target: str, path: str) -> type[Any]:
    """Return the service class; ConfigError when there is none, or importing it failed."""
    where, separator, name = target.rpartition(":")
    if not separator or not where or not name:
        raise ConfigError("python", repr(target), "module:Class, file.py:Class or builtin:name")
    if path and path not in sys.path:
        sys.path.insert(0, path)
    try:
        if where == BUILTIN:
            return _only_service(importlib.import_module(f"primacy.services.{name}"))
        module = _from_file(where, path) if where.endswith(".py") else importlib.import_module(where)
    except ConfigError:
        raise
    except Exception as error:  # the author's module: whatever it raises is told with its traceback
        text = "".join(traceback.format_exception(error))
        raise ConfigError(
            "python", f"{target}, which cannot be imported", f"correct this:\n{text}"
        ) from error
    found = getattr(module, name, None)
    if found is None:
        classes = ", ".join(sorted(_services(module))) or "none"
        raise ConfigError("python", f"{target}: no {name!r} in it", f"its service classes: {classes}")
    if not isinstance(found, type):
        raise ConfigError("python", f"{target}: a {type(found).__name__}", "a class")
    return found


def _from_file(file: str, path: str) -> ModuleType:
    place = Path(path or ".", file).resolve()
    if not place.is_file():
        raise ConfigError("python", str(place), "a file that exists")
    spec = importlib.util.spec_from_file_location(place.stem, place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[place.stem] = module
    spec.loader.exec_module(module)
    return module


def _services(module: ModuleType) -> dict[str, type[Any]]:
    """Return the service classes that the module defines itself."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Service | LocalService)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    }


def _only_service(module: ModuleType) -> type[Any]:
    services = _services(module)
    if len(services) != 1:
        raise ConfigError("python", f"{module.__name__} with {sorted(services)}", "one service class")
    return next(iter(services.values()))
