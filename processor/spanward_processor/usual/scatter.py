"""How far streams stray from what is usual while all is well: from one window to the next, over some, and over many.

Three things make windows differ by more than chance. Rows of one window belong together (bursts, retries), which multiplies the
variance of every window. Windows that follow each other belong together, which multiplies the variance of sums over some of
them; it is seen in how a mean over some twenty windows strays from one over twice as many. Both are dispersion. And what is usual
itself wanders (hours of the day, what the baseline has not yet followed), which no number of rows averages out: a distance that
the world keeps from the baseline, seen in the mean over some twenty windows where dispersion does not explain it.

All is learned robustly: one window may say at most a few times what is believed already, so a sudden change teaches next to
nothing before it is found.

Source: Williams, "Extra-binomial variation in logistic linear models", Applied Statistics 31 (1982), sections 2 and 4 (a
multiplicative and an additive excess, by moments).
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.evidence import cleared, grown
from spanward_processor.kept import Arrays, copies
from spanward_processor.kernels.jit import Floats, Ints, Singles

_SOME: Final = 0.95  # factor per window in sums over some windows
_MANY: Final = 0.975  # ... and over twice as many
_MOST_TOLD: Final = 9.0  # times what is believed, that one window may say of its own dispersion
_MOST_LASTING: Final = 4.0  # the same for means over some windows: each excursion is in many of them
_CUT_OFF: Final = 0.92  # what is left of the mean of a squared normal deviate that may be 4 at most
_PRIOR: Final = 10.0  # windows of ideal behaviour that are believed before any was seen
_PRIOR_LASTING: Final = 30.0  # ... for sums over some windows, of which there are fewer
_SLOWER: Final = 8.0  # how many times longer this is remembered than what is usual
_FAR: Final = 2.0  # standard deviations of the baseline's own uncertainty, and of the wander, that are no change

_LEAST_APART: Final = 1e-3  # share of the one mean's variance, below which the two means are the same

_BY_DIRECTION: Final = ("some", "many", "single", "lasting", "wander")
_BY_STREAM: Final = ("windows", "some_rows", "many_rows", "some_squares", "many_squares", "products")


class Scatter:
    """Dispersion and wander of streams, in each of a few directions.

    Streams are meant by their slots. The state is flat float32 arrays: by direction, (s * k,), sums of deviations and of what was
    said of dispersion and wander; by stream, (s,), windows, sums of rows, and what the variances of those sums follow from.

    Args:
        directions: In how many directions a stream strays.
        decay: Factor per window by which older windows count less in what is usual.
    """

    def __init__(self, directions: int, decay: float) -> None:
        self._directions = directions
        self._decay = float(decay ** (1 / _SLOWER))
        self._flat: dict[str, Singles] = {name: np.zeros(0, np.float32) for name in (*_BY_DIRECTION, *_BY_STREAM)}

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return copies(self._flat)

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        self._flat = {name: arrays[name] for name in (*_BY_DIRECTION, *_BY_STREAM)}

    def grow(self, slots: int) -> None:
        """Make room for slots."""
        for name in _BY_DIRECTION:
            self._flat[name] = grown(self._flat[name], slots * self._directions)
        for name in _BY_STREAM:
            self._flat[name] = grown(self._flat[name], slots)

    def clear(self, slots: Ints) -> None:
        """Forget slots, so that others may have them."""
        for name in (*_BY_DIRECTION, *_BY_STREAM):
            cleared(self._table(name), slots)

    def _table(self, name: str) -> Singles:
        """Return a view, (s, k) or (s, 1)."""
        width = self._directions if name in _BY_DIRECTION else 1
        flat = self._flat[name]
        return flat[: flat.size // width * width].reshape(-1, width)

    def _of(self, name: str, slots: Ints, directions: int = 1) -> Floats:
        """Return (s, k) float64 of the first directions, or (s, 1)."""
        return self._table(name)[slots, :directions].astype(np.float64)

    def windows(self, slots: Ints) -> Floats:
        """Return (s,) float64 windows that were learned, faded."""
        return self._of("windows", slots)[:, 0]

    def _dispersion(self, slots: Ints, directions: int) -> tuple[Floats, Floats]:
        """Return the dispersion of single windows and that of sums over some, (s, k)."""
        windows = self._of("windows", slots)
        single = np.maximum((self._of("single", slots, directions) + _PRIOR) / (windows + _PRIOR), 1.0)
        lasting = (self._of("lasting", slots, directions) + _PRIOR_LASTING) / (windows + _PRIOR_LASTING)
        return single, np.maximum(single, lasting)

    def believed(self, slots: Ints, rows: Floats, directions: int) -> tuple[Floats, Floats]:
        """Return how far the world may lie from the baseline, and the dispersion, both (s, k).

        Args:
            slots: (s,) int64.
            rows: (s,) float64 rows behind the baseline.
            directions: How many are asked for, from the first.
        """
        _, excess = self._dispersion(slots, directions)
        windows = self._of("windows", slots)
        excess = 1.0 + (excess - 1.0) * (
            1.0 + _PRIOR_LASTING / np.maximum(windows, 1.0)
        )  # of bursts a few windows know little
        wander = np.maximum(self._of("wander", slots, directions) / (windows + _PRIOR), 0.0)
        return _FAR * np.sqrt(excess / np.maximum(rows, 1.0)[:, None] + wander), excess

    def learn(self, slots: Ints, deviation: Floats, variance: Floats, rows: Floats) -> None:
        """Add windows in which all was well.

        Args:
            slots: (s,) int64, each once.
            deviation: (s, k) float64 of the window from the baseline, in the first directions.
            variance: (s, k) float64 of one row.
            rows: (s,) float64 rows of the window, more than none.
        """
        directions = deviation.shape[1]
        single, lasting = self._dispersion(slots, directions)
        deviation, rows = deviation / np.sqrt(variance), rows[:, None]
        added = {
            "some": (_SOME, deviation),
            "many": (_MANY, deviation),
            "some_rows": (_SOME, rows),
            "many_rows": (_MANY, rows),
            "some_squares": (_SOME * _SOME, rows),
            "many_squares": (_MANY * _MANY, rows),
            "products": (_SOME * _MANY, rows),
        }
        now = {name: fade * self._of(name, slots, directions) + more for name, (fade, more) in added.items()}
        some, many = now["some"] / now["some_rows"], now["many"] / now["many_rows"]
        chance = now["some_squares"] / np.square(now["some_rows"])
        apart = chance + now["many_squares"] / np.square(now["many_rows"])
        apart -= 2 * now["products"] / (now["some_rows"] * now["many_rows"])
        known = apart > _LEAST_APART * chance  # not in a stream's first windows, which are in both means
        wander = self._of("wander", slots, directions) / (self._of("windows", slots) + _PRIOR)
        most = _MOST_LASTING * (np.maximum(wander, 0.0) + lasting * chance)
        said = {
            "single": np.minimum(np.square(deviation) / rows, _MOST_TOLD * single),
            "lasting": np.where(
                known,
                np.minimum(np.square(some - many) / np.where(known, apart, 1.0), _MOST_LASTING * lasting) / _CUT_OFF,
                lasting,
            ),
            "wander": np.minimum(np.square(some), most) / _CUT_OFF - lasting * chance,
            "windows": np.ones_like(rows),
        }
        now |= {name: self._decay * self._of(name, slots, directions) + more for name, more in said.items()}
        for name, values in now.items():
            self._table(name)[slots, : values.shape[1]] = values
