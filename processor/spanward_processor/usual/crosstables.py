"""Bounded tables of slices by decisions: the most frequent ones of each, and one line and one column for all others.

A table belongs to one series and one attribute that slices it, such as the channel. It is read off the cells of a window, in which
decisions are counted for slices anyhow, so tables of shards add up and no row costs more for them.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.evidence import cleared, grown
from spanward_processor.features import Aspect
from spanward_processor.kept import Arrays, copies
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.kernels.tables import FEATURE_BITS, OTHER
from spanward_processor.keys import KeyDirectory, among
from spanward_processor.windows.cells import Cells

WATCHED: Final = 8
"""Slices, and decisions, that have a line or a column of their own."""

SIDE: Final = WATCHED + 1
"""Lines and columns of a table; the last one is for all others."""

MOST_TABLES: Final = 4096
FEWEST_ROWS: Final = 30.0
"""Rows of a window from which a series gets tables: what is most frequent is chosen in that window, for good."""

_NOBODY: Final = -(1 << 62)  # no decision has this bin
_NO_TABLE: Final = -1
_ATTRIBUTE_BITS: Final = 16  # of an owner: a series and the number of an attribute that slices it


class CrossTables:
    """Who has a table, and what its lines and columns mean.

    The state is, by table, (t,) int64 series, -1 where a table is nobody's, and attribute, and (t, `WATCHED`) int64 slices and decisions; by key, (k,) int32 the
    table that a slice is counted in and (k,) int32 its line.
    """

    def __init__(self) -> None:
        self.series: Ints = np.empty(0, np.int64)
        self._attributes: Ints = np.empty(0, np.int64)
        self.slices: Ints = np.empty((0, WATCHED), np.int64)
        self.decisions: Ints = np.empty((0, WATCHED), np.int64)
        self._tables = np.zeros(0, np.int32)
        self._lines = np.zeros(0, np.int32)

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        own: dict[str, NDArray[Any]] = {
            "series": self.series,
            "attributes": self._attributes,
            "slices": self.slices,
            "decisions": self.decisions,
            "tables": self._tables,
            "lines": self._lines,
        }
        return copies(own)

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        self.series, self._attributes = arrays["series"], arrays["attributes"]
        self.slices, self.decisions = arrays["slices"], arrays["decisions"]
        self._tables, self._lines = arrays["tables"], arrays["lines"]

    def __len__(self) -> int:
        """Return how many tables there are."""
        return int(self.series.size)

    def count(self, cells: Cells, directory: KeyDirectory) -> Floats:
        """Return (t, `SIDE`, `SIDE`) float64 the rows of a window by slice and decision, for every table.

        Series that have enough rows in it, and two slices by one attribute, get a table first.

        Args:
            cells: All cells of the window.
            directory: Names of the keys.
        """
        cells = cells.of_features(Aspect.DECISION)
        keys, parents, attributes = cells.keys, directory.parents(), directory.attributes()
        missing = len(directory)
        self._tables, self._lines = grown(self._tables, missing, _NO_TABLE), grown(self._lines, missing, WATCHED)
        part = parents[keys] != keys
        rows = np.bincount(keys, cells.counts, parents.size).astype(np.float64)
        large = (rows >= FEWEST_ROWS) | self._have_tables(
            parents.size
        )  # of rare series there are far more than of others
        new = keys[part & (self._tables[keys] == _NO_TABLE) & large[parents[keys]]]
        self._admit(cells, new[np.flatnonzero(np.diff(new, prepend=-1))], parents, attributes, rows)
        counted = np.zeros((len(self), SIDE, SIDE))
        inside = cells.where(part & (self._tables[keys] != _NO_TABLE))
        self._add(
            counted, inside, self._tables[inside.keys].astype(np.int64), self._lines[inside.keys].astype(np.int64)
        )
        self._add_rest(counted, cells.where(~part & self._have_tables(parents.size)[keys]))
        return counted

    def _have_tables(self, keys: int) -> Flags:
        """Return (k,) bool which keys are series with a table."""
        have = np.zeros(keys, bool)
        have[self.series[self.series != _NO_TABLE]] = True
        return have

    def _add(self, counted: Floats, cells: Cells, tables: Ints, lines: Ints) -> None:
        same = self.decisions[tables] == cells.bins[:, None]
        columns = np.where(same.any(axis=1), same.argmax(axis=1), WATCHED)
        flat = np.bincount((tables * SIDE + lines) * SIDE + columns, cells.counts, counted.size)
        counted += flat.reshape(counted.shape)

    def _add_rest(self, counted: Floats, whole: Cells) -> None:
        """Count the rows of each series that lie in no watched slice: those in others, and those in none."""
        order = np.argsort(self.series, kind="stable")
        firsts, lasts = (np.searchsorted(self.series[order], whole.keys, side) for side in ("left", "right"))
        owners = np.repeat(np.arange(len(whole)), lasts - firsts)
        within = np.arange(owners.size) - np.repeat(np.cumsum(lasts - firsts) - (lasts - firsts), lasts - firsts)
        tables = order[np.repeat(firsts, lasts - firsts) + within]
        every = np.zeros_like(counted)
        chosen = Cells(whole.streams[owners], whole.bins[owners], whole.counts[owners])
        self._add(every, chosen, tables, np.zeros(tables.size, np.int64))
        counted[:, WATCHED] = np.maximum(every[:, 0] - counted[:, :WATCHED].sum(axis=1), 0.0)

    def _admit(self, cells: Cells, new: Ints, parents: Ints, attributes: Ints, rows: Floats) -> None:
        """Give tables to series and attributes that have two new slices and enough rows, by key; further slices are "others"."""
        if not new.size:
            return
        owners, places, sizes = np.unique(
            _owner_of(parents[new], attributes[new]), return_inverse=True, return_counts=True
        )
        known = self._tables_of(owners)
        self._tables[new] = known[places]
        enough = rows[owners >> _ATTRIBUTE_BITS] >= FEWEST_ROWS
        for place in np.flatnonzero((known == _NO_TABLE) & (sizes > 1) & enough).tolist():
            if np.count_nonzero(self.series != _NO_TABLE) < MOST_TABLES:
                self._begin(cells, int(owners[place]), new[places == place])

    def evict(self, gone: Flags) -> Ints:
        """Let go of keys, (k,) bool; return (t,) int64 the tables of series among them, which others may have now."""
        tables, keys = np.flatnonzero(among(gone, self.series)), np.flatnonzero(gone)
        for array in (self.series, self._attributes, self.slices):
            cleared(array, tables, _NO_TABLE)
        cleared(self.decisions, tables, _NOBODY)
        cleared(self._tables, keys, _NO_TABLE)
        cleared(self._lines, keys, WATCHED)
        return tables

    def _tables_of(self, owners: Ints) -> Ints:
        """Return (o,) int64 the table of each owner, given ascending; `_NO_TABLE` where it has none."""
        found = np.full(owners.size, _NO_TABLE, np.int64)
        _, at, tables = np.intersect1d(owners, _owner_of(self.series, self._attributes), return_indices=True)
        found[at] = tables
        return found

    def _begin(self, cells: Cells, owner: int, members: Ints) -> None:
        series, attribute = owner >> _ATTRIBUTE_BITS, owner & ((1 << _ATTRIBUTE_BITS) - 1)
        whole = cells.stream(series << FEATURE_BITS | Aspect.DECISION)
        rows = [cells.stream(key << FEATURE_BITS | Aspect.DECISION).total() for key in members.tolist()]
        slices, decisions = np.full(WATCHED, _NO_TABLE, np.int64), np.full(WATCHED, _NOBODY, np.int64)
        busiest = members[np.argsort(-np.array(rows), kind="stable")][:WATCHED]
        known = whole.where(whole.bins != OTHER)
        frequent = known.bins[np.argsort(-known.counts, kind="stable")][:WATCHED]
        slices[: busiest.size], decisions[: frequent.size] = busiest, frequent
        self._tables[members] = table = self._free_table()
        self._lines[busiest] = np.arange(busiest.size)
        self.series[table], self._attributes[table] = series, attribute
        self.slices[table], self.decisions[table] = slices, decisions

    def _free_table(self) -> int:
        """Return a table that is nobody's, a new one where there is none."""
        free = np.flatnonzero(self.series == _NO_TABLE)
        if free.size:
            return int(free[0])
        nobodys = np.full((1, WATCHED), _NO_TABLE, np.int64)
        self.series, self._attributes = np.append(self.series, _NO_TABLE), np.append(self._attributes, _NO_TABLE)
        self.slices, self.decisions = np.vstack((self.slices, nobodys)), np.vstack((self.decisions, nobodys))
        return len(self) - 1


def _owner_of(series: Ints, attributes: Ints) -> Ints:
    """Return (o,) int64 a series and an attribute in one number."""
    owners: Ints = series << _ATTRIBUTE_BITS | attributes
    return owners


def raked(usual: Floats, now: Floats, rounds: int = 8) -> Floats:
    """Return tables that go together as usual and have the lines' and columns' sums of now.

    Args:
        usual: (t, r, c) float64, none of it zero.
        now: (t, r, c) float64.
        rounds: How often lines and columns are adjusted in turn.

    Source:
        Deming and Stephan, "On a least squares adjustment of a sampled frequency table when the expected marginal totals are
        known", Annals of Mathematical Statistics 11, 1940.
    """
    expected = usual
    for _ in range(rounds):
        for axis in (2, 1):
            expected = expected * (
                now.sum(axis=axis, keepdims=True) / np.maximum(expected.sum(axis=axis, keepdims=True), 1e-12)
            )
    return expected
