"""Which series and slices are seen for the first time after others were learned: new versions, models, channels, routes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.configuration.settings import Learning
from spanward_processor.evidence import grown
from spanward_processor.findings import Finding, Series, Severity, State, finding_id
from spanward_processor.kept import Arrays, copies
from spanward_processor.kernels.jit import Narrow
from spanward_processor.keys import KeyDirectory
from spanward_processor.windows.window import Window

MOST_TOLD: Final = 20
"""Newcomers of one window that are told at most, those with most rows first."""

_MOST_NAMED: Final = 3


class Newcomers:
    """Notes how long each series and slice has been seen, and accounts for the one that comes after others were learned.

    A series is new once any other was learned, a slice once its series was: at a start everything is new, and none is told,
    since there was nothing to learn from before. Nothing is tested here, so nothing is spent of the budget of false alarms.

    The state is by key: (k,) int32 windows and (k,) float32 rows in which it was seen.
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
        keys, counts, parents = window.rates.keys, window.rates.counts, directory.parents()
        self._windows, self._rows = grown(self._windows, parents.size), grown(self._rows, parents.size)
        learned = (self._windows >= learning.windows) & (self._rows >= learning.rows)
        any_series = bool(learned[parents].any())
        first = (self._windows[keys] == 0) & (keys > 0)
        self._windows[keys] += 1
        self._rows[keys] += counts
        if not first.any():
            return []
        whole = parents[keys] == keys
        told = first & np.where(whole, any_series, learned[parents[keys]])
        new = np.flatnonzero(told)
        new = new[np.lexsort((-counts[new], ~whole[new]))][:MOST_TOLD]
        return [
            self._finding(_Newcomer(key, round(rows), directory), window, learning, detector)
            for key, rows in zip(keys[new].tolist(), counts[new].tolist(), strict=True)
        ]

    def _finding(self, new: "_Newcomer", window: Window, learning: Learning, detector: str) -> Finding:
        known = new.among(self._windows)
        before = f"Known before: {known}." if known else "No version of it was seen before."
        aspect = "slice" if new.is_slice else "version" if known else "model"
        return Finding(
            id=finding_id(detector, aspect, new.series, window.end_ns),
            kind="info",
            state=State.RESOLVED,  # it is over at once
            severity=Severity.INFO,
            series=new.series,
            detector=detector,
            aspect=aspect,
            opened_ns=window.end_ns,
            updated_ns=window.end_ns,
            window_ns=window.end_ns - window.start_ns,
            observed=f"{new.noun(aspect)} {new.value(aspect)}",
            baseline=known or "never seen",
            log10_e=0.0,
            p=1.0,
            n=new.rows,
            budget_per_day=0.0,
            reason=(
                f"New {new.noun(aspect)}: {new.series}, {new.rows:,} rows in its first window. {before} It learns from its own "
                f"traffic and is judged after {learning.windows} windows and {learning.rows:,} rows."
            ),
            example_trace_id=window.example(new.key),
        )


@dataclass(frozen=True, slots=True)
class _Newcomer:
    """One key that is new, and how it is called."""

    key: int
    rows: int
    directory: KeyDirectory

    @property
    def series(self) -> Series:
        return self.directory[self.key]

    @property
    def is_slice(self) -> bool:
        return self.directory.parent(self.key) != self.key

    def noun(self, aspect: str) -> str:
        """Return what a person calls it: `version`, `model`, or the attribute by which it is a slice."""
        return self.series.slice[0] if self.series.slice else aspect

    def value(self, aspect: str) -> str:
        """Return what is new about it."""
        series = self.series
        return series.slice[1] if series.slice else series.version if aspect == "version" else series.model

    def among(self, windows: Narrow) -> str:
        """Return, in words, what was seen before this window in its place, newest first; empty for nothing.

        Args:
            windows: (k,) int32 windows in which each key was seen, this one included.
        """
        others = self.directory.siblings(self.key)
        others = others[others < windows.size]  # requests on their way may have brought more
        others = others[windows[others] > 1][::-1]
        names = [self._name(self.directory[other]) for other in others[:_MOST_NAMED].tolist()]
        more = others.size - len(names)
        return ", ".join(names) + (f" and {more} more" if more else "")

    @staticmethod
    def _name(other: Series) -> str:
        return other.slice[1] if other.slice else other.version or "one without a version"
