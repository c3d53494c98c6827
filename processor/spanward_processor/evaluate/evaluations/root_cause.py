"""Root causes over several attributes: the generated families S-small and weak, and the recorded RobustSpot-RS cases.

One configuration for all of it. Elements count as found when they equal a true one exactly, as in the literature. Quoted for
other methods, not run here, on 18 and 60 cases of the reference generator: RiskLoc 0.79, AutoRoot 0.38, Squeeze 0.10 on S-small;
AutoRoot 0.79, RiskLoc 0.74, Squeeze 0.20 on weak.

The recorded cases are searched twice: by the counts of every leaf, and as a finding is explained by several attributes at once
(`attribution/joint.py`), by rows that are sampled from them, 27 windows of 32 rows against 2048 earlier ones.
"""

import csv
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from spanward_processor.attribution.answer import Answer
from spanward_processor.attribution.attribute import attribute_rate
from spanward_processor.attribution.joint import MOST_ROWS, JointRows
from spanward_processor.attribution.search import search
from spanward_processor.attribution.shift import LeafShift, amount_shift, rate_shift
from spanward_processor.attribution.table import LeafTable
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
from spanward_processor.features import FEATURES, MARKED, Aspect
from spanward_processor.kernels.jit import Floats, Ints
from spanward_processor.kernels.sampling import SAMPLED
from spanward_processor.testing.root_causes import FAMILIES, Conditions, Family, root_cause_case
from spanward_processor.windows.sample import Sample

ALPHA: Final = 0.05
CASES: Final = 100
SHORT_CASES: Final = 10
F1: Final = 0.79
LONGEST_S: Final = 1.0
RECORDED: Final = "rca-rs"
_WINDOWS: Final = 27  # of rows that are now
_SERIES: Final = 1

Elements = Sequence[Conditions]


@dataclass(slots=True)
class Score:
    """True and false elements, and the processor time that each case took: others may use the machine too."""

    right: int = 0
    wrong: int = 0
    missed: int = 0
    first_right: int = 0
    cases: int = 0
    seconds: list[float] = field(default_factory=list[float])

    def judge(self, find: Callable[[], Elements], truth: frozenset[Conditions]) -> None:
        """Search one case and compare; what is found is ranked, strongest first."""
        began = time.thread_time()
        found = find()
        self.seconds.append(time.thread_time() - began)
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
        shift = amount_shift(case.codes, case.amounts, case.forecasts)
        score.judge(partial(_searched, shift), case.truth)
    return score


def _searched(shift: LeafShift) -> Elements:
    return [frozenset(element.conditions) for element in search(shift, ALPHA)]


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded case: the labelled minute against all earlier minutes of its file.

    Args:
        codes: (n, a) int64 the leaves.
        counts: (n, 4) float64 events and rows of the minute, events and rows before.
        truth: What explains it.
    """

    codes: Ints
    counts: Floats
    truth: frozenset[Conditions]

    def by_counts(self) -> Elements:
        """Return what explains the case by the counts of every leaf."""
        return _searched(rate_shift(self.codes, *self.counts.T))

    def by_sample(self, rng: np.random.Generator) -> Callable[[], Elements]:
        """Return a search by sampled rows, drawn beforehand, in windows as a finding has them."""
        joint, nobody = JointRows(_WINDOWS - 1), np.empty(0, np.int64)
        earlier = MOST_ROWS // SAMPLED
        for place in range(earlier + _WINDOWS - 1):
            joint.keep(self._drawn(rng, now=place >= earlier), nobody)
        newest = self._drawn(rng, now=True)

        def find() -> Elements:
            sides = joint.sides(newest, _SERIES, FEATURES[Aspect.ERROR], _WINDOWS)
            if sides is None:
                return []
            names = tuple(str(column) for column in sides.attributes.tolist())
            found = attribute_rate(LeafTable.of(names, sides.now, sides.usual))
            causes = found.causes if found.answer is Answer.CAUSES else ()
            return [frozenset((int(name), code) for name, code in cause.conditions) for cause in causes]

        return find

    def _drawn(self, rng: np.random.Generator, *, now: bool) -> Sample:
        """Return one window's sample, of rows of the minute or of earlier ones."""
        events, rows = self.counts.T[:2] if now else self.counts.T[2:]
        leaf = rng.choice(rows.size, SAMPLED, p=rows / rows.sum())
        sample, attributes = Sample.of(SAMPLED, self.codes.shape[1] + MARKED.size), self.codes.shape[1]
        sample.keys[:], sample.ranks[:], sample.values[:], sample.measured[:], sample.routes[:] = _SERIES, 0, 0, 0, -1
        sample.marks[:, :attributes], sample.marks[:, attributes:] = self.codes[leaf], 0
        failed = rng.random(SAMPLED) < events[leaf] / rows[leaf]
        sample.marks[:, attributes + MARKED.tolist().index(Aspect.ERROR)] = failed
        return sample


def recorded(folder: Path, label: dict[str, Any]) -> Recorded:
    """Return one recorded case."""
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
    cause: dict[str, Any] | list[dict[str, Any]] = label["cause"]
    truth = frozenset(
        frozenset((names.index(name), texts[name].index(str(value))) for name, value in one.items())
        for one in (cause if isinstance(cause, list) else [cause])
    )
    return Recorded(np.array(list(leaves), np.int64), np.array(list(leaves.values())), truth)


def every_recorded(folder: Path) -> list[Recorded]:
    """Return all recorded cases."""
    return [recorded(folder, label) for label in yaml.safe_load((folder / "anomaly.yaml").read_text(encoding="utf-8"))]


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
    yield from _of_recorded(every_recorded(effort.data / RECORDED), effort.seeds)


def _of_recorded(cases: Sequence[Recorded], seeds: Sequence[int]) -> Iterator[Line]:
    score, sampled = Score(), [Score() for _ in seeds]
    for case in cases:
        score.judge(case.by_counts, case.truth)
    for seed, of_seed in zip(seeds, sampled, strict=True):
        rng = np.random.default_rng(seed)
        for case in cases:
            of_seed.judge(case.by_sample(rng), case.truth)
    yield stated("RobustSpot-RS, in-sample: F1", Estimate(score.f1, score.f1, score.f1, 1), number)
    yield stated("RobustSpot-RS, in-sample: first cause true", share(score.first_right, score.cases), percent)
    yield _longest("RobustSpot-RS", [score])
    name = "RobustSpot-RS by sampled rows"
    yield stated(f"{name}: F1", over_seeds([one.f1 for one in sampled]), number)
    yield stated(f"{name}: precision", over_seeds([one.precision for one in sampled]), number)
    first = share(sum(one.first_right for one in sampled), sum(one.cases for one in sampled))
    yield stated(f"{name}: first cause true", first, percent)
    yield _longest(name, sampled)


def _longest(name: str, scores: Sequence[Score]) -> Line:
    longest = [max(score.seconds) for score in scores]
    return at_most(f"{name}: longest case", over_seeds(longest), LONGEST_S, milliseconds)


EVALUATION: Final = Evaluation(
    name="root_cause",
    shows="Which combination of attribute values explains a loss, among several attributes: F1 over elements.",
    measure=measure,
    first_seed=100,
)
