"""Which series are seen for the first time after others were learned: new versions, new models."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.configuration.settings import Learning
from spanward_processor.evidence import grown
from spanward_processor.features import Aspect
from spanward_processor.findings import Finding, Severity, State, finding_id
from spanward_processor.kept import Arrays, copies
from spanward_processor.keys import KeyDirectory
from spanward_processor.windows.window import Window

MOST_TOLD: Final = 20
"""Newcomers of one window that are told at most, those with most rows first."""

_MOST_NAMED: Final = 3


class Newcomers:
    """Notes how long each series has been seen, and accounts for the one that comes after others were learned.

    At a start every series is new, and none is told: there was nothing to learn from before. Nothing is tested here, so
    nothing is spent of the budget of false alarms.

    The state is by key: (k,) int32 windows and (k,) float32 rows in which a series was seen.
    """

    def __init__(self) -> None:
        self._windows = np.zeros(0, np.int32)
        self._rows = np.zeros(0, np.float32)

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return copies({"windows": self._windows, "rows": self._rows})

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        self._windows, self._rows = arrays["windows"], arrays["rows"]

    def see(self, window: Window, directory: KeyDirectory, learning: Learning, detector: str) -> list[Finding]:
        """Take in a window; return a finding about each newcomer, once for all time.

        Args:
            window: The window.
            directory: Names of the keys.
            learning: What "learned" takes.
            detector: Who tells it.
        """
        rates = window.cells.of_feature(Aspect.RATE)
        whole = directory.parents()[rates.keys] == rates.keys
        keys, counts = rates.keys[whole], rates.counts[whole]
        most = int(keys.max(initial=0)) + 1
        self._windows, self._rows = grown(self._windows, most), grown(self._rows, most)
        learned = (self._windows >= learning.windows) & (self._rows >= learning.rows)
        first = (self._windows[keys] == 0) & (keys > 0)
        self._windows[keys] += 1
        self._rows[keys] += counts
        if not first.any() or not learned.any():
            return []
        new = np.flatnonzero(first)[np.argsort(-counts[first], kind="stable")][:MOST_TOLD]
        return [
            self._finding(key, round(rows), window, directory, learning, detector)
            for key, rows in zip(keys[new].tolist(), counts[new].tolist(), strict=True)
        ]

    def _finding(
        self, key: int, rows: int, window: Window, directory: KeyDirectory, learning: Learning, detector: str
    ) -> Finding:
        series, known = directory[key], self._known_before(key, directory)
        aspect = "version" if known else "model"
        before = f"Known before: {known}." if known else "No version of it was seen before."
        return Finding(
            id=finding_id(detector, aspect, series, window.end_ns),
            kind="info",
            state=State.RESOLVED,  # it is over at once
            severity=Severity.INFO,
            series=series,
            detector=detector,
            aspect=aspect,
            opened_ns=window.end_ns,
            updated_ns=window.end_ns,
            window_ns=window.end_ns - window.start_ns,
            observed=f"{aspect} {series.version if known else series.model}",
            baseline=known or "never seen",
            log10_e=0.0,
            p=1.0,
            n=rows,
            budget_per_day=0.0,
            reason=(
                f"New {aspect}: {series}, {rows:,} rows in its first window. {before} It learns from its own traffic and is "
                f"judged after {learning.windows} windows and {learning.rows:,} rows."
            ),
            example_trace_id=window.example(key),
        )

    def _known_before(self, key: int, directory: KeyDirectory) -> str:
        """Return the versions of the same model that were seen before this window, newest first; empty for none."""
        versions = directory.versions(key)
        versions = versions[versions < self._windows.size]
        versions = versions[self._windows[versions] > 1][::-1]
        names = [directory[other].version or "one without a version" for other in versions[:_MOST_NAMED].tolist()]
        more = versions.size - len(names)
        return ", ".join(names) + (f" and {more} more" if more else "")
