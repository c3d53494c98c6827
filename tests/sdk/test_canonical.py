"""Canonical form: as it is specified, injective, and bounded in time."""

import enum
import math
import re
import struct
import time
import unicodedata
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydantic import BaseModel, ConfigDict

from spanward.canonical import DEEPEST, MOST_BYTES, MOST_PARTS, NotCanonicalError, canonical

PAGE = Path(__file__).parents[2] / "docs" / "canonical.md"
VECTORS = re.findall(r"^\| `(.*)` \| `([0-9a-f]+)` \|$", PAGE.read_text(), re.MULTILINE)
NAMES = {"np": np, "date": date, "UUID": UUID, "Decimal": Decimal}


@dataclass
class Record:
    """A user's record."""

    first: object
    second: object


@dataclass(frozen=True)
class Other:
    """Another one with the same fields."""

    second: object
    first: object = field(repr=False)


class Model(BaseModel):
    """A user's pydantic model; extra fields are kept."""

    model_config = ConfigDict(extra="allow")
    text: str
    count: int = 1


class Colour(enum.Enum):
    """An enumeration."""

    RED = "red"


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.binary(max_size=6)
    | st.dates()
    | st.uuids()
    | st.decimals().filter(lambda number: not number.is_snan())  # which hypothesis cannot put in a set
)
numbers = arrays.arrays(
    st.sampled_from(["<f8", ">f8", "<f4", "<f2", "<i8", ">i2", "u1", "?"]), arrays.array_shapes(min_dims=0, max_side=3)
)
values: st.SearchStrategy[object] = st.recursive(
    scalars | numbers,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
        | st.frozensets(scalars, max_size=3)
        | st.builds(Record, inner, inner)
    ),
    max_leaves=8,
)


def plain(value: Any) -> object:
    """Return a value with what the form makes equal made equal, tagged by type: a slow twin that can be compared."""
    if isinstance(value, np.ndarray):
        rows = cast("np.ndarray[Any, np.dtype[Any]]", value)
        items = tuple(plain(item) for item in rows.ravel().tolist())
        return ("array", rows.dtype.kind, rows.dtype.itemsize, rows.shape, items) if rows.shape else items[0]
    if isinstance(value, float):
        return ("float", "nan" if math.isnan(value) else struct.pack(">d", value + 0.0))
    if isinstance(value, str):
        return ("str", unicodedata.normalize("NFC", value))
    if isinstance(value, (list, tuple)):
        return ("list", tuple(plain(item) for item in cast("list[object]", value)))
    if isinstance(value, frozenset):
        return ("set", frozenset(plain(item) for item in cast("frozenset[object]", value)))
    if isinstance(value, dict):
        return ("dict", frozenset((plain(key), plain(item)) for key, item in cast("dict[str, object]", value).items()))
    if isinstance(value, Record):
        return ("record", plain(value.first), plain(value.second))
    return (type(value).__name__, str(value))


def test_the_page_has_vectors() -> None:
    """The search below finds the table."""
    assert len(VECTORS) > 20


@pytest.mark.parametrize(("value", "form"), VECTORS)
def test_the_form_is_as_specified(value: str, form: str) -> None:
    """The page's vectors hold; a change would break every stored hash."""
    assert canonical(eval(value, {**NAMES})).hex() == form


@given(values, values)
@example({"\u00e9": 1, "e\u0301": 2}, {"\u00e9": 2, "e\u0301": 1})
def test_forms_are_equal_exactly_when_values_are(left: object, right: object) -> None:
    """The form is injective, up to what is meant to be equal."""
    if isinstance(left, dict) and isinstance(right, dict) and "\u00e9" in left:
        assert canonical(left) == canonical(right)  # two keys that are written alike: their order tells nothing
        return
    assert (canonical(left) == canonical(right)) == (plain(left) == plain(right))


@given(values, st.randoms(use_true_random=False))
def test_a_changed_value_has_another_form(value: object, random: Any) -> None:
    """Near misses, which two random values seldom are: a value and itself with one leaf replaced."""
    changed = replaced(value, random)

    assert (canonical(value) == canonical(changed)) == (plain(value) == plain(changed))


