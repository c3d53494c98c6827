"""What the pages say, held against the code: names, defaults, files, commands, and the README's example as it stands."""

import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel
from typer.testing import CliRunner

import running
from configuration import REQUIRED, keys_of
from spanward import semconv
from spanward_processor.commands import COMMANDS, app
from spanward_processor.configuration.config import Config
from spanward_processor.configuration.reloading import RESTART
from spanward_processor.detectors import DETECTORS
from spanward_processor.features import FEATURES, Aspect
from spanward_processor.metrics import METRICS
from spanward_processor.roles import NUMBER_ROLES, TEXT_ROLES
from spanward_processor.warmup import warm_up

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
README = ROOT / "README.md"
FINDINGS = ROOT / "docs" / "findings.md"
METRICS_PAGE = ROOT / "docs" / "metrics.md"
CONFIGURATION = ROOT / "docs" / "configuration.md"
SECURITY = ROOT / "docs" / "security.md"
DECISIONS = ROOT / "docs" / "decisions"
CODE = ("", "sdk", "integrations", "processor/spanward_processor")  # folders that pages name files from
DEADLINE_S = 60.0


def blocks(page: Path, *languages: str) -> Iterator[str]:
    """Yield the fenced blocks of a page that are in one of the languages."""
    for language, body in re.findall(r"^ *```(\w*)\n(.*?)^ *```$", page.read_text(), re.MULTILINE | re.DOTALL):
        if language in languages:
            yield body


def rows(page: Path, title: str) -> list[list[str]]:
    """Return the cells of every table row whose header's first cell is `title`, backticks taken off."""
    found: list[list[str]] = []
    inside = False
    for line in page.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif inside and not cells[0].startswith("---"):
            found.append([cell.strip("`") for cell in cells])
        inside = inside or (line.startswith("|") and cells[0] == title)
    return found


def anchors(page: Path) -> set[str]:
    """Return how the headings of a page are linked to: in lower case, punctuation left out, words joined by hyphens."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def command_lines() -> list[str]:
    """Return every different `spanward ...` command line of all pages and of the shipped configuration."""
    texts = [path.read_text() for path in (*PAGES, *ROOT.glob("otel-config/*.yaml"))]
    quoted = [line for text in texts for line in re.findall(r"`(spanward [^`\n]+)`", text)]
    shell = [
        line for page in PAGES for block in blocks(page, "sh") for line in re.findall(r"\bspanward [^#&\n]+", block)
    ]
    return sorted({line.strip() for line in (*quoted, *shell)})


def test_the_readme_names_a_command_line_for_every_command() -> None:
    """Every command there is stands in the README's table, and no other."""
    named = {row[0].split()[1] for row in rows(README, "command") if row[0].startswith("spanward ")}

    assert {command.__name__ for command in COMMANDS} == named


@pytest.mark.parametrize("line", command_lines())
def test_written_command_lines_parse(line: str) -> None:
    """Command and options exist: help is printed only after everything before it was understood."""
    done = CliRunner().invoke(app, [*shlex.split(line)[1:], "--help"])

    assert done.exit_code == 0, done.output


def test_the_readmes_example_sends_a_span_without_its_input() -> None:
    """The example runs as it stands and a backend behind a processor gets decision and score, and no input."""
    (example,) = blocks(README, "python")
    warm_up(lambda *_: None)  # the exporter waits ten seconds, compiling takes longer
    with running.backend() as (backend, port), running.processor(port) as processor:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "PYTEST_"))}
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://{processor.receiver_address}"
        command = [sys.executable, "-c", example]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
        assert (done.returncode, len(backend.traces)) == (0, 1), done.stderr
    (request,) = backend.traces
    (span,) = request.resource_spans[0].scope_spans[0].spans
    attributes = {attribute.key: attribute.value for attribute in span.attributes}
    assert attributes[semconv.MODEL_NAME].string_value == "support-router"
    assert attributes[semconv.DECISION].string_value == "billing"
    assert attributes[semconv.SCORE].double_value == 0.97
    assert b"charged" not in request.SerializeToString()


def test_the_readmes_example_is_ten_lines() -> None:
    """The first example stays as short as it was promised."""
    (example,) = blocks(README, "python")

    assert len([line for line in example.splitlines() if line]) <= 10


