"""Which attribute plays which role."""

import pytest

from otlp import encoded
from spans import Value, any_value, request, span, spans_of
from spanward import semconv
from spanward_processor.decode import decode
from spanward_processor.roles import NUMBER_ROLES, TEXT_ROLES, role_table
from spanward_processor.texts import text_at


@pytest.mark.parametrize(("role", "name"), [(role, name) for role, names in TEXT_ROLES.items() for name in names])
def test_every_text_name_is_read(role: str, name: str) -> None:
    """Each attribute name of the table fills its role's column."""
    roles = role_table()
    batch = decode(encoded({name: "value"}, service=""), roles)

    assert text_at(batch, roles.text(role), 0) == "value"


@pytest.mark.parametrize(("role", "name"), [(role, name) for role, names in NUMBER_ROLES.items() for name in names])
def test_every_number_name_is_read(role: str, name: str) -> None:
    """Each attribute name of the table fills its role's column."""
    roles = role_table()

    assert decode(encoded({name: 7}), roles).numbers[roles.number(role)].tolist() == [7.0]


DIALECTS: dict[str, tuple[dict[str, Value], dict[str, Value]]] = {
    # `do_tracing` of vllm/v1/engine/output_processor.py, names of vllm/tracing/utils.py (commit 0bf3270f): old ones, and no model
    "vLLM, engine V1": (
        {"gen_ai.response.model": "m"},
        {
            "gen_ai.latency.time_to_first_token": 0.07,
            "gen_ai.latency.e2e": 0.5,
            "gen_ai.latency.time_in_queue": 0.01,
            "gen_ai.usage.prompt_tokens": 11,
            "gen_ai.usage.completion_tokens": 4,
            "gen_ai.latency.time_in_model_prefill": 0.06,
            "gen_ai.latency.time_in_model_decode": 0.4,
            "gen_ai.latency.time_in_model_inference": 0.46,
            "gen_ai.request.id": "chatcmpl-1",
            "gen_ai.request.top_p": 0.9,
            "gen_ai.request.max_tokens": 256,
            "gen_ai.request.temperature": 0.1,
            "gen_ai.request.n": 1,
        },
    ),
    # The engine before it, by vLLM's own test of its spans, which asks for the model
    "vLLM, engine V0": (
        {},
        {
            "gen_ai.response.model": "m",
            "gen_ai.request.id": "chatcmpl-1",
            "gen_ai.usage.num_sequences": 1,
            "gen_ai.usage.prompt_tokens": 11,
            "gen_ai.usage.completion_tokens": 4,
            "gen_ai.latency.e2e": 0.5,
        },
    ),
    # opentelemetry-semantic-conventions 0.66b2
    "GenAI conventions": (
        {},
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "alias",
            "gen_ai.response.model": "m",
            "gen_ai.usage.input_tokens": 11,
            "gen_ai.usage.output_tokens": 4,
        },
    ),
    "OpenInference": (
        {},
        {
            "openinference.span.kind": "LLM",
            "llm.model_name": "m",
            "llm.token_count.prompt": 11,
            "llm.token_count.completion": 4,
            "llm.token_count.total": 15,
        },
    ),
    "Traceloop, older": (
        {},
        {
            "traceloop.span.kind": "task",
            "llm.request.type": "chat",
            "gen_ai.system": "OpenAI",
            "gen_ai.request.model": "alias",
            "gen_ai.response.model": "m",
            "gen_ai.usage.prompt_tokens": 11,
            "gen_ai.usage.completion_tokens": 4,
            "llm.usage.total_tokens": 15,
        },
    ),
}
"""Attributes of a resource and of a span, as other instrumentations write them."""


@pytest.mark.parametrize("dialect", DIALECTS)
def test_spans_of_others_reach_the_same_columns(dialect: str) -> None:
    """Model and token counts are found, whatever they are called."""
    of_resource, of_span = DIALECTS[dialect]
    sent = request([span(of_span)])
    attributes = spans_of(sent)[0].attributes
    del attributes[0]  # the model that `span` names
    for key, value in of_resource.items():
        sent.resource_spans[0].resource.attributes.add(key=key).value.CopyFrom(any_value(value))
    roles = role_table()
    batch = decode(sent.SerializeToString(), roles)

    counts = [batch.numbers[roles.number(role), 0] for role in ("input_tokens", "output_tokens")]
    assert text_at(batch, roles.text("model"), 0) == "m"
    assert counts == [11.0, 4.0]


def test_an_override_takes_the_place_of_the_list() -> None:
    """An operator's names are read, and the built-in ones of that role no more."""
    roles = role_table(overrides={"decision": ("label",)})
    batch = decode(encoded({"label": "mine"}, {semconv.DECISION: "built in"}), roles)

    assert text_at(batch, roles.text("decision"), 0) == "mine"
    assert batch.codes[roles.text("decision"), 1] == 0


def test_every_slice_is_a_column() -> None:
    """Each attribute that slices a series is read."""
    roles = role_table(slices=("spanward.dimension.region", "tenant"))
    batch = decode(encoded({"spanward.dimension.region": "eu", "tenant": "t1"}), roles)

    assert [text_at(batch, roles.text(name), 0) for name in roles.slices] == ["eu", "t1"]


def test_codes_depend_on_the_key() -> None:
    """A sender cannot foresee codes: two processors give one text different codes."""
    one, two = (decode(encoded({semconv.MODEL_NAME: "m"}), role_table()).codes for _ in range(2))

    assert one.tolist() != two.tolist()


def test_the_processors_own_attributes_play_no_role() -> None:
    """What only the processor may write is removed on the way in, so it can neither be a role nor a slice."""
    with pytest.raises(ValueError, match=r"got 'spanward\.anomaly\.score'"):
        role_table(overrides={"score": (semconv.ANOMALY_SCORE,)})
    with pytest.raises(ValueError, match=r"got 'spanward\.anomaly\.x'"):
        role_table(slices=("spanward.anomaly.x",))
