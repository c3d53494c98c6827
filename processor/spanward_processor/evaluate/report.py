"""Tables of what was measured, as Markdown, with what is needed to measure it again."""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import spanward_processor
from spanward_processor.attribution.attribute import ALPHA
from spanward_processor.configuration.config import Config
from spanward_processor.detectors import DETECTORS
from spanward_processor.evaluate.base import Effort, Evaluation, Line
from spanward_processor.evaluate.data import missing
from spanward_processor.features import FEATURES

_VERDICTS = {True: "yes", False: "**no**", None: ""}
_HEADER = "| what | measured (95 % interval) | to reach | reached |\n|---|---|---|---|"


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """What two tables must share to be compared.

    Args:
        configuration: Of all defaults, detectors and features.
        code: Of the processor's sources, the evaluations left out.
    """

    configuration: str
    code: str

    @classmethod
    def taken(cls) -> "Fingerprints":
        """Return those of the running processor."""
        config = Config().model_dump(mode="json", include={"detection", "limits"})
        detectors = [getattr(detector, "__name__", repr(detector)) for detector in DETECTORS]
        facts = config | {"detectors": detectors, "features": [one.aspect.name for one in FEATURES], "alpha": ALPHA}
        return cls(_digest(json.dumps(facts, sort_keys=True).encode()), _digest(*_sources()))

    def __str__(self) -> str:
        return f"configuration {self.configuration}, code {self.code}"


def _digest(*parts: bytes) -> str:
    digest = hashlib.blake2b(digest_size=6)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _sources() -> Iterator[bytes]:
    folder = Path(spanward_processor.__path__[0])
    for path in sorted(folder.rglob("*.py")):
        if "evaluate" not in path.relative_to(folder).parts:
            yield path.read_bytes()


def report(evaluation: Evaluation, effort: Effort) -> Iterator[str]:
    """Measure, and yield the lines of a Markdown table as they come.

    Args:
        evaluation: What is asked.
        effort: How much is measured.
    """
    yield f"## {evaluation.name}\n"
    yield f"{evaluation.shows}\n"
    lacking = missing(evaluation, effort.data)
    if lacking:
        yield f"Not measured: it needs {', '.join(lacking)} under SPANWARD_DATA, which is {effort.data}.\n"
        return
    yield _HEADER
    began = time.perf_counter()
    for line in evaluation.measure(effort):
        yield shown(line)
    took_s = time.perf_counter() - began
    seeds = f"seeds {effort.seeds.start} to {effort.seeds.stop - 1}" if len(effort.seeds) else "no seeds"
    size = ", short" if effort.short else ""
    yield f"\n{seeds}{size}; {Fingerprints.taken()}; {took_s:,.0f} s, load average {os.getloadavg()[0]:.1f}\n"


def shown(line: Line) -> str:
    """Return a line as a row of the table."""
    cells = (line.what, line.measured, line.to_reach, _VERDICTS[line.reached])
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
