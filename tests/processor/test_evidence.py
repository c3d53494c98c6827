"""Evidence that may be looked at after every window, and the budget it keeps."""

import numpy as np
import pytest

from spanward_processor.evidence import Dispersion, Evidence, calibrate, grown, log10_threshold, together
from spanward_processor.kernels.jit import Floats, Ints

SEED = 20_261_125
STREAMS = np.arange(1)


def fed(*p: float, threshold: float = 6.0) -> Evidence:
    """Return the evidence of one stream after windows with these p-values."""
    evidence = Evidence()
    evidence.grow(1)
    for value in p:
        evidence.add(STREAMS, np.array([value]), threshold)
    return evidence


def alarmed_of(evidence: Evidence, threshold: float = 6.0) -> Ints:
    """Return the slots whose evidence reaches a threshold."""
    slots = np.arange(evidence.suspicious(threshold).size)
    return slots[evidence.log10_e(slots) >= threshold]


def test_the_calibrator_is_an_e_value() -> None:
    """Under uniform p its mean is one, which is what makes it evidence."""
    log_p = np.linspace(-690.0, -1e-9, 1_000_001)
    mean = np.trapezoid(10.0 ** calibrate(np.exp(log_p)) * np.exp(log_p), log_p)

    assert mean == pytest.approx(1 - 1 / 690, abs=1e-4)  # the rest lies below the smallest p


def test_the_calibrator_falls_with_p_and_is_finite() -> None:
    """A smaller p is more evidence, from 0 to 1, both ends included."""
    log10_e = calibrate(np.array([0.0, 1e-300, 1e-10, 1e-3, 0.05, 0.5, 1 - 1e-9, 1.0]))

    assert np.isfinite(log10_e).all()
    assert (np.diff(log10_e) <= 1e-3).all()
    assert log10_e[-1] == pytest.approx(np.log10(0.5), abs=1e-3)


def test_a_quiet_stream_keeps_to_the_budget() -> None:
    """A thousand streams of uniform p-values cross the threshold no more often than the budget says."""
    print(f"seed {SEED}")
    rng, streams, windows, budget_per_day = np.random.default_rng(SEED), np.arange(1000), 4000, 50.0
    threshold = log10_threshold(streams.size, 10.0, budget_per_day)
    evidence, crossings = Evidence(), 0
    evidence.grow(streams.size)
    for _ in range(windows):
        evidence.add(streams, rng.random(streams.size), threshold)
        alarmed = alarmed_of(evidence, threshold)
        crossings += alarmed.size
        evidence.forget(alarmed)

    allowed = budget_per_day * windows * 10.0 / 86_400
    assert crossings <= allowed


def test_a_lasting_change_crosses_soon() -> None:
    """Windows with p = 0.001 cross a threshold of a million within a few windows, though none does alone."""
    evidence = fed(*[1e-3] * 5)

    assert alarmed_of(evidence).tolist() == [0]
    assert alarmed_of(fed(1e-3)).size == 0


@pytest.mark.parametrize("before", [(), (0.5,) * 50, (1.0,) * 50])
def test_one_wild_window_never_alarms_alone(before: tuple[float, ...]) -> None:
    """However small its p-value, a single window after quiet ones is not enough; a second one is."""
    assert alarmed_of(fed(*before, 0.0)).size == 0
    assert alarmed_of(fed(*before, 0.0, 0.0)).tolist() == [0]


def test_one_wild_window_is_not_learned() -> None:
    """A window that could be half of an alarm is suspicious at once."""
    assert fed(0.0).suspicious(6.0).tolist() == [True]
    assert fed(0.01).suspicious(6.0).tolist() == [False]


def test_evidence_does_not_outlast_its_cause() -> None:
    """After any number of wild windows, calm ones bring the evidence down in bounded time."""
    evidence = fed(*[0.0] * 1000)
    assert evidence.log10_e(STREAMS).tolist() == [12.0]

    for _ in range(40):
        evidence.add(STREAMS, np.array([1.0]), 6.0)

    assert evidence.log10_e(STREAMS)[0] < 0.5


def test_calm_windows_are_counted_in_a_row() -> None:
    """One unusual window starts the count anew."""
    assert fed(0.5, 0.5, 0.01, 0.5).calm_windows(STREAMS).tolist() == [1]


def test_dispersion_raises_the_bar_where_windows_always_scatter() -> None:
    """A deviance that is usual for a stream is no surprise there, and is one elsewhere."""
    dispersion = Dispersion(0.99)
    dispersion.grow(2)
    both, freedom = np.arange(2), np.full(2, 5.0)
    for _ in range(50):
        dispersion.learn(both, np.array([50.0, 5.0]), freedom)

    scattered, steady = dispersion.p_values(both, np.full(2, 50.0), freedom)

    assert scattered > 0.1
    assert steady < 1e-4


