"""What the live page is shown."""

from dataclasses import dataclass
from typing import Literal, Protocol

from spanward_processor.findings import Finding, Series


@dataclass(frozen=True, slots=True)
class History:
    """One point per window, oldest first."""

    t_s: tuple[float, ...]
    rate_per_s: tuple[float | None, ...]
    latency_p50_s: tuple[float | None, ...]
    latency_p99_s: tuple[float | None, ...]
    error_ratio: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class SeriesView:
    """How one key stands."""

    key: int
    series: Series
    state: Literal["learning", "ready"]
    progress: float
    reason: str
    rate_per_s: float | None
    error_ratio: float | None
    latency_p50_s: float | None
    latency_p99_s: float | None
    input_size_p50: float | None
    decisions: tuple[tuple[str, float], ...]
    history: History


@dataclass(frozen=True, slots=True)
class Counts:
    """Running totals of spans."""

    accepted: int
    refused: int
    dropped: int
    late: int
    forwarded: int
    annotated: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one moment."""

    version: str
    started_ns: int
    watermark_ns: int
    window_s: float
    budget_per_day: float
    counts: Counts
    series: tuple[SeriesView, ...]
    findings: tuple[Finding, ...]


class LiveSource(Protocol):
    """Where the page gets it from."""

    def snapshot(self) -> Snapshot:
        """Return how everything stands now."""
        ...

    def transitions(self, after: int) -> tuple[tuple[int, Finding], ...]:
        """Return the numbered transitions after a number."""
        ...
