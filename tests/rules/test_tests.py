"""Rules for the tests themselves: a twin for each module, no skipping, nothing patched."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.rules import tree

_TWINNED = ("agent", "cgtp", "host", "ledger", "machines")
_FOLDERS = ("unit", "contract", "cluster", "sim")

# Modules that are tested together with others of their package: twin, folder, names.
_TOGETHER = {
    "tests/unit/test_wires.py": {
        "src/primacy/machines": ["call_wire", "control_wire", "host_wire", "messages", "peer_wire"],
    },
}
_DECLARED_TWINS = {
    f"{folder}/{name}.py": twin
    for twin, of in _TOGETHER.items()
    for folder, names in of.items()
    for name in names
}

_FORBIDDEN_NAMES = {"skip", "skipif", "xfail", "importorskip"}


def _twins(module: Path) -> list[Path]:
    names = (f"test_{module.stem}.py", f"test_{module.parent.name}_{module.stem}.py")
    places = [tree.ROOT / "tests" / folder / name for folder in _FOLDERS for name in names]
    return [place for place in places if place.exists()]


def _has_twin(module: Path) -> bool:
    """Say whether a test of the module's own imports it, or a declared one stands for it.

    A declared unit test imports from the module's package; one of real processes need not.
    """
    dotted = ".".join(module.relative_to(tree.ROOT / "src").with_suffix("").parts)
    declared = _DECLARED_TWINS.get(tree.relative(module))
    if declared is not None:
        package = dotted.rpartition(".")[0] + "."
        return declared.startswith("tests/cluster/") or any(
            name.startswith(package) for _, name in tree.imports(tree.ROOT / declared)
        )
    return any(dotted in {name for _, name in tree.imports(twin)} for twin in _twins(module))


def _modules_with_twins() -> list[Path]:
    """The modules directly in the package and in the twinned packages that define any function."""
    package = tree.ROOT / "src/primacy"
    found = [*package.glob("*.py"), *tree.modules(*(f"src/primacy/{name}" for name in _TWINNED))]
    return sorted(path for path in found if not path.name.startswith("__") and tree.functions(path))


def test_every_module_has_a_test_twin() -> None:
    lonely = [module for module in _modules_with_twins() if not _has_twin(module)]
    tree.refuse(f"{tree.relative(m)}: no tests/unit/test_{m.stem}.py that imports it" for m in lonely)


def test_declared_twins_exist_and_are_needed() -> None:
    paths = [*_DECLARED_TWINS, *_DECLARED_TWINS.values()]
    tree.refuse(f"{path} does not exist" for path in paths if not (tree.ROOT / path).exists())
    own = [module for module in _DECLARED_TWINS if _twins(tree.ROOT / module)]
    tree.refuse(f"{module} has a twin of its own: take its entry out" for module in own)


def test_tests_neither_skip_nor_patch() -> None:
    found = []
    for path in tree.modules("tests"):
        for line, name in tree.imports(path):
            if name == "unittest.mock" or name.startswith("unittest.mock."):
                found.append(f"{tree.relative(path)}:{line} imports {name}")
        for node in ast.walk(tree.parse(path)):
            if not isinstance(node, ast.Attribute):
                continue
            text = ast.unparse(node)
            if text.startswith("pytest.") and node.attr in _FORBIDDEN_NAMES:
                found.append(f"{tree.relative(path)}:{node.lineno} {text}")
            if text in ("monkeypatch.setattr", "monkeypatch.delattr", "mocker.patch"):
                found.append(f"{tree.relative(path)}:{node.lineno} {text}")
    tree.refuse(found)
