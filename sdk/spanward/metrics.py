"""Metrics of calls, whether their spans are sampled or not.

One histogram of durations by default, since a record costs a third of a span; token counts are a second one, on request.
Source: OpenTelemetry semantic conventions for generative AI, client metrics (Development): names, units and buckets.
"""

from typing import TYPE_CHECKING, Final

from opentelemetry import metrics
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
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
_NO_SPAN: Final = Context({"spanward": "no exemplar"})  # an empty one would be taken for the current one
_FORGETTING: Final = 0.999  # of the slowest call, by every other: some in a hundred are slow enough for an exemplar


class Instruments:
    """The histograms of one MeterProvider.

    Args:
        provider: Takes the metrics.
    """

    __slots__ = ("_duration", "_slowest_s", "_tokens")

    def __init__(self, provider: MeterProvider) -> None:
        meter = metrics.get_meter(SCOPE, VERSION, provider)
        self._slowest_s = 0.0
        self._duration = meter.create_histogram(
            semconv.GEN_AI_CLIENT_OPERATION_DURATION,
            unit="s",
            description="Duration of a call of a model.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._tokens = meter.create_histogram(
            semconv.GEN_AI_CLIENT_TOKEN_USAGE,
            unit="{token}",
            description="Tokens a call took and generated.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )

    def record(self, mode: str, observation: "Observation", span: Span, facts: Attributes, duration_s: float) -> None:
        """Record one call that has ended; only a slow or failed one can become an exemplar, which costs half as much again.

        Args:
            mode: `duration` or `all`.
            observation: Whose call it was.
            span: Its span.
            facts: What is told of it.
            duration_s: How long it took, seconds.
        """
        attributes, context = observation.measured, _NO_SPAN
        version = facts.get(semconv.MODEL_VERSION)
        if version is not None and version != observation.version:
            attributes = {**attributes, semconv.MODEL_VERSION: version}
        failed = semconv.ERROR_TYPE in facts
        if failed:
            attributes = {**attributes, semconv.ERROR_TYPE: facts[semconv.ERROR_TYPE]}
        self._slowest_s *= _FORGETTING
        if failed or duration_s >= self._slowest_s:
            self._slowest_s = max(self._slowest_s, duration_s)
            context = Context({SPAN: span})
        self._duration.record(duration_s, attributes, context)
        if mode == ALL and (tokens := tokens_in(facts)) is not None:
            for kind, count in (("input", tokens.input), ("output", tokens.output)):
                if count is not None:
                    self._tokens.record(count, {**attributes, semconv.GEN_AI_TOKEN_TYPE: kind}, context)


class _Latest:
    """The global provider that was asked last, with its instruments: asking again costs more than comparing."""

    __slots__ = ("pair",)

    def __init__(self) -> None:
        self.pair: tuple[MeterProvider, Instruments] | None = None


_latest: Final = _Latest()


def global_instruments() -> Instruments:
    """Return the instruments of the global provider; made before one is set, they begin to record when it is."""
    provider = metrics.get_meter_provider()
    pair = _latest.pair
    if pair is None or pair[0] is not provider:
        pair = _latest.pair = (provider, Instruments(provider))
    return pair[1]
