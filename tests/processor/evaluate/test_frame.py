"""The frame of `spanward evaluate`: what is found where, what a table says, and what is said when data is missing."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from spanward_processor.commands import app
from spanward_processor.evaluate import evaluations
from spanward_processor.evaluate.base import Effort, Evaluation, Line, absent, at_least, at_most, number, percent
from spanward_processor.evaluate.evaluations import EVALUATIONS
from spanward_processor.evaluate.intervals import over_seeds, share
from spanward_processor.evaluate.report import Fingerprints, report

SCIPY = cast("Any", stats)  # it ships no types


def effort(data: Path) -> Effort:
    """Return two seeds of little."""
    return Effort(range(7, 9), True, data)


def of_two_lines(asked: Effort) -> Iterator[Line]:
    """Answer with one goal reached and one missed."""
    yield at_least("large | small", over_seeds([float(seed) for seed in asked.seeds]), 7.0, number)
    yield at_most("share", share(3, 4), 0.5, percent)


def test_every_evaluation_is_a_file_and_every_file_an_evaluation() -> None:
    """An evaluation that was forgotten in the table is noticed, and each is called as its file."""
    folder = Path(next(iter(evaluations.__path__)))

    assert [one.name for one in EVALUATIONS] == sorted(file.stem for file in folder.glob("[!_]*.py"))


def test_the_interval_over_seeds_is_student_s() -> None:
    """As scipy has it, for few seeds and for many."""
    for count in (2, 5, 30):
        values = np.random.default_rng(count).normal(3.0, 2.0, count)
        low, high = SCIPY.t.interval(0.95, count - 1, values.mean(), values.std(ddof=1) / np.sqrt(count))

        found = over_seeds(values.tolist())

        assert (found.mean, found.low, found.high) == pytest.approx((values.mean(), low, high), rel=1e-6)


def test_the_interval_of_a_share_is_wilson_s() -> None:
    """As scipy has it, at the ends too."""
    for hits, tries in ((0, 10), (7, 10), (10, 10)):
        interval = SCIPY.binomtest(hits, tries).proportion_ci(method="wilson")

        found = share(hits, tries)

        assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-6)


def test_a_share_of_nothing_is_neither_reached_nor_missed() -> None:
    """No case, no verdict."""
    line = at_least("detected", share(0, 0), 0.9, percent)

    assert (line.measured, line.reached) == ("none", None)


def test_a_table_says_what_was_reached_and_by_what_it_was_judged(tmp_path: Path) -> None:
    """Verdicts, seeds, configuration and load stand in it, and nothing breaks its columns."""
    asked = Evaluation("two", "Two lines.", of_two_lines, first_seed=7)

    lines = list(report(asked, effort(tmp_path)))

    assert lines[:2] == ["## two\n", "Two lines.\n"]
    assert lines[3] == "| large \\| small | 7.500 (1.147 to 13.853) | >= 7.000 | yes |"
    assert lines[4] == "| share | 75.0 % (30.1 % to 95.4 %) | <= 50.0 % | **no** |"
    assert re.fullmatch(
        r"\nseeds 7 to 8, short; configuration [0-9a-f]{12}, code [0-9a-f]{12}; 0 s, load average [\d.]+\n", lines[5]
    )


def test_missing_data_is_named_and_nothing_is_measured(tmp_path: Path) -> None:
    """Where the folder is not there, the table is a sentence that names it."""
    asked = Evaluation("two", "Two lines.", of_two_lines, first_seed=7, needs=("nab",))

    (*_, said) = report(asked, effort(tmp_path))

    assert said == f"Not measured: it needs nab under SPANWARD_DATA, which is {tmp_path}.\n"


def test_a_line_without_its_data_has_no_verdict() -> None:
    """What was not measured is neither reached nor missed."""
    assert absent("NAB", "nab", ">= 70").reached is None


def test_configuration_and_code_are_told_apart() -> None:
    """The same processor has the same fingerprints, and the two are not of the same thing."""
    taken = Fingerprints.taken()

    assert taken == Fingerprints.taken()
    assert taken.configuration != taken.code


def test_the_list_names_every_evaluation() -> None:
    """`--list` tells what there is and measures nothing."""
    result = CliRunner().invoke(app, ["evaluate", "--list"])

    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == [one.name for one in EVALUATIONS]


def test_an_unknown_evaluation_is_told_and_exits_with_2() -> None:
    """The message names those there are."""
    result = CliRunner().invoke(app, ["evaluate", "nothing"])

    assert result.exit_code == 2
    assert result.stderr.startswith("evaluation: must be one of ")
    assert result.stderr.endswith(", got nothing\n")


def test_the_page_lists_every_evaluation() -> None:
    """docs/evaluation.md has a row for each, in the same order."""
    page = (Path(__file__).parents[3] / "docs" / "evaluation.md").read_text(encoding="utf-8")

    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == [one.name for one in EVALUATIONS]
