"""The calibrator: what it chooses does what it says, and it refuses where nothing would."""

import random
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits

from spanward.calibration import NotArmedError, calibrate
from spanward.config import Settings
from spanward.fingerprint import Shingles, Windows, overlap
from spanward.hashing import Hasher

Rows = np.ndarray[Any, np.dtype[np.float64]]
HASHER = Hasher.of(Settings(hashing_key=b"a key that calibrating did not see"))


def sentences(number: int, count: int, *, frame: str = "") -> list[str]:
    """Return texts of thirty random words, each after the same frame."""
    rng = random.Random(number)
    words = ["".join(rng.choices("abcdefgh", k=6)) for _ in range(2000)]
    return [f"{frame} {' '.join(rng.choices(words, k=30))}" for _ in range(count)]


def matching(samples: list[object], form: Shingles | Windows) -> float:
    """Return the share of samples that share half of their hashes with any one before."""
    prints = [HASHER.fingerprint(sample, "m", form) for sample in samples]
    rows = range(len(prints))
    return sum(any(overlap(prints[row], earlier) >= 0.5 for earlier in prints[:row]) for row in rows) / len(prints)


@pytest.mark.parametrize("load", [load_breast_cancer, load_digits], ids=lambda load: load.__name__)
def test_real_rows_are_armed_within_the_target(load: Callable[[], Any]) -> None:
    """On a half it did not see, under a key it did not see, benign rows match no more than asked for, and noisy ones do."""
    rows: Rows = load().data
    order = np.random.default_rng(1).permutation(len(rows))[:1000]
    seen, unseen = rows[order[::2]], rows[order[1::2]]
    found = calibrate(list(seen), target=0.02)
    noisy = unseen + np.random.default_rng(2).normal(size=unseen.shape) * 0.02 * (
        seen.std() if load is load_digits else seen.std(axis=0)
    )
    assert isinstance(found.form, Windows)
    known = [
        overlap(HASHER.fingerprint(row, "m", found.form), HASHER.fingerprint(changed, "m", found.form)) >= 0.5
        for row, changed in zip(unseen, noisy, strict=True)
    ]

    assert found.benign < found.benign_at_most <= 0.02
    assert matching(list(unseen), found.form) <= 0.04
    assert sum(known) / len(known) > 0.8


def test_texts_in_a_frame_need_wider_runs() -> None:
    """Where all prompts begin alike, the narrowest runs make them match; the chosen form does not."""
    samples: list[object] = [*sentences(1, 400, frame="you are a helpful assistant answer shortly")]
    found = calibrate(samples, target=0.01)

    assert isinstance(found.form, Shingles)
    assert (found.benign, found.samples) == (0.0, 400)
    assert found.changed > 0.95
    assert matching(samples, found.form) <= 0.01


def test_one_long_frame_around_all_is_refused_with_the_rate() -> None:
    """A prompt that is nearly all instructions makes everything a repeat under any form; nothing is armed in silence."""
    samples = sentences(1, 400, frame=" ".join(sentences(2, 20)))

    with pytest.raises(NotArmedError, match=re.escape("at most 0.01 of the samples may match an earlier one, got 0.")):
        calibrate(samples, target=0.01)


def test_too_few_samples_are_refused() -> None:
    """None of fifty matching says nothing about one in a hundred."""
    with pytest.raises(NotArmedError, match=re.escape("target 0.01 needs 300 different samples or more, got 50")):
        calibrate(sentences(1, 50), target=0.01)


def test_equal_samples_count_once() -> None:
    """Equal inputs match under any form; they are no evidence of few inputs, nor against a form."""
    with pytest.raises(NotArmedError, match="needs 300 different samples or more, got 40"):
        calibrate(sentences(1, 40) * 10, target=0.01)
    assert calibrate(sentences(1, 100) * 3, target=0.05).benign == 0.0


def test_the_same_sample_gives_the_same_form() -> None:
    """Nothing depends on the run."""
    samples = sentences(3, 100)

    assert calibrate(samples, target=0.05) == calibrate(samples, target=0.05)


@pytest.mark.parametrize(
    ("samples", "rule"),
    [
        ([*sentences(1, 99), 7], "all texts or all arrays, got texts and others"),
        ([[float(number)] * (1 + number % 2) for number in range(100)], "all arrays of numbers of one length"),
        ([{"a": number} for number in range(100)], "all arrays of numbers of one length"),
    ],
    ids=["mixed", "lengths", "mappings"],
)
def test_samples_of_no_one_kind_are_refused(samples: list[object], rule: str) -> None:
    """By rule, and never with a sample."""
    with pytest.raises(TypeError, match=rule):
        calibrate(samples, target=0.05)


def test_columns_of_different_scale_have_steps_of_their_own() -> None:
    """A column in thousands does not drown one in hundredths, and one that never changes does no harm."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(200, 12)) * np.array([1000.0, 0.01, 0.0] * 4)
    found = calibrate(list(rows), target=0.05)

    assert isinstance(found.form, Windows)
    assert len(found.form.steps) == 12
    assert found.form.steps[0] > 10_000 * found.form.steps[1]


@pytest.mark.parametrize("target", [0.0, 1.0, 5.0, -0.01])
def test_a_target_that_is_no_share_is_refused(target: float) -> None:
    """Percent are a likely mistake, and would arm any form."""
    with pytest.raises(ValueError, match="target must be a share between 0 and 1, got"):
        calibrate(["one text", "another"], target=target)
