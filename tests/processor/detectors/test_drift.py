"""A distribution whose shape is no longer what it was."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors.base import Account
from spanward_processor.detectors.drift import Drift
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.testing.traffic import QUIET, Behaviour, Traffic

SEED = 20_261_126
WARM_UP = 150  # windows
CLEAR_P = 1e-4


def accounts(
    behave: Callable[[int], Behaviour], windows: int, *, window_s: float = 10.0
) -> Iterator[tuple[int, Account]]:
    """Yield window number and account of every stream that has clearly drifted.

    Args:
        behave: How the world behaves, by number of the window after the quiet ones.
        windows: How many follow the quiet ones.
        window_s: Length of a window, seconds.
    """
    print(f"seed {SEED}")
    traffic, drift = Traffic(SEED, window_s=window_s), Drift(Learning(), 0.998)
    for number in range(-WARM_UP, windows):
        (window,) = traffic.windows(behave(number) if number >= 0 else QUIET, 1)
        surprise = drift.test(window, traffic.directory)
        for stream in surprise.streams[surprise.p < CLEAR_P].tolist():
            yield number, drift.explain(stream, window, traffic.directory, traffic.text)
        drift.learn(window, np.zeros(0, bool))


@pytest.mark.parametrize(
    ("aspect", "behave"),
    [
        ("input_size", lambda number: replace(QUIET, longer=2.0 if number % 2 else 0.5)),
        ("score", lambda number: replace(QUIET, surer=3.0 if number % 2 else 0.5)),
        ("decision", lambda _: replace(QUIET, flipped=1.0)),
    ],
    ids=["inputs short and long", "scores low and high", "one class of a channel flipped"],
)
def test_another_shape_is_a_drift(aspect: str, behave: Callable[[int], Behaviour]) -> None:
    """A distribution that became wider, or another mix, is found though its mean is what it was."""
    assert aspect in {account.aspect for _, account in accounts(behave, 61)}


def test_a_difference_that_matters_to_nobody_is_none() -> None:
    """Five percent on every length are significant with five thousand rows, and no news."""
    assert list(accounts(lambda _: replace(QUIET, longer=1.05, slower=1.05), 91)) == []


def test_it_says_which_bins_moved_and_how_far() -> None:
    """The sentence names what gained and lost, and the customary measures."""
    found = {
        account.aspect: account.reason for _, account in accounts(lambda _: replace(QUIET, longer=2.0, flipped=1.0), 31)
    }

    assert "support / router-0 1.0" in found["input_size"]
    assert " of rows between " in found["input_size"]
    for measure in ("PSI", "Jensen-Shannon", "Wasserstein"):
        assert measure in found["input_size"]
    assert "'billing'" in found["decision"]
    assert "Wasserstein" not in found["decision"]  # decisions have no distance


def test_what_comes_every_day_at_this_hour_is_usual() -> None:
    """A series whose shape returns with the hour drifts on the first day, while nobody knows, and no more on the second."""
    hour, day = 30, 720  # windows of two minutes

    def night(number: int) -> Behaviour:
        return replace(QUIET, rate_per_s=4.0, longer=3.0 if (number + WARM_UP) // hour % 24 >= 16 else 1.0)

    found = [number for number, account in accounts(night, 2 * day, window_s=120.0) if "[" not in account.reason]

    assert found
    assert max(found) < day


def test_what_slices_do_every_night_is_told_once() -> None:
    """A slice has no yesterday, but a length that went and came back within a day may do so again; the first day says that it is one."""
    hour, day = 30, 720  # windows of two minutes

    def night(number: int) -> Behaviour:
        return replace(QUIET, rate_per_s=4.0, longer=3.0 if (number + WARM_UP) // hour % 24 >= 16 else 1.0)

    found = [each for each in accounts(night, 3 * day, window_s=120.0) if "[" in each[1].reason]

    assert found
    assert max(number for number, _ in found) < day
    assert all(account.reason.endswith("this may be what it does every day.") for _, account in found)


def test_rows_that_wait_for_more_go_with_their_key() -> None:
    """Of a key that never had enough rows for an anchor nothing waits for ever; the rows of another one go on waiting."""
    print(f"seed {SEED}")
    traffic, detector = Traffic(SEED, models=2), Drift(Learning(), 0.999)
    for window in traffic.windows(QUIET, 15):
        detector.test(window, traffic.directory)
        detector.learn(window, np.zeros(0, bool))
    gone, others = traffic.keys_of(0), traffic.keys_of(1)
    before = detector.arrays()["lessons.bag.streams"] >> FEATURE_BITS
    detector.evict(gone)
    after = detector.arrays()["lessons.bag.streams"] >> FEATURE_BITS

    assert gone[before].any()
    assert not gone[after].any()
    assert others[after].sum() == others[before].sum() > 0
