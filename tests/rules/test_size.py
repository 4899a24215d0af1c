"""Modules of at most 400 lines, functions of at most 70: one idea a file, one thought a function.

The two tables are a ratchet: what is larger stands there with its size of today, and may only shrink. An
entry that is no longer exact is lowered; one that is no longer needed is taken out.
"""

from __future__ import annotations

from tests.rules import tree

_MODULE_LINES_MAX = 400
_FUNCTION_LINES_MAX = 70
_LARGER_MODULES: dict[str, int] = {}
_LARGER_FUNCTIONS: dict[str, int] = {}  # "path name": lines

_FOLDERS = ("src", "examples", "bench")


def _judge(sizes: dict[str, int], limit: int, allowed: dict[str, int]) -> list[str]:
    """Return a sentence for each size that is over the limit, or whose entry in the ratchet is not exact."""
    found = []
    for name in sorted(sizes.keys() | allowed.keys()):
        size, entry = sizes.get(name, 0), allowed.get(name)
        if entry is None and size > limit:
            found.append(f"{name} has {size} lines; at most {limit}: divide it")
        elif entry is not None and size > entry:
            found.append(f"{name} has grown from {entry} to {size} lines; it may only shrink")
        elif entry is not None and size <= limit:
            found.append(f"{name} has {size} lines: take its entry out")
        elif entry is not None and size < entry:
            found.append(f"{name} has {size} lines: lower its entry from {entry}")
    return found


def test_modules_are_of_a_size_that_one_can_read() -> None:
    sizes = {tree.relative(p): p.read_text().count("\n") for p in tree.modules(*_FOLDERS)}
    tree.refuse(_judge(sizes, _MODULE_LINES_MAX, _LARGER_MODULES))


def test_functions_are_of_a_size_that_one_can_read() -> None:
    sizes = {}
    for path in tree.modules(*_FOLDERS):
        sizes |= {f"{tree.relative(path)} {each.name}": each.size for each in tree.functions(path)}
    tree.refuse(_judge(sizes, _FUNCTION_LINES_MAX, _LARGER_FUNCTIONS))


def test_the_ratchet_turns_one_way() -> None:
    assert _judge({"a": 5}, 5, {}) == []
    assert _judge({"a": 6}, 5, {}) == ["a has 6 lines; at most 5: divide it"]
    assert _judge({"a": 9}, 5, {"a": 9}) == []
    assert _judge({"a": 10}, 5, {"a": 9}) == ["a has grown from 9 to 10 lines; it may only shrink"]
    assert _judge({"a": 8}, 5, {"a": 9}) == ["a has 8 lines: lower its entry from 9"]
    assert _judge({"a": 5}, 5, {"a": 9}) == ["a has 5 lines: take its entry out"]
    assert _judge({}, 5, {"a": 9}) == ["a has 0 lines: take its entry out"]
