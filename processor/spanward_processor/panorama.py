"""What an operator sees: each series' state, recent history and findings, kept up to date window by window."""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.configuration.settings import Detection
from spanward_processor.detectors.baseline import Baseline
from spanward_processor.features import FEATURES, Aspect
from spanward_processor.findings import Finding, Series, State, as_plain, from_plain
from spanward_processor.kept import Arrays, from_json, to_json
from spanward_processor.kernels.cells import find_quantiles
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.kernels.tables import FEATURE_BITS, OTHER
from spanward_processor.keys import KeyDirectory
from spanward_processor.windows.cells import Cells
from spanward_processor.windows.window import Window

_POINTS: Final = 180  # windows of history per series
_MOST_SHOWN: Final = 200  # series and slices that are kept for showing
_MOST_TRANSITIONS: Final = 1000
_MOST_RESOLVED: Final = 100
_MOST_DECISIONS: Final = 8
_COLUMNS: Final = 6  # numbers of a point
_SHOWN: Final = (
    Aspect.RATE,
    Aspect.LATENCY,
    Aspect.ERROR,
    Aspect.INPUT_TOKENS,
    Aspect.INPUT_SIZE,
    Aspect.DECISION,
)


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

    @property
    def is_silent(self) -> bool:
        """Whether no row has come in all the windows that are kept."""
        return len(self.history) == _POINTS and not any(point.rate_per_s for point in reversed(self.history))


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
        self.learning = settings.learning
        self._lock = threading.Lock()
        self._seen: dict[int, _Seen] = {}
        self._transitions: deque[tuple[int, Finding]] = deque(maxlen=_MOST_TRANSITIONS)
        self._sequence = 0
        self._open: tuple[Finding, ...] = ()
        self._resolved: deque[Finding] = deque(maxlen=_MOST_RESOLVED)
        self._counts: dict[tuple[str, str, str], int] = {}
        self.started_ns = clock_ns()
        self.watermark_ns = 0

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        with self._lock:
            points = [_numbers(point) for seen in self._seen.values() for point in seen.history]
            shown = [(key, len(seen.history), seen.decisions) for key, seen in self._seen.items()]
            told = [(number, as_plain(finding)) for number, finding in self._transitions]
            counts = [(*kind, count) for kind, count in self._counts.items()]
            resolved = [as_plain(finding) for finding in self._resolved]
            rest = {"shown": shown, "told": told, "counts": counts, "resolved": resolved, "sequence": self._sequence}
        return {"points": np.array(points, np.float64).reshape(-1, _COLUMNS), "rest": from_json(rest)}

    def restore(self, arrays: Mapping[str, NDArray[Any]], open_findings: tuple[Finding, ...]) -> None:
        """Take back what was kept, and what the judge has kept open; see `Kept`."""
        points, rest = arrays["points"].tolist(), to_json(arrays["rest"])
        at = 0
        for key, size, decisions in rest["shown"]:
            history = (_point(*row) for row in points[at : at + size])
            shares = tuple((text, share) for text, share in decisions)
            self._seen[key] = _Seen(deque(history, maxlen=_POINTS), shares)
            at += size
        self._transitions.extend((number, from_plain(finding)) for number, finding in rest["told"])
        self._resolved.extend(from_plain(finding) for finding in rest["resolved"])
        self._counts = {(kind, severity, detector): count for kind, severity, detector, count in rest["counts"]}
        self._sequence, self._open = rest["sequence"], open_findings

    def see(self, window: Window) -> None:
        """Take in one closed window."""
        with self._lock:
            self._admit(window.cells.keys)
            self._note(window)

    def _admit(self, keys: Ints) -> None:
        """Show keys that are new, as far as there is room; those that have shown nothing for as long as is kept make room."""
        silent = [key for key, seen in self._seen.items() if seen.is_silent] if len(self._seen) >= _MOST_SHOWN else []
        if len(self._seen) - len(silent) >= _MOST_SHOWN:
            return
        keys = keys[np.flatnonzero(np.diff(keys, prepend=-1))]
        new = keys[~np.isin(keys, list(self._seen))]
        for key in silent if new.size else ():
            del self._seen[key]
        self._seen |= {key: _Seen() for key in new[: _MOST_SHOWN - len(self._seen)].tolist()}

    def evict(self, gone: Flags) -> None:
        """Show keys, (k,) bool, no more; they never come again."""
        with self._lock:
            self._seen = {key: seen for key, seen in self._seen.items() if not gone[key]}

    def hear(self, changes: Iterable[Finding], open_findings: tuple[Finding, ...]) -> None:
        """Take in what changed about the findings, and those that are open now."""
        with self._lock:
            for change in changes:
                self._sequence += 1
                self._transitions.append((self._sequence, change))
                if change.state is State.RESOLVED:
                    self._resolved.append(change)
                if change.state is State.OPENED:
                    kind = (change.kind, change.severity.value, change.detector)
                    self._counts[kind] = self._counts.get(kind, 0) + 1
            self._open = open_findings

    def _note(self, window: Window) -> None:
        """Add a point to the history of every shown key."""
        keys = np.fromiter(self._seen, np.int64, len(self._seen))
        ranges = {aspect: _ranges(window.cells, keys, aspect) for aspect in _SHOWN}
        inputs = ranges[Aspect.INPUT_TOKENS]
        without = inputs[:, 0] == inputs[:, 1]
        inputs[without] = ranges[Aspect.INPUT_SIZE][without]
        middle = _values(window.cells, ranges[Aspect.LATENCY], Aspect.LATENCY, 0.5)
        top = _values(window.cells, ranges[Aspect.LATENCY], Aspect.LATENCY, 0.99)
        sizes = _values(window.cells, inputs, Aspect.INPUT_SIZE, 0.5)
        rows, failed = _totals(window.cells, ranges[Aspect.ERROR])
        counted, _ = _totals(window.cells, ranges[Aspect.RATE])
        for place, seen in enumerate(self._seen.values()):
            seen.history.append(
                Point(
                    t_s=window.end_ns / 1e9,
                    rate_per_s=float(counted[place]) / window.seconds,
                    latency_p50_s=middle[place],
                    latency_p99_s=top[place],
                    error_ratio=float(failed[place] / rows[place]) if rows[place] else None,
                    input_p50=sizes[place],
                )
            )
            first, last = ranges[Aspect.DECISION][place].tolist()
            if first < last:
                seen.decisions = self._decisions(window.cells.bins[first:last], window.cells.counts[first:last])

    def _decisions(self, bins: Ints, counts: Floats) -> tuple[tuple[str, float], ...]:
        """Return the most frequent decisions and their shares."""
        largest = np.argsort(-counts)[:_MOST_DECISIONS]
        total = float(counts.sum())
        return tuple((self._text(int(bins[place])), float(counts[place]) / total) for place in largest)

    def standings(self) -> tuple[Standing, ...]:
        """Return how every shown key stands."""
        with self._lock:
            return tuple(self._standing(key, seen) for key, seen in self._seen.items())

    def _standing(self, key: int, seen: _Seen) -> Standing:
        learned, needed = self._baseline.readiness(key), self.learning
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