def replaced(value: Any, random: Any) -> object:
    """Return a value with one part put in a list, or in place of its container."""
    if isinstance(value, (list, tuple)) and value:
        items = cast("list[object]", list(value))
        place = random.randrange(len(items))
        return [*items[:place], replaced(items[place], random), *items[place + 1 :]]
    if isinstance(value, dict) and value:
        pairs = cast("dict[object, object]", value)
        return {**pairs, random.choice(list(pairs)): None}
    if isinstance(value, np.ndarray) and value.size:
        rows = cast("np.ndarray[Any, np.dtype[Any]]", value)
        return random.choice([rows.reshape(-1), rows.tolist(), rows.T])
    return random.choice([[value], None, str(value), (value, value)])


@given(st.lists(st.floats()) | st.lists(st.integers()) | st.lists(st.floats() | st.integers() | st.booleans()))
def test_lists_of_numbers_have_the_form_of_their_items(items: list[float]) -> None:
    """The quick way for vectors gives the bytes that adding item by item would."""
    head = b"[" + len(items).to_bytes(8, "big")

    assert canonical(items) == head + b"".join(canonical(item) for item in items)


@given(st.dictionaries(st.text(max_size=5), values, max_size=5))
def test_the_order_of_a_mapping_does_not_matter(mapping: dict[str, object]) -> None:
    """A mapping and its reverse have one form."""
    assert canonical(mapping) == canonical(dict(reversed(mapping.items())))


def test_one_and_true_and_one_point_zero_differ() -> None:
    """Equality in Python is not equality of inputs."""
    assert len({canonical(1), canonical(True), canonical(1.0), canonical("1"), canonical(Decimal(1))}) == 5


@pytest.mark.parametrize(
    ("scalar", "value"),
    [(np.float32(0.5), 0.5), (np.int64(7), 7), (np.bool_(True), True), (np.array(-0.0), 0.0), (Colour.RED, "red")],
    ids=repr,
)
def test_scalars_are_the_values_they_hold(scalar: object, value: object) -> None:
    """An array of no dimension has no shape to tell, and a member of an enumeration stands for its value."""
    assert canonical(scalar) == canonical(value)


def test_arrays_differ_by_type_and_shape_and_not_by_layout() -> None:
    """Byte order, memory layout and strides are no content; dtype and shape are."""
    rows = np.arange(6, dtype="<f8").reshape(2, 3)

    assert canonical(rows) == canonical(rows.astype(">f8")) == canonical(np.asfortranarray(rows))
    assert canonical(rows) == canonical(np.repeat(rows, 2, axis=1)[:, ::2])
    assert canonical(rows) != canonical(rows.reshape(3, 2))
    assert canonical(rows) != canonical(rows.astype("f4"))


def test_zeros_and_nans_of_arrays_are_one() -> None:
    """-0.0 is 0.0 and a NaN is a NaN, with whatever payload."""
    payload = np.array([0x7FF8000000000001, 0x7FF0000000000001], "<u8").view("<f8")

    assert canonical(np.array([-0.0, np.nan])) == canonical(np.array([0.0, -np.nan]))
    assert canonical(payload) == canonical(np.array([np.nan, np.nan]))


def test_arrays_are_not_changed() -> None:
    """Making zeros and NaN one happens in a copy."""
    row = np.array([-0.0, 1.0])
    canonical(row)

    assert math.copysign(1.0, row[0]) == -1.0


def test_records_are_their_fields() -> None:
    """Neither the class nor the order of its fields counts; a mapping is no record."""
    assert canonical(Record(1, 2)) == canonical(Other(second=2, first=1))
    assert canonical(Record(1, 2)) != canonical({"first": 1, "second": 2})


def test_models_of_pydantic_tell_defaults_and_extra_fields() -> None:
    """What was left out is as if it had been given, and what was given beyond the fields counts."""
    assert canonical(Model(text="a")) == canonical(Model(text="a", count=1))
    assert canonical(Model(text="a")) != canonical(Model.model_validate({"text": "a", "more": 1}))


