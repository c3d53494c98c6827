"""The detectors, one method and one file each."""

from collections.abc import Callable
from typing import Final

from spanward_processor.detectors.base import Detector
from spanward_processor.detectors.baseline import Baseline
from spanward_processor.detectors.dominant_client import DominantClient
from spanward_processor.settings import Learning

__all__ = ["DETECTORS", "Baseline", "Detector", "DominantClient"]

DETECTORS: Final[tuple[Callable[[Learning, float], Detector], ...]] = (Baseline, DominantClient)
"""Every detector, in the order in which they are asked; a test compares this tuple with the folder."""
