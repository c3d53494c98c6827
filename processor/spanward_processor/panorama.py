"""What an operator sees: each series' state, recent history and findings, kept up to date window by window."""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from spanward_processor.cells import Cells
from spanward_processor.detectors.baseline import Baseline
from spanward_processor.detectors.wording import quantile
from spanward_processor.features import FEATURES, Aspect
from spanward_processor.findings import Finding, Series, State
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.keys import KeyDirectory
from spanward_processor.settings import Detection
from spanward_processor.windows import Window

_POINTS: Final = 180  # windows of history per series
_MOST_SHOWN: Final = 200  # series and slices that are kept for showing
_MOST_TRANSITIONS: Final = 1000
_MOST_RESOLVED: Final = 100
_MOST_DECISIONS: Final = 8


@dataclass(frozen=True, slots=True)
class Point:
    """One window of one key; None where the window says nothing."""

    t_s: float
    rate_per_s: float
    latency_p50_s: float | None
    latency_p99_s: float | None
    error_ratio: float | None
    input_p50: float | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How one key stands.

    Args:
        key: Its number.
        series: Who it is.
        ready: Whether it is judged.
        progress: How far it has learned, 0 to 1.
        reason: What was learned of what is needed, in words.
        decisions: Decision and share in the newest window, largest first.
        history: Newest windows, oldest first.
    """

    key: int
    series: Series
    ready: bool
    progress: float
    reason: str
    decisions: tuple[tuple[str, float], ...]
    history: tuple[Point, ...]


@dataclass(slots=True)
class _Seen:
    history: deque[Point] = field(default_factory=lambda: deque[Point](maxlen=_POINTS))
    decisions: tuple[tuple[str, float], ...] = ()


class Panorama:
    """Keeps the newest windows of each key and the transitions of findings, for the live page and metrics.

    Args:
        directory: Names of the keys.
        baseline: Who knows how far a key has learned.
        text: Code to text.
        settings: What "ready" takes.
        clock_ns: Returns the time of day, Unix nanoseconds.
    """

    def __init__(
        self,
        directory: KeyDirectory,
        baseline: Baseline,
        text: Callable[[int], str],
        settings: Detection,
        clock_ns: Callable[[], int],
    ) -> None:
        self._directory = directory
        self._baseline = baseline
        self._text = text
        self._settings = settings
        self._lock = threading.Lock()
        self._seen: dict[int, _Seen] = {}
        self._transitions: deque[tuple[int, Finding]] = deque(maxlen=_MOST_TRANSITIONS)
        self._sequence = 0
        self._open: tuple[Finding, ...] = ()
        self._resolved: deque[Finding] = deque(maxlen=_MOST_RESOLVED)
        self._counts: dict[tuple[str, str, str], int] = {}
        self.started_ns = clock_ns()
        self.watermark_ns = 0

    def see(self, window: Window, changes: Iterable[Finding], open_findings: tuple[Finding, ...]) -> None:
        """Take in one closed window and what it changed."""
        with self._lock:
            for key in np.unique(window.cells.keys).tolist():
                if key in self._seen or len(self._seen) < _MOST_SHOWN:
                    self._seen.setdefault(key, _Seen())
            for key, seen in self._seen.items():
                self._note(key, seen, window)
            for change in changes:
                self._sequence += 1
                self._transitions.append((self._sequence, change))
                if change.state is State.RESOLVED:
                    self._resolved.append(change)
                if change.state is State.OPENED:
                    kind = (change.kind, change.severity.value, change.detector)
                    self._counts[kind] = self._counts.get(kind, 0) + 1
            self._open = open_findings

    def _note(self, key: int, seen: _Seen, window: Window) -> None:
        def of(aspect: Aspect) -> Cells:
            return window.cells.stream(key << FEATURE_BITS | aspect)

        latency, errors, decisions = of(Aspect.LATENCY), of(Aspect.ERROR), of(Aspect.DECISION)
        inputs = of(Aspect.INPUT_TOKENS)
        inputs = inputs if len(inputs) else of(Aspect.INPUT_SIZE)
        seen.history.append(
            Point(
                t_s=window.end_ns / 1e9,
                rate_per_s=of(Aspect.RATE).total() / window.seconds,
                latency_p50_s=_value(latency, Aspect.LATENCY, 0.5),
                latency_p99_s=_value(latency, Aspect.LATENCY, 0.99),
                error_ratio=float(errors.counts[errors.bins == 1].sum()) / errors.total() if len(errors) else None,
                input_p50=_value(inputs, Aspect.INPUT_SIZE, 0.5),
            )
        )
        if len(decisions):
            largest = np.argsort(-decisions.counts)[:_MOST_DECISIONS]
            total = decisions.total()
            seen.decisions = tuple(
                (self._text(int(decisions.bins[place])), float(decisions.counts[place]) / total) for place in largest
            )

    def standings(self) -> tuple[Standing, ...]:
        """Return how every shown key stands."""
        with self._lock:
            return tuple(self._standing(key, seen) for key, seen in self._seen.items())

    def _standing(self, key: int, seen: _Seen) -> Standing:
        learned, needed = self._baseline.readiness(key), self._settings.learning
        parts = (learned.windows / max(needed.windows, 1), learned.rows / max(needed.rows, 1))
        return Standing(
            key=key,
            series=self._directory[key],
            ready=learned.ready,
            progress=min(1.0, *parts),
            reason=f"{learned.windows} of {needed.windows} windows, {learned.rows} of {needed.rows} rows",
            decisions=seen.decisions,
            history=tuple(seen.history),
        )

    def findings(self) -> tuple[Finding, ...]:
        """Return the latest state of each finding: open ones first, newest first."""
        with self._lock:
            return (*reversed(self._open), *reversed(self._resolved))

    def transitions(self, after: int) -> tuple[tuple[int, Finding], ...]:
        """Return the numbered transitions after a number, oldest first; the oldest are forgotten."""
        with self._lock:
            return tuple(item for item in self._transitions if item[0] > after)

    def open_count(self, key: int) -> int:
        """Return how many findings about a key are open."""
        with self._lock:
            return sum(finding.series == self._directory[key] for finding in self._open)

    def opened(self) -> dict[tuple[str, str, str], int]:
        """Return how many findings were opened, by kind, severity and detector."""
        with self._lock:
            return dict(self._counts)


def _value(cells: Cells, aspect: Aspect, share: float) -> float | None:
    value = quantile(cells, FEATURES[aspect], share)
    return None if math.isnan(value) else value
