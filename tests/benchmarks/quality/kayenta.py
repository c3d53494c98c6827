"""The judge of Kayenta as its source has it, as a peer: per-minute points, a rank test, a tolerance.

Written anew from the published algorithm of `NetflixACAJudge` and `MannWhitneyClassifier` (Netflix and Google, Apache-2.0): a metric is
"High" where the lower end of the 98 % interval of the Hodges-Lehmann shift exceeds a quarter of the shift, and the ratio of the means
is at least one. The interval is that of the normal approximation, as R's `wilcox.test` has it without ties.
"""

import math
from typing import Final

import numpy as np

from spanward_processor.kernels.jit import Flags, Floats, Ints

_TOLERANCE: Final = 0.25
_Z: Final = 2.3263478740408408  # of 98 %, both sides
FEWEST: Final = 5  # points; with fewer the interval is all there is


def is_high(canary: Floats, baseline: Floats) -> bool:
    """Return whether a metric's points are judged to be too high.

    Args:
        canary: (n,) float64 a point a minute; NaN where there was nothing.
        baseline: (n,) float64 likewise.
    """
    canary, baseline = canary[~np.isnan(canary)], baseline[~np.isnan(baseline)]
    sizes = canary.size, baseline.size
    if min(sizes) < FEWEST or np.array_equal(canary, baseline):
        return False
    shifts = np.sort((canary[:, None] - baseline[None, :]).ravel())
    pairs = sizes[0] * sizes[1]
    rank = math.floor(pairs / 2 - _Z * math.sqrt(pairs * (sizes[0] + sizes[1] + 1) / 12))
    low = float(shifts[max(rank, 0)])
    mean = float(baseline.mean())
    ratio = float(canary.mean()) / mean if mean else math.inf
    return low > _TOLERANCE * abs(float(np.median(shifts))) and ratio >= 1.0


def points(values: Floats, minutes: Ints, failed: Flags, chosen: Flags, size: int) -> Floats:
    """Return (3, size) float64 mean, 99th percentile and error share of each minute, NaN where there was nothing."""
    made = np.full((3, size), np.nan)
    for minute in range(size):
        of_minute = chosen & (minutes == minute)
        if of_minute.any():
            latency = values[of_minute]
            made[:, minute] = latency.mean(), np.quantile(latency, 0.99), failed[of_minute].mean()
    return made
