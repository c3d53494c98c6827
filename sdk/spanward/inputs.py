"""What is told of an input: its size, and keyed hashes in place of its content."""

from collections.abc import Sequence

from spanward import pseudonyms, semconv
from spanward.fingerprint import Form
from spanward.hashing import Hasher
from spanward.items import Attributes
from spanward.size import size_of


def tell_input(
    facts: Attributes, values: Sequence[object], domain: str, hasher: Hasher, form: Form, schema: str | None
) -> int | None:
    """Add what is told of an input to what is told of its call.

    Args:
        facts: What is told of the call.
        values: The arguments that are the input.
        domain: What they are hashed for.
        hasher: In force.
        form: Of its fingerprint.
        schema: Version of the features, where the user gives one.

    Returns:
        How many items the input may have.
    """
    value, rows = values[0] if len(values) == 1 else values, None
    if isinstance(value, (str, bytes)):  # the commonest inputs have no size but their length
        facts[semconv.FEATURES_COUNT] = len(value)
    else:
        rows = _tell_size(facts, values)
    pseudonyms.tell_input(facts, value, domain, hasher, form, schema)
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
