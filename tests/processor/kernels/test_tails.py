"""p-values of rows against sums over the whole baseline."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import fdtrc

import naive
from arrays import ints, model_of
from spanward_processor.features import FEATURES, Aspect, Shape
from spanward_processor.kernels.tables import FEATURE_BITS, MISSING
from spanward_processor.kernels.tails import empty_asked, f_tail, f_tails, score_rows
from spanward_processor.rowmodel import RowModel

CATEGORIES = {int(feature.aspect) for feature in FEATURES if feature.shape is Shape.CATEGORY}
WATCHED = (Aspect.LATENCY, Aspect.ERROR, Aspect.SCORE, Aspect.DECISION, Aspect.CLIENT)
BINS = [-(1 << 61), 0, 1, 2, 7, 40, 1 << 62]  # side by side, with a small gap, a larger one, and far away
USUAL = st.dictionaries(
    st.tuples(st.integers(0, 2), st.sampled_from(WATCHED), st.sampled_from(BINS)),
    st.integers(1, 1000),
    max_size=25,
)


@given(USUAL, st.integers(0, 2**32))
def test_p_values_equal_their_twin(usual: dict[tuple[int, Aspect, int], int], seed: int) -> None:
    """With a model that `fill_tails` made, every row of a ready key has the twin's p-value; rows of no key, and of keys never seen, have 1."""
    random = np.random.default_rng(seed)
    model = model_of((key << FEATURE_BITS | aspect, place, count) for (key, aspect, place), count in usual.items())
    keys = random.integers(-1, 5, 12)
    bins = random.choice([MISSING, *BINS, 3, 8, 41], (len(FEATURES), 12))
    p = np.ones(12)

    score_rows(keys, bins, model.tails, empty_asked(len(FEATURES)), p)

    for row, key in enumerate(keys.tolist()):
        known: dict[int, dict[int, float]] = {}
        for (owner, aspect, place), count in usual.items():
            if owner == key:
                known.setdefault(int(aspect), {})[place] = count
        said = {f: int(bins[f, row]) for f in range(len(FEATURES)) if bins[f, row] != MISSING}
        assert p[row] == pytest.approx(naive.row_p(said, known, CATEGORIES), rel=1e-6, abs=1e-9)


def test_no_room_for_p_raises() -> None:
    """Fewer places than rows raises."""
    with pytest.raises(IndexError):
        score_rows(ints([0, 0]), np.zeros((1, 2), np.int64), RowModel.empty().tails, empty_asked(1), np.ones(1))


@given(st.floats(0.5, 40), st.floats(1, 1e5), st.floats(0, 1e4))
def test_the_tail_of_f_equals_its_twin(between: float, within: float, ratio: float) -> None:
    """The probability is scipy's `fdtrc`, far out in the tail too, as far as that does not give up and say 0."""
    assert f_tail(between, within, ratio) == pytest.approx(float(fdtrc(between, within, ratio)), rel=1e-8, abs=1e-250)


def test_tails_of_many_are_tails_of_each() -> None:
    """The column of probabilities holds each place's own."""
    between, within, ratios, p = np.array([1.0, 5.0]), np.array([30.0, 9.0]), np.array([4.0, 0.3]), np.empty(2)

    f_tails(between, within, ratios, p)

    assert p == pytest.approx(fdtrc(between, within, ratios), rel=1e-10)
