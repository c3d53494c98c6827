"""Keys: where they come from, what is refused, and how one follows another."""

import logging
import os
from pathlib import Path
from typing import Any, cast

import pytest

from spanward import semconv
from spanward.config import Settings, resolve
from spanward.fingerprint import Shingles
from spanward.hashing import Hasher
from spanward.pseudonyms import Attributes, tell_client, tell_input

OLD, NEW = "0123456789abcdef", "fedcba9876543210"
TEXT = "I was charged twice for one order"


def told(settings: Settings, value: object = TEXT, client: str = "alice") -> Attributes:
    """Return what a process with such settings tells of a call."""
    facts: Attributes = {}
    hasher = Hasher.of(settings)
    tell_input(facts, value, "router", hasher, Shingles(), "2")
    tell_client(facts, client, hasher)
    return facts


# --- Where keys come from -------------------------------------------------------------------------------------------


def test_a_function_fetches_the_key_once() -> None:
    """As from a key management service, whose answers cost; text and bytes are taken."""
    asked: list[None] = []

    def fetch() -> str:
        asked.append(None)
        return OLD

    settings = resolve(hashing_key=fetch, environment={"SPANWARD_HASHING_KEY": NEW})
    told(settings)
    told(settings)

    assert (settings.hashing_key, len(asked)) == (OLD.encode(), 1)
    assert resolve(hashing_key=OLD.encode, environment={}).hashing_key == OLD.encode()


@pytest.mark.parametrize(("given", "found"), [("short", "16 to 64 bytes, got 5"), (7, "bytes or text, got int")])
def test_what_a_function_gives_is_checked(given: object, found: str) -> None:
    """As if it had been passed."""
    with pytest.raises((ValueError, TypeError), match=f"^hashing_key: must be {found}$"):
        resolve(hashing_key=lambda: cast("Any", given), environment={})


def test_a_function_that_fails_says_so_without_its_message() -> None:
    """The message may hold what was fetched; the cause is there for who looks."""

    def fetch() -> str:
        raise RuntimeError(OLD)

    with pytest.raises(
        ValueError, match=r"^hashing_key: its function must return the key, got RuntimeError$"
    ) as caught:
        resolve(hashing_key=fetch, environment={})
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (b"0123456789abcdef\n", b"0123456789abcdef"),
        (b"0123456789abcdef\r\n", b"0123456789abcdef"),
        (b" 0123456789abcd \t", b" 0123456789abcd \t"),
        (bytes(range(10, 26)), bytes(range(10, 26))),
    ],
    ids=["line", "line of Windows", "blanks", "binary"],
)
def test_a_files_key_ends_before_its_last_newline(tmp_path: Path, content: bytes, key: bytes) -> None:
    """An editor's newline is no part of a key; other bytes are, also where they look like blanks."""
    file = tmp_path / "key"
    file.touch(0o600)
    file.write_bytes(content)

    assert resolve(environment={"SPANWARD_HASHING_KEY_FILE": str(file)}).hashing_key == key


@pytest.mark.parametrize(("mode", "told_of"), [(0o600, False), (0o440, False), (0o644, True), (0o620, True)])
def test_a_file_that_others_may_read_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, told_of: bool
) -> None:
    """Everybody on the machine could test guesses; a group that may read is how clusters hand out secrets."""
    file = tmp_path / "key"
    file.write_text(OLD)
    file.chmod(mode)
    if not os.access(file, os.R_OK):
        pytest.skip("this user may not read its own file of such a mode")

    with caplog.at_level(logging.WARNING):
        resolve(environment={"SPANWARD_HASHING_KEY_FILE": str(file)})

    warnings = [f"SPANWARD_HASHING_KEY_FILE: {file} should be its owner's alone; chmod 600"] if told_of else []
    assert [record.getMessage() for record in caplog.records] == warnings
    assert OLD not in caplog.text


def test_an_endless_file_is_not_read_to_its_end() -> None:
    """A device in place of a key is refused, not read for ever."""
    with pytest.raises(ValueError, match="must be 16 to 64 bytes, got 67"):
        resolve(environment={"SPANWARD_HASHING_KEY_FILE": "/dev/zero"})


