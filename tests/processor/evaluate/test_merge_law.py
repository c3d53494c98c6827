"""The law of merging in a tiny form: it holds, and what breaks it is seen."""

from dataclasses import replace

import numpy as np
import pytest

from spanward_processor.evaluate.evaluations.merge_law import (
    ALPHA,
    Recorded,
    findings,
    merged,
    recorded,
    same_cells,
    worst_quantile_error,
)

SEED = 1


@pytest.fixture(scope="module")
def record() -> Recorded:
    """Sixty windows, the last fifteen of them with a slow channel."""
    print(f"seed {SEED}")
    return recorded(60, SEED)


def test_shards_add_up_to_the_whole(record: Recorded) -> None:
    """Four shards, shuffled and late, count what one counts, and open the same findings."""
    alone, together = (merged(record, shards, np.random.default_rng(SEED)) for shards in (1, 4))

    assert [same_cells(one.cells, other.cells) for one, other in zip(alone, together, strict=True)] == [True] * 60
    assert findings(record, alone)
    assert findings(record, together) == findings(record, alone)


def test_one_lost_row_is_seen(record: Recorded) -> None:
    """A shard that loses a row does not add up, and quantiles of other rows are off by more than a bin."""
    lost = replace(record, rows=(*record.rows[:-1], replace(record.rows[-1], time_ns=record.rows[-1].time_ns.copy())))
    lost.rows[-1].time_ns[0] = 1  # long before

    alone, short = merged(record, 1, np.random.default_rng(SEED)), merged(lost, 1, np.random.default_rng(SEED))

    assert not same_cells(alone[-1].cells, short[-1].cells)


def test_quantiles_keep_to_their_error(record: Recorded) -> None:
    """Against the exact durations every quantile is within half a bin; against others it is not."""
    windows = merged(record, 4, np.random.default_rng(SEED))
    others = replace(record, seconds=tuple(1.1 * seconds for seconds in record.seconds))

    assert worst_quantile_error(record, windows) <= ALPHA
    assert worst_quantile_error(others, windows) > ALPHA
