"""Bins as features, and bins back to values and words."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otlp import encoded
from spanward import semconv
from spanward_processor.decode import decode
from spanward_processor.features import (
    FEATURES,
    Aspect,
    Rows,
    Shape,
    empty_memory,
    rows_of,
    show_count,
    show_seconds,
    show_share,
)
from spanward_processor.kernels.binning import exponential_bins, unit_bins
from spanward_processor.kernels.tables import MISSING
from spanward_processor.roles import role_table

ROLES = role_table(key=bytes(16))


def rows(*spans: dict[str, str | int | float]) -> Rows:
    """Return the features of spans of one series."""
    batch = decode(encoded(*spans), ROLES)
    return rows_of(batch, np.ones((1, len(batch)), np.int64), ROLES, empty_memory(1 << 10))


def test_the_place_of_a_feature_is_its_number() -> None:
    """A stream's number names its feature."""
    assert [feature.aspect for feature in FEATURES] == list(Aspect)


def test_a_full_span_says_something_of_every_feature() -> None:
    """Each attribute ends up in its own feature."""
    some = rows(
        {
            semconv.GEN_AI_USAGE_INPUT_TOKENS: 100,
            semconv.GEN_AI_USAGE_OUTPUT_TOKENS: 10,
            semconv.FEATURES_COUNT: 30,
            semconv.FEATURES_SPARSITY: 0.25,
            semconv.SCORE: 0.75,
            semconv.DECISION: "refund",
            semconv.CLIENT_ID: "c1",
            semconv.FEATURES_HASH: "00ff",
        }
    )
    values = {
        feature.aspect: feature.value(int(some.bins[feature.aspect, 0]))
        for feature in FEATURES
        if feature.shape is Shape.NUMBER
    }

    assert (some.bins != MISSING).all()
    assert values[Aspect.LATENCY] == pytest.approx(0.001, rel=0.05)
    assert values[Aspect.INPUT_TOKENS] == pytest.approx(100, rel=0.05)
    assert values[Aspect.OUTPUT_TOKENS] == pytest.approx(10, rel=0.05)
    assert values[Aspect.INPUT_SIZE] == pytest.approx(30, rel=0.05)
    assert values[Aspect.SPARSITY] == pytest.approx(0.25, abs=1 / 128)
    assert values[Aspect.SCORE] == pytest.approx(0.75, abs=1 / 128)


def test_a_bare_span_says_only_what_it_knows() -> None:
    """Without attributes only rate, latency and error are known."""
    known = np.flatnonzero(rows({}).bins[:, 0] != MISSING).tolist()

    assert known == [Aspect.RATE, Aspect.LATENCY, Aspect.ERROR]


@given(st.floats(5e-324, 1.7e308))
def test_the_value_of_a_bin_is_near_the_number(value: float) -> None:
    """The middle of a number's bin is within 4.5 % of it, of either sign."""
    feature = FEATURES[Aspect.INPUT_SIZE]
    bins = exponential_bins(np.array([value, -value]))

    if value > 1e-300:
        assert feature.value(int(bins[0])) == pytest.approx(value, rel=0.045)
        assert feature.value(int(bins[1])) == pytest.approx(-value, rel=0.045)


@given(st.floats(allow_nan=False))
def test_the_value_of_a_unit_bin_is_near_the_number(value: float) -> None:
    """Shares come back to half a bin; what lies outside of 0..1 comes back to 4.5 %; infinity is no value."""
    feature, cell_bin = FEATURES[Aspect.SCORE], int(unit_bins(np.array([value]))[0])

    if math.isinf(value):
        assert cell_bin == MISSING
    elif 0 <= value <= 1:
        assert feature.value(cell_bin) == pytest.approx(value, abs=1 / 256 + 1e-9)
    elif abs(value) > 1e-300:
        assert feature.value(cell_bin) == pytest.approx(value, rel=0.045)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (show_seconds(0.00005), "50 us"),
        (show_seconds(0.0123), "12.3 ms"),
        (show_seconds(2.5), "2.5 s"),
        (show_count(1234.4), "1,234"),
        (show_count(0), "0"),
        (show_count(1.25), "1.2"),
        (show_share(0.5), "50 %"),
        (show_share(0.012), "1.2 %"),
        (show_share(0.00012), "0.012 %"),
        (show_share(0), "0 %"),
    ],
)
def test_values_in_words(text: str, expected: str) -> None:
    """Values are shown with the unit and digits a person would choose."""
    assert text == expected
