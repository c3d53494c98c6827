"""What a detector says of a window: how likely each stream's rows are while nothing has changed."""

from dataclasses import dataclass

from spanward_processor.kernels.jit import Floats, Ints


@dataclass(frozen=True, slots=True)
class Surprise:
    """What one detector says of one window.

    A detector that speaks in p-values alone leaves it to the judge to turn them into evidence and to accumulate that. One
    that can do better brings its own: an e-detector per stream, which while nothing changes has, at any stopping time, a
    mean of at most the number of windows until then.

    Args:
        streams: (s,) int64 streams it has tested, each once, ascending.
        p: (s,) float64 p-value of each: how likely so unusual a window is while nothing has changed.
        log10_e: (s,) float64 running value of its own e-detector of each, log10; None where it has none. What one window
            adds must be bounded, so that one wild window never alarms alone.

    Source:
        Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for sequential change detection", 2023.
    """

    streams: Ints
    p: Floats
    log10_e: Floats | None = None
