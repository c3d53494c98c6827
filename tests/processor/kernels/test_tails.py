"""p-values of rows against sums over the whole baseline."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from arrays import cells_of, ints
from spanward_processor.features import FEATURES, Aspect, Shape
from spanward_processor.kernels.tables import FEATURE_BITS, MISSING
from spanward_processor.kernels.tails import score_rows
from spanward_processor.rowmodel import RowModel

CATEGORIES = {int(feature.aspect) for feature in FEATURES if feature.shape is Shape.CATEGORY}
WATCHED = (Aspect.LATENCY, Aspect.ERROR, Aspect.SCORE, Aspect.DECISION, Aspect.CLIENT)
USUAL = st.dictionaries(
    st.tuples(st.integers(0, 2), st.sampled_from(WATCHED), st.sampled_from([-(1 << 61), 0, 1, 2, 1 << 62])),
    st.integers(1, 1000),
    max_size=25,
)


@given(USUAL, st.integers(0, 2**32))
def test_p_values_equal_their_twin(usual: dict[tuple[int, Aspect, int], int], seed: int) -> None:
    """Every row of a ready key has the twin's p-value; rows of no key, and of keys never seen, have 1."""
    random = np.random.default_rng(seed)
    model = RowModel.of(
        cells_of((key << FEATURE_BITS | aspect, place, count) for (key, aspect, place), count in usual.items()),
        np.ones(3 << FEATURE_BITS, bool),
    )
    keys = random.integers(-1, 5, 12)
    bins = random.choice([MISSING, -(1 << 61), 0, 1, 2, 3, 1 << 62], (len(FEATURES), 12))
    p = np.ones(12)

    score_rows(keys, bins, model.starts, model.bins, model.below, model.seen_p, model.weights, p)

    for row, key in enumerate(keys.tolist()):
        known: dict[int, dict[int, float]] = {}
        for (owner, aspect, place), count in usual.items():
            if owner == key:
                known.setdefault(int(aspect), {})[place] = count
        said = {f: int(bins[f, row]) for f in range(len(FEATURES)) if bins[f, row] != MISSING}
        assert p[row] == pytest.approx(naive.row_p(said, known, CATEGORIES), rel=1e-6, abs=1e-9)


def test_no_room_for_p_raises() -> None:
    """Fewer places than rows raises."""
    model = RowModel.empty()

    with pytest.raises(IndexError):
        score_rows(
            ints([0, 0]),
            np.zeros((1, 2), np.int64),
            model.starts,
            model.bins,
            model.below,
            model.seen_p,
            model.weights,
            np.ones(1),
        )
