"""Sorted cells: merging, sifting and fading bags of counts, each in one pass."""

from typing import Final, NamedTuple

from spanward_processor.kernels.jit import Flags, Floats, Ints, Narrow, Singles, borrowing
from spanward_processor.kernels.tables import FEATURE_BITS

_FEATURE_MASK: Final = (1 << FEATURE_BITS) - 1


class Packed(NamedTuple):
    """Cells as they are kept over many windows: 16 bytes each, sorted by (stream, bin).

    Args:
        streams: (c,) int32.
        bins: (c,) int64.
        counts: (c,) float32; whole numbers below 2^24 are exact, faded ones known to seven digits.
    """

    streams: Narrow
    bins: Ints
    counts: Singles


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


@borrowing
def _merge_stream(
    stream: int,
    bins: Ints,
    counts: Floats,
    first: int,
    last: int,
    kept: Packed,
    begin: int,
    end: int,
    to: Packed,
    at: int,
) -> int:
    """Write the cells of one stream of a window and of what is kept, equal ones added; return the place after them."""
    while first < last or begin < end:
        take = first < last and (begin == end or bins[first] <= kept.bins[begin])
        add = begin < end and (first == last or kept.bins[begin] <= bins[first])
        to.streams[at] = stream
        to.bins[at] = bins[first] if take else kept.bins[begin]
        count = 0.0
        if take:
            count += counts[first]
            first += 1
        if add:
            count += kept.counts[begin]
            begin += 1
        to.counts[at] = count
        at += 1
    return at


@borrowing
def sift_cells(
    streams: Ints,
    bins: Ints,
    counts: Floats,
    tested: Flags,
    fewest: float,
    waiting: Packed,
    enough: Packed,
    too_few: Packed,
    sizes: Ints,
) -> None:
    """Add a window to the rows that wait, and part the streams that have enough rows from those that go on waiting.

    Args:
        streams: (c,) int64 the window's cells, sorted by (stream, bin).
        bins: (c,) int64.
        counts: (c,) float64.
        tested: (f,) bool features that are wanted; cells of others are left out.
        fewest: Rows that are enough.
        waiting: (w,) the rows that wait, all of wanted features.
        enough: (c + w,) to fill with the streams that have enough.
        too_few: (c + w,) to fill with the others.
        sizes: (3,) int64 to fill: cells in `enough`, cells in `too_few`, streams in `enough`.
    """
    first = begin = 0
    sizes[:] = 0
    while True:
        while first < streams.size and not tested[streams[first] & _FEATURE_MASK]:
            first += 1
        if first == streams.size and begin == waiting.streams.size:
            return
        stream = streams[first] if first < streams.size else waiting.streams[begin]
        if begin < waiting.streams.size and waiting.streams[begin] < stream:
            stream = waiting.streams[begin]
        last, end, rows = first, begin, 0.0
        while last < streams.size and streams[last] == stream:
            rows += counts[last]
            last += 1
        while end < waiting.streams.size and waiting.streams[end] == stream:
            rows += waiting.counts[end]
            end += 1
        if rows >= fewest:
            sizes[0] = _merge_stream(stream, bins, counts, first, last, waiting, begin, end, enough, sizes[0])
            sizes[2] += 1
        else:
            sizes[1] = _merge_stream(stream, bins, counts, first, last, waiting, begin, end, too_few, sizes[1])
        first, begin = last, end


