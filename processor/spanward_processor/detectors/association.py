"""Decisions that used to go with a channel, or any other slice, and no longer do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors.base import Account, aspect_name
from spanward_processor.evidence import Dispersion, cleared, grown
from spanward_processor.features import FEATURES, Aspect, show_share
from spanward_processor.held import held_among
from spanward_processor.kept import Arrays, Kept, copies, gathered, scattered
from spanward_processor.kernels.jit import Flags, Floats, Ints, Singles
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.keys import KeyDirectory
from spanward_processor.surprise import Surprise
from spanward_processor.usual.crosstables import SIDE, WATCHED, CrossTables, raked
from spanward_processor.usual.moments import grown_rows
from spanward_processor.windows.window import Window

_FEWEST_ROWS: Final = 400.0  # from which a table is judged; fewer wait for the next window
_FEWEST_KNOWN: Final = 2.0  # times as many rows must have been learned
_FEWEST_TIMES: Final = 10  # a table must have been learned
_PRIOR: Final = 0.25  # row added to every place of what was learned, so that nothing is impossible


class Association:
    """Compare which decisions go with which slice in a window with what was learned, whatever either does by itself.

    For each series and each attribute that slices it: the eight most frequent slices by the eight most frequent decisions, the others
    together. What was learned is first given the window's own sums of lines and columns, so a channel that sends more, or a decision
    that all make more often, is no break; what is left is tested by likelihood ratio, with the scatter learned from earlier windows, and how uneven it is.
    So it adds up what many slices show that have too few rows to be judged by themselves.

    What it holds against a series counts for the stream of its decisions, beside the other detectors of it: a poisoned channel is one
    finding. A table with fewer than 400 rows in a window waits for the next ones.

    Args:
        learning: What "ready" takes.
        decay: Factor per window by which older windows count less.

    Source:
        Agresti, "Categorical Data Analysis", 3rd ed., 2013, section 9.7 (association when margins are given); McCullagh and Nelder,
        "Generalized Linear Models", 2nd ed., 1989, section 4.5 (learned dispersion).

    Cost:
        Per row nothing beyond counting; per window, series and attribute some 13 us; per series and attribute 1.3 kB, of 4096 at
        most; per key 8 bytes.
    """

    name: ClassVar[str] = "association"
    joint: ClassVar[bool] = True

    def __init__(self, learning: Learning, decay: float) -> None:
        self.learning = learning
        self._decay = decay
        self._tables = CrossTables()
        self._dispersion = Dispersion(decay, uneven=True)  # by table, as all that follows
        self._usual: Singles = np.zeros((0, SIDE, SIDE), np.float32)
        self._waiting: Singles = np.zeros((0, SIDE, SIDE), np.float32)
        self._times = np.zeros(0, np.int32)  # learned
        self._windows = np.zeros(0, np.int32)  # seen with rows
        self._aside: Singles = np.zeros(
            (0, SIDE, SIDE), np.float32
        )  # what waits of a table under alarm, to be judged alone
        self._under: Flags = np.zeros(0, bool)  # whether the window before was held
        self._answer = _Answer.empty()

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        own: dict[str, NDArray[Any]] = {
            "usual": self._usual,
            "waiting": self._waiting,
            "times": self._times,
            "windows": self._windows,
            "aside": self._aside,
            "under": self._under.astype(np.uint8),
        }
        return gathered(self._parts()) | copies(own)

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        scattered(self._parts(), arrays)
        self._usual, self._waiting, self._aside = arrays["usual"], arrays["waiting"], arrays["aside"]
        self._times, self._windows = arrays["times"], arrays["windows"]
        self._under = arrays["under"].astype(bool)

    def _parts(self) -> dict[str, Kept]:
        return {"tables": self._tables, "dispersion": self._dispersion}

    def test(self, window: Window, directory: KeyDirectory) -> Surprise:
        """Judge a window; see `Detector.test`."""
        counted = self._tables.count(window.cells, directory)
        tables = len(self._tables)
        self._dispersion.grow(tables)
        self._usual, self._waiting = grown_rows(self._usual, tables), grown_rows(self._waiting, tables)
        self._times, self._windows = grown(self._times, tables), grown(self._windows, tables)
        self._aside, self._under = grown_rows(self._aside, tables), grown(self._under, tables)
        self._answer = answer = self._answer_of(counted, self._under[:tables])
        of = answer.tables
        ready = (
            (answer.freedom > 0)
            & (self._windows[of] >= self.learning.windows)
            & (self._times[of] >= _FEWEST_TIMES)
            & (self._usual[of].sum(axis=(1, 2)) >= max(self.learning.rows, _FEWEST_KNOWN * _FEWEST_ROWS))
        )
        p = self._dispersion.p_values(of[ready], answer.deviance[ready], answer.freedom[ready])
        return _of_streams(self._tables.series[of[ready]] << FEATURE_BITS | Aspect.DECISION, p)

    def _answer_of(self, counted: Floats, under: Flags) -> "_Answer":
        """Compare a window, with what waited of each table, with what is usual.

        Args:
            counted: (t, `SIDE`, `SIDE`) float64 its rows.
            under: (t,) bool which tables are under alarm. What waited when an alarm began is not judged with every window of it.
        """
        tables = len(counted)
        now = counted + np.where(under[:, None, None], self._aside[:tables], self._waiting[:tables])
        of = np.flatnonzero(now.sum(axis=(1, 2)) >= _FEWEST_ROWS)
        now, usual = now[of], self._usual[of].astype(np.float64)
        expected = raked(usual + _PRIOR, now)
        with np.errstate(divide="ignore", invalid="ignore"):
            excess = np.where(now > 0, now * np.log(now / expected), 0.0)
        known = np.maximum(usual.sum(axis=(1, 2)), 1.0)
        deviance = np.maximum(2 * excess.sum(axis=(1, 2)), 0.0) / (1 + now.sum(axis=(1, 2)) / known)
        lines, columns = ((now.sum(axis=axis) > 0).sum(axis=1) for axis in (2, 1))
        freedom = np.where(usual.sum(axis=(1, 2)) > 0, np.maximum((lines - 1.0) * (columns - 1.0), 0.0), 0.0)
        return _Answer(counted, of, now, expected, deviance, freedom)

    def learn(self, window: Window, held: Flags) -> None:  # noqa: ARG002 - it was kept by `test`
        """Learn the window just tested; see `Detector.learn`."""
        answer, tables = self._answer, len(self._answer.counted)
        free = ~held_among(held, self._tables.series[:tables] << FEATURE_BITS | Aspect.DECISION)
        if (free & self._under[:tables]).any():  # an alarm is over: as if it had never been
            answer = self._answer_of(answer.counted, ~free)
        self._windows[:tables] += free & (answer.counted.sum(axis=(1, 2)) > 0)
        learned = free[answer.tables]
        of = answer.tables[learned]
        self._dispersion.learn(of, answer.deviance[learned], answer.freedom[learned])
        self._usual[:tables][free] *= self._decay
        self._usual[of] += answer.now[learned]
        self._times[of] += 1
        self._waiting[:tables][free] += answer.counted[free]
        self._waiting[of] = 0.0
        self._aside[:tables] = np.where(free[:, None, None], 0.0, self._aside[:tables] + answer.counted)
        self._aside[answer.tables] = 0.0
        self._under[:tables] = ~free
        self._answer = _Answer.empty()

    def evict(self, gone: Flags) -> None:
        """Let go of keys; see `Detector.evict`."""
        tables = self._tables.evict(gone)
        self._dispersion.clear(tables)
        for array in (self._usual, self._waiting, self._aside, self._times, self._windows, self._under):
            cleared(array, tables)

    def explain(self, stream: int, window: Window, directory: KeyDirectory, text: Callable[[int], str]) -> Account:  # noqa: ARG002
        """Put a stream's deviation into words; see `Detector.explain`."""
        series, answer = directory[stream >> FEATURE_BITS], self._answer
        mine = np.flatnonzero(self._tables.series[answer.tables] == stream >> FEATURE_BITS)
        at = int(mine[np.argmax(answer.deviance[mine] / np.maximum(answer.freedom[mine], 1.0))])
        table, now, expected = int(answer.tables[at]), answer.now[at], answer.expected[at]
        apart = (now - expected) / np.sqrt(expected + 1.0)
        line, column = (int(place) for place in np.unravel_index(np.argmax(apart), apart.shape))
        rows = float(now[line].sum())
        name, value = self._named(table, line, directory)
        decision = "the rest" if column == WATCHED else f"'{text(int(self._tables.decisions[table, column]))}'"
        observed, baseline = (f"{decision} {show_share(float(of[line, column]) / rows)}" for of in (now, expected))
        return Account(
            kind=FEATURES[Aspect.DECISION].kind,
            aspect=aspect_name(Aspect.DECISION),
            observed=f"{observed} with {value}",
            baseline=baseline,
            reason=(
                f"Decisions of {series} no longer go with {name} as they did: of {rows:,.0f} rows of {value} {observed}, where "
                f"{show_share(float(expected[line, column]) / rows)} would fit what all of them do."
            ),
            n=round(float(now.sum())),
            carriers=self._carriers(table, line, column),
        )

    def _named(self, table: int, line: int, directory: KeyDirectory) -> tuple[str, str]:
        """Return the attribute of a table, and the slice of a line, in words."""
        first, _ = directory[int(self._tables.slices[table, 0])].slice or ("", "")
        if line == WATCHED:
            return first, "all others"
        _, value = directory[int(self._tables.slices[table, line])].slice or ("", "")
        return first, f"'{value}'"

    def _carriers(self, table: int, line: int, column: int) -> tuple[tuple[int, int], ...]:
        if WATCHED in (line, column):
            return ()
        key = int(self._tables.slices[table, line])
        return ((key << FEATURE_BITS | Aspect.DECISION, int(self._tables.decisions[table, column])),)


def _of_streams(streams: Ints, p: Floats) -> Surprise:
    """Return one p-value for each stream: the smallest of its tables, times their number."""
    each, places = np.unique(streams, return_inverse=True)
    least = np.ones(each.size)
    np.minimum.at(least, places, p)
    return Surprise(each, np.minimum(least * np.bincount(places, minlength=each.size), 1.0))


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a window was found to be, until it is learned.

    Args:
        counted: (t, `SIDE`, `SIDE`) float64 its rows, of every table.
        tables: (g,) int64 those with enough rows, together with what waited.
        now: (g, `SIDE`, `SIDE`) float64 these rows.
        expected: (g, `SIDE`, `SIDE`) float64 as usual, with the sums of now.
        deviance: (g,) float64.
        freedom: (g,) float64.
    """

    counted: Floats
    tables: Ints
    now: Floats
    expected: Floats
    deviance: Floats
    freedom: Floats

    @classmethod
    def empty(cls) -> Self:
        """Return the answer to nothing."""
        nothing = np.zeros((0, SIDE, SIDE))
        return cls(nothing, np.empty(0, np.int64), nothing, nothing, np.empty(0), np.empty(0))
