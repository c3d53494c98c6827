"""Canonical form, keyed hashes and fingerprints."""

import hashlib
import math
import re
import struct
import unicodedata
from typing import cast

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from spanward.call import CLIENT_DOMAIN
from spanward.canonical import NotCanonicalError, canonical
from spanward.config import Settings
from spanward.hashing import FINGERPRINT_HASHES, Hasher

HASHER = Hasher.of(Settings(hashing_key=b"0123456789abcdef"))
OTHER = Hasher.of(Settings(hashing_key=b"another key, 16+"))

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (None, "4e"),
        (True, "54"),
        (7, "69000000000000000137"),
        (1.0, "643ff0000000000000"),
        (-0.0, "640000000000000000"),
        ("é", "730000000000000002c3a9"),
        (b"\x00", "62000000000000000100"),
        ([1], "5b000000000000000169000000000000000131"),
        ({"a": None}, "7b0000000000000001730000000000000001614e"),
    ],
    ids=str,
)
def test_the_form_is_as_specified(value: object, form: str) -> None:
    """Golden vectors of the form; a change would break every stored hash."""
    assert canonical(value).hex() == form


@given(values, values)
def test_different_values_have_different_forms(left: object, right: object) -> None:
    """The form is injective, up to what is meant to be equal."""
    if canonical(left) == canonical(right):
        assert _plain(left) == _plain(right)


def _plain(value: object) -> object:
    """Return a value with what the form makes equal made equal, tagged by type."""
    if isinstance(value, float):
        return ("float", "nan" if math.isnan(value) else struct.pack(">d", value + 0.0))
    if isinstance(value, str):
        return ("str", unicodedata.normalize("NFC", value))
    if isinstance(value, list):
        return ("list", [_plain(item) for item in cast("list[object]", value)])
    if isinstance(value, dict):
        return ("dict", {_plain(key): _plain(item) for key, item in cast("dict[object, object]", value).items()})
    return (type(value).__name__, value)


@given(st.lists(st.floats()) | st.lists(st.integers()) | st.lists(st.floats() | st.integers() | st.booleans()))
def test_lists_of_numbers_have_the_form_of_their_items(numbers: list[float]) -> None:
    """The quick way for vectors gives the bytes that appending item by item would."""
    head = b"[" + len(numbers).to_bytes(8, "big")

    assert canonical(numbers) == head + b"".join(canonical(number) for number in numbers)


@pytest.mark.parametrize(
    ("scalar", "plain"),
    [(np.float32(0.5), 0.5), (np.int64(7), 7), (np.bool_(True), True), (np.array(-0.0), 0.0)],
    ids=repr,
)
def test_scalars_of_numpy_are_the_numbers_they_hold(scalar: object, plain: object) -> None:
    """An array of no dimension has no shape to tell."""
    assert canonical(scalar) == canonical(plain)


@given(st.dictionaries(st.text(max_size=5), values, max_size=5))
def test_the_order_of_a_mapping_does_not_matter(mapping: dict[str, object]) -> None:
    """A mapping and its reverse have one form."""
    assert canonical(mapping) == canonical(dict(reversed(mapping.items())))


def test_one_and_true_and_one_point_zero_differ() -> None:
    """Equality in Python is not equality of inputs."""
    assert len({canonical(1), canonical(True), canonical(1.0), canonical("1")}) == 4


def test_arrays_differ_by_type_and_shape_and_not_by_layout() -> None:
    """Byte order and memory layout are no content; dtype and shape are."""
    array = np.arange(6, dtype="<f8").reshape(2, 3)

    assert canonical(array) == canonical(array.astype(">f8")) == canonical(np.asfortranarray(array))
    assert canonical(array) != canonical(array.reshape(3, 2))
    assert canonical(array) != canonical(array.astype("f4"))


