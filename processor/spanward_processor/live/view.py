"""What the live page is shown, and by whom."""

from dataclasses import dataclass
from typing import Literal, Protocol

from spanward_processor.dora.deployment import Deployment
from spanward_processor.dora.report import Measured
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
class BurnView:
    """How fast a budget burns in one window.

    Args:
        window_s: Length of the window, seconds.
        rate: Times the pace at which the budget lasts exactly its period.
        due: Pace at which a rule about this window alerts, None where it is the short window of others.
    """

    window_s: float
    rate: float
    due: float | None


@dataclass(frozen=True, slots=True)
class BudgetView:
    """How one objective stands.

    Args:
        name: Its name.
        of: Whose rows count, in words.
        asks: What it asks for, in words.
        period: Period of the budget, in words.
        ends_in_s: Time until it ends, seconds; None for a rolling one.
        period_s: How long it is, or usually is, in seconds.
        left: Share of the budget that is left, negative once it is overdrawn.
        rows: Rows of the period so far.
        bad: Bad ones among them.
        exhausted_in_s: Time until it is gone at the pace of the last hour, seconds; None while that uses nothing up.
        burns: How fast it burns in each window, shortest first.
        severity: `critical` or `warning` while an alert holds, else empty.
    """

    name: str
    of: str
    asks: str
    period: str
    ends_in_s: float | None
    period_s: float
    left: float
    rows: int
    bad: int
    exhausted_in_s: float | None
    burns: tuple[BurnView, ...]
    severity: str


@dataclass(frozen=True, slots=True)
class GuardView:
    """How one guard of a canary stands; effects in words, with their interval."""

    name: str
    what: str
    stable: str
    canary: str
    effect: str
    safe: bool


@dataclass(frozen=True, slots=True)
class CanaryView:
    """How one canary stands.

    Args:
        stable: The version to go back to.
        canary: The version on trial.
        decision: `continue`, `promote` or `roll_back`.
        reason: The sentence for a person.
        share: The canary's share of both versions' requests.
        requests: Requests of the stable version and of the canary.
        began_ns: When both were first seen together, Unix nanoseconds.
        decided_ns: When it was decided, Unix nanoseconds; 0 while it is not.
        guards: Each guard, strongest evidence first.
        actions: What was done about it, newest first: time in Unix nanoseconds, whether it succeeded, and the sentence.
    """

    stable: Series
    canary: Series
    decision: str
    reason: str
    share: float
    requests: tuple[int, int]
    began_ns: int
    decided_ns: int
    guards: tuple[GuardView, ...]
    actions: tuple[tuple[int, bool, str], ...]


@dataclass(frozen=True, slots=True)
class DoraView:
    """Deployments of the last 30 days.

    Args:
        subjects: The five metrics of each subject.
        newest: The newest deployments, newest first.
    """

    subjects: tuple[Measured, ...] = ()
    newest: tuple[Deployment, ...] = ()


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
        budgets: How each objective stands.
        canaries: How each canary stands, also of trials that have ended.
        dora: What was deployed.
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
    budgets: tuple[BudgetView, ...] = ()
    canaries: tuple[CanaryView, ...] = ()
    dora: DoraView = DoraView()
    receiver: str = ""


class LiveSource(Protocol):
    """Where the page gets it from; both methods may be called from any thread."""

    def snapshot(self) -> Snapshot:
        """Return how everything stands now."""
        ...

    def transitions(self, after: int) -> tuple[tuple[int, Finding], ...]:
        """Return the numbered transitions after a number, oldest first; numbers start at 1."""
        ...
