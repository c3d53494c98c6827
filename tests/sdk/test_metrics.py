"""Metrics of calls: whatever is sampled, few attributes, and an off switch."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler

import spanward
from captured import KEY
from spanward import semconv
from spanward.testing import CapturedSpans

DURATION = semconv.GEN_AI_CLIENT_OPERATION_DURATION
USAGE = semconv.GEN_AI_CLIENT_TOKEN_USAGE


class Recorded:
    """Providers of a test's own, and what was recorded."""

    def __init__(self, sampler: Sampler) -> None:
        self.reader = InMemoryMetricReader()
        meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.arguments: dict[str, Any] = {
            "tracer_provider": TracerProvider(sampler, shutdown_on_exit=False),
            "meter_provider": meters,
        }

    def points(self) -> dict[str, list[Any]]:
        """Return the data points by name of the metric."""
        data = self.reader.get_metrics_data()
        return {
            metric.name: list(metric.data.data_points)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture(autouse=True)
def duration_only(spans: CapturedSpans) -> Iterator[None]:
    """Every test begins and ends with the default, and with global providers that export nothing."""
    spanward.configure(hashing_key=KEY, metrics="duration")
    yield
    spanward.configure(metrics="duration")


@pytest.mark.parametrize("sampler", [ALWAYS_ON, ALWAYS_OFF], ids=["on", "off"])
def test_durations_are_recorded_whether_sampled_or_not(sampler: Sampler) -> None:
    """There is one histogram, with model, version, operation and the class of an error, and nothing else."""
    recorded = Recorded(sampler)

    @spanward.inference("m", version="1", channel="mail", client="alice", **recorded.arguments)
    def predict(text: str) -> int:
        return int(text)

    predict("1")
    predict("2")
    with pytest.raises(ValueError, match="secret"):
        predict("secret")

    points = recorded.points()
    assert points.keys() == {DURATION}
    common = {
        semconv.GEN_AI_OPERATION_NAME: "inference",
        semconv.GEN_AI_REQUEST_MODEL: "m",
        semconv.MODEL_VERSION: "1",
    }
    assert [(dict(point.attributes), point.count) for point in points[DURATION]] == [
        (common, 2),
        (common | {semconv.ERROR_TYPE: "ValueError"}, 1),
    ]


@pytest.mark.parametrize("sampler", [ALWAYS_ON, ALWAYS_OFF], ids=["on", "off"])
def test_token_counts_are_recorded_on_request(sampler: Sampler) -> None:
    """`metrics="all"` records what was taken and generated, sampled or not."""
    recorded = Recorded(sampler)
    spanward.configure(metrics="all")

    @spanward.inference("m", operation="chat", provider="openai", **recorded.arguments)
    def chat(text: str) -> dict[str, Any]:
        return {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}

    chat("x")

    found = {point.attributes[semconv.GEN_AI_TOKEN_TYPE]: point for point in recorded.points()[USAGE]}
    assert {kind: point.sum for kind, point in found.items()} == {"input": 7, "output": 2}
    assert found["input"].attributes[semconv.GEN_AI_PROVIDER_NAME] == "openai"


Ask = Callable[[dict[str, Any]], object]


def said_in_a_block(providers: dict[str, Any]) -> None:
    """Say tokens and version of a block."""
    with spanward.inference("m", **providers) as call:
        call.set(tokens=spanward.Tokens(7, 2), version="1.1")


def result_of_a_block(providers: dict[str, Any]) -> None:
    """Give a block's result."""
    with spanward.inference("m", **providers) as call:
        call.set(result={"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}})


def counted_by_a_gateway(providers: dict[str, Any]) -> None:
    """Take tokens from the request's context."""
    with spanward.request_context(tokens=spanward.Tokens(7, 2)):
        spanward.inference("m", **providers)(str.upper)("x")


def constant(providers: dict[str, Any]) -> None:
    """Give the decorator tokens that are always the same."""
    spanward.inference("m", tokens=spanward.Tokens(7, 2), **providers)(str.upper)("x")


def stream_of_chunks(providers: dict[str, Any]) -> None:
    """Read a stream whose last chunk tells usage."""

    def chunks() -> Iterator[dict[str, Any]]:
        yield {"choices": []}
        yield {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}

    list(spanward.inference("m", **providers)(chunks)())


def stream_that_is_counted(providers: dict[str, Any]) -> None:
    """Count a stream's tokens by a function of all items."""

    def chunks() -> Iterator[str]:
        yield from ("a", "b")

    counted = spanward.inference("m", tokens=lambda items: spanward.Tokens(7, len(items)), **providers)
    list(counted(chunks)())


def parts(providers: dict[str, Any]) -> None:
    """Ask twice inside a call of the same model, in a version that is known inside only."""

    @spanward.inference("m", version="1.1", tokens=spanward.Tokens(3, 1), **providers)
    def part(text: str) -> str:
        return text

    spanward.inference("m", **providers)(lambda text: part(text) + part(text))("x")


WAYS: tuple[Ask, ...] = (
    said_in_a_block,
    result_of_a_block,
    counted_by_a_gateway,
    constant,
    stream_of_chunks,
    stream_that_is_counted,
    parts,
)


@pytest.mark.parametrize("ask", WAYS)
def test_sampling_changes_no_metric(ask: Ask) -> None:
    """However tokens and version are told, the same is recorded of calls whose spans are dropped."""
    spanward.configure(metrics="all")
    told: list[dict[tuple[str, ...], float]] = []
    for sampler in (ALWAYS_ON, ALWAYS_OFF):
        recorded = Recorded(sampler)
        ask(recorded.arguments)
        points = recorded.points()
        usage = {tuple(sorted(map(str, point.attributes.items()))): point.sum for point in points[USAGE]}
        (duration,) = points[DURATION]
        told.append(usage | {tuple(sorted(map(str, duration.attributes.items()))): duration.count})

    assert len(told[0]) == 3
    assert told[1] == told[0]


def test_metrics_can_be_switched_off() -> None:
    """`metrics="off"` records nothing."""
    recorded = Recorded(ALWAYS_ON)
    spanward.configure(metrics="off")
    spanward.inference("m", **recorded.arguments)(lambda text: 1)("x")

    assert recorded.points() == {}


def test_a_stream_is_recorded_once_when_it_ends() -> None:
    """Its duration is that of the stream."""
    recorded = Recorded(ALWAYS_OFF)

    @spanward.inference("m", **recorded.arguments)
    def stream() -> Iterator[int]:
        yield 1

    open_stream = stream()
    next(open_stream)
    assert recorded.points() == {}
    del open_stream

    assert [point.count for point in recorded.points()[DURATION]] == [1]


def test_the_version_that_served_is_recorded() -> None:
    """Not the one that was asked for."""
    recorded = Recorded(ALWAYS_ON)
    with spanward.inference("m", version="latest", **recorded.arguments) as call:
        call.set(version="3")

    (point,) = recorded.points()[DURATION]
    assert point.attributes[semconv.MODEL_VERSION] == "3"


def test_an_exemplar_leads_to_a_failed_call() -> None:
    """The histogram names a trace in which a call failed."""
    recorded = Recorded(ALWAYS_ON)

    @spanward.inference("m", **recorded.arguments)
    def predict() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        predict()

    (point,) = recorded.points()[DURATION]
    assert [bool(exemplar.trace_id) for exemplar in point.exemplars] == [True]


@pytest.mark.parametrize("by", ["argument", "variable"])
def test_unknown_metrics_are_refused(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the place, the rule and the value."""
    if by == "variable":
        monkeypatch.setenv("SPANWARD_METRICS", "some")
    with pytest.raises(ValueError, match=r"(metrics|SPANWARD_METRICS): must be one of off, duration, all, got 'some'"):
        spanward.configure(metrics="some" if by == "argument" else None)


def test_a_meter_provider_is_made_only_beside_our_tracer_provider() -> None:
    """Who has set up tracing alone gets no metrics exporter from us; who has set up nothing gets one."""
    program = (
        "import spanward\n"
        "from opentelemetry import metrics, trace\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "{first}\n"
        "spanward.configure(hashing_key='0123456789abcdef')\n"
        "print(type(metrics.get_meter_provider()).__name__)\n"
        "spanward.shutdown()\n"
    )
    environment = {**os.environ, "OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}
    printed = [
        subprocess.run(
            [sys.executable, "-c", program.format(first=first)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for first in ("trace.set_tracer_provider(TracerProvider())", "pass")
    ]

    assert printed == ["_ProxyMeterProvider", "MeterProvider"]


def test_an_error_that_was_said_is_measured_though_nobody_samples() -> None:
    """Metrics tell the kind of an error that was not raised, of calls without a span too."""
    recorded = Recorded(ALWAYS_OFF)

    with spanward.inference("m", **recorded.arguments) as call:
        call.set(error="quota")

    (point,) = recorded.points()[DURATION]
    assert point.attributes[semconv.ERROR_TYPE] == "quota"
