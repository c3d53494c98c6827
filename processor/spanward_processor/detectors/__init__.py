"""The detectors, one method and one file each."""

from collections.abc import Callable
from typing import Final

from spanward_processor.detectors.base import Detector
from spanward_processor.detectors.baseline import Baseline
from spanward_processor.detectors.baseline_guard import BaselineGuard
from spanward_processor.detectors.change import Change
from spanward_processor.detectors.dominant_client import DominantClient
from spanward_processor.detectors.drift import Drift
from spanward_processor.detectors.novelty import Novelty
from spanward_processor.settings import Learning

__all__ = [
    "DETECTORS",
    "Baseline",
    "BaselineGuard",
    "Change",
    "Detector",
    "DominantClient",
    "Drift",
    "Novelty",
    "panel",
]

DETECTORS: Final[tuple[Callable[[Learning, float], Detector], ...]] = (
    Baseline,
    Change,
    DominantClient,
    BaselineGuard,
    Drift,
    Novelty,
)
"""Every detector, in the order in which they are asked; a test compares this tuple with the folder."""


def panel(learning: Learning, decay: float) -> tuple[Detector, ...]:
    """Return one of every detector for one judge, in the order in which they are asked; what is usual is learned once.

    Args:
        learning: What "ready" takes.
        decay: Factor per window by which older windows count less.
    """
    baseline = Baseline(learning, decay)
    readers: dict[Callable[[Learning, float], Detector], Detector] = {
        Baseline: baseline,
        Change: Change(learning, decay, baseline),
    }
    return tuple(readers.get(build) or build(learning, decay) for build in DETECTORS)