@borrowing
def learn_cells(
    usual: Packed, seen: Packed, starts: Ints, free: Flags, fades: Floats, least: float, to: Packed, rows: Floats
) -> int:
    """Fade the baseline of every stream that was seen and is free to be learned, and add what was seen.

    Args:
        usual: (d,) the baseline's cells.
        seen: (t,) cells of the streams that were seen.
        starts: (s + 1,) int64 where each of those streams begins.
        free: (s,) bool which of them are learned; the others leave no trace.
        fades: (s,) float64 factor on what was usual, of each.
        least: Count below which a faded cell is forgotten.
        to: (d + t,) to fill with the new baseline.
        rows: (s,) float64 to fill with the rows behind each learned stream, -1 for the others.

    Returns:
        How many cells the new baseline has.
    """
    begin = at = 0
    for index in range(starts.size - 1):
        stream = seen.streams[starts[index]]
        while begin < usual.streams.size and usual.streams[begin] < stream:
            to.streams[at], to.bins[at], to.counts[at] = usual.streams[begin], usual.bins[begin], usual.counts[begin]
            begin += 1
            at += 1
        rows[index] = -1.0
        if not free[index]:
            continue
        rows[index] = 0.0
        first, last = starts[index], starts[index + 1]
        while first < last or (begin < usual.streams.size and usual.streams[begin] == stream):
            old = begin < usual.streams.size and usual.streams[begin] == stream
            take = first < last and (not old or seen.bins[first] <= usual.bins[begin])
            add = old and (first == last or usual.bins[begin] <= seen.bins[first])
            cell_bin = seen.bins[first] if take else usual.bins[begin]
            count = 0.0
            if add:
                count += fades[index] * usual.counts[begin]
                begin += 1
            if take:
                count += seen.counts[first]
                first += 1
            if count >= least:
                to.streams[at], to.bins[at], to.counts[at] = stream, cell_bin, count
                rows[index] += count
                at += 1
    while begin < usual.streams.size:
        to.streams[at], to.bins[at], to.counts[at] = usual.streams[begin], usual.bins[begin], usual.counts[begin]
        begin += 1
        at += 1
    return at


@borrowing
def find_features(streams: Ints, wanted: Flags, places: Ints) -> int:
    """Find the cells of some features.

    Args:
        streams: (c,) int64.
        wanted: (16,) bool which, as many as a stream can tell apart.
        places: (c,) int64 to fill with the places of their cells.

    Returns:
        How many there are.
    """
    found = 0
    for at in range(streams.size):
        places[found] = at
        found += 1 if wanted[streams[at] & _FEATURE_MASK] else 0
    return found


@borrowing
def find_known(streams: Ints, bins: Ints, known_streams: Narrow, known_bins: Ints, places: Ints, known: Flags) -> None:
    """Find which cells are among those that are known, in one pass through both.

    Args:
        streams: (c,) int64, sorted by (stream, bin).
        bins: (c,) int64.
        known_streams: (k,) int32, sorted by (stream, bin), each cell once.
        known_bins: (k,) int64.
        places: (c,) int64 to fill with the place among the known before which a cell stands.
        known: (c,) bool to fill with whether it is the one at that place.
    """
    at = 0
    for cell in range(streams.size):
        stream, cell_bin = streams[cell], bins[cell]
        while at < known_streams.size and (
            known_streams[at] < stream or (known_streams[at] == stream and known_bins[at] < cell_bin)
        ):
            at += 1
        places[cell] = at
        known[cell] = at < known_streams.size and known_streams[at] == stream and known_bins[at] == cell_bin


@borrowing
def find_quantiles(
    bins: Ints, counts: Floats, ranges: Ints, shares: Floats, other: int, found: Ints, known: Flags
) -> None:
    """Find the bin in which each quantile of each stream lies; rows in bin `other` have no known value, and are left out.

    Args:
        bins: (c,) int64 sorted within a stream.
        counts: (c,) float64.
        ranges: (s, 2) int64 where each stream's cells begin and end.
        shares: (s,) float64 share of the rows that lies below the quantile.
        other: The bin that is left out.
        found: (s,) int64 to fill; 0 where there is none.
        known: (s,) bool to fill with whether there is one.
    """
    for index in range(ranges.shape[0]):
        total, last = 0.0, -1
        for at in range(ranges[index, 0], ranges[index, 1]):
            if bins[at] != other:
                total += counts[at]
                last = at
        known[index] = last >= 0
        found[index] = bins[last] if last >= 0 else 0
        running = 0.0
        for at in range(ranges[index, 0], ranges[index, 1]):
            if bins[at] != other:
                running += counts[at]
                if running >= shares[index] * total:
                    found[index] = bins[at]
                    break
