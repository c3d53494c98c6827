"""From what was learned of a series' numbers to what is usual for its rows, and what is odd about one of them, in words."""

from dataclasses import dataclass
from typing import Final, cast

import numpy as np

from spanward_processor.features import FEATURES, NUMBERS, Feature
from spanward_processor.kernels.binning import SCALE, UNIT_BINS
from spanward_processor.kernels.jit import Floats, Ints, Singles
from spanward_processor.kernels.sampling import UNKNOWN, Shorts
from spanward_processor.kernels.scatter import DISTANCES, SIDES, Scatter
from spanward_processor.usual.moments import FEWEST_KNOWN, moments_of, shrunk

_GO_TOGETHER: Final = 0.2  # partial correlation from which one number is said to be expected for another
_SMALLEST_NEGATIVE: Final = 64  # as in `kernels.sampling.coordinate`


def empty_scatter(series: int, numbers: int) -> Scatter:
    """Return what is usual for series of which nothing is known."""
    return Scatter(
        means=np.zeros((series, numbers), np.float32),
        scales=np.zeros((series, numbers), np.float32),
        inverses=np.zeros((series, numbers, numbers), np.float32),
        surprise=np.zeros((series, numbers, SIDES), np.float32),
        tails=np.ones((series, DISTANCES), np.float32),
    )


def fitted_scatter(sums: Floats, seen_sides: Singles, seen_distances: Singles) -> Scatter:
    """Return what is usual for m series of d numbers.

    Args:
        sums: (m, 3, d, d) float64 from `add_products`.
        seen_sides: (m, d, SIDES) float32 rows by the deviation of each number, from `count_rows`.
        seen_distances: (m, DISTANCES) float32 rows by distance.

    Source:
        Li et al., "ECOD: Unsupervised outlier detection using empirical cumulative distribution functions", IEEE TKDE, 2022
        (the surprise of each number by itself).
    """
    seen, means, covariances = moments_of(sums)
    known = seen >= FEWEST_KNOWN
    both = known[:, :, None] & known[:, None, :]
    diagonal = np.arange(int(means.shape[1]))
    covariances = np.where(both, shrunk(seen, covariances), 0.0)
    covariances[:, diagonal, diagonal] = np.where(known, covariances[:, diagonal, diagonal], 1.0)
    inverses = np.where(both, np.linalg.inv(covariances), 0.0)
    scales = np.where(known, 1.0 / np.sqrt(covariances[:, diagonal, diagonal]), 0.0)
    below, above = np.cumsum(seen_sides, axis=2), np.cumsum(seen_sides[:, :, ::-1], axis=2)[:, :, ::-1]
    shares = (2 * np.minimum(below, above) + 1) / (below[:, :, -1:] + 1)
    farther = np.cumsum(seen_distances[:, ::-1], axis=1)[:, ::-1]
    return Scatter(
        means=means.astype(np.float32),
        scales=scales.astype(np.float32),
        inverses=inverses.astype(np.float32),
        surprise=-np.log(np.minimum(shares, np.float32(1.0))),
        tails=(farther + 1) / (farther[:, :1] + 1),
    )


def chosen(usual: Scatter, places: Ints) -> Scatter:
    """Return a copy of what is usual for some of the series."""
    return Scatter(*(array[places] for array in usual))


@dataclass(frozen=True, slots=True)
class Oddity:
    """The number of a row that least fits the others.

    Args:
        feature: Which.
        value: The number, in small bins (`coordinate`).
        expected: What the others let expect, in small bins.
        given: The number that says most about it, None where none says much.
        given_value: That number, in small bins.
    """

    feature: Feature
    value: float
    expected: float
    given: Feature | None
    given_value: float

    def __str__(self) -> str:
        """Return it in words."""
        now, expected = value_of(self.feature, self.value), value_of(self.feature, self.expected)
        given = ""
        if self.given is not None:
            given = f" for {self.given.noun} {self.given.show(value_of(self.given, self.given_value))}"
        if self.feature.unit_range or now <= 0 or expected <= 0:
            usual = f"where {self.feature.show(expected)} is expected{given}"
        else:
            usual = f"{now / expected:.2g}x what is expected{given}"
        return f"{self.feature.noun} {self.feature.show(now)}, {usual}"


def strangest(row: Shorts, usual: Scatter, place: int) -> Oddity:
    """Return the number of a row that least fits the others.

    Args:
        row: (d,) int16 with at least one number that is known for the series.
        usual: What is usual.
        place: The series.

    Source:
        Anderson, "An Introduction to Multivariate Statistical Analysis", 3rd ed., 2003, section 2.5 (conditional normal
        distributions, by the inverse of the covariance).
    """
    there = (row != UNKNOWN) & (usual.scales[place] > 0)
    inverse = usual.inverses[place].astype(np.float64)
    deviations = np.where(there, row - usual.means[place], 0.0)
    own = np.where(there, np.diag(inverse), 1.0)
    pull = inverse @ deviations
    odd = int(np.argmax(np.where(there, np.abs(pull) / np.sqrt(own), -1.0)))
    partial = np.where(there, np.abs(inverse[odd]) / np.sqrt(own[odd] * own), 0.0)
    partial[odd] = 0.0
    given = int(np.argmax(partial))
    return Oddity(
        feature=FEATURES[int(NUMBERS[odd])],
        value=float(row[odd]),
        expected=float(row[odd] - pull[odd] / own[odd]),
        given=FEATURES[int(NUMBERS[given])] if partial[given] >= _GO_TOGETHER else None,
        given_value=float(row[given]),
    )


def value_of(feature: Feature, small_bin: float) -> float:
    """Return a number in its own unit; see `coordinate`."""
    if not feature.unit_range:
        return cast("float", 2.0 ** ((small_bin + 0.5) / SCALE))
    if small_bin < 0:
        return -cast("float", 2.0 ** ((-1 - small_bin - _SMALLEST_NEGATIVE + 0.5) / SCALE))
    if small_bin < UNIT_BINS:
        return (small_bin + 0.5) / UNIT_BINS
    return cast("float", 2.0 ** ((small_bin - UNIT_BINS + 0.5) / SCALE))