@pytest.mark.parametrize(
    "value",
    [
        object(),
        Record,
        np.array(["a"]),
        np.array([object()]),
        np.array([1j]),
        np.zeros(2, np.longdouble),
        np.longdouble(1),
        np.zeros(2, "M8[s]"),
        memoryview(array("d", [0.5])),
        [object()],
        {1: {2: object()}},
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_types_have_no_form(value: object) -> None:
    """What has no stable form is refused by type, never by repr; a long double ends in random bytes."""
    with pytest.raises(NotCanonicalError, match="no canonical form"):
        canonical(value)


def endless() -> list[object]:
    """Return a list inside itself."""
    items: list[object] = []
    items.append(items)
    return items


def doubled() -> list[object]:
    """Return thirty lists, each of which holds the one before twice."""
    items: list[object] = []
    for _ in range(DEEPEST - 2):
        items = [items, items]
    return items


@pytest.mark.parametrize(
    "value",
    [
        endless,
        doubled,
        lambda: "x" * (MOST_BYTES + 1),
        lambda: bytes(MOST_BYTES + 1),
        lambda: np.zeros(MOST_BYTES + 1, "u1"),
        lambda: [0.5] * MOST_BYTES,
        lambda: [7] * MOST_BYTES,
        lambda: [1 << 4097],
        lambda: -(1 << 5_000_000),
        lambda: ["x"] * (MOST_PARTS + 1),
        lambda: dict.fromkeys(range(MOST_PARTS)),
        lambda: [["x" * 1_000_000]] * 20,
    ],
    ids=range(12),
)
def test_inputs_beyond_the_bounds_are_refused_in_time(value: Callable[[], object]) -> None:
    """Whatever is asked of a model, saying that it is too much takes less than two seconds of CPU."""
    given = value()
    start = time.process_time()

    with pytest.raises(NotCanonicalError):
        canonical(given)
    assert time.process_time() - start < 2.0


@pytest.mark.parametrize("marks", ["\u0301", "\u0316\u0301", "\U0001e008"], ids=ascii)
def test_combining_marks_take_no_time(marks: str) -> None:
    """A run of marks, which Python would sort in a time that grows with its square, is taken as it came."""
    text = "a" + marks * 100_000
    start = time.process_time()

    assert canonical(text)[:1] == b"u"
    assert time.process_time() - start < 2.0


@given(st.lists(st.text("a\u0301\u0316é", min_size=25, max_size=40), max_size=5).map("".join))
def test_only_long_runs_are_left_unsorted(text: str) -> None:
    """The quick look finds exactly the runs of more than thirty marks."""
    long_run = any(len(run) > 30 for run in re.findall("[\u0301\u0316]+", text))

    assert canonical(text)[:1] == (b"u" if long_run else b"s")


class TestTensors:
    """Tensors of torch, where it is installed."""

    @pytest.fixture(autouse=True)
    def _torch(self) -> None:
        """Have torch, or skip."""
        self.torch: Any = pytest.importorskip("torch")

    @pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "?"])
    def test_a_tensor_has_the_form_of_its_array(self, dtype: str) -> None:
        """Content counts, not who holds it; views with strides and gradients included."""
        rows = np.array([[0.0, 1.0, 3.0], [1.0, 0.0, 1.0]]).astype(dtype)
        tensor = self.torch.from_numpy(rows.T.copy()).T

        assert canonical(tensor) == canonical(rows)
        assert canonical(tensor[0, 1]) == canonical(rows[0, 1])

    def test_gradients_do_not_matter(self) -> None:
        """A tensor that learns is hashed like any other."""
        assert canonical(self.torch.ones(2, requires_grad=True)) == canonical(np.ones(2, "f4"))

    def test_brain_floats_are_the_upper_half_of_floats(self) -> None:
        """Numpy has none, so their form is their own; zeros and NaN are one there too."""
        tensor = self.torch.tensor([1.0, -0.0, math.nan], dtype=self.torch.bfloat16)

        assert canonical(tensor).endswith(bytes.fromhex("803f0000c07f"))
        assert canonical(tensor[0]) == canonical(1.0)

    def test_tensors_elsewhere_are_not_fetched(self) -> None:
        """Fetching from a device would make the model wait."""
        with pytest.raises(NotCanonicalError, match="on meta has no canonical form"):
            canonical(self.torch.ones(2, device="meta"))

    def test_sparse_and_complex_tensors_have_no_form(self) -> None:
        """Neither has one order of numbers."""
        for tensor in (self.torch.eye(2).to_sparse(), self.torch.ones(1, dtype=self.torch.complex64)):
            with pytest.raises(NotCanonicalError, match="has no canonical form"):
                canonical(tensor)
