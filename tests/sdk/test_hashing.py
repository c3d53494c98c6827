"""Keyed hashes: what they depend on, and what never shows."""

import hashlib
import hmac
import logging
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanward.canonical import canonical
from spanward.config import Settings
from spanward.fingerprint import Shingles, Windows
from spanward.hashing import Hasher
from spanward.keys import Key

KEY = b"0123456789abcdef"
HASHER = Hasher.of(Settings(hashing_key=KEY))
OTHER = Hasher.of(Settings(hashing_key=b"another key, 16+"))
HMAC = Hasher.of(Settings(hashing_key=KEY, hashing_algorithm="hmac-sha256"))
TEXT = "the quick brown fox jumps over the lazy dog"

PAGE = Path(__file__).parents[2] / "docs" / "canonical.md"
VECTORS = re.findall(r"^\| (blake2b|hmac-sha256) \| `(.*)` \| `([0-9a-f]{32})` \|$", PAGE.read_text(), re.MULTILINE)


def test_hashes_need_key_and_domain() -> None:
    """The same value under another key, or for another model or schema, does not link."""
    hashes = [
        HASHER.hash("x", "a"),
        HASHER.hash("x", "b"),
        HASHER.hash("x", "a", "2"),
        HASHER.hash("y", "a"),
        OTHER.hash("x", "a"),
        HMAC.hash("x", "a"),
    ]

    assert HASHER.hash("x", "a") == hashes[0]
    assert len(set(hashes)) == len(hashes)
    assert {len(value) for value in hashes} == {32}


@pytest.mark.parametrize("hasher", [HASHER, HMAC], ids=["blake2b", "hmac-sha256"])
def test_no_purpose_can_be_compared_with_another(hasher: Hasher) -> None:
    """A caller, an input and every form of fingerprint of one text have keys of their own: nothing is equal, cut to any length."""
    forms = (Shingles(), Shingles(2), Shingles(hashes=23), Shingles(9, "characters"))
    prints = [
        hasher.fingerprint(TEXT, domain, form, schema)
        for form in forms
        for domain in ("a", "b")
        for schema in ("", "1")
    ]
    pieces = [bytes.fromhex(hasher.hash(TEXT, domain)) for domain in ("", "a", "b", "client")]
    pieces += [bytes.fromhex(hasher.client(TEXT))]
    words = [part[at : at + 8] for part in (*pieces, *prints) for at in range(0, len(part), 8)]

    assert len(words) == len(set(words))


@given(st.lists(st.text(max_size=3), min_size=2, max_size=2, unique=True), st.text(max_size=3))
def test_domains_are_told_apart_however_they_are_cut(domains: list[str], schema: str) -> None:
    """Model and schema are encoded, not joined: `a`, `bc` is not `ab`, `c`."""
    left, right = domains

    assert HASHER.hash("x", left, schema) != HASHER.hash("x", right, schema)
    assert HASHER.hash("x", left + schema) != HASHER.hash("x", left, schema) or schema == ""


@pytest.mark.parametrize(("algorithm", "value", "expected"), VECTORS)
def test_hashes_are_as_specified(algorithm: str, value: str, expected: str) -> None:
    """The page's vectors hold in both ways: by the class, and written out as another language would."""

    def keyed(key: bytes, data: bytes, size: int) -> bytes:
        if algorithm == "blake2b":
            return hashlib.blake2b(data, key=key, digest_size=size).digest()
        return hmac.digest(key, data, "sha256")[:size]

    derived = keyed(KEY, canonical(("spanward 1", 16, "features", "router", "")), 32)

    assert keyed(derived, canonical(eval(value)), 16).hex() == expected
    assert (HASHER if algorithm == "blake2b" else HMAC).hash(eval(value), "router") == expected


def test_the_page_has_vectors_of_both_algorithms() -> None:
    """The search above finds the table."""
    assert {algorithm for algorithm, *_ in VECTORS} == {"blake2b", "hmac-sha256"}


def test_many_domains_take_bounded_memory() -> None:
    """A program that makes up domains as it runs gets right hashes and no growing table."""
    hasher = Hasher(Key.of(KEY, None, "blake2b"))
    for number in range(3000):
        hasher.fingerprint(TEXT, str(number), Shingles())

    kept = len(hasher._functions) + len(hasher._inputs)  # pyright: ignore[reportPrivateUsage]
    assert kept < 3000
    assert hasher.hash("x", "2999") == HASHER.hash("x", "2999")
    assert hasher.fingerprint(TEXT, "2999", Shingles()) == HASHER.fingerprint(TEXT, "2999", Shingles())


def test_the_key_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """Neither a repr nor the key id tells a key, nor what was derived from it."""
    settings = Settings(hashing_key=KEY, previous_hashing_key=b"fedcba9876543210")
    caplog.set_level(logging.DEBUG)
    hasher = Hasher.of(settings)
    hasher.fingerprint([1.0, 2.0], "m", Windows(1, (1.0,)))
    shown = f"{settings} {hasher} {hasher.key} {hasher.previous} {caplog.text}"

    for secret in (KEY, b"fedcba9876543210"):
        assert secret.decode() not in shown
        assert secret.hex() not in shown
    assert hasher.key_id not in {"", KEY.decode()[:8], KEY.hex()[:8]}


def test_ids_differ_by_key_and_algorithm() -> None:
    """Hashes of two keys or two algorithms are not comparable, so their derived ids differ too."""
    assert len({HASHER.key_id, OTHER.key_id, HMAC.key_id}) == 3


def test_without_a_key_each_process_has_its_own_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """One warning, and hashes that nobody else can make."""
    hashers = [Hasher.of(Settings()) for _ in range(2)]

    assert hashers[0].hash("x", "a") != hashers[1].hash("x", "a")
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "no hashing key" in caplog.text
