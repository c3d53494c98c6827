"""Recorded root causes, searched by all counts and by sampled rows."""

import itertools
from pathlib import Path

import numpy as np

from spanward_processor.evaluate.evaluations.root_cause import Recorded, Score, every_recorded

SEED = 20_261_126
CAUSE = frozenset({(0, 1), (1, 2)})


def case_of(failing: float) -> Recorded:
    """Return three attributes of three values each; where the first is 1 and the second 2, calls fail more often than the 2 % of all."""
    codes = np.array(list(itertools.product(range(3), repeat=3)), np.int64)
    hit = (codes[:, 0] == 1) & (codes[:, 1] == 2)
    rows = np.full(len(codes), 1_000.0)
    events = np.where(hit, failing, 0.02) * rows
    return Recorded(codes, np.stack((events, rows, 0.2 * rows, 10 * rows), axis=1), frozenset({CAUSE}))


def test_a_combination_is_found_by_counts_and_by_sampled_rows() -> None:
    """Half of the calls of one combination fail: both ways name it, and nothing else."""
    print(f"seed {SEED}")
    case = case_of(failing=0.5)

    assert case.by_counts() == [CAUSE]
    assert case.by_sample(np.random.default_rng(SEED))() == [CAUSE]


def test_a_sample_names_nobody_where_nothing_moved() -> None:
    """Where the minute is as the ones before, sampled rows explain nothing."""
    print(f"seed {SEED}")
    score, rng = Score(), np.random.default_rng(SEED)

    for _ in range(10):
        score.judge(case_of(failing=0.02).by_sample(rng), frozenset())

    assert score.wrong == 0


def test_recorded_cases_are_read(tmp_path: Path) -> None:
    """Leaves of the labelled minute beside those of the minutes before, later ones left out; values are numbered in order."""
    (tmp_path / "one.csv").write_text(
        "min,value,cnt,cdn,isp\n60,1,10,a,x\n120,5,10,a,x\n120,0,4,b,x\n180,9,9,b,x\n", encoding="utf-8"
    )
    (tmp_path / "anomaly.yaml").write_text("- data: one\n  timestamp: 120\n  cause: {cdn: a}\n", encoding="utf-8")

    (case,) = every_recorded(tmp_path)

    assert case.codes.tolist() == [[0, 0], [1, 0]]
    assert case.counts.tolist() == [[5.0, 10.0, 1.0, 10.0], [0.0, 4.0, 0.0, 0.0]]
    assert case.truth == {frozenset({(0, 0)})}
