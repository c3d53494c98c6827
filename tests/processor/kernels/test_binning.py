"""Numbers and rows into bins, against searches through all bins."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import naive
from arrays import bytes_of, ints
from spanward_processor.features import FEATURES, Aspect
from spanward_processor.kernels import binning
from spanward_processor.kernels.binning import (
    bin_rows,
    exponential_bin,
    exponential_bins,
    unit_bin,
    unit_bins,
)
from spanward_processor.kernels.spans import Facts
from spanward_processor.kernels.tables import MISSING

EXTREMES = [0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, 1.7976931348623157e308, -1.7976931348623157e308]
NOT_FINITE = [math.nan, math.inf, -math.inf]


BORDERS = [math.ldexp(2.0 ** (step / 8), doublings) for step in range(8) for doublings in (-1022, -3, 0, 40, 1023)]


@given(st.lists(st.floats(), max_size=20))
@example(EXTREMES + NOT_FINITE)
@example(BORDERS + [math.nextafter(border, way) for border in BORDERS for way in (0.0, math.inf)])
def test_exponential_bins_equal_their_twin(values: list[float]) -> None:
    """Each number is in the bin that a search finds; powers of two exactly, no number is in none."""
    expected = [MISSING if (found := naive.exponential_bin(value)) is None else found for value in values]

    assert exponential_bins(np.array(values, np.float64)).tolist() == expected


@given(st.lists(st.one_of(st.floats(), st.floats(0, 1)), max_size=20))
@example(EXTREMES + NOT_FINITE)
@example([1 / 128, 127 / 128, math.nextafter(1.0, 0.0), math.nextafter(1.0, 2.0)])
def test_unit_bins_equal_their_twin(values: list[float]) -> None:
    """Shares are in one of 128 equal bins, other numbers apart from them, infinite ones in none."""
    expected = [MISSING if (found := naive.unit_bin(value)) is None else found for value in values]

    assert unit_bins(np.array(values, np.float64)).tolist() == expected


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2))
@example(EXTREMES)
def test_bins_keep_the_order_of_numbers(values: list[float]) -> None:
    """A larger number is never in a lower bin, so that sorted bins are sorted values."""
    values.sort()

    for bins in (exponential_bins(np.array(values)), [unit_bin(value) for value in values]):
        assert sorted(bins) == list(bins)


@pytest.mark.parametrize("value", NOT_FINITE)
def test_what_is_no_number_is_missing(value: float) -> None:
    """NaN and infinities say nothing about a feature, in either kind of bins."""
    assert exponential_bin(value) == MISSING
    assert unit_bin(value) == MISSING


def test_places_are_those_of_the_features() -> None:
    """The kernel's numbers of features are the enumeration's."""
    places = {
        name: getattr(binning, f"_{name}")
        for name in ("LATENCY", "ERROR", "INPUT_TOKENS", "SPARSITY", "SCORE", "DECISION", "REPEAT", "CLIENT")
    }

    assert {name: int(Aspect[name]) for name in places} == places
    assert [aspect.value for aspect in Aspect] == list(range(len(FEATURES)))


@given(st.integers(0, 6), st.integers(0, 2**32))
def test_rows_equal_their_twin(count: int, seed: int) -> None:
    """Every feature of every row is what its own fact, text or number says."""
    random = np.random.default_rng(seed)
    data = random.bytes(16 * count + 3)
    facts = Facts(
        start_ns=random.integers(-1, 3, count),
        end_ns=random.integers(-1, 3, count),
        status=random.integers(0, 4, count),
        trace_at=random.choice([-1, 0, 3], count) if count else ints([]),
        reserved=np.zeros(count, np.int64),
        attributes=np.zeros(count, np.int64),
    )
    codes = random.choice(np.array([0, 9, 2**64 - 1], np.uint64), (3, count))
    numbers = random.choice([math.nan, math.inf, 0.0, 0.3, 7.0, -2.0], (5, count))
    repeats = random.integers(-1, 2, count)
    bins, traces = np.empty((len(FEATURES), count), np.int64), np.zeros((count, 2), np.uint64)

    bin_rows(bytes_of(data), facts, codes, ints([0, 1, 2]), numbers, repeats, bins, traces)

    for row in range(count):
        seconds = (facts.end_ns[row] - facts.start_ns[row]) * 1e-9
        decision, client, error = (int(code) for code in codes[:, row])
        tokens_in, tokens_out, size, sparsity, score = (float(number) for number in numbers[:, row])
        expected: dict[Aspect, int | None] = {
            Aspect.RATE: 0,
            Aspect.LATENCY: naive.exponential_bin(seconds) if facts.start_ns[row] > 0 and seconds > 0 else None,
            Aspect.ERROR: int(facts.status[row] == 2 or error != 0),
            Aspect.INPUT_TOKENS: naive.exponential_bin(tokens_in),
            Aspect.OUTPUT_TOKENS: naive.exponential_bin(tokens_out),
            Aspect.INPUT_SIZE: naive.exponential_bin(size),
            Aspect.SPARSITY: naive.unit_bin(sparsity),
            Aspect.SCORE: naive.unit_bin(score),
            Aspect.DECISION: naive.signed(decision) if decision else None,
            Aspect.REPEAT: int(repeats[row]) if repeats[row] >= 0 else None,
            Aspect.CLIENT: naive.signed(client) if client else None,
        }
        assert {a: MISSING if found is None else found for a, found in expected.items()} == {
            aspect: int(bins[aspect, row]) for aspect in Aspect
        }
        at = int(facts.trace_at[row])
        trace = data[at : at + 16] if at >= 0 else bytes(16)
        assert trace == b"".join(int(half).to_bytes(8, "big") for half in traces[row])


def test_a_trace_id_outside_the_request_raises() -> None:
    """An offset past the request raises."""
    zero = np.zeros(1, np.int64)
    facts = Facts(zero, zero, zero, ints([1]), zero, zero)

    with pytest.raises(IndexError):
        bin_rows(
            bytes_of(bytes(16)),
            facts,
            np.zeros((3, 1), np.uint64),
            ints([0, 1, 2]),
            np.zeros((5, 1)),
            zero,
            np.empty((len(FEATURES), 1), np.int64),
            np.zeros((1, 2), np.uint64),
        )