def test_zeros_and_nans_of_arrays_are_one() -> None:
    """-0.0 is 0.0 and every NaN is one, as for single floats."""
    assert canonical(np.array([-0.0, np.nan])) == canonical(np.array([0.0, -np.nan]))


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, np.array(["a"]), [object()]], ids=lambda value: type(value).__name__
)
def test_other_types_have_no_form(value: object) -> None:
    """What has no stable form is refused by type, never by repr."""
    with pytest.raises(NotCanonicalError):
        canonical(value)


def test_endless_nesting_is_refused() -> None:
    """A list inside itself costs no stack."""
    endless: list[object] = []
    endless.append(endless)

    with pytest.raises(NotCanonicalError, match="nested more than"):
        canonical(endless)


def test_hashes_need_key_and_domain() -> None:
    """The same value under another key, or for another model, does not link."""
    assert HASHER.hash("x", "a") == HASHER.hash("x", "a")
    assert len({HASHER.hash("x", "a"), HASHER.hash("x", "b"), OTHER.hash("x", "a"), HASHER.hash("y", "a")}) == 4
    assert len(HASHER.hash("x", "a")) == 32


def test_no_model_name_makes_an_input_link_to_a_client() -> None:
    """Clients are hashed in a domain that no model has, a model called `client` included."""
    assert HASHER.hash("alice", CLIENT_DOMAIN) != HASHER.hash("alice", "client")


def test_long_domains_do_not_collide_by_their_beginning() -> None:
    """Two model names that share sixteen letters are two domains."""
    assert HASHER.hash("x", "a-very-long-model-name-1") != HASHER.hash("x", "a-very-long-model-name-2")


def test_the_key_shows_nowhere() -> None:
    """Neither repr nor key id tells the key."""
    assert "0123456789abcdef" not in repr(HASHER)
    assert HASHER.key_id not in {"", "0123456789abcdef"[:8]}


def words(seed: int, count: int) -> list[str]:
    """Return random words."""
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("abcdefgh"), 5)) for _ in range(count)]


def shared(left: bytes, right: bytes) -> float:
    """Return the share of the left fingerprint's hashes that the right one has."""
    parts = [left[at : at + 8] for at in range(0, len(left), 8)]
    others = {right[at : at + 8] for at in range(0, len(right), 8)}
    return sum(part in others for part in parts) / len(parts)


@pytest.mark.parametrize("seed", range(20))
def test_one_changed_word_keeps_most_of_a_fingerprint(seed: int) -> None:
    """Near-duplicates match: one word of forty changes less than half of the hashes."""
    text = words(seed, 40)
    changed = [*text]
    changed[seed] = "different"

    assert shared(HASHER.fingerprint(" ".join(text)), HASHER.fingerprint(" ".join(changed))) > 0.5


def test_unrelated_texts_share_nothing() -> None:
    """Different texts have different fingerprints."""
    assert shared(HASHER.fingerprint(" ".join(words(1, 40))), HASHER.fingerprint(" ".join(words(2, 40)))) == 0.0


@given(st.text(max_size=80))
def test_fingerprints_are_as_specified(text: str) -> None:
    """The quick way equals the obvious one: words by pattern, shingles joined one by one, each hash keyed by itself."""
    found = re.findall(rb"[\w\x80-\xff]+", text.lower().encode())
    width = min(3, len(found))
    shingles = {
        xxhash.xxh3_64_intdigest(b" ".join(found[at : at + width]), HASHER.seed)
        for at in range(len(found) - width + 1)
        if found
    }
    keyed = [
        hashlib.blake2b(value.to_bytes(8, "big"), key=HASHER.key, person=b"spanward shingle", digest_size=8).digest()
        for value in sorted(shingles)[:FINGERPRINT_HASHES]
    ]

    assert HASHER.fingerprint(text) == b"".join(keyed)


def test_fingerprints_are_keyed_and_bounded() -> None:
    """Under another key nothing matches; a long text has no more hashes than the limit."""
    text = " ".join(words(3, 5000))

    assert len(HASHER.fingerprint(text)) == 8 * FINGERPRINT_HASHES
    assert shared(HASHER.fingerprint(text), OTHER.fingerprint(text)) == 0.0
    assert HASHER.fingerprint("") == b""