_numbers: Final = attrgetter(
    *(column.name for column in fields(Point))
)  # `astuple` copies each of them: ten times the time


def _point(t_s: float, rate_per_s: float, *values: float) -> Point:
    """Return a point of numbers, where NaN stands for none."""
    return Point(t_s, rate_per_s, *(None if math.isnan(value) else value for value in values))


def _ranges(cells: Cells, keys: Ints, aspect: Aspect) -> Ints:
    """Return (k, 2) int64 where the cells of each key's stream begin and end."""
    streams = keys << FEATURE_BITS | aspect
    return np.stack((np.searchsorted(cells.streams, streams), np.searchsorted(cells.streams, streams, "right")), 1)


def _values(cells: Cells, ranges: Ints, aspect: Aspect, share: float) -> list[float | None]:
    """Return a quantile of each stream's values, exact to the width of a bin; None where there is none."""
    found, known = np.empty(len(ranges), np.int64), np.empty(len(ranges), bool)
    find_quantiles(cells.bins, cells.counts, ranges, np.full(len(ranges), share), OTHER, found, known)
    value = FEATURES[aspect].value
    return [
        value(cell_bin) if is_known else None for cell_bin, is_known in zip(found.tolist(), known.tolist(), strict=True)
    ]


def _totals(cells: Cells, ranges: Ints) -> tuple[Floats, Floats]:
    """Return (k,) float64 rows of each stream, and those in bin 1."""
    sizes = ranges[:, 1] - ranges[:, 0]
    owners = np.repeat(np.arange(len(ranges)), sizes)
    places = np.arange(owners.size) + np.repeat(ranges[:, 0] - (np.cumsum(sizes) - sizes), sizes)
    counts = cells.counts[places]
    ones = np.where(cells.bins[places] == 1, counts, 0.0)
    rows, in_one = np.zeros(len(ranges)), np.zeros(len(ranges))
    np.add.at(rows, owners, counts)
    np.add.at(in_one, owners, ones)
    return rows, in_one
