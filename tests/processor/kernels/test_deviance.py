"""The deviance of windows from baselines, against dictionaries."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from arrays import ints, packed_of
from spanward_processor.kernels.cells import Packed
from spanward_processor.kernels.deviance import CATEGORY, FLAG, GROUPS, NUMBER, deviances
from spanward_processor.kernels.jit import Floats, Ints
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.windows.cells import starts_of

NAMES = {NUMBER: "number", FLAG: "flag", CATEGORY: "category"}
BAG = st.dictionaries(st.one_of(st.integers(-3, 60), st.just((1 << 62) + 1)), st.integers(1, 10_000), min_size=1)
FLAGS = st.dictionaries(st.integers(0, 1), st.integers(1, 10_000), min_size=1)


def answers_of(shapes: Ints, window: Packed, usual: Packed) -> Floats:
    """Compare all streams."""
    starts = starts_of(window, np.unique(window.streams).size)
    answers = np.zeros((4, starts.size - 1))
    deviances(shapes, starts, window, usual, np.empty((2, GROUPS)), answers)
    return answers


@pytest.mark.parametrize("shape", NAMES, ids=NAMES.values())
@given(st.data())
def test_deviance_equals_its_twin(shape: int, data: st.DataObject) -> None:
    """Several streams, with and without a baseline, are compared as by the twin, one by one."""
    bags = FLAGS if shape == FLAG else BAG
    pairs = data.draw(st.lists(st.tuples(bags, st.one_of(st.just({}), bags)), max_size=3))
    window = packed_of((16 * key, place, n) for key, (now, _) in enumerate(pairs) for place, n in now.items())
    usual = packed_of((16 * key, place, n) for key, (_, old) in enumerate(pairs) for place, n in old.items())

    answers = answers_of(np.full(1 << FEATURE_BITS, shape), window, usual)

    for index, (now, old) in enumerate(pairs):
        expected = naive.deviance(Counter(now), Counter(old), NAMES[shape]) if old else (0.0, 0.0)
        assert answers[:2, index] == pytest.approx(expected, rel=1e-9, abs=1e-6)
        assert answers[2:, index].tolist() == [sum(now.values()), sum(old.values())]


def test_an_empty_window_has_no_answers() -> None:
    """No streams, no answers, no error."""
    assert answers_of(np.full(16, NUMBER), packed_of([]), packed_of([(0, 1, 5.0)])).shape == (4, 0)


def test_a_shapeless_feature_is_not_tested() -> None:
    """Shape 0 leaves a stream untested but counted."""
    answers = answers_of(np.zeros(16, np.int64), packed_of([(0, 1, 5.0)]), packed_of([(0, 1, 9.0)]))

    assert answers[:, 0].tolist() == [0.0, 0.0, 5.0, 9.0]


def test_the_same_mix_has_no_deviance() -> None:
    """A window that is a tenth of its baseline, bin by bin, is no surprise in any shape."""
    usual = packed_of((0, place, 1000.0 * (place + 1)) for place in range(2))
    window = packed_of((0, place, 100.0 * (place + 1)) for place in range(2))

    for shape in NAMES:
        assert answers_of(np.full(16, shape), window, usual)[0, 0] < 0.01


def test_too_few_answers_raise() -> None:
    """Answers without room for every stream raise."""
    one = packed_of([(0, 0, 1.0)])

    with pytest.raises(IndexError):
        deviances(np.full(16, NUMBER), ints([0, 1]), one, one, np.empty((2, GROUPS)), np.zeros((4, 0)))
