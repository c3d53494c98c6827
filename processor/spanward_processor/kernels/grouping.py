"""Windows and baselines of streams counted in few groups, so that what is compared is a small matrix.

Ordered bins are grouped by the rank their middle has in the baseline; categories by a list of those that are watched. Window
and baseline are cut at the same bins, so a group's share of the baseline is exactly what is expected of the window.
"""

from spanward_processor.kernels.cells import Packed
from spanward_processor.kernels.jit import Floats, Ints, borrowing


@borrowing
def group_by_rank(ranges: Ints, seen: Packed, usual: Packed, edges: Floats, observed: Floats, expected: Floats) -> None:
    """Count ordered bins by their rank in the baseline.

    Args:
        ranges: (s, 4) int64 where each stream begins and ends in `seen`, and begins and ends in `usual`.
        seen: (c,) the window's cells.
        usual: (d,) the baseline's cells.
        edges: (g - 1,) float64 ranks that part the groups, ascending in 0..1.
        observed: (s, g) float64 to fill with rows of the window.
        expected: (s, g) float64 to fill with rows of the baseline.
    """
    observed[:, :] = 0.0
    expected[:, :] = 0.0
    for index in range(ranges.shape[0]):
        here, end, old, last = ranges[index, 0], ranges[index, 1], ranges[index, 2], ranges[index, 3]
        weight = 0.0
        for at in range(old, last):
            weight += usual.counts[at]
        below, group = 0.0, 0
        while here < end or old < last:
            take = old < last and (here == end or usual.bins[old] <= seen.bins[here])
            cell_bin = usual.bins[old] if take else seen.bins[here]
            mass = 0.0
            if take:
                mass += usual.counts[old]
                old += 1
            middle = (below + mass / 2) / max(weight, 1e-9)
            while group < edges.size and middle > edges[group]:
                group += 1
            expected[index, group] += mass
            below += mass
            if here < end and seen.bins[here] == cell_bin:
                observed[index, group] += seen.counts[here]
                here += 1


@borrowing
def group_by_watched(
    ranges: Ints, seen: Packed, usual: Packed, watched: Ints, observed: Floats, expected: Floats
) -> None:
    """Count the watched categories each, and all others together.

    Args:
        ranges: (s, 4) int64 as in `group_by_rank`.
        seen: (c,) the window's cells.
        usual: (d,) the baseline's cells.
        watched: (s, k) int64 bins; one that stands twice counts at its first place.
        observed: (s, k + 1) float64 to fill with rows of the window, those of other categories last.
        expected: (s, k + 1) float64 to fill with rows of the baseline.
    """
    observed[:, :] = 0.0
    expected[:, :] = 0.0
    for index in range(ranges.shape[0]):
        for at in range(ranges[index, 0], ranges[index, 1]):
            group = 0
            while group < watched.shape[1] and watched[index, group] != seen.bins[at]:
                group += 1
            observed[index, group] += seen.counts[at]
        for at in range(ranges[index, 2], ranges[index, 3]):
            group = 0
            while group < watched.shape[1] and watched[index, group] != usual.bins[at]:
                group += 1
            expected[index, group] += usual.counts[at]
