"""One client that takes over a series."""

from collections.abc import Callable
from typing import ClassVar, Final

import numpy as np

from spanward_processor.atlas import DENIAL_OF_AI_SERVICE
from spanward_processor.cells import Cells
from spanward_processor.detectors.base import Account, Surprise, aspect_name
from spanward_processor.evidence import Dispersion, grown
from spanward_processor.features import Aspect, Rows, show_share
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.keys import KeyDirectory
from spanward_processor.settings import Learning
from spanward_processor.windows import Window

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
        Per row nothing beyond counting; per window and series about 1 us and one cell per client; per series 50 bytes.
    """

    name: ClassVar[str] = "dominant_client"

    def __init__(self, learning: Learning, decay: float) -> None:
        self._learning = learning
        self._decay = decay
        self._dispersion = Dispersion(decay)
        self._windows = np.zeros(0, np.int64)
        self._top = np.zeros(0)  # decayed rows of the busiest client, by stream
        self._all = np.zeros(0)  # decayed rows, by stream
        self._clients = Cells.empty()
        self._repeats = Cells.empty()
        self._answer: tuple[Ints, Floats, Floats, Floats, Floats] = (
            np.empty(0, np.int64),
            np.empty(0),
            np.empty(0),
            np.empty(0),
            np.empty(0),
        )

    def test(self, window: Window, directory: KeyDirectory) -> Surprise:
        """Judge a window; see `Detector.test`."""
        self._grow(len(directory) << FEATURE_BITS)
        whole = directory.parents()[window.cells.keys] == window.cells.keys
        self._clients = window.cells.where(whole & (window.cells.features == Aspect.CLIENT))
        self._repeats = window.cells.where(whole & (window.cells.features == Aspect.REPEAT))
        starts = self._clients.starts()[:-1]
        streams = self._clients.streams[starts]
        top = np.maximum.reduceat(self._clients.counts, starts) if starts.size else np.empty(0)
        rows = np.add.reduceat(self._clients.counts, starts) if starts.size else np.empty(0)
        enough = rows >= _FEWEST_ROWS
        streams, top, rows = streams[enough], top[enough], rows[enough]
        deviance = self._deviance(streams, top, rows)
        freedom = np.where(self._all[streams] >= _FEWEST_ROWS, 1.0, 0.0)
        self._answer = (streams, deviance, freedom, top, rows)
        ready = (self._windows[streams] >= self._learning.windows) & (self._all[streams] >= self._learning.rows)
        return Surprise(streams[ready], self._dispersion.p_values(streams[ready], deviance[ready], freedom[ready]))

    def _grow(self, streams: int) -> None:
        self._dispersion.grow(streams)
        self._windows = grown(self._windows, streams)
        self._top, self._all = grown(self._top, streams), grown(self._all, streams)

    def _deviance(self, streams: Ints, top: Floats, rows: Floats) -> Floats:
        """Return (s,) float64 one-sided binomial deviance of the busiest client's rows."""
        weight = self._all[streams]
        usual = (self._top[streams] + 0.5) / (weight + 1.0)
        share = top / rows
        rest = np.maximum(1.0 - share, 1e-12)
        deviance = 2 * rows * (share * np.log(share / usual) + rest * np.log(rest / (1.0 - usual)))
        return np.where(share > usual, np.maximum(deviance, 0.0), 0.0) / (1 + rows / np.maximum(weight, 1.0))

    def learn(self, window: Window, held: Flags) -> None:  # noqa: ARG002 - it was kept by `test`
        """Learn the window just tested; see `Detector.learn`."""
        streams, deviance, freedom, top, rows = self._answer
        free = ~grown(held.astype(np.int64), self._windows.size).astype(bool)[streams]
        streams = streams[free]
        self._dispersion.learn(streams, deviance[free], freedom[free])
        self._windows[streams] += 1
        self._top[streams] = self._decay * self._top[streams] + top[free]
        self._all[streams] = self._decay * self._all[streams] + rows[free]

    def score(self, rows: Rows) -> Floats:
        """Return ones: a single row says nothing about its client's share."""
        return np.ones(len(rows))

    def explain(self, stream: int, window: Window, directory: KeyDirectory, text: Callable[[int], str]) -> Account:
        """Put a stream's deviation into words; see `Detector.explain`."""
        clients = self._clients.stream(stream)
        key = stream >> FEATURE_BITS
        busiest = int(clients.bins[np.argmax(clients.counts)])
        rows = clients.total()
        usual = show_share(float(self._top[stream] / max(self._all[stream], 1.0)))
        observed = show_share(float(clients.counts.max()) / rows)
        per_second = clients.counts.max() / window.seconds
        return Account(
            kind="security",
            aspect=aspect_name(Aspect.CLIENT),
            observed=f"{observed} by one client, {per_second:,.0f}/s",
            baseline=f"{usual} by the busiest client",
            reason=(
                f"Client {text(busiest)} sends {observed} of the requests to {directory[key]}, {per_second:,.0f}/s; "
                f"the busiest client usually sends {usual}.{self._repeated(key)}"
            ),
            n=round(rows),
            carriers=((stream, busiest),),
            technique=DENIAL_OF_AI_SERVICE,
        )

    def _repeated(self, key: int) -> str:
        repeats = self._repeats.stream(key << FEATURE_BITS | Aspect.REPEAT)
        if not len(repeats):
            return ""
        share = float(repeats.counts[repeats.bins == 1].sum()) / repeats.total()
        return f" {show_share(share)} of all inputs nearly repeat a recent one."
