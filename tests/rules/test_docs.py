"""The parts of the documentation that are drawn from the code are current."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from tests.rules import tree


def _draw() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw", tree.ROOT / "docs/draw.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["draw"] = module
    spec.loader.exec_module(module)
    return module


def test_drawn_parts_are_current() -> None:
    tree.refuse(f"{page} is not current: run python docs/draw.py" for page in _draw().stale())


def test_every_event_stands_in_the_reference() -> None:
    text = (tree.ROOT / "docs/reference/events.md").read_text(encoding="utf-8")
    from primacy.machines.events import Event

    tree.refuse(kind.__name__ for kind in Event.__args__ if f"`{kind.__name__}`" not in text)
