"""What is told of an input: its size, and keyed hashes in place of its content."""

from collections.abc import Sequence
from typing import cast

from spanward import semconv
from spanward.canonical import NotCanonicalError
from spanward.hashing import Hasher
from spanward.items import Attributes
from spanward.size import size_of


def tell_input(facts: Attributes, values: Sequence[object], domain: str, hasher: Hasher) -> int | None:
    """Add what is told of an input to what is told of its call.

    Args:
        facts: What is told of the call.
        values: The arguments that are the input.
        domain: What they are hashed for.
        hasher: In force.

    Returns:
        How many items the input may have.
    """
    value, rows = values[0] if len(values) == 1 else values, None
    if isinstance(value, (str, bytes)):  # the commonest inputs have no size but their length
        facts[semconv.FEATURES_COUNT] = len(value)
    else:
        rows = _tell_size(facts, values)
    try:
        facts[semconv.FEATURES_HASH] = hasher.hash(value, domain)
    except NotCanonicalError:
        return rows
    facts[semconv.FEATURES_KEY_ID] = hasher.key_id
    if isinstance(value, str):
        # The SDK's type stubs do not list bytes yet; OTLP and the exporter do.
        facts[semconv.FEATURES_FINGERPRINT] = cast("str", hasher.fingerprint(value))
    return rows


def _tell_size(facts: Attributes, values: Sequence[object]) -> int | None:
    length, sparsity, shape, batch, rows = size_of(values)
    facts[semconv.FEATURES_COUNT] = length
    if sparsity is not None:
        facts[semconv.FEATURES_SPARSITY] = sparsity
    if shape is not None:
        facts[semconv.FEATURES_SHAPE] = shape
    if batch is not None:
        facts[semconv.BATCH_SIZE] = batch
    return rows
