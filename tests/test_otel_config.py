"""The configuration files that are shipped: loaded, and compared with the code's defaults."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from typer.testing import CliRunner

from configuration import keys_of
from spanward_processor.commands import app
from spanward_processor.configuration.addresses import is_loopback
from spanward_processor.configuration.config import Config, load, parse

FOLDER = Path(__file__).parents[1] / "otel-config"
EVERY_KEY = FOLDER / "processor.yaml"
ENVIRONMENT = {"TEMPO_TOKEN": "secret", "ROLL_BACK_SECRET": "0123456789abcdef"}

_EXAMPLE = re.compile(r"( *)#(?! \S)(.*)")
_NO_VALUE = re.compile(r" *(\w+): (null|\[\]|\{\})( .*)?")


def with_examples(text: str) -> str:
    """Return a configuration with its example lines in force, each block in place of the empty value above it."""
    lines: list[str] = []
    for line in text.splitlines():
        example = _EXAMPLE.fullmatch(line)
        if example:
            above = _NO_VALUE.fullmatch(lines[-1])
            if above and example[2].startswith(f"{above[1]}:"):
                lines.pop()
            line = example[1] + example[2]
        lines.append(line)
    return "\n".join(lines)


def paths(value: object, path: str = "") -> Iterator[str]:
    """Yield the path of every key of a loaded YAML file, as `backends[].name`."""
    if isinstance(value, dict):
        for key, item in cast("dict[str, object]", value).items():
            yield f"{path}.{key}".lstrip(".")
            yield from paths(item, f"{path}.{key}".lstrip("."))
    if isinstance(value, list):
        for item in cast("list[object]", value):
            yield from paths(item, f"{path}[]")


def test_every_key_stands_with_its_default() -> None:
    """The file of all keys says what no file at all would say."""
    assert Config() == load(EVERY_KEY)


def test_no_default_is_left_to_be_guessed() -> None:
    """Every key outside of examples is written down in the file of all keys."""
    written = set(paths(yaml.safe_load(EVERY_KEY.read_text())))

    assert {path for path in keys_of(Config) if not re.search(r"\[\]|tls\.", path)} == written


def test_the_examples_name_every_other_key(tmp_path: Path) -> None:
    """With the examples in force, and the files they name in place, it is valid and holds every key there is."""
    text = with_examples(EVERY_KEY.read_text()).replace("/etc/spanward", str(tmp_path))
    for name in re.findall(rf"{tmp_path}/(\S+)", text):
        (tmp_path / name).touch()

    config = parse(text, ENVIRONMENT)

    free = {"detection.roles.client", "backends[].headers.authorization"}  # the user's own keys
    assert set(keys_of(Config)) == set(paths(yaml.safe_load(text))) - free
    assert config.receiver.tls is not None
    assert config.backends[0].headers == {"authorization": "secret"}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("processor*.yaml")), ids=lambda path: path.name)
def test_every_processor_file_is_valid(path: Path) -> None:
    """What is shipped for the processor passes its own check and stays on this machine."""
    config = load(path)

    assert is_loopback(config.receiver.listen)


def test_the_collector_and_the_processor_agree_on_ports() -> None:
    """The Collector sends where the processor listens, and listens where it sends."""
    collector = cast("dict[str, Any]", yaml.safe_load((FOLDER / "collector.yaml").read_text()))
    config = load(FOLDER / "processor-behind-collector.yaml")
    judged = collector["receivers"]["otlp/judged"]["protocols"]["grpc"]["endpoint"]

    assert collector["exporters"]["otlp/spanward"]["endpoint"] == config.receiver.listen
    assert [f"http://{judged}"] == [backend.endpoint for backend in config.backends]


def test_the_collector_uses_only_what_it_defines() -> None:
    """Every receiver and exporter of a pipeline is defined, and every defined one is used."""
    collector = cast("dict[str, Any]", yaml.safe_load((FOLDER / "collector.yaml").read_text()))
    pipelines = collector["service"]["pipelines"].values()

    for kind in ("receivers", "exporters"):
        assert set(collector[kind]) == {name for pipeline in pipelines for name in pipeline[kind]}


def test_the_unit_starts_what_there_is() -> None:
    """Every command line of the systemd unit parses, and a reload is the signal that the processor listens to."""
    unit = (FOLDER / "spanward.service").read_text()
    lines = dict(re.findall(r"^(Exec\w+)=(.*)$", unit, re.MULTILINE))

    assert lines.pop("ExecReload") == "/bin/kill -HUP $MAINPID"
    assert set(lines) == {"ExecStartPre", "ExecStart"}
    for line in lines.values():
        assert CliRunner().invoke(app, [*shlex.split(line)[1:], "--help"]).exit_code == 0
