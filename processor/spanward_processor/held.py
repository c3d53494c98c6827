"""Which streams are held, that is, which the judge lets nobody learn from."""

import numpy as np

from spanward_processor.features import FEATURES
from spanward_processor.kernels.jit import Flags, Ints
from spanward_processor.kernels.tables import FEATURE_BITS


def held_among(held: Flags, streams: Ints) -> Flags:
    """Return (s,) bool which of the streams are held; see `Detector.learn`."""
    within = (streams >= 0) & (streams < held.size)
    found = np.zeros(streams.size, bool)
    found[within] = held[streams[within]]
    return found


def held_series(held: Flags) -> Ints:
    """Return (h,) int64 series of which whole rows or pairs of numbers are held, ascending; see `Detector.learn`."""
    streams = np.flatnonzero(held)
    return np.unique(streams[streams & ((1 << FEATURE_BITS) - 1) >= len(FEATURES)] >> FEATURE_BITS)
