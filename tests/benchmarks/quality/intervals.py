"""Means over seeds with 95 % intervals."""

import math
from collections.abc import Sequence

from scipy.special import stdtrit


def over_seeds(values: Sequence[float]) -> str:
    """Return mean and 95 % interval of one figure per seed, by Student's t."""
    count = len(values)
    mean = sum(values) / count
    if count < 2:
        return f"{mean:.3f}"
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1) / count)
    half = float(stdtrit(count - 1, 0.975)) * spread
    return f"{mean:.3f} ({mean - half:.3f} to {mean + half:.3f})"


def share(hits: int, tries: int) -> str:
    """Return a share with its 95 % interval, by Wilson's score."""
    if not tries:
        return "none"
    z = 1.959964
    middle = (hits + z * z / 2) / (tries + z * z)
    half = z * math.sqrt(hits * (tries - hits) / tries + z * z / 4) / (tries + z * z)
    return f"{100 * hits / tries:.1f} % of {tries} ({100 * (middle - half):.1f} to {100 * (middle + half):.1f} %)"
