"""What a span says of the input: one hash however the call is written, and its size."""

import numpy as np
import pytest

import spanward
from captured import attributes_of, hashes_of
from spanward import semconv
from spanward.testing import CapturedSpans


def test_one_input_has_one_hash_however_the_call_is_written(spans: CapturedSpans) -> None:
    """Position, name and the order of names make no difference; which parameter got a value does."""

    @spanward.inference(model="m")
    def predict(first: int, second: int = 0, third: int = 0) -> None:
        del first, second, third

    predict(1, 2)
    predict(1, second=2)
    predict(second=2, first=1)
    predict(1, third=2)

    positional, *same, different = hashes_of(spans)
    assert same == [positional, positional]
    assert different != positional


def test_inputs_without_canonical_form_are_not_hashed(spans: CapturedSpans) -> None:
    """An object whose repr might leak or vary gets a size and no hash."""

    class Opaque:
        def __repr__(self) -> str:
            return "secret"

    @spanward.inference(model="m")
    def predict(value: object) -> None:
        del value

    predict(Opaque())

    assert semconv.FEATURES_HASH not in attributes_of(spans)
    assert "secret" not in str(attributes_of(spans))


def test_size_shape_and_sparsity_of_arrays(spans: CapturedSpans) -> None:
    """Of an array the number of values, the share of zeros and the shape are told."""

    @spanward.inference(model="m")
    def predict(values: object) -> None:
        del values

    predict(np.array([[0.0, 1.0], [0.0, 2.0]]))

    found = attributes_of(spans)
    assert (found[semconv.FEATURES_COUNT], found[semconv.FEATURES_SPARSITY], found[semconv.FEATURES_SHAPE]) == (
        4,
        0.5,
        "2x2",
    )


@pytest.mark.parametrize(
    ("value", "count", "sparsity", "shape", "batch"),
    [
        ("four", 4, None, None, None),
        (b"four", 4, None, None, None),
        (7, 1, None, None, None),
        ([0.0, 1, 2.5, -0.0], 4, 0.5, None, None),
        ([], 0, None, None, None),
        ([True, False], 2, None, None, None),
        (["one", "three"], 8, None, None, 2),
        ([{"a": "xx"}, {"a": "y"}], 3, None, None, 2),
        ({"a": 1, "b": [1, 2]}, 3, None, None, None),
        ([[0.0, 1.0], [2.0, 3.0]], 4, None, None, None),
        (np.zeros((2, 0)), 0, None, "2x0", None),
        (np.array(["a", "b"]), 2, None, "2", None),
        (np.float64(0.5), 1, None, None, None),
        (None, 1, None, None, None),
    ],
    ids=str,
)
def test_sizes_of_inputs(
    spans: CapturedSpans, value: object, count: int, sparsity: float | None, shape: str | None, batch: int | None
) -> None:
    """Size means characters of text, numbers of arrays and sequences, and items of a batch."""
    spanward.inference(model="m")(lambda value: None)(value)

    found = attributes_of(spans)
    assert found[semconv.FEATURES_COUNT] == count
    assert found.get(semconv.FEATURES_SPARSITY) == sparsity
    assert found.get(semconv.FEATURES_SHAPE) == shape
    assert found.get(semconv.BATCH_SIZE) == batch
