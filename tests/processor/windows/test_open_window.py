"""An open window grows with the keys it sees, up to what it may hold."""

import numpy as np
import pytest

import naive
from arrays import rows_of_cells
from spanward_processor.features import COUNTED, FEATURES, NUMBERS, Rows
from spanward_processor.kernels.counting import STRIP
from spanward_processor.kernels.tables import FEATURE_BITS, MISSING
from spanward_processor.windows import open_window
from spanward_processor.windows.open_window import OpenWindow

SEED = 20_261_127
KEYS, ROWS = 40, 4_000


def rows_of_busy_keys() -> Rows:
    """Return rows of some keys, a hundred of each, whose numbers lie around another middle for each key."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    keys = rng.integers(1, KEYS + 1, (1, ROWS))
    bins = np.zeros((len(FEATURES), ROWS), np.int64)
    bins[NUMBERS] = 10 * keys + rng.integers(-60, 60, (NUMBERS.size, ROWS))
    bins[NUMBERS[0], ::7] = MISSING
    return Rows(keys, bins, np.full(ROWS, 1), rng.integers(1, 1 << 60, (ROWS, 2)).astype(np.uint64))


@pytest.mark.parametrize(("cells_per_place", "with_strips"), [(1_000, 0), (80, 3), (4, KEYS)])
def test_cells_are_the_same_however_many_keys_have_strips(
    monkeypatch: pytest.MonkeyPatch, cells_per_place: int, with_strips: int
) -> None:
    """Strips are given out as far as the limit allows, in growing numbers; what a window holds does not depend on them."""
    monkeypatch.setattr(open_window, "_CELLS_PER_PLACE", cells_per_place)
    most = 100_000
    rows, window = rows_of_busy_keys(), OpenWindow()
    early = np.arange(ROWS) < ROWS // 2
    for chosen in (early, ~early):
        window.add(rows, np.ones(ROWS), chosen, most)
    cells = window.close(0, 10**10).cells

    assert min(most // (cells_per_place * NUMBERS.size * STRIP), KEYS) == with_strips
    counts = naive.counts(rows.keys.T.tolist(), rows.bins.T.tolist(), MISSING, COUNTED.in_slices.tolist())
    assert rows_of_cells(cells) == naive.merged(
        (key << FEATURE_BITS | feature, cell_bin, count) for (key, feature, cell_bin), count in counts.items()
    )