@pytest.mark.parametrize(
    ("arguments", "environment", "algorithm"),
    [
        ({}, {}, "blake2b"),
        ({}, {"SPANWARD_HASHING_ALGORITHM": "hmac-sha256"}, "hmac-sha256"),
        ({"hashing_algorithm": "blake2b"}, {"SPANWARD_HASHING_ALGORITHM": "hmac-sha256"}, "blake2b"),
    ],
    ids=["default", "environment", "argument"],
)
def test_the_algorithm_is_chosen(arguments: dict[str, Any], environment: dict[str, str], algorithm: str) -> None:
    """The argument, else the environment, else BLAKE2b."""
    assert resolve(**arguments, environment=environment).hashing_algorithm == algorithm


@pytest.mark.parametrize(
    ("arguments", "environment", "rule"),
    [
        (
            {},
            {"SPANWARD_HASHING_ALGORITHM": "md5"},
            "SPANWARD_HASHING_ALGORITHM: must be blake2b or hmac-sha256, got 'md5'",
        ),
        ({"hashing_algorithm": ""}, {}, "hashing_algorithm: must be blake2b or hmac-sha256, got ''"),
        ({"previous_hashing_key": OLD}, {}, "previous_hashing_key: must come with another hashing_key, got none"),
        (
            {"hashing_key": OLD, "previous_hashing_key": OLD},
            {},
            "previous_hashing_key: must come with another hashing_key, got the same",
        ),
        (
            {"hashing_key": NEW, "previous_hashing_key": OLD, "key_id": "k"},
            {"SPANWARD_PREVIOUS_KEY_ID": "k"},
            "previous_key_id: must differ from key_id, got 'k' for both",
        ),
    ],
    ids=range(5),
)
def test_settings_that_contradict_themselves_are_refused(
    arguments: dict[str, Any], environment: dict[str, str], rule: str
) -> None:
    """By rule and value, and never with a key."""
    with pytest.raises(ValueError, match=f"^{rule}$") as caught:
        resolve(**arguments, environment=environment)
    assert OLD not in str(caught.value)


# --- One key after another ------------------------------------------------------------------------------------------

BEFORE = Settings(hashing_key=OLD.encode(), key_id="k1")
BETWEEN = Settings(hashing_key=NEW.encode(), key_id="k2", previous_hashing_key=OLD.encode(), previous_key_id="k1")
AFTER = Settings(hashing_key=NEW.encode(), key_id="k2")
PAIRS = {
    semconv.FEATURES_HASH: semconv.FEATURES_PREVIOUS_HASH,
    semconv.FEATURES_KEY_ID: semconv.FEATURES_PREVIOUS_KEY_ID,
    semconv.FEATURES_FINGERPRINT: semconv.FEATURES_PREVIOUS_FINGERPRINT,
    semconv.CLIENT_ID: semconv.CLIENT_PREVIOUS_ID,
}


def test_in_the_overlap_both_keys_speak() -> None:
    """A process that has both keys tells exactly what one with the old and one with the new would, under two sets of names."""
    before, between, after = told(BEFORE), told(BETWEEN), told(AFTER)

    assert between == after | {PAIRS[name]: value for name, value in before.items() if name in PAIRS}


def test_after_the_overlap_nothing_links_to_the_time_before() -> None:
    """Which is what changing a key is for."""
    before, after = set(map(str, told(BEFORE).values())), set(map(str, told(AFTER).values()))

    assert before & after == {"2"}


def test_environment_names_the_previous_key() -> None:
    """By value or by file, as the key itself."""
    environment = {
        "SPANWARD_HASHING_KEY": NEW,
        "SPANWARD_KEY_ID": "k2",
        "SPANWARD_PREVIOUS_HASHING_KEY": OLD,
        "SPANWARD_PREVIOUS_KEY_ID": "k1",
    }

    assert resolve(environment=environment) == BETWEEN


def test_a_value_without_a_form_tells_nothing_but_its_caller() -> None:
    """No hash, no fingerprint; the caller's pseudonym names the key it was made with."""
    assert set(told(BETWEEN, object())) == {
        semconv.CLIENT_ID,
        semconv.FEATURES_KEY_ID,
        semconv.CLIENT_PREVIOUS_ID,
        semconv.FEATURES_PREVIOUS_KEY_ID,
    }


def test_numbers_have_a_hash_and_no_fingerprint_of_texts() -> None:
    """What the form does not fit is told by its hash alone, under both keys."""
    facts = told(BETWEEN, [0.5, 1.5])

    assert semconv.FEATURES_PREVIOUS_HASH in facts
    assert not {semconv.FEATURES_FINGERPRINT, semconv.FEATURES_PREVIOUS_FINGERPRINT} & set(facts)
