"""While keys change, the processor compares what processes with either key tell of their inputs."""

from typing import Any, cast

import numpy as np
import pytest

from otlp import encoded
from spanward.config import Settings
from spanward.fingerprint import Shingles
from spanward.hashing import Hasher
from spanward.pseudonyms import tell_client, tell_input
from spanward_processor.decode import decode
from spanward_processor.features import Aspect, empty_memory, rows_of
from spanward_processor.roles import role_table

OLD, NEW = b"0123456789abcdef", b"fedcba9876543210"
BEFORE = Settings(hashing_key=OLD)
BETWEEN = Settings(hashing_key=NEW, previous_hashing_key=OLD)
AFTER = Settings(hashing_key=NEW)
TEXT = "I was charged twice for one order and want my money back as soon as you can"
NUMBERS = [0.25, 0.5]


def told(settings: Settings, value: object, schema: str | None = None) -> dict[str, Any]:
    """Return what a process with such settings tells of an input and its caller."""
    facts: dict[str, Any] = {}
    hasher = Hasher.of(settings)
    tell_input(facts, value, "router", hasher, Shingles(), schema)
    tell_client(facts, "alice", hasher)
    return facts


def seen(*spans: dict[str, Any]) -> tuple[list[int], int]:
    """Return what the processor says of rows of one series: which repeat an earlier one, and how many clients there are."""
    roles = role_table()
    batch = decode(encoded(*spans), roles)
    rows = rows_of(batch, np.ones((1, len(batch)), np.int64), roles, empty_memory(1 << 10))
    repeats = cast("list[int]", rows.bins[Aspect.REPEAT].tolist())
    return repeats, len(set(batch.codes[roles.text("client")].tolist()))


@pytest.mark.parametrize("value", [TEXT, NUMBERS], ids=["text", "numbers"])
@pytest.mark.parametrize(
    "processes",
    [(BEFORE, BETWEEN, BEFORE, BETWEEN), (BETWEEN, BEFORE), (AFTER, AFTER)],
    ids=["first", "second", "after"],
)
def test_processes_that_change_over_can_be_compared(value: object, processes: tuple[Settings, ...]) -> None:
    """In whatever order they get the new key, the second time an input is asked it repeats, and its caller is one."""
    assert seen(*(told(settings, value) for settings in processes)) == ([0] + [1] * (len(processes) - 1), 1)


@pytest.mark.parametrize("value", [TEXT, NUMBERS], ids=["text", "numbers"])
def test_without_an_overlap_nothing_can_be_compared(value: object) -> None:
    """Two keys, two worlds: that nothing repeats says nothing then."""
    assert seen(told(BEFORE, value), told(AFTER, value)) == ([0, 0], 2)


@pytest.mark.parametrize("value", [TEXT, NUMBERS], ids=["text", "numbers"])
def test_schemas_are_never_compared(value: object) -> None:
    """Equal inputs under two schemas have different hashes, so the processor needs to know no schema."""
    assert seen(told(AFTER, value, "1"), told(AFTER, value, "2"), told(AFTER, value, "1"))[0] == [0, 0, 1]
