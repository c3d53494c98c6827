"""How many of a series' rows are outlying, compared with how many usually are."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.configuration.settings import Learning
from spanward_processor.evidence import Dispersion, cleared, grown
from spanward_processor.features import show_share
from spanward_processor.kept import Arrays, copies, gathered, scattered
from spanward_processor.kernels.jit import Flags, Floats, Ints, Narrow, Singles
from spanward_processor.windows.sample import Groups

SHARE: Final = 0.02
"""Share of a series' rows that count as outlying while all is well."""

_FEWEST_ROWS: Final = 20.0
_ABOVE_USUAL: Final = 1.5  # times the usual share, beyond which more and more rows are outlying


class Outlying:
    """The share of outlying rows by slot, tested one-sided as a binomial count with the dispersion of earlier windows.

    Args:
        decay: Factor per learned window by which older windows count less.

    Source:
        McCullagh and Nelder, "Generalized Linear Models", 2nd ed., 1989, section 4.5 (overdispersed binomial counts).
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._dispersion = Dispersion(decay)
        self._windows: Narrow = np.zeros(0, np.int32)  # learned
        self._outlying = np.zeros(0)  # decayed rows that were outlying
        self._rows = np.zeros(0)  # decayed rows that could have been
        self._beyond: Singles = np.zeros(0, np.float32)  # outlying rows beyond what is usual, since they became more
        self._since: Singles = np.zeros(0, np.float32)  # outlying rows since then
        self._since_rows: Singles = np.zeros(0, np.float32)  # ... and all that could have been

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        own: Arrays = {
            "windows": self._windows,
            "outlying": self._outlying,
            "rows": self._rows,
            "beyond": self._beyond,
            "since": self._since,
            "since_rows": self._since_rows,
        }
        return gathered({"dispersion": self._dispersion}) | copies(own)

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        scattered({"dispersion": self._dispersion}, arrays)
        self._windows, self._outlying, self._rows = arrays["windows"], arrays["outlying"], arrays["rows"]
        self._beyond, self._since, self._since_rows = arrays["beyond"], arrays["since"], arrays["since_rows"]

    def grow(self, slots: int) -> None:
        """Make room for slots."""
        self._dispersion.grow(slots)
        self._windows = grown(self._windows, slots)
        self._outlying, self._rows = grown(self._outlying, slots), grown(self._rows, slots)
        self._beyond, self._since = grown(self._beyond, slots), grown(self._since, slots)
        self._since_rows = grown(self._since_rows, slots)

    def clear(self, slots: Ints) -> None:
        """Forget slots, so that others may have them."""
        self._dispersion.clear(slots)
        cleared(self._windows, slots)
        for learned in (self._outlying, self._rows):
            cleared(learned, slots)
        for since in (self._beyond, self._since, self._since_rows):
            cleared(since, slots)

    def is_ready(self, slots: Ints, learning: Learning) -> Flags:
        """Return (s,) bool which slots were learned long enough to be judged."""
        return (self._windows[slots] >= learning.windows) & (self._rows[slots] >= learning.rows)

    def p_values(self, slots: Ints, outlying: Floats, rows: Floats) -> Floats:
        """Return (s,) float64 how likely so many outlying rows are.

        Args:
            slots: (s,) int64.
            outlying: (s,) float64 outlying rows of each.
            rows: (s,) float64 all its rows.
        """
        return self._dispersion.p_values(slots, *self._deviance(slots, outlying, rows))

    def note(self, slots: Ints, outlying: Floats, rows: Floats) -> None:
        """Note a window, learned or not, so that more than the newest can be told; shapes as in `p_values`, each slot once.

        Source:
            Page, "Continuous inspection schemes", Biometrika 41 (1954): the change began where the sum was last nothing.
        """
        beyond = np.maximum(self._beyond[slots] + outlying - _ABOVE_USUAL * self._usual(slots) * rows, 0.0)
        self._beyond[slots] = beyond
        self._since[slots] = np.where(beyond > 0, self._since[slots] + outlying, 0.0)
        self._since_rows[slots] = np.where(beyond > 0, self._since_rows[slots] + rows, 0.0)

    def since(self, slot: int, outlying: float, rows: float) -> str:
        """Return in words how many rows are outlying since they became more, or in a window where they are not more now.

        Args:
            slot: The slot.
            outlying: Outlying rows of the window.
            rows: All its rows.
        """
        more = self._beyond[slot] > 0
        outlying, rows = (float(self._since[slot]), float(self._since_rows[slot])) if more else (outlying, rows)
        return f"{outlying:,.0f} of {rows:,.0f} sampled rows outlying"

    def _usual(self, slots: Ints) -> Floats:
        """Return (s,) float64 the usual share, never nothing."""
        usual: Floats = (self._outlying[slots] + SHARE) / (self._rows[slots] + 1.0)
        return usual

    def _deviance(self, slots: Ints, outlying: Floats, rows: Floats) -> tuple[Floats, Floats]:
        """Return the one-sided binomial deviance and its degrees of freedom."""
        weight, usual = self._rows[slots], self._usual(slots)
        share = outlying / np.maximum(rows, 1.0)
        rest = 1.0 - share
        per_row = _times_log(share, share / usual) + _times_log(rest, rest / (1.0 - usual))
        deviance = np.where(share > usual, np.maximum(2 * rows * per_row, 0.0), 0.0)
        return deviance / (1 + rows / np.maximum(weight, 1.0)), (weight >= _FEWEST_ROWS).astype(np.float64)

    def learn(self, slots: Ints, outlying: Floats, rows: Floats) -> None:
        """Add windows in which all was well; shapes as in `p_values`, each slot once."""
        self._dispersion.learn(slots, *self._deviance(slots, outlying, rows))
        self._outlying[slots] = self._decay * self._outlying[slots] + outlying
        self._rows[slots] = self._decay * self._rows[slots] + rows
        self._windows[slots] += 1

    def usual(self, slot: int) -> str:
        """Return the usual share in words."""
        return show_share(float(self._outlying[slot] / max(self._rows[slot], 1.0)))


def _times_log(factor: Floats, ratio: Floats) -> Floats:
    return np.asarray(factor * np.log(np.maximum(ratio, 1e-300)))


def count_by_group(groups: Groups, far: Flags) -> tuple[Floats, Floats]:
    """Return (g,) float64 how many rows of each group are far, and how many there are."""
    if not groups.keys.size:
        return np.empty(0), np.empty(0)
    return np.add.reduceat(far.astype(np.float64), groups.starts[:-1]), np.diff(groups.starts).astype(np.float64)
