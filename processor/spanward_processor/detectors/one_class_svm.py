"""Rows that lie outside of the region in which nearly all others lie."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors.fitted import MOST_SERIES, FittedRows
from spanward_processor.features import NUMBERS
from spanward_processor.kept import Arrays
from spanward_processor.kernels.jit import Floats, Ints, Singles

LANDMARKS: Final = 64
_OUTSIDE: Final = 0.05  # share of the rows that may lie outside


class OneClassSVM(FittedRows):
    """Count the sampled rows of a window that lie outside of a one-class support vector machine's region.

    scikit-learn fits a linear machine by stochastic gradient descent on Nystroem's approximation of the Gaussian kernel, to the
    newest 512 sampled rows of a series, in the background, every sixty windows. Rows are scored by two matrix products. Only
    sampled rows are scored, at most 32 of a window and series, of the first 16 series that have so many. Without scikit-learn there is
    no such detector.

    Args:
        learning: What "ready" takes.
        decay: Factor per window by which older windows count less.

    Source:
        Schölkopf et al., "Estimating the support of a high-dimensional distribution", Neural Computation 13 (2001); Williams and
        Seeger, "Using the Nyström method to speed up kernel machines", NIPS 2000.

    Cost:
        Per row nothing, per sampled row about 2 us, so at most 512 of them in a window; per series 5 kB, and 0.02 s of another
        thread for each fit.
    """

    name: ClassVar[str] = "one_class_svm"
    joint: ClassVar[bool] = True

    def __init__(self, learning: Learning, decay: float) -> None:
        super().__init__(learning, decay)
        self._models: Arrays = {
            "centre": np.zeros((MOST_SERIES, NUMBERS.size)),
            "scale": np.ones((MOST_SERIES, NUMBERS.size)),
            "landmarks": np.zeros((MOST_SERIES, LANDMARKS, NUMBERS.size)),
            "weights": np.zeros((MOST_SERIES, LANDMARKS)),
            "offset": np.zeros((MOST_SERIES, 1)),
        }

    @staticmethod
    def fit(rows: Singles, seed: int) -> Arrays:
        """Return the machine that scikit-learn fits; see `FittedRows.fit`."""
        from sklearn import kernel_approximation, linear_model

        kernels: Any = kernel_approximation
        linear: Any = linear_model
        random = np.random.RandomState(seed % (1 << 32))
        centre, scale = rows.mean(axis=0, dtype=np.float64), np.maximum(rows.std(axis=0, dtype=np.float64), 1.0)
        gamma = 1.0 / rows.shape[1]
        nystroem = kernels.Nystroem(gamma=gamma, n_components=LANDMARKS, random_state=random)
        mapped = nystroem.fit_transform((rows - centre) / scale)
        machine = linear.SGDOneClassSVM(nu=_OUTSIDE, random_state=random).fit(mapped)
        return {
            "centre": centre,
            "scale": scale,
            "landmarks": np.asarray(nystroem.components_),
            "weights": np.asarray(nystroem.normalization_.T @ machine.coef_.ravel()),
            "offset": np.asarray(machine.offset_).ravel(),
        }

    def adopt(self, slot: int, model: Arrays) -> None:
        """Use a new machine; see `FittedRows.adopt`."""
        for name, array in model.items():
            self._models[name][slot] = array

    def scores(self, starts: Ints, rows: Singles, slots: Ints) -> Floats:
        """Return on which side of the region rows lie, and how far; see `FittedRows.scores`."""
        found = np.empty(len(rows))
        for at, slot in enumerate(slots.tolist()):
            first, last = int(starts[at]), int(starts[at + 1])
            found[first:last] = decision({name: array[slot] for name, array in self._models.items()}, rows[first:last])
        return found

    def models(self) -> Arrays:
        """Return all machines; see `FittedRows.models`."""
        return self._models

    def restore_models(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take all machines back; see `FittedRows.restore_models`."""
        self._models = dict(arrays)


def decision(model: Arrays, rows: Singles) -> Floats:
    """Return (n,) float64 what `SGDOneClassSVM.decision_function` says of rows.

    Args:
        model: As `OneClassSVM.fit` gives.
        rows: (n, d) float32.
    """
    x = (rows - model["centre"]) / model["scale"]
    apart = ((x[:, None, :] - model["landmarks"]) ** 2).sum(axis=2)
    return np.asarray(np.exp(-apart / rows.shape[1]) @ model["weights"] - model["offset"])
