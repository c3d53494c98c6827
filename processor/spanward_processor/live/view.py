"""What the live page is shown, and by whom."""

from dataclasses import dataclass
from typing import Literal, Protocol

from spanward_processor.findings import Finding, Series


@dataclass(frozen=True, slots=True)
class History:
    """The newest windows of one series as columns of equal length, oldest first; None where a window says nothing.

    Args:
        t_s: End of each window, Unix seconds.
        rate_per_s: Rows per second.
        latency_p50_s: Median latency, seconds.
        latency_p99_s: 99th percentile of latency, seconds.
        error_ratio: Share of rows with an error, 0 to 1.
    """

    t_s: tuple[float, ...]
    rate_per_s: tuple[float | None, ...]
    latency_p50_s: tuple[float | None, ...]
    latency_p99_s: tuple[float | None, ...]
    error_ratio: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class SeriesView:
    """How one series, or one slice of it, stands.

    Args:
        key: Its number in this process.
        series: Who it is.
        state: Whether its baseline is still learning or is ready to judge.
        progress: How far it has learned, 0 to 1.
        reason: What was learned of what is needed, e.g. "12 of 30 windows, 340 of 300 rows".
        rate_per_s: Rows per second in the newest window.
        error_ratio: Share of its rows with an error, 0 to 1.
        latency_p50_s: Its median latency, seconds.
        latency_p99_s: Its 99th percentile of latency, seconds.
        input_size_p50: Its median input size: tokens where spans carry them, else features.
        decisions: Decision and share, largest first.
        history: Its newest windows.
    """

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
    """Running totals of spans since the start."""

    accepted: int
    refused: int
    dropped: int
    late: int
    forwarded: int
    annotated: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one moment.

    Args:
        version: Version of the processor.
        started_ns: When the processor started, Unix nanoseconds.
        watermark_ns: Event time before which nothing is awaited, Unix nanoseconds; 0 before the first span.
        window_s: Length of a window, seconds.
        budget_per_day: False alarms allowed per day for the whole deployment.
        counts: Running totals.
        series: Each series and slice.
        findings: Latest state of each finding: open ones first, newest first.
        receiver: `HOST:PORT` where OTLP is received; empty when it is not told.
    """

    version: str
    started_ns: int
    watermark_ns: int
    window_s: float
    budget_per_day: float
    counts: Counts
    series: tuple[SeriesView, ...]
    findings: tuple[Finding, ...]
    receiver: str = ""


class LiveSource(Protocol):
    """Where the page gets it from; both methods may be called from any thread."""

    def snapshot(self) -> Snapshot:
        """Return how everything stands now."""
        ...

    def transitions(self, after: int) -> tuple[tuple[int, Finding], ...]:
        """Return the numbered transitions after a number, oldest first; numbers start at 1."""
        ...
