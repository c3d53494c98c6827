"""What leaves of an input and of a caller: keyed hashes and fingerprints, under each key in use."""

from typing import cast

from opentelemetry.util.types import AttributeValue

from spanward import semconv
from spanward.canonical import NotCanonicalError
from spanward.fingerprint import Form
from spanward.hashing import Hasher

Attributes = dict[str, AttributeValue]


def tell_input(
    facts: Attributes, value: object, domain: str, hasher: Hasher, form: Form, schema: str | None = None
) -> None:
    """Add hash and fingerprint of an input, under the previous key too where there is one.

    Args:
        facts: What is told of a call.
        value: The input; of a value without canonical form nothing is told.
        domain: What it is hashed for: the model.
        hasher: In force.
        form: Of the fingerprint.
        schema: Version of the features, where the user gives one.
    """
    inputs = hasher.of_inputs(domain, form, schema or "")
    try:
        facts[semconv.FEATURES_HASH] = inputs.hash(value)
    except NotCanonicalError:
        return
    facts[semconv.FEATURES_KEY_ID] = hasher.key.id
    if schema is not None:
        facts[semconv.FEATURES_SCHEMA] = schema
    if fingerprint := inputs.fingerprint(value):
        # The SDK's type stubs do not list bytes yet; OTLP and the exporter do.
        facts[semconv.FEATURES_FINGERPRINT] = cast("str", fingerprint)
    if hasher.previous is not None:
        _tell_previous_input(facts, value, domain, hasher.previous, form, schema or "")


def _tell_previous_input(
    facts: Attributes, value: object, domain: str, previous: Hasher, form: Form, schema: str
) -> None:
    inputs = previous.of_inputs(domain, form, schema)
    facts[semconv.FEATURES_PREVIOUS_HASH] = inputs.hash(value)
    facts[semconv.FEATURES_PREVIOUS_KEY_ID] = previous.key_id
    if fingerprint := inputs.fingerprint(value):
        facts[semconv.FEATURES_PREVIOUS_FINGERPRINT] = cast("str", fingerprint)


def tell_client(facts: Attributes, client: str, hasher: Hasher) -> None:
    """Add the pseudonym of a caller, under the previous key too where there is one.

    Args:
        facts: What is told of a call.
        client: Name of the caller.
        hasher: In force.
    """
    facts[semconv.CLIENT_ID] = hasher.client(client)
    facts[semconv.FEATURES_KEY_ID] = hasher.key_id
    if hasher.previous is not None:
        facts[semconv.CLIENT_PREVIOUS_ID] = hasher.previous.client(client)
        facts[semconv.FEATURES_PREVIOUS_KEY_ID] = hasher.previous.key_id
