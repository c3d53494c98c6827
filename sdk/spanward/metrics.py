"""Metrics of calls, whether their spans are sampled or not.

One histogram of durations by default: a record costs a quarter of a span. Token counts are a second one, on request.
Source: OpenTelemetry semantic conventions for generative AI, client metrics (Development): names, units and buckets.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentelemetry import metrics
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram, MeterProvider
from opentelemetry.trace import Span

from spanward import semconv
from spanward.config import ALL
from spanward.items import Attributes
from spanward.results import tokens_in
from spanward.tracing import SCOPE, SPAN, VERSION

if TYPE_CHECKING:
    from spanward.observation import Observation

_SECONDS: Final = [0.01 * 2**power for power in range(14)]
_TOKENS: Final = [float(4**power) for power in range(14)]


@dataclass(frozen=True, slots=True)
class Instruments:
    """The histograms of one MeterProvider.

    Args:
        duration: Of calls, seconds.
        tokens: Of calls.
    """

    duration: Histogram
    tokens: Histogram


class _Latest:
    """The global provider that was asked last, with its instruments: asking again costs more than comparing."""

    __slots__ = ("pair",)

    def __init__(self) -> None:
        self.pair: tuple[MeterProvider, Instruments] | None = None


_latest: Final = _Latest()


def instruments_of(provider: MeterProvider) -> Instruments:
    """Return the instruments of a provider."""
    meter = metrics.get_meter(SCOPE, VERSION, provider)
    return Instruments(
        meter.create_histogram(
            semconv.GEN_AI_CLIENT_OPERATION_DURATION,
            unit="s",
            description="Duration of a call of a model.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        ),
        meter.create_histogram(
            semconv.GEN_AI_CLIENT_TOKEN_USAGE,
            unit="{token}",
            description="Tokens a call took and generated.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        ),
    )


def global_instruments() -> Instruments:
    """Return the instruments of the global provider; made before one is set, they begin to record when it is."""
    provider = metrics.get_meter_provider()
    pair = _latest.pair
    if pair is None or pair[0] is not provider:
        pair = _latest.pair = (provider, instruments_of(provider))
    return pair[1]


def record(mode: str, observation: "Observation", span: Span, facts: Attributes, duration_ns: int) -> None:
    """Record one call that has ended; the context is its span's, so that an exemplar leads to it.

    Args:
        mode: `duration` or `all`.
        observation: Whose call it was.
        span: Its span.
        facts: What is told of it.
        duration_ns: How long it took, nanoseconds.
    """
    attributes = observation.measured
    for name in (semconv.ERROR_TYPE, semconv.MODEL_VERSION):
        if name in facts:
            attributes = {**attributes, name: facts[name]}
    instruments = observation.instruments or global_instruments()
    context = Context({SPAN: span})
    instruments.duration.record(duration_ns / 1e9, attributes, context)
    if mode == ALL and (tokens := tokens_in(facts)) is not None:
        for kind, count in (("input", tokens.input), ("output", tokens.output)):
            if count is not None:
                instruments.tokens.record(count, {**attributes, semconv.GEN_AI_TOKEN_TYPE: kind}, context)
