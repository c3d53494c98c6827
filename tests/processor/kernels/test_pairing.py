"""Rows that answer an input which the other version has answered, against a plain dictionary."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import naive
from spanward_processor.kernels.pairing import Answers, pair_rows
from spanward_processor.kernels.tables import MISSING

PLACES = 8  # few, so that inputs push each other out
ROWS = st.lists(
    st.tuples(st.integers(0, 12), st.one_of(st.just(MISSING), st.integers(-3, 3)), st.integers(-1, 1)), max_size=60
)


@given(st.lists(ROWS, min_size=1, max_size=3))
def test_rows_are_paired_as_by_the_twin(batches: list[list[tuple[int, int, int]]]) -> None:
    """Each input makes one pair, with the first answer of the other arm, as long as no newer input has taken its place."""
    answers = Answers(np.zeros(PLACES, np.uint64), np.zeros(PLACES, np.int64), np.zeros(PLACES, np.int32))
    found: list[int | None] = []
    for batch in batches:
        hashes, decisions, arms = np.array(batch, np.int64).reshape(-1, 3).T
        others = np.empty(len(batch), np.int64)
        pair_rows(hashes.astype(np.uint64), decisions, arms, answers, others)
        found += [None if other == MISSING else other for other in others.tolist()]

    said = [(word, decision, arm if decision != MISSING else -1) for batch in batches for word, decision, arm in batch]
    assert found == naive.other_answers(said, PLACES)