@pytest.mark.parametrize("uneven", [False, True])
def test_dispersion_is_exact_on_chi_squared_deviances(uneven: bool) -> None:
    """p-values of ideal deviances are uniform once enough was learned."""
    print(f"seed {SEED}")
    rng, streams, freedom = np.random.default_rng(SEED), np.arange(400), np.full(400, 4.0)
    dispersion, seen = Dispersion(1.0, uneven=uneven), list[Floats]()
    dispersion.grow(400)
    for window in range(200):
        deviance = rng.chisquare(4, 400)
        if window >= 100:
            seen.append(dispersion.p_values(streams, deviance, freedom))
        dispersion.learn(streams, deviance, freedom)
    p = np.concatenate(seen)

    assert np.mean(p < 0.01) == pytest.approx(0.01, abs=0.003)
    assert np.mean(p < 0.5) == pytest.approx(0.5, abs=0.03)


def test_nothing_tested_is_no_surprise() -> None:
    """Without degrees of freedom the p-value is 1."""
    dispersion = Dispersion(0.9)
    dispersion.grow(1)

    assert dispersion.p_values(STREAMS, np.zeros(1), np.zeros(1)).tolist() == [1.0]


def test_the_threshold_follows_from_the_budget() -> None:
    """Ten times the streams, or a tenth of the budget, takes ten times the evidence."""
    base = log10_threshold(100, 10.0, 1.0)

    assert base == pytest.approx(np.log10(100 * 8640))
    assert log10_threshold(1000, 10.0, 1.0) == pytest.approx(base + 1)
    assert log10_threshold(100, 10.0, 0.1) == pytest.approx(base + 1)


def test_growing_keeps_what_there_is() -> None:
    """Room is made for a quarter more; the old values stay and new ones have the given fill."""
    array = grown(np.array([1.0, 2.0]), 4, 9.0)

    assert array.tolist() == [1.0, 2.0, 9.0, 9.0, 9.0]
    assert grown(array, 2) is array


def test_evidence_of_several_detectors_is_averaged() -> None:
    """What two detectors hold against a stream counts by its mean; one that has never tested it does not count at all."""
    strong, weak, absent = Evidence(), Evidence(), Evidence()
    for evidence in (strong, weak, absent):
        evidence.grow(1)
    strong.take(STREAMS, np.array([0.01]), np.array([6.0]), 10.0)
    weak.take(STREAMS, np.array([0.5]), np.array([0.0]), 10.0)

    assert together((strong, weak, absent), STREAMS)[0] == pytest.approx(6 - np.log10(2), abs=1e-5)
    assert together((strong, absent), STREAMS)[0] == pytest.approx(6.0)


def test_a_detectors_own_evidence_is_taken_as_is() -> None:
    """It is neither calibrated nor added up, and calm is what is below half of an alarm."""
    evidence = Evidence()
    evidence.grow(1)
    evidence.take(STREAMS, np.array([0.9]), np.array([5.0]), 6.0)
    assert (evidence.log10_e(STREAMS).tolist(), evidence.calm_windows(STREAMS).tolist()) == ([5.0], [0])

    evidence.take(STREAMS, np.array([0.9]), np.array([2.0]), 6.0)
    assert (evidence.log10_e(STREAMS).tolist(), evidence.calm_windows(STREAMS).tolist()) == ([2.0], [1])
    assert evidence.p(0) == 0.9


def test_a_suspicion_that_leads_to_nothing_ends() -> None:
    """A stream that stays suspicious without an alarm is learned again, and anew suspicious once it was not."""
    evidence, half, calm = Evidence(), np.array([3.5]), np.array([0.0])
    evidence.grow(1)

    told: list[bool] = []
    for log10_e in [*[half] * 70, calm, half]:
        evidence.take(STREAMS, np.ones(1), log10_e, 6.0)
        told.append(bool(evidence.suspicious(6.0)[0]))

    assert told == [True] * 60 + [False] * 10 + [False, True]


def test_a_stream_with_wild_windows_now_and_then_is_not_surprising_by_one_more() -> None:
    """Of two streams whose deviances have the same mean, the one that has it from few windows is judged more mildly."""
    dispersion, both, one = Dispersion(0.995, uneven=True), np.arange(2), np.ones(2)
    dispersion.grow(2)
    for window in range(400):
        dispersion.learn(both, np.array([20.0 * (window % 20 == 0), 1.0]), one)

    wild, even = dispersion.p_values(both, np.full(2, 25.0), one)

    assert wild > 1e-3
    assert even < 1e-5
