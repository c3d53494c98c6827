"""Requests on their way add keys while a window is judged."""

from typing import Any, cast

import numpy as np
import pytest

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors import DETECTORS
from spanward_processor.kernels.jit import Ints
from spanward_processor.keys import KeyDirectory
from spanward_processor.testing.checks import Factory
from spanward_processor.testing.traffic import QUIET, Traffic

SEED = 20_261_125


class Growing:
    """A directory in which another thread adds a thousand keys between any two looks."""

    def __init__(self, directory: KeyDirectory) -> None:
        self._directory = directory
        self._added = 0

    def __len__(self) -> int:
        """Return one more thousand keys each time."""
        self._added += 1_000
        return len(self._directory) + self._added

    def parents(self) -> Ints:
        """Return each key's series; the added ones are their own."""
        parents = self._directory.parents()
        return np.concatenate((parents, np.arange(parents.size, len(self))))

    def attributes(self) -> Ints:
        """Return what slices each key; nothing slices the added ones."""
        attributes = self._directory.attributes()
        return np.concatenate((attributes, np.full(len(self) - attributes.size, -1)))


@pytest.mark.parametrize("factory", DETECTORS, ids=lambda factory: factory.name)
def test_keys_added_meanwhile_do_no_harm(factory: Factory) -> None:
    """A detector judges and learns a window although the directory grows under its hands."""
    traffic, detector = Traffic(SEED), factory(Learning(windows=2, rows=30), 0.999)
    directory = cast("Any", Growing(traffic.directory))
    judged = 0
    for window in traffic.windows(QUIET, 150):
        judged += detector.test(window, directory).streams.size
        detector.learn(window, np.zeros(0, bool))
        if judged:
            break

    assert judged > 0
