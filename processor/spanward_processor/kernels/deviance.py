"""How far a window lies from its baseline: the likelihood-ratio deviance over a few groups of bins.

Ordered bins are grouped by the baseline's own deciles and its top percent, so that every group but the tail holds a
tenth of the expected rows whatever the shape of the distribution. Categories with at least two percent have a group each;
the rest share one, where categories never seen before land too. Source: Agresti, "Categorical Data Analysis", 3rd ed.,
2013, section 1.5.5 (likelihood-ratio statistic G2).
"""

import math
from typing import Final

from spanward_processor.kernels.cells import Packed
from spanward_processor.kernels.jit import Floats, Ints, Singles, borrowing
from spanward_processor.kernels.tables import FEATURE_BITS

NUMBER: Final = 1
FLAG: Final = 2
CATEGORY: Final = 3

GROUPS: Final = 34
_TAIL_GROUP: Final = 10
_TAIL: Final = 0.99
_REST_GROUP: Final = 33
_OWN_GROUP_SHARE: Final = 0.02
_PRIOR: Final = 0.5  # rows added to every group of the baseline, so that nothing is impossible


@borrowing
def _group_of(shape: int, cell_bin: int, middle: float, share: float, own_groups: int) -> int:
    if shape == NUMBER:
        return _TAIL_GROUP if middle > _TAIL else min(int(middle * 10), 9)
    if shape == FLAG:
        return 1 if cell_bin == 1 else 0
    return own_groups if share >= _OWN_GROUP_SHARE and own_groups < _REST_GROUP else _REST_GROUP


@borrowing
def _fill_groups(
    shape: int, bins: Ints, counts: Singles, usual_bins: Ints, usual_counts: Singles, weight: float, groups: Floats
) -> None:
    """Walk the bins of both bags in order and add each to its group: row 0 observed, row 1 usual."""
    groups[:, :] = 0.0
    here = usual = own = 0
    below = 0.0
    while here < bins.size or usual < usual_bins.size:
        take_usual = usual < usual_bins.size and (here == bins.size or usual_bins[usual] <= bins[here])
        cell_bin = usual_bins[usual] if take_usual else bins[here]
        mass = usual_counts[usual] if take_usual else 0.0
        group = _group_of(shape, cell_bin, (below + mass / 2) / weight, mass / weight, own)
        if take_usual:
            groups[1, group] += mass
            below += mass
            usual += 1
            own += 1 if shape == CATEGORY and group != _REST_GROUP else 0
        if here < bins.size and bins[here] == cell_bin:
            groups[0, group] += counts[here]
            here += 1


@borrowing
def _deviance(groups: Floats, rows: float, weight: float, one_sided: bool) -> tuple[float, float]:
    """Return deviance and degrees of freedom of filled groups."""
    used = 0
    for group in range(GROUPS):
        used += 1 if groups[0, group] + groups[1, group] > 0 else 0
    used = max(used, 2)
    deviance = 0.0
    for group in range(GROUPS):
        observed = groups[0, group]
        expected = rows * (groups[1, group] + _PRIOR) / (weight + _PRIOR * used)
        if observed > 0:
            deviance += 2 * observed * math.log(observed / expected)
        if one_sided and group == 1 and observed <= expected:
            return 0.0, 1.0
    return max(deviance, 0.0), used - 1.0


@borrowing
def _total(counts: Singles) -> float:
    """Return a sum of counts, in double precision."""
    total = 0.0
    for at in range(counts.size):
        total += counts[at]
    return total


@borrowing
def deviances(shapes: Ints, starts: Ints, seen: Packed, usual: Packed, groups: Floats, answers: Floats) -> None:
    """Compare every stream of a window with the baseline.

    Args:
        shapes: (f,) int64 shape of each feature; 0 leaves its streams untested.
        starts: (s + 1,) int64 where each stream's cells begin.
        seen: (c,) the window's cells.
        usual: (d,) the baseline's cells.
        groups: (2, GROUPS) float64 scratch.
        answers: (4, s) float64 to fill: deviance, degrees of freedom, rows in the window, rows in the baseline.
            The deviance is already reduced for the baseline's own uncertainty (a two-sample comparison).
    """
    last = 0
    for index in range(starts.size - 1):
        stream = seen.streams[starts[index]]
        while last < usual.streams.size and usual.streams[last] < stream:
            last += 1
        first = last
        while last < usual.streams.size and usual.streams[last] == stream:
            last += 1
        shape = int(shapes[stream & ((1 << FEATURE_BITS) - 1)])
        bins, counts = seen.bins[starts[index] : starts[index + 1]], seen.counts[starts[index] : starts[index + 1]]
        usual_bins, usual_counts = usual.bins[first:last], usual.counts[first:last]
        rows, weight = _total(counts), _total(usual_counts)
        answers[2, index], answers[3, index] = rows, weight
        if shape == 0 or weight <= 0.0:
            continue
        _fill_groups(shape, bins, counts, usual_bins, usual_counts, weight, groups)
        deviance, freedom = _deviance(groups, rows, weight, shape == FLAG)
        answers[0, index], answers[1, index] = deviance / (1 + rows / weight), freedom
