"""Keyed hashes and fingerprints."""

import hashlib
import re

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from spanward.call import CLIENT_DOMAIN
from spanward.config import Settings
from spanward.hashing import FINGERPRINT_HASHES, Hasher

HASHER = Hasher.of(Settings(hashing_key=b"0123456789abcdef"))
OTHER = Hasher.of(Settings(hashing_key=b"another key, 16+"))


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
