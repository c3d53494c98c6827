"""The sample of a window against all its rows, sorted."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import naive
from spanward_processor.features import FEATURES, MARKED, NUMBERS, SILENT
from spanward_processor.kernels.binning import exponential_bin, unit_bin
from spanward_processor.kernels.sampling import (
    SAMPLED,
    TOLD,
    UNKNOWN,
    Drawn,
    Spoken,
    coordinate,
    order_sample,
    sample_rows,
)
from spanward_processor.kernels.tables import MISSING

SEED = 20_261_126


def empty(tracks: int, rows: int, marks: int = 0) -> Drawn:
    """Return a sample without rows."""
    return Drawn(
        heads=np.zeros((tracks, 2), np.int32),
        worst=np.zeros(tracks, np.uint64),
        ranks=np.zeros(rows, np.uint64),
        values=np.zeros((rows, NUMBERS.size), np.int16),
        marks=np.zeros((rows, marks), np.int64),
        measured=np.zeros((rows, 1 + TOLD), np.float32),
        routes=np.zeros(rows, np.int32),
        before=np.zeros(rows, np.int32),
        used=np.zeros(1, np.int64),
    )


def test_sample_rows_and_order_sample_keep_the_smallest_ranks() -> None:
    """After `sample_rows`, in pieces, `order_sample` writes of each series the rows that `naive.sample` keeps."""
    print(f"seed {SEED}")
    rng, count = np.random.default_rng(SEED), 400
    keys = rng.integers(-1, 100, (3, count))
    keys[0] = rng.choice([-1, 0, 1, 3], count, p=(0.05, 0.05, 0.3, 0.6))
    bins = rng.integers(-100, 100, (len(FEATURES), count))
    bins[rng.random(bins.shape) < 0.4] = MISSING
    times, traces = rng.integers(1, 1 << 60, count), rng.integers(0, 1 << 63, (count, 2)).astype(np.uint64)
    chosen, places = rng.random(count) < 0.9, np.array([0, 2, -1, 1], np.int32)
    starts, told = times - rng.integers(-5, 1000, count) * 1_000_000, rng.random((12, count))
    roles = rng.permutation(12)[:TOLD]
    drawn = empty(3, count, 2 + MARKED.size)
    for first, last in ((0, 37), (37, 38), (38, count)):
        piece = np.s_[first:last]
        part = np.ascontiguousarray(bins[:, piece])
        of = np.ascontiguousarray(keys[:, piece])
        spoken = Spoken(starts[piece], np.ascontiguousarray(told[:, piece]), roles)
        sample_rows(of, part, NUMBERS, MARKED, times[piece], traces[piece], spoken, chosen[piece], places, drawn)
    size = int(drawn.used[0])
    found, series = empty(3, size, drawn.marks.shape[1]), np.empty(size, np.int64)
    order_sample(places, drawn, series, found)

    rows = [
        (
            int(keys[0, row]),
            int(times[row]),
            *traces[row].tolist(),
            [coordinate(int(one)) for one in bins[NUMBERS, row]],
            [*keys[1:, row].tolist(), *bins[MARKED, row].tolist()],
        )
        for row in np.flatnonzero(chosen).tolist()
    ]
    expected = naive.sample(rows, SAMPLED, UNKNOWN)
    columns = (series, found.ranks, found.values, found.marks)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == expected
    source = {naive.rank(int(times[row]), *traces[row].tolist()): row for row in range(count)}
    for place, rank in enumerate(found.ranks.tolist()):
        row = source[rank]
        lasted_s = (times[row] - starts[row]) * 1e-9 if times[row] > starts[row] else np.nan
        np.testing.assert_allclose(found.measured[place], [lasted_s, *told[roles, row]], rtol=1e-6)
        assert found.routes[place] == keys[1, row]


def test_sample_rows_stops_where_there_is_no_room() -> None:
    """A full `Drawn` keeps what it has; `sample_rows` takes no more rows, and still exchanges those of a full series."""
    drawn = empty(1, 3)
    bins = np.zeros((len(FEATURES), 10), np.int64)
    times, traces = np.arange(1, 11), np.zeros((10, 2), np.uint64)

    sample_rows(
        np.ones((1, 10), np.int64),
        bins,
        NUMBERS,
        MARKED,
        times,
        traces,
        SILENT,
        np.ones(10, bool),
        np.array([-1, 0], np.int32),
        drawn,
    )

    assert drawn.used[0] == 3
    assert drawn.heads[0, 0] == 3
    assert np.isnan(drawn.measured).all()
    assert (drawn.routes == -1).all()


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_coordinate_keeps_order(left: float, right: float) -> None:
    """`coordinate` equals `naive.coordinate`, fits 16 bits, and keeps the order of scores, which may be negative."""
    low, high = coordinate(unit_bin(min(left, right))), coordinate(unit_bin(max(left, right)))

    assert low <= high
    assert -512 <= low <= 639
    assert coordinate(exponential_bin(left)) == naive.coordinate(naive.exponential_bin(left))
    assert coordinate(MISSING) == UNKNOWN == naive.coordinate(None)
