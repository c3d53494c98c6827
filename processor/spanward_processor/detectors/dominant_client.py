"""One client that takes over a series."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.atlas import DENIAL_OF_AI_SERVICE
from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors.base import Account, aspect_name
from spanward_processor.evidence import Dispersion, cleared, grown
from spanward_processor.features import Aspect, show_share
from spanward_processor.held import held_among
from spanward_processor.kept import Arrays, copies, gathered, scattered
from spanward_processor.kernels.jit import Flags, Floats, Ints, Narrow
from spanward_processor.kernels.tables import FEATURE_BITS, OTHER
from spanward_processor.keys import KeyDirectory
from spanward_processor.surprise import Surprise
from spanward_processor.usual.slots import Slots
from spanward_processor.windows.window import Window

_FEWEST_ROWS: Final = 30


class DominantClient:
    """Compare the busiest client's share of each window with the share the busiest client usually has.

    Who the busiest client is may change; only how far it stands above the others is learned, so that a flood by a client
    never seen before is as visible as one by an old acquaintance. The share is tested as a binomial count, one-sided,
    with the dispersion learned from earlier windows.

    Args:
        learning: What "ready" takes.
        decay: Factor per window by which older windows count less.

    Source:
        McCullagh and Nelder, "Generalized Linear Models", 2nd ed., 1989, section 4.5 (overdispersed binomial counts).

    Cost:
        Per row nothing beyond counting; per window and series about 1 us and one cell per client; per series 40 bytes.
    """

    name: ClassVar[str] = "dominant_client"

    def __init__(self, learning: Learning, decay: float) -> None:
        self.learning = learning
        self._decay = decay
        self._slots = Slots()
        self._dispersion = Dispersion(decay)  # by slot, as all that follows
        self._windows: Narrow = np.zeros(0, np.int32)
        self._top = np.zeros(0)  # decayed rows of the busiest client
        self._all = np.zeros(0)  # decayed rows
        nothing = np.empty(0, np.int64)
        self._answer = _Answer(nothing, nothing, np.empty(0), np.empty(0), np.empty(0), np.empty(0))

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        parts = gathered({"slots": self._slots, "dispersion": self._dispersion})
        return parts | copies({"windows": self._windows, "top": self._top, "all": self._all})

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        scattered({"slots": self._slots, "dispersion": self._dispersion}, arrays)
        self._windows, self._top, self._all = arrays["windows"], arrays["top"], arrays["all"]

    def test(self, window: Window, directory: KeyDirectory) -> Surprise:
        """Judge a window; see `Detector.test`."""
        clients = window.cells.of_features(Aspect.CLIENT)
        clients = clients.where(directory.parents()[clients.keys] == clients.keys)
        starts = clients.starts()[:-1]
        top = np.maximum.reduceat(clients.counts, starts) if starts.size else np.empty(0)
        rows = np.add.reduceat(clients.counts, starts) if starts.size else np.empty(0)
        enough = rows >= _FEWEST_ROWS
        streams, top, rows = clients.streams[starts][enough], top[enough], rows[enough]
        slots = self._slots.admit(streams)
        self._grow(len(self._slots))
        deviance = self._deviance(slots, top, rows)
        freedom = np.where(self._all[slots] >= _FEWEST_ROWS, 1.0, 0.0)
        self._answer = _Answer(streams, slots, deviance, freedom, top, rows)
        ready = (self._windows[slots] >= self.learning.windows) & (self._all[slots] >= self.learning.rows)
        return Surprise(streams[ready], self._dispersion.p_values(slots[ready], deviance[ready], freedom[ready]))

    def _grow(self, slots: int) -> None:
        self._dispersion.grow(slots)
        self._windows = grown(self._windows, slots)
        self._top, self._all = grown(self._top, slots), grown(self._all, slots)

    def _deviance(self, slots: Ints, top: Floats, rows: Floats) -> Floats:
        """Return (s,) float64 one-sided binomial deviance of the busiest client's rows."""
        weight = self._all[slots]
        usual = (self._top[slots] + 0.5) / (weight + 1.0)
        share = top / rows
        rest = np.maximum(1.0 - share, 1e-12)
        deviance = 2 * rows * (share * np.log(share / usual) + rest * np.log(rest / (1.0 - usual)))
        return np.where(share > usual, np.maximum(deviance, 0.0), 0.0) / (1 + rows / np.maximum(weight, 1.0))

    def learn(self, window: Window, held: Flags) -> None:  # noqa: ARG002 - it was kept by `test`
        """Learn the window just tested; see `Detector.learn`."""
        answer = self._answer
        free = ~held_among(held, answer.streams)
        slots = answer.slots[free]
        self._dispersion.learn(slots, answer.deviance[free], answer.freedom[free])
        self._windows[slots] += 1
        self._top[slots] = self._decay * self._top[slots] + answer.top[free]
        self._all[slots] = self._decay * self._all[slots] + answer.rows[free]

    def evict(self, gone: Flags) -> None:
        """Let go of keys; see `Detector.evict`."""
        slots = self._slots.evict(gone)
        self._dispersion.clear(slots)
        for array in (self._windows, self._top, self._all):
            cleared(array, slots)

    def explain(self, stream: int, window: Window, directory: KeyDirectory, text: Callable[[int], str]) -> Account:
        """Put a stream's deviation into words; see `Detector.explain`."""
        clients, slot = window.cells.stream(stream), self._slots.of(stream)
        key = stream >> FEATURE_BITS
        busiest = int(clients.bins[np.argmax(clients.counts)])
        rows = clients.total()
        usual = show_share(float(self._top[slot] / max(self._all[slot], 1.0)))
        observed = show_share(float(clients.counts.max()) / rows)
        per_second = clients.counts.max() / window.seconds
        return Account(
            kind="security",
            aspect=aspect_name(Aspect.CLIENT),
            observed=f"{observed} by one client, {per_second:,.0f}/s",
            baseline=f"{usual} by the busiest client",
            reason=(
                f"Client {text(busiest)} sends {observed} of the requests to {directory[key]}, {per_second:,.0f}/s; "
                f"the busiest client usually sends {usual}.{_repeated(key, window)}"
            ),
            n=round(rows),
            carriers=((stream, busiest),),
            technique=DENIAL_OF_AI_SERVICE,
            client="" if busiest == OTHER else text(busiest),
        )


def _repeated(key: int, window: Window) -> str:
    repeats = window.cells.stream(key << FEATURE_BITS | Aspect.REPEAT)
    if not len(repeats):
        return ""
    share = float(repeats.counts[repeats.bins == 1].sum()) / repeats.total()
    return f" {show_share(share)} of all inputs nearly repeat a recent one."


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a window was found to be, until it is learned; by series with enough rows.

    Args:
        streams: (s,) int64.
        slots: (s,) int64.
        deviance: (s,) float64.
        freedom: (s,) float64.
        top: (s,) float64 rows of the busiest client.
        rows: (s,) float64.
    """

    streams: Ints
    slots: Ints
    deviance: Floats
    freedom: Floats
    top: Floats
    rows: Floats
