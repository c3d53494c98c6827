"""What detectors of rows say: a row that does not fit, a correlation that breaks, and models fitted in the background."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn import kernel_approximation, linear_model

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors.base import Detector
from spanward_processor.detectors.correlation import Correlation
from spanward_processor.detectors.fitted import FittedRows
from spanward_processor.detectors.isolation_forest import IsolationForest
from spanward_processor.detectors.mahalanobis import Mahalanobis
from spanward_processor.detectors.one_class_svm import LANDMARKS, OneClassSVM, decision
from spanward_processor.features import Aspect, Rows
from spanward_processor.kernels.binning import exponential_bin
from spanward_processor.kernels.tables import FEATURE_BITS, MISSING
from spanward_processor.testing.traffic import DISTURBANCES, QUIET, Behaviour, Traffic

SEED = 20_261_126
KERNELS: Any = kernel_approximation  # which has no types
LINEAR: Any = linear_model
LEARNING = Learning(windows=30, rows=300)
WARM_UP = 120


def learned(detector: Detector, traffic: Traffic, windows: int = WARM_UP) -> None:
    """Let a detector learn quiet windows."""
    for window in traffic.windows(QUIET, windows):
        detector.test(window, traffic.directory)
        detector.learn(window, np.zeros(len(traffic.directory) << FEATURE_BITS, bool))


def reason(detector: Detector, traffic: Traffic, behaviour: Behaviour) -> str:
    """Return what a detector says of the stream that surprises it most."""
    window = next(traffic.windows(behaviour, 1))
    surprise = detector.test(window, traffic.directory)
    stream = int(surprise.streams[np.argmin(surprise.p)])
    return detector.explain(stream, window, traffic.directory, traffic.text).reason


@pytest.fixture(scope="module")
def quiet() -> tuple[Mahalanobis, Traffic]:
    """Return a detector that has learned, and its traffic."""
    print(f"seed {SEED}")
    detector, traffic = Mahalanobis(LEARNING, 0.999), Traffic(SEED)
    learned(detector, traffic)
    return detector, traffic


def row(traffic: Traffic, latency_s: float, length: float) -> Rows:
    """Return one row of the traffic's series with the given numbers."""
    rows = traffic.rows(QUIET)
    bins = rows.bins[:, :1].copy()
    bins[Aspect.LATENCY], bins[Aspect.INPUT_SIZE] = exponential_bin(latency_s), exponential_bin(length)
    bins[Aspect.SCORE] = 115
    return Rows(rows.keys[:, :1].copy(), bins, rows.time_ns[:1], rows.traces[:1])


def test_numbers_that_do_not_go_together_are_surprising(quiet: tuple[Mahalanobis, Traffic]) -> None:
    """A latency and a length that are usual each by itself, but not together, have a small p-value; a usual pair has none."""
    detector, traffic = quiet

    usual = detector.score(row(traffic, 0.002 + 33 * 0.0004, 33))[0]
    odd = detector.score(row(traffic, 0.002 + 100 * 0.0004, 15))[0]

    assert usual > 0.2
    assert odd < 0.002


def test_rows_without_a_learned_series_have_no_opinion(quiet: tuple[Mahalanobis, Traffic]) -> None:
    """A row of no series, of an unknown one, and one that says nothing are not surprising."""
    detector, traffic = quiet
    for key in (-1, 10_000):
        strange = row(traffic, 1e3, 1)
        strange.keys[0] = key
        assert detector.score(strange)[0] == 1.0
    silent = row(traffic, 1.0, 1.0)
    silent.bins[:] = MISSING
    assert detector.score(silent)[0] > 0.5


def test_the_row_that_fits_least_is_told_by_what_the_others_let_expect(quiet: tuple[Mahalanobis, Traffic]) -> None:
    """The finding says how many rows are outlying, and names the number, its value, how many times more it is, and for what."""
    detector, traffic = quiet

    told = reason(detector, traffic, DISTURBANCES["contrary latency"])

    assert "sampled rows outlying" in told
    assert "what is expected for" in told
    assert "latency" in told
    assert "input size" in told


def test_a_broken_correlation_is_told_by_both_numbers() -> None:
    """Latency that falls with length, having followed it, is found and said."""
    print(f"seed {SEED}")
    detector, traffic = Correlation(LEARNING, 0.999), Traffic(SEED)
    learned(detector, traffic)

    told = reason(detector, traffic, DISTURBANCES["contrary latency"])

    assert told.startswith(
        "Latency and input size of support / router-0 1.0 now go against each other: correlation -0."
    )


def test_a_correlation_is_not_broken_by_a_flood() -> None:
    """More of the same rows changes no correlation."""
    print(f"seed {SEED}")
    detector, traffic = Correlation(LEARNING, 0.999), Traffic(SEED)
    learned(detector, traffic)

    for window in traffic.windows(DISTURBANCES["flood"], 10):
        assert detector.test(window, traffic.directory).p.min() > 1e-4


@pytest.mark.parametrize("factory", [IsolationForest, OneClassSVM])
def test_models_fitted_in_the_background_say_that_they_saw_a_sample(factory: type[FittedRows]) -> None:
    """The finding counts sampled rows, and names a number of the oddest with the middle of the others."""
    print(f"seed {SEED}")
    detector, traffic = factory(LEARNING, 0.999), Traffic(SEED)
    learned(detector, traffic)

    told = reason(detector, traffic, replace(QUIET, longer=20.0))

    assert re.search(r"\d+ of \d+ sampled rows outlying", told)
    assert "The oddest has" in told


def test_decision_equals_the_library() -> None:
    """Our two products give what scikit-learn's Nystroem and SGDOneClassSVM give, fitted from the same seed."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    rows = rng.normal(0, 20, (512, 6)).astype(np.float32)
    model = OneClassSVM.fit(rows, SEED)
    random = np.random.RandomState(SEED)
    scaled = (rows - rows.mean(axis=0, dtype=np.float64)) / rows.std(axis=0, dtype=np.float64)
    nystroem = KERNELS.Nystroem(gamma=1 / 6, n_components=LANDMARKS, random_state=random)
    machine = LINEAR.SGDOneClassSVM(nu=0.05, random_state=random).fit(nystroem.fit_transform(scaled))

    expected = machine.decision_function(nystroem.transform(scaled))

    np.testing.assert_allclose(decision(model, rows), expected, atol=1e-9)
