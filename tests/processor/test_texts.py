"""Codes back to texts, bounded in memory."""

import numpy as np
import pytest

from otlp import encoded
from spanward import semconv
from spanward_processor.decode import decode
from spanward_processor.roles import role_table
from spanward_processor.texts import Texts, text_at

ROLES = role_table(key=bytes(16))
DECISION = ROLES.text("decision")


def learn(texts: Texts, *decisions: str | int | bool | bytes) -> list[int]:
    """Learn decisions from one request; return their codes."""
    batch = decode(encoded(*({semconv.DECISION: decision} for decision in decisions)), ROLES)
    texts.learn(batch)
    codes: list[int] = batch.codes[DECISION].tolist()
    return codes


def test_a_code_is_shown_as_its_text() -> None:
    """What was learned is found, by the signed form of the code too, as bins hold it."""
    texts = Texts([DECISION], 4096)
    (code,) = learn(texts, "refund")

    assert texts[code] == "refund"
    assert texts[int(np.uint64(code).astype(np.int64))] == "refund"


def test_absent_and_unknown_codes() -> None:
    """Code 0 is nothing, a code never learned is shown in hex."""
    texts = Texts([DECISION], 4096)

    assert texts[0] == ""
    assert texts[255] == "#00000000000000ff"


def test_only_the_named_columns_are_learned() -> None:
    """Texts of other columns are never shown to a person, so they are not kept."""
    texts = Texts([ROLES.text("model")], 4096)
    learn(texts, "refund")

    assert len(texts) == 0


def test_texts_are_bounded_and_the_ones_in_use_stay() -> None:
    """With ever new texts the oldest are forgotten after two generations; one that keeps coming is kept. What was forgotten is counted."""
    texts = Texts([DECISION], 2048)
    (used, *_) = learn(texts, "used", "unused")
    (unused,) = learn(texts, "unused")
    for number in range(40):
        learn(texts, "used", *(f"new-{number}-{index}" for index in range(200)))

    assert texts[used] == "used"
    assert texts[unused].startswith("#")
    assert len(texts) <= 2 * (1024 + 201)
    assert len(texts) + texts.forgotten == 40 * 200 + 2


def test_one_request_teaches_only_so_many() -> None:
    """A request of thousands of new texts costs a bounded time; the rest is learned when it comes again."""
    texts, decisions = Texts([DECISION], 65_536), [f"d{number}" for number in range(1500)]
    learn(texts, *decisions)
    assert len(texts) == 1024

    learn(texts, *decisions)

    assert len(texts) == 1500


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x" * 1000, "x" * 256),
        (b"\x01\xff", "01ff"),
        (True, "true"),
        (False, "false"),
        (-7, "-7"),
        ("\u00e9", "\u00e9"),
    ],
)
def test_values_of_every_kind_have_a_text(value: str | int | bool | bytes, text: str) -> None:
    """Long texts are cut, bytes are hex, numbers and flags are spelled out."""
    batch = decode(encoded({semconv.DECISION: value}), ROLES)

    assert text_at(batch, DECISION, 0) == text


def test_a_text_that_lasts_elsewhere_takes_no_room_and_is_shown() -> None:
    """The name of a key is kept with the key, so it is not learned again and again; one that was never known is."""
    texts = Texts([DECISION], 2048)
    lasting, unnamed = (learn(Texts([DECISION], 2048), name)[0] for name in ("kept with its key", "never learned"))
    texts.lasting |= {lasting: "kept with its key", unnamed: f"#{unnamed:016x}"}

    learn(texts, "kept with its key", "never learned")

    assert len(texts) == 1
    assert [texts[code] for code in (lasting, unnamed)] == ["kept with its key", "never learned"]


@pytest.mark.parametrize("text", ["short", "é" * 63, "x" * 256, "x" * 1000])
def test_a_text_is_cut_after_256_characters(text: str) -> None:
    """A name that is longer takes no more room."""
    texts = Texts([DECISION], 2048)
    (code,) = learn(texts, text)

    assert texts[code] == text[:256]
