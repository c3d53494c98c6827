"""Which template a row gets, against a walk over its cells."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from arrays import ints
from spanward_processor.kernels.carriers import match_carriers
from spanward_processor.kernels.tables import FEATURE_BITS, MISSING, add_cell, empty_table


@given(st.integers(0, 12), st.integers(0, 2**32))
def test_templates_equal_their_twin(count: int, seed: int) -> None:
    """A row in a carrying cell gets that finding's template, any other row keeps what it had."""
    random = np.random.default_rng(seed)
    keys, bins = random.integers(-1, 3, (2, count)), random.choice([MISSING, 0, 1, 2], (3, count))
    unusual = random.random(count) < 0.3
    carriers = {
        (int(key) << FEATURE_BITS | int(feature), int(cell_bin)): finding
        for finding, (key, feature, cell_bin) in enumerate(random.integers(0, 3, (4, 3)))
    }
    table = empty_table(64)
    for (stream, cell_bin), finding in carriers.items():
        add_cell(table, stream, cell_bin, finding + 1, 64)
    chosen = np.where(unusual, 99, -1)
    expected = [
        naive.template(
            [
                (int(key) << FEATURE_BITS | feature, int(cell_bin))
                for key in keys[:, row]
                if key >= 0
                for feature, cell_bin in enumerate(bins[:, row])
                if cell_bin != MISSING
            ],
            carriers,
            unusual=bool(unusual[row]),
            otherwise=int(chosen[row]),
        )
        for row in range(count)
    ]

    match_carriers(keys, bins, table, unusual, chosen)

    assert chosen.tolist() == expected


def test_rows_of_unequal_length_raise() -> None:
    """Fewer bins than keys raises."""
    with pytest.raises(IndexError):
        match_carriers(
            np.ones((1, 3), np.int64), np.ones((1, 2), np.int64), empty_table(16), np.ones(3, bool), ints([0, 0, 0])
        )
