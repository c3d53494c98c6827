"""Root causes over several attributes: the generated families S-small and weak, and the recorded RobustSpot-RS cases.

One configuration for all of it. Elements count as found when they equal a true one exactly, as in the literature. Quoted for
other methods, not run here, on 18 and 60 cases of the reference generator: RiskLoc 0.79, AutoRoot 0.38, Squeeze 0.10 on S-small;
AutoRoot 0.79, RiskLoc 0.74, Squeeze 0.20 on weak.
"""

import csv
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from spanward_processor.attribution.search import search
from spanward_processor.attribution.shift import LeafShift, amount_shift, rate_shift
from spanward_processor.evaluate.base import (
    Effort,
    Evaluation,
    Line,
    absent,
    at_least,
    at_most,
    milliseconds,
    number,
    percent,
    stated,
)
from spanward_processor.evaluate.intervals import Estimate, over_seeds, share
from spanward_processor.testing.root_causes import FAMILIES, Conditions, Family, root_cause_case

ALPHA: Final = 0.05
CASES: Final = 100
SHORT_CASES: Final = 10
F1: Final = 0.79
LONGEST_S: Final = 1.0
RECORDED: Final = "rca-rs"


@dataclass(slots=True)
class Score:
    """True and false elements, and what each case took."""

    right: int = 0
    wrong: int = 0
    missed: int = 0
    first_right: int = 0
    cases: int = 0
    seconds: list[float] = field(default_factory=list[float])

    def judge(self, shift: LeafShift, truth: frozenset[Conditions]) -> None:
        """Search one case and compare."""
        began = time.perf_counter()
        found = [frozenset(element.conditions) for element in search(shift, ALPHA)]
        self.seconds.append(time.perf_counter() - began)
        right = len(truth & set(found))
        self.right += right
        self.wrong += len(found) - right
        self.missed += len(truth) - right
        self.first_right += bool(found) and found[0] in truth
        self.cases += 1

    @property
    def f1(self) -> float:
        """The F1 over all elements."""
        return 2 * self.right / max(2 * self.right + self.wrong + self.missed, 1)

    @property
    def precision(self) -> float:
        """Share of the elements named that are true."""
        return self.right / max(self.right + self.wrong, 1)

    @property
    def recall(self) -> float:
        """Share of the true elements that are named."""
        return self.right / max(self.right + self.missed, 1)


def of_family(family: Family, cases: int, seed: int) -> Score:
    """Return the score over the cases of one seed."""
    rng, score = np.random.default_rng(seed), Score()
    for _ in range(cases):
        case = root_cause_case(family, rng)
        score.judge(amount_shift(case.codes, case.amounts, case.forecasts), case.truth)
    return score


def recorded(folder: Path, label: dict[str, Any]) -> tuple[LeafShift, frozenset[Conditions]]:
    """Return one recorded case: the labelled minute against all earlier minutes of its file."""
    with (folder / f"{label['data']}.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    names = [name for name in rows[0] if name not in {"min", "value", "cnt"}]
    texts = {name: sorted({row[name] for row in rows}) for name in names}
    leaves: dict[tuple[int, ...], list[float]] = {}
    minute = int(str(label["timestamp"]))
    for row in rows:
        age = minute - int(row["min"])
        if age >= 0:
            sums = leaves.setdefault(tuple(texts[name].index(row[name]) for name in names), [0.0] * 4)
            sums[0 if age == 0 else 2] += float(row["value"])
            sums[1 if age == 0 else 3] += float(row["cnt"])
    counts = np.array(list(leaves.values()))
    cause: dict[str, Any] | list[dict[str, Any]] = label["cause"]
    truth = frozenset(
        frozenset((names.index(name), texts[name].index(str(value))) for name, value in one.items())
        for one in (cause if isinstance(cause, list) else [cause])
    )
    return rate_shift(np.array(list(leaves), np.int64), *counts.T), truth


def of_recorded(folder: Path) -> Score:
    """Return the score over all recorded cases."""
    score = Score()
    for label in yaml.safe_load((folder / "anomaly.yaml").read_text(encoding="utf-8")):
        score.judge(*recorded(folder, label))
    return score


def measure(effort: Effort) -> Iterator[Line]:
    """Search every case; see `Evaluation`."""
    cases = SHORT_CASES if effort.short else CASES
    for name, family in FAMILIES.items():
        scores = [of_family(family, cases, seed) for seed in effort.seeds]
        yield at_least(f"{name}: F1", over_seeds([score.f1 for score in scores]), F1, number)
        yield stated(f"{name}: precision", over_seeds([score.precision for score in scores]), number)
        yield stated(f"{name}: recall", over_seeds([score.recall for score in scores]), number)
        yield _longest(name, scores)
    if not (effort.data / RECORDED).is_dir():
        yield absent("RobustSpot-RS", RECORDED)
        return
    score = of_recorded(effort.data / RECORDED)
    yield stated("RobustSpot-RS, in-sample: F1", Estimate(score.f1, score.f1, score.f1, 1), number)
    yield stated("RobustSpot-RS, in-sample: first cause true", share(score.first_right, score.cases), percent)
    yield _longest("RobustSpot-RS", [score])


def _longest(name: str, scores: Sequence[Score]) -> Line:
    longest = [max(score.seconds) for score in scores]
    return at_most(f"{name}: longest case", over_seeds(longest), LONGEST_S, milliseconds)


EVALUATION: Final = Evaluation(
    name="root_cause",
    shows="Which combination of attribute values explains a loss, among several attributes: F1 over elements.",
    measure=measure,
    first_seed=100,
)
