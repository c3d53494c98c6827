"""The arrows between the packages, and what each of them may spell and import."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final

import pytest

from spanward import semconv

ROOT: Final = Path(__file__).parents[1]
SDK: Final = ROOT / "sdk" / "spanward"
PROCESSOR: Final = ROOT / "processor" / "spanward_processor"
INTEGRATIONS: Final = ROOT / "integrations" / "spanward_integrations"
DEMO: Final = PROCESSOR / "demo"  # plays a user of all three
FRAMEWORKS: Final = {"fastapi", "starlette", "numpy", "grpc", "numba", "pydantic", "sklearn", "torch", "transformers"}

SPELLED_ELSEWHERE: Final[dict[Path, set[str]]] = {
    PROCESSOR / "roles.py": {"gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens"},  # others' old names
    PROCESSOR / "kernels" / "attributes.py": {semconv.ANOMALY_PREFIX},  # as bytes, which a kernel compiles in
    PROCESSOR / "bench" / "corpus.py": {"gen_ai.input.messages"},  # stands for attributes that nobody reads
    PROCESSOR / "bench" / "sides.py": {"spanward.yaml"},  # a file
    PROCESSOR / "emit.py": {"spanward.processor"},  # instrumentation scopes are no attributes
    PROCESSOR / "telemetry.py": {"spanward.processor"},
    INTEGRATIONS / "asgi.py": {"spanward.asgi"},
}
SELF_METRICS: Final = PROCESSOR / "metrics.py"  # names of what the processor counts about itself


def sources(package: Path) -> Iterator[tuple[Path, ast.Module]]:
    """Yield every module of a package, parsed."""
    for path in sorted(package.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def imports(module: ast.Module) -> Iterator[str]:
    """Yield the full name of everything a module imports, inside functions too."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def crossings(package: Path, forbidden: re.Pattern[str]) -> list[str]:
    """Return `file: name` of every import that matches."""
    return [
        f"{path.relative_to(ROOT)}: {name}"
        for path, module in sources(package)
        if not path.is_relative_to(DEMO)
        for name in imports(module)
        if forbidden.match(name)
    ]


def around(name: str) -> set[str]:
    """Return the packages around a dotted name, and itself."""
    return {name[:at] for at, letter in enumerate(name) if letter == "."} | {name}


def needs(name: str, module: ast.Module, known: set[str]) -> set[str]:
    """Return which known modules must be there before one is imported: what it imports outside of functions, and what is around that."""
    first = ast.Module([node for node in module.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
    wanted = {each for one in imports(first) for each in around(one)}
    return (wanted & known) - around(name)


@pytest.mark.parametrize("package", [SDK, INTEGRATIONS, PROCESSOR], ids=lambda package: package.name)
def test_no_two_modules_need_each_other(package: Path) -> None:
    """An order exists in which each module comes after all it imports, so that any of them can be imported first."""
    trees = {
        ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__"): module
        for path, module in sources(package)
    }
    graph = {name: needs(name, module, set(trees)) for name, module in trees.items()}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))

    assert sorted(order) == sorted(trees)


def test_the_sdk_imports_neither_of_the_others() -> None:
    """Who only emits spans installs and imports nothing of the processor or of a framework."""
    assert crossings(SDK, re.compile(r"spanward_(processor|integrations)\b")) == []


def test_the_sdk_imports_its_dependencies_only() -> None:
    """Everything the SDK imports is Python's own, or a declared dependency."""
    allowed = set(sys.stdlib_module_names) | {"spanward", "opentelemetry", "xxhash"}

    used = {name.partition(".")[0] for _, module in sources(SDK) for name in imports(module)}

    assert used - allowed == set()


def test_integrations_import_the_sdk_only() -> None:
    """An integration knows the SDK and its framework, never the processor."""
    assert crossings(INTEGRATIONS, re.compile(r"spanward_processor\b")) == []


def test_the_processor_knows_attribute_names_only() -> None:
    """Of the SDK the processor imports `semconv`; of the integrations nothing."""
    assert crossings(PROCESSOR, re.compile(r"spanward_integrations\b|spanward(?!\.semconv\b|_)")) == []


def spellings(module: ast.Module) -> Iterator[str]:
    """Yield the texts of a module that are names under our prefix or the one of GenAI."""
    for node in ast.walk(module):
        value = node.value if isinstance(node, ast.Constant) else None
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        if isinstance(text, str) and re.fullmatch(r"(spanward|gen_ai)\.[a-z0-9_.]+", text):
            yield text


@pytest.mark.parametrize("package", [SDK, PROCESSOR, INTEGRATIONS], ids=lambda package: package.name)
def test_names_are_spelled_in_semconv_only(package: Path) -> None:
    """A name is written once, so that it cannot be written in two ways."""
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path, module in sources(package)
        if path not in {SDK / "semconv.py", SELF_METRICS} and not path.is_relative_to(DEMO)
        for name in set(spellings(module)) - SPELLED_ELSEWHERE.get(path, set())
    }

    assert found == set()


def test_semconv_spells_every_name_once() -> None:
    """No two constants say the same."""
    names = [value for name, value in vars(semconv).items() if name.isupper()]

    assert len(names) == len(set(names))


@pytest.mark.parametrize("package", [SDK, PROCESSOR, INTEGRATIONS], ids=lambda package: package.name)
def test_packages_are_typed_and_their_folders_are_none(package: Path) -> None:
    """Each package says that it is typed; `sdk`, `processor` and `integrations` themselves are not importable."""
    assert (package / "py.typed").is_file()
    assert not (package.parent / "__init__.py").exists()


def test_importing_brings_in_no_framework() -> None:
    """`import spanward` and `import spanward_integrations` stay light: frameworks and transports come when used."""
    program = "import sys, spanward, spanward_integrations; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    assert {name.partition(".")[0] for name in loaded} & FRAMEWORKS == set()
    assert "spanward" in loaded


def test_the_sdk_works_without_numpy() -> None:
    """Where numpy is not installed, lists and texts are measured, hashed and read as usual."""
    program = (
        "import sys; sys.modules['numpy'] = None\n"
        "import spanward\n"
        "from spanward.testing import capture_spans\n"
        "with capture_spans() as spans:\n"
        "    spanward.configure(hashing_key='0123456789abcdef')\n"
        "    spanward.inference(model='m')(lambda row: [0.25, 0.75])([1.0, 0.0])\n"
        "    attributes = spans.finished[0].attributes\n"
        "print(attributes['spanward.score'], attributes['spanward.features.sparsity'])\n"
        "assert attributes['spanward.features.hash']\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("0.75 0.5\n", "")
