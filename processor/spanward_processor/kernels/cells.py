"""Sorted cells: merging two bags of counts in one pass."""

from spanward_processor.kernels.jit import Floats, Ints, borrowing


@borrowing
def merge_cells(
    left_streams: Ints,
    left_bins: Ints,
    left_counts: Floats,
    right_streams: Ints,
    right_bins: Ints,
    right_counts: Floats,
    streams: Ints,
    bins: Ints,
    counts: Floats,
) -> int:
    """Merge two lists of cells, each sorted by (stream, bin), adding counts of equal cells.

    Args:
        left_streams: (a,) int64.
        left_bins: (a,) int64.
        left_counts: (a,) float64.
        right_streams: (b,) int64.
        right_bins: (b,) int64.
        right_counts: (b,) float64.
        streams: (a + b,) int64 to fill.
        bins: (a + b,) int64 to fill.
        counts: (a + b,) float64 to fill.

    Returns:
        How many cells the sum has.
    """
    left = right = size = 0
    while left < left_streams.size or right < right_streams.size:
        order = -1
        if left == left_streams.size:
            order = 1
        elif right < right_streams.size:
            same = left_streams[left] == right_streams[right]
            a = left_bins[left] if same else left_streams[left]
            b = right_bins[right] if same else right_streams[right]
            order = 0 if a == b else -1 if a < b else 1
        counts[size] = 0.0
        if order <= 0:
            streams[size], bins[size] = left_streams[left], left_bins[left]
            counts[size] += left_counts[left]
            left += 1
        if order >= 0:
            streams[size], bins[size] = right_streams[right], right_bins[right]
            counts[size] += right_counts[right]
            right += 1
        size += 1
    return size
