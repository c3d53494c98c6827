"""Which module needs which: no two need each other, so any of them can be imported first."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("sdk/spanward", "integrations/spanward_integrations", "processor/spanward_processor")


def modules(package: Path) -> dict[str, ast.Module]:
    """Return every module of a package by its dotted name."""
    found: dict[str, ast.Module] = {}
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(file.read_text(encoding="utf-8"))
    return found


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a module imports while it is imported itself; those only for types, and in functions, are none."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{one.name}" for one in node.names)


def needs(name: str, tree: ast.Module, known: set[str]) -> set[str]:
    """Return the modules that must be there before one: those it imports, and the packages around them that are not around it."""
    around = {name[:at] for at, letter in enumerate(name) if letter == "."} | {name}
    wanted: set[str] = set()
    for one in imported(tree):
        wanted |= {one[:at] for at, letter in enumerate(one) if letter == "."} | {one}
    return (wanted & known) - around


@pytest.mark.parametrize("package", PACKAGES)
def test_no_two_modules_need_each_other(package: str) -> None:
    """An order exists in which each module comes after all it imports."""
    trees = modules(ROOT / package)
    graph = {name: needs(name, tree, set(trees)) for name, tree in trees.items()}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))

    assert len(order) == len(trees)
