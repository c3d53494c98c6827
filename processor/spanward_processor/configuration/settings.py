"""What the stages are told, apart from how an operator writes it (`configuration/config.py`)."""

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Final

from spanward import semconv
from spanward_processor.slo.objective import Objective

_LONGEST_ASKED_S: Final = 300.0  # a wait that a backend may ask for


@dataclass(frozen=True, slots=True)
class Learning:
    """When a stream counts as learned.

    Args:
        windows: Windows it must have been seen in.
        rows: Rows it must have been seen with.
    """

    windows: int = 30
    rows: int = 300


@dataclass(frozen=True, slots=True)
class LearnedAfter:
    """How long a finding of each kind holds what it speaks of, seconds; None for as long as it lasts.

    After that it is learned, and the finding ends once it is usual. What quality and security findings speak of may be an attack,
    which would only have to go on.
    """

    operational: float | None = 86_400.0
    performance: float | None = 86_400.0
    quality: float | None = None
    security: float | None = None

    def of(self, kind: str) -> float:
        """Return it for a kind of findings, infinity for never."""
        after_s = asdict(self)[kind]
        return float("inf") if after_s is None else after_s


@dataclass(frozen=True, slots=True)
class Detection:
    """How spans are judged.

    Args:
        window_s: Length of a window, seconds.
        lateness_s: How long a closed window's rows are awaited, seconds of event time.
        false_alarms_per_day: The one knob for noise, for the whole deployment.
        flagged_rows_ratio: Share of ordinary rows that may be annotated as unusual.
        learning: When a stream counts as learned.
        learned_after: How long findings hold what they speak of.
        half_life_s: Event time after which a window counts half in the baseline, seconds.
        slices: Attribute names whose values slice a series.
        roles: Role to attribute names, in place of the built-in lists.
        row_models: Whether models of rows are fitted, where scikit-learn is installed.
        objectives: Service level objectives, at most `slo.objective.MOST`.
    """

    window_s: float = 10.0
    lateness_s: float = 10.0
    false_alarms_per_day: float = 1.0
    flagged_rows_ratio: float = 0.001
    learning: Learning = field(default_factory=Learning)
    learned_after: LearnedAfter = field(default_factory=LearnedAfter)
    half_life_s: float = 3600.0
    slices: tuple[str, ...] = (semconv.CHANNEL,)
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    row_models: bool = False
    objectives: tuple[Objective, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what the pipeline keeps.

    Args:
        keys: Series and slices.
        slices_per_series: Slices of one series.
        cells_per_window: Cells of one window before new bins are counted as "other".
        texts: Texts kept to name what findings speak of.
        explained_rows: Rows kept for a day, to say why latency rose.
        idle_keys_s: How long a series or slice must not have been seen before it may make room for others, seconds of event time.
        future_s: How far ahead of the clock an event time may be, seconds.
        attributes_per_span: Attributes of one span; a span with more is refused.
        string_bytes: Bytes of the longest text or bytes value of a span; a span with a longer one is refused.
    """

    keys: int = 10_000
    slices_per_series: int = 64
    cells_per_window: int = 1_000_000
    texts: int = 65_536
    explained_rows: int = 131_072
    idle_keys_s: float = 86_400.0
    future_s: float = 60.0
    attributes_per_span: int = 1024
    string_bytes: int = 1 << 20


class PermanentCodes(StrEnum):
    """What becomes of data that a backend refuses by a code which OTLP calls permanent, and which is not about the data."""

    WAIT = "wait"  # it may be taken once the operator, or time, has mended the backend
    GIVE_UP = "give_up"  # as OTLP says


@dataclass(frozen=True, slots=True)
class Forwarding:
    """How patient we are with backends.

    Args:
        max_wait_s: Without a journal: longest a request waits for its backends, seconds.
        backoff_initial_s: First wait after a failure, seconds, at most.
        backoff_max_s: Longest wait, seconds, unless the backend asks for a longer one.
        joined_bytes: With a journal: bytes up to which waiting requests are delivered as one.
        in_flight: With a journal: requests under way to one backend.
        drain_s: How long a stopping processor goes on delivering, seconds.
        permanent_codes: With a journal: what codes mean that OTLP calls permanent though the data is not at fault.
    """

    max_wait_s: float = 30.0
    backoff_initial_s: float = 0.2
    backoff_max_s: float = 5.0
    joined_bytes: int = 512 << 10
    in_flight: int = 4
    drain_s: float = 10.0
    permanent_codes: PermanentCodes = PermanentCodes.WAIT

    def delay_s(self, attempt: int, asked_s: float | None, rng: random.Random) -> float:
        """Return how long to wait after a failure, seconds: full jitter, or what the backend asked for if that is longer.

        A backend that asks for no time at all is not called in a tight loop, and one that asks for years is asked again.

        Args:
            attempt: Failures before this one.
            asked_s: What the backend asked for.
            rng: Source of randomness.

        Source:
            Brooker, "Exponential backoff and jitter", AWS Architecture Blog, 2015 ("full jitter").
        """
        jitter_s = rng.uniform(0.0, min(self.backoff_max_s, self.backoff_initial_s * 2.0 ** min(attempt, 30)))
        if asked_s is None:
            return jitter_s
        return min(max(asked_s, jitter_s), max(_LONGEST_ASKED_S, self.backoff_max_s))
