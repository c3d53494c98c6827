"""Two versions of one model behind a pipeline, in a time that a test moves."""

from collections.abc import Sequence

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otlp import encoded
from spanward import semconv
from spanward_processor.canary.settings import Canary
from spanward_processor.canary.verdict import Verdict
from spanward_processor.configuration.settings import Detection, Limits
from spanward_processor.findings import Finding
from spanward_processor.kept import Arrays
from spanward_processor.pipeline import Pipeline

SEED = 20_261_126
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
STABLE, CANARY = "2.0", "2.1"
CHANNELS = ("partner", "web", "mobile", "email")
FRAUD, FINE = "fraud", "fine"


class Arm:
    """What one version does.

    Args:
        latency: Factor on its latency.
        errors: Share of its requests that fail.
        per_s: Its requests per second.
        clients: Names of its clients; any where there are none.
        behind_s: How far its clock is behind.
        decisions: Share of its requests that are decided the other way.
        tokens: Factor on its output tokens.
        torn: Whether it is either sure or at a loss, with the same mean score.
    """

    def __init__(
        self,
        per_s: float,
        *,
        latency: float = 1.0,
        errors: float = 0.001,
        clients: tuple[str, ...] = (),
        behind_s: float = 0.0,
        decisions: float = 0.0,
        tokens: float = 1.0,
        torn: bool = False,
    ) -> None:
        self.per_s = per_s
        self.latency = latency
        self.errors = errors
        self.clients = clients
        self.behind_s = behind_s
        self.decisions = decisions
        self.tokens = tokens
        self.torn = torn


class World:
    """A pipeline and the traffic of two versions.

    Args:
        settings: How versions are compared.
        seed: Of the traffic.
    """

    def __init__(self, settings: Canary, seed: int = SEED) -> None:
        print(f"seed {seed}")
        self.settings = settings
        self.now = START
        self.findings = list[Finding]()
        self._rng = np.random.default_rng(seed)
        self.pipeline = self._new(None)

    def _new(self, kept: Arrays | None) -> Pipeline:
        return Pipeline(
            Detection(),
            Limits(),
            clock_ns=lambda: self.now,
            monotonic_ns=lambda: self.now - START,
            canary=self.settings,
            kept=kept,
        )

    def restart(self) -> None:
        """Stop the pipeline and start another with what it kept."""
        self.pipeline = self._new(self.pipeline.arrays(complete=True))

    def run(self, seconds: int, **arms: Arm) -> int:
        """Let versions serve; return after how many seconds the canary was to be rolled back, 0 where it was not."""
        for second in range(1, seconds + 1):
            for name, arm in arms.items():
                self._send(name, arm)
            if self._second():
                return second
        return 0

    def run_many(self, seconds: int, stable: Sequence[Arm], canary: Sequence[Arm]) -> int:
        """Let each version serve clients of several kinds; see `run`."""
        for second in range(1, seconds + 1):
            for name, arms in (("stable", stable), ("canary", canary)):
                for arm in arms:
                    self._send(name, arm)
            if self._second():
                return second
        return 0

    def run_unasked(self, seconds: int, **arms: Arm) -> None:
        """Let versions serve, and nobody ask whether the canary is to be rolled back."""
        for _ in range(seconds):
            for name, arm in arms.items():
                self._send(name, arm)
            self._tick()

    def mirror(self, seconds: int, *, given_away: float = 0.0, differing: float = 0.02) -> None:
        """Let both versions answer the same 20 requests a second, for a time.

        Args:
            seconds: How long.
            given_away: Share of the frauds of one channel in four that the canary calls fine.
            differing: Share of answers that each version draws anew, whatever the input is.
        """
        for _ in range(seconds):
            spans: list[dict[str, str | int | float | bool | bytes]] = []
            for _ in range(20):
                hashed = self._rng.bytes(16).hex()
                channel, truth = str(self._rng.choice(CHANNELS)), self._judgement()
                for version in (STABLE, CANARY):
                    said = self._judgement() if self._rng.random() < differing else truth
                    if (version, channel, said) == (CANARY, CHANNELS[0], FRAUD) and self._rng.random() < given_away:
                        said = FINE
                    spans.append(
                        {
                            semconv.MODEL_NAME: "router",
                            semconv.MODEL_VERSION: version,
                            semconv.DECISION: said,
                            semconv.CHANNEL: channel,
                            semconv.FEATURES_HASH: hashed,
                        }
                    )
            self.pipeline.acknowledge(self.pipeline.process(encoded(*spans, end_ns=self.now)))
            self._tick()

    def _judgement(self) -> str:
        return FRAUD if self._rng.random() < 0.1 else FINE

    def _second(self) -> bool:
        """Let a second go by; return whether the canary is to be rolled back since."""
        self._tick()
        return bool(self.pipeline.canaries.take_due())

    def _tick(self) -> None:
        self.now += SECOND
        self.findings += self.pipeline.tick()

    def _send(self, name: str, arm: Arm) -> None:
        """Send a second's requests of one version, as its exporter would."""
        version = {"stable": STABLE, "canary": CANARY}[name]
        end_ns = self.now - int(arm.behind_s * SECOND)
        count = int(self._rng.poisson(arm.per_s))
        request = ExportTraceServiceRequest.FromString(
            encoded(*(self._span(version, arm) for _ in range(count)), end_ns=end_ns)
        )
        for span in request.resource_spans[0].scope_spans[0].spans:
            took_s = 0.06 * arm.latency * self._rng.lognormal(0, 0.4)
            span.start_time_unix_nano = end_ns - int(took_s * SECOND)
        self.pipeline.acknowledge(self.pipeline.process(request.SerializeToString()))

    def _span(self, version: str, arm: Arm) -> dict[str, str | int | float | bool | bytes]:
        rng = self._rng
        span: dict[str, str | int | float | bool | bytes] = {
            semconv.MODEL_NAME: "router",
            semconv.MODEL_VERSION: version,
            semconv.SCORE: float(rng.choice((0.99, 0.25), p=(0.77, 0.23)) if arm.torn else rng.beta(9, 2)),
            semconv.DECISION: "billing" if rng.random() < 0.4 + arm.decisions else "account",
            semconv.GEN_AI_USAGE_OUTPUT_TOKENS: int(100 * arm.tokens * rng.lognormal(0, 0.5)) + 1,
        }
        if rng.random() < arm.errors:
            span[semconv.ERROR_TYPE] = "Timeout"
        if arm.clients:
            span[semconv.CLIENT_ID] = str(rng.choice(arm.clients))
        return span

    @property
    def verdict(self) -> Verdict | None:
        """The newest verdict, if a trial is under way."""
        return next(iter(self.pipeline.canaries.verdicts), None)
