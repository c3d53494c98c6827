"""The detectors, one method and one file each."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Final

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors.association import Association
from spanward_processor.detectors.base import Detector
from spanward_processor.detectors.baseline import Baseline
from spanward_processor.detectors.baseline_guard import BaselineGuard
from spanward_processor.detectors.change import Change
from spanward_processor.detectors.correlation import Correlation
from spanward_processor.detectors.dominant_client import DominantClient
from spanward_processor.detectors.drift import Drift
from spanward_processor.detectors.isolation_forest import IsolationForest
from spanward_processor.detectors.mahalanobis import Mahalanobis
from spanward_processor.detectors.novelty import Novelty
from spanward_processor.detectors.one_class_svm import OneClassSVM
from spanward_processor.detectors.surge import Surge

__all__ = ["DETECTORS", "FITTED", "Baseline", "BaselineGuard", "Change", "Detector", "DominantClient", "panel"]

FITTED: Final[tuple[Callable[[Learning, float], Detector], ...]] = (
    (IsolationForest, OneClassSVM) if find_spec("sklearn") else ()
)
"""The detectors whose models scikit-learn fits; none where it is not installed."""

DETECTORS: Final[tuple[Callable[[Learning, float], Detector], ...]] = (
    Baseline,
    Change,
    Surge,
    DominantClient,
    BaselineGuard,
    Drift,
    Novelty,
    Mahalanobis,
    Correlation,
    Association,
    *FITTED,
)
"""Every detector, in the order in which they are asked; a test compares this tuple with the folder."""


def panel(learning: Learning, decay: float, *, fitted: bool = True) -> tuple[Detector, ...]:
    """Return one of every detector for one judge, in the order in which they are asked; what is usual is learned once.

    Args:
        learning: What "ready" takes.
        decay: Factor per window by which older windows count less.
        fitted: Whether those of `FITTED` are asked too.
    """
    baseline = Baseline(learning, decay)
    mahalanobis = Mahalanobis(learning, decay)
    drift = Drift(learning, decay, baseline.calendar, baseline.quorum)
    readers: dict[Callable[[Learning, float], Detector], Detector] = {
        Baseline: baseline,
        Change: Change(learning, decay, baseline),
        Surge: Surge(learning, decay, baseline),
        BaselineGuard: BaselineGuard(learning, decay, drift.lessons),
        Drift: drift,
        Mahalanobis: mahalanobis,
        Correlation: Correlation(learning, decay, mahalanobis.waiting),
    }
    asked = [build for build in DETECTORS if fitted or build not in FITTED]
    return tuple(readers.get(build) or build(learning, decay) for build in asked)
