"""Decisions of many kinds: which categories moved, in any slice or overall, so that their rate can be attributed.

Every slice (one value of one attribute) and the whole are tested category by category; the e-value of a slice is a mean
over the categories it has seen, which is valid however many there are, averaged with what the most frequent ones say
together (`frequent.py`), which finds classes that trade places. One item that gains stands out among 100,000 where
the overall mix, and any statistic summed over all categories, hides it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from spanward_processor.attribution.evalue import log_e_of_gains, log_e_values, log_mean
from spanward_processor.attribution.frequent import Frequent
from spanward_processor.attribution.shift import added
from spanward_processor.attribution.table import LeafTable
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.kernels.tables import OTHER

_LEAST_LIFT: Final = 1.0  # powers of ten by which a category may fall short of the strongest and still be named
# how likely each kind of change is thought to be: a part of all rows came to one category, one moved by any factor,
# several did, one gave to another
_KINDS: Final = (0.4, 0.2, 0.2, 0.2)
_TINY: Final = 1e-9


@dataclass(frozen=True, slots=True)
class SliceEvidence:
    """What one slice says on its own.

    Args:
        attribute: Column, or -1 for the whole.
        value: Code of the attribute's value.
        log10_e: Evidence that its mix moved.
        rows: Rows now.
    """

    attribute: int
    value: int
    log10_e: float
    rows: float


@dataclass(frozen=True, slots=True)
class MovedMix:
    """Which categories moved.

    Args:
        categories: (c,) int64 the categories that gained; if none did, those that lost.
        gained: Whether they gained.
        log10_e: Evidence of the strongest slice, for the number of slices looked at.
        slices: Every slice, strongest first.
    """

    categories: Ints
    gained: bool
    log10_e: float
    slices: tuple[SliceEvidence, ...]


def moved_mix(table: LeafTable, alpha: float, dispersion: float = 1.0) -> MovedMix:
    """Find the categories that moved in the whole or in any slice.

    Args:
        table: Leaves whose last attribute is the category.
        alpha: Chance of naming any while nothing has changed.
        dispersion: How much more than Poisson counts scatter.
    """
    slices: list[SliceEvidence] = []
    moved: dict[int, tuple[float, bool]] = {}
    columns = [-1, *range(table.codes.shape[1] - 1)]
    sides = [_by_slice(table, column) for column in columns]
    threshold = float(np.log10(sum(side.values.size for side in sides) / alpha))
    for column, side in zip(columns, sides, strict=True):
        log_e, strength = _evidence(side, dispersion)
        for place, value in enumerate(side.values.tolist()):
            slices.append(SliceEvidence(column, value, float(strength[place]), float(side.rows[place])))
        alone = log_e / np.log(10) - np.log10(np.bincount(side.slices, minlength=side.values.size))[side.slices]
        strongest = np.full(side.values.size, -np.inf)
        np.maximum.at(strongest, side.slices, alone)
        enough = np.minimum(strongest, threshold)[side.slices] - _LEAST_LIFT
        for at in np.flatnonzero((strength[side.slices] >= threshold) & (alone >= enough)).tolist():
            category, gained = int(side.categories[at]), bool(side.gained[at])
            moved[category] = max(moved.get(category, (-np.inf, gained)), (float(alone[at]), gained))
    slices.sort(key=lambda one: -one.log10_e)
    return _chosen(moved, slices)


def _chosen(moved: dict[int, tuple[float, bool]], slices: list[SliceEvidence]) -> MovedMix:
    rising = any(gained for _, gained in moved.values())
    categories = sorted(category for category, (_, gained) in moved.items() if gained is rising)
    strongest = slices[0].log10_e - float(np.log10(len(slices))) if slices else 0.0
    return MovedMix(np.array(categories, np.int64), rising, strongest, tuple(slices))


@dataclass(frozen=True, slots=True)
class _Side:
    """Counts by slice of one attribute and category."""

    values: Ints  # (s,) value of each slice
    rows: Floats  # (s,) rows now
    slices: Ints  # (n,) slice of each cell
    categories: Ints  # (n,)
    now: Floats
    usual: Floats
    exposure: Floats
    gained: Flags


def _by_slice(table: LeafTable, column: int) -> _Side:
    keys = table.codes[:, column] if column >= 0 else np.zeros(table.codes.shape[0], np.int64)
    values, slices = np.unique(keys, return_inverse=True)
    rows, usual_rows = (added(slices, side[:, 0], values.size) for side in (table.now, table.usual))
    categories, places = np.unique(table.codes[:, -1], return_inverse=True)
    cells, of_cell = np.unique(slices * categories.size + places, return_inverse=True)
    slice_of, category_of = cells // categories.size, cells % categories.size
    counts = [added(of_cell, side[:, 0], cells.size) for side in (table.now, table.usual)]
    unseen = [
        added(slices, other, values.size)[slice_of] - added(of_cell, room * (side[:, 0] > 0), cells.size)
        for side, (other, room) in zip((table.now, table.usual), _rooms(table), strict=True)
    ]
    exposure = (rows / np.maximum(usual_rows, _TINY))[slice_of]
    now, usual = _as_usual(counts[0], counts[1], unseen[0], unseen[1], exposure)
    known = (categories[category_of] != OTHER) & (values[slice_of] != OTHER)
    slice_of, category_of, now, usual, exposure = (
        array[known] for array in (slice_of, category_of, now, usual, exposure)
    )
    return _Side(values, rows, slice_of, categories[category_of], now, usual, exposure, now > usual * exposure)


def _rooms(table: LeafTable) -> list[tuple[Floats, Floats]]:
    """Return for each side where a folded category can hide: the room at the line of "other", and at every line.

    A leaf without the category holds at most `floor` rows of it, and no more than its "other".
    """
    leaves, places = np.unique(table.codes[:, :-1], axis=0, return_inverse=True)
    places = places.reshape(-1)
    is_other = table.codes[:, -1] == OTHER
    rooms: list[tuple[Floats, Floats]] = []
    for sums, floor in ((table.now, table.now_floor), (table.usual, table.usual_floor)):
        room = np.minimum(added(places, sums[:, 0] * is_other, leaves.shape[0]), floor)[places]
        rooms.append((room * is_other, room))
    return rooms


def _as_usual(
    now: Floats, usual: Floats, now_unseen: Floats, usual_unseen: Floats, exposure: Floats
) -> tuple[Floats, Floats]:
    """Return the counts with as much of what may be unseen as makes them most alike."""
    missing = np.clip(now / np.maximum(exposure, _TINY) - usual, 0.0, np.maximum(usual_unseen, 0.0))
    fallen = np.clip(usual * exposure - now, 0.0, np.maximum(now_unseen, 0.0))
    return now + fallen, usual + missing


def _evidence(side: _Side, dispersion: float) -> tuple[Floats, Floats]:
    """Return the log e-value of each cell and log10 of that of each slice; most cells of a long tail are alike."""
    size = side.values.size
    totals = np.maximum(side.now + side.usual, _TINY)
    _, pairs = np.unique(side.now + 1j * side.usual, return_inverse=True)
    _, first, alike = np.unique(
        side.slices * (pairs.max(initial=0) + 1) + pairs, return_index=True, return_inverse=True
    )
    counts = side.now[first], side.usual[first], side.exposure[first]
    share = (totals / added(side.slices, totals, size)[side.slices])[first]
    gained = log_e_of_gains(*counts, share, dispersion)[alike]
    log_e = log_e_values(*counts, dispersion)[alike]
    frequent = Frequent.of(side.slices, (side.now, side.usual), side.exposure, log_e, size)
    kinds = (
        log_mean(gained, side.slices, size),
        log_mean(log_e, side.slices, size),
        frequent.several_moved(),
        frequent.one_gave(dispersion),
    )
    together = np.logaddexp.reduce(np.stack(kinds) + np.log(_KINDS)[:, None], axis=0)
    return log_e, together / np.log(10)


def as_rate(table: LeafTable, categories: Ints) -> LeafTable:
    """Return the table of the leaves without the category.

    Its second column counts the given categories, its third how many more of them may lie in "other".
    """
    leaves, places = np.unique(table.codes[:, :-1], axis=0, return_inverse=True)
    places = places.reshape(-1)
    inside = np.isin(table.codes[:, -1], categories)
    sides: list[Floats] = []
    for sums, (other, room) in zip((table.now, table.usual), _rooms(table), strict=True):
        seen = room * (inside & (sums[:, 0] > 0))
        columns = (sums[:, 0], sums[:, 0] * inside, other * categories.size - seen)
        sides.append(np.stack([added(places, column, leaves.shape[0]) for column in columns], axis=1))
    return LeafTable(table.attributes[:-1], leaves, sides[0], sides[1])