@pytest.mark.parametrize("name", ["demo", "test"])
def test_marked_commands_are_one_line(name: str) -> None:
    """What `.ci/run` takes from the README is one line under its mark."""
    (command,) = re.findall(rf"<!-- command: {name} -->\n```sh\n(.*?)\n```", README.read_text(), re.DOTALL)

    assert "\n" not in command
    assert f"'.[{name}]'" in command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that exists, and every anchor a heading of it."""
    for link in re.findall(r"\]\((?!https?://)([^)]+)\)", page.read_text()):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_exist(page: Path) -> None:
    """Every file and folder a page names in backticks is there."""
    named = re.findall(r"`([\w./-]+(?:\.py|\.yaml|\.sh|/))`", page.read_text())
    placeholders = {name for name in named if "NAME" in name}
    beside = ("integrations/spanward_integrations", "processor/spanward_processor/detectors")

    missing = [
        name
        for name in sorted(set(named) - placeholders)
        if not any((ROOT / folder / name).exists() for folder in (*CODE, *beside))
    ]
    assert missing == []


def test_every_configuration_key_is_described_with_its_default() -> None:
    """The tables hold every key of the model, each with the default the model has, and no other key."""
    expected = {path: default for path, default in keys_of(Config).items() if not isinstance(default, BaseModel)}
    written = {
        row[0]: REQUIRED if row[1] == "required" else yaml.safe_load(row[1]) for row in rows(CONFIGURATION, "key")
    }

    assert {path: list(value) if isinstance(value, tuple) else value for path, value in expected.items()} == written


def test_the_page_names_what_a_reload_can_change_and_what_needs_a_restart() -> None:
    """Each section of the file stands in the one table, each key that waits for a restart in the other."""
    assert [row[0] for row in rows(CONFIGURATION, "restart")] == list(RESTART)
    assert [row[0] for row in rows(CONFIGURATION, "section")] == list(Config.model_fields)


def test_every_limit_is_in_the_page_on_security() -> None:
    """Its table says of every limit, with the default it has, what happens beyond it."""
    written = {row[0]: yaml.safe_load(row[1]) for row in rows(SECURITY, "limit")}

    assert written == {f"limits.{name}": value for name, value in Config().limits}
    assert all(row[2] for row in rows(SECURITY, "limit"))


def test_every_fixed_bound_is_true_and_tested() -> None:
    """Its table gives each bound the value it has in the code, and names a test that there is."""
    for bound, value, what, beyond, test in rows(SECURITY, "bound"):
        path, _, name = test.partition("::")
        assert constant(bound) == yaml.safe_load(value), bound
        assert what, bound
        assert beyond, bound
        assert f"def {name}(" in (ROOT / "tests" / path).read_text(), test


def constant(name: str) -> object:
    """Return what a dotted name of the processor stands for; of a class, what its instances have by default."""
    parts = name.split(".")
    for size in range(len(parts), 0, -1):
        if _is_module(parts[:size]):
            found: object = importlib.import_module(".".join(("spanward_processor", *parts[:size])))
            for part in parts[size:]:
                found = getattr(found, part)
                found = found() if isinstance(found, type) else found
            return found
    raise AssertionError(f"{name} is nothing of the processor's")


def _is_module(parts: list[str]) -> bool:
    path = ROOT / "processor" / "spanward_processor" / Path(*parts)
    return path.with_suffix(".py").exists()


def test_every_role_is_named() -> None:
    """The page of keys names every role an operator can change."""
    page = CONFIGURATION.read_text()

    assert [role for role in TEXT_ROLES | NUMBER_ROLES if f"`{role}`" not in page] == []


def test_every_aspect_is_described_with_its_kind() -> None:
    """The table of what can be found holds every feature with the kind of its findings, and names real detectors."""
    table = rows(FINDINGS, "aspect")

    assert {(feature.aspect.name.lower(), feature.kind) for feature in FEATURES} <= {(row[0], row[2]) for row in table}
    assert {getattr(factory, "name") for factory in DETECTORS} == {row[1] for row in table}  # noqa: B009 - a factory's type has no name
    pairs = "latency_input_tokens`, `latency_output_tokens`, `latency_input_size`, `input_size_score"
    together = {"row", pairs, "version", "model", "slice"}
    assert {aspect.name.lower() for aspect in Aspect} | together == {row[0] for row in table}


def test_every_attribute_the_processor_writes_is_described() -> None:
    """The tables hold every attribute of findings and annotations, and nothing that is none."""
    names = {
        value
        for name, value in vars(semconv).items()
        if name.startswith(("FINDING_", "ANOMALY_")) and name not in {"FINDING_EVENT", "ANOMALY_PREFIX"}
    }
    written = {row[0] for row in rows(FINDINGS, "attribute")}

    assert names | {semconv.MODEL_NAME, semconv.MODEL_VERSION, semconv.CLIENT_ID} == written


def test_every_metric_is_described() -> None:
    """The tables hold every metric there is with its type, and nothing else; `e2e/test_metrics.py` asks a processor."""
    described = {row[0]: row[1] for row in rows(METRICS_PAGE, "metric")}

    assert {metric.name: metric.kind.value for metric in METRICS} == described


def test_every_decision_is_listed() -> None:
    """The table of decisions names every page beside it, once, and every page has the number of its name."""
    pages = sorted(path.name for path in DECISIONS.glob("[0-9]*.md"))
    listed = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", (DECISIONS / "README.md").read_text())

    assert pages == listed
    for name in pages:
        assert (DECISIONS / name).read_text().startswith(f"# {name[:4]}: ")


def test_ci_takes_the_test_command_from_the_readme() -> None:
    """The script of CI reads the command under the README's mark and does not spell it itself."""
    script = (ROOT / ".ci" / "run").read_text()

    assert "readme_command test" in script
    assert "'.[test]'" not in script


@pytest.mark.parametrize("script", sorted((ROOT / "tests" / "peers").glob("*.sh")), ids=lambda script: script.name)
def test_the_builder_of_a_peer_runs_in_the_shell_that_it_names(script: Path) -> None:
    """It can be executed, and whoever calls it names no shell of his own: `sh` is not everywhere the one it needs."""
    shell = re.compile(rf"(?<![./\w])(?:ba|da)?sh [\w./]*{re.escape(script.name)}")
    callers = [ROOT / ".ci" / "run", *PAGES, *ROOT.glob("tests/**/*.py")]
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!")
    assert not [caller for caller in callers if shell.search(caller.read_text())]
