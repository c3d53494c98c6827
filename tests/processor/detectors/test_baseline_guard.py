"""A baseline that is moved in small steps."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors import BaselineGuard
from spanward_processor.detectors.base import Account
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.testing.traffic import QUIET, Behaviour, Traffic

SEED = 20_261_126
WARM_UP = 150  # windows
CLEAR_P = 1e-4


def accounts(
    behave: Callable[[int], Behaviour], windows: int, *, held: bool = False, window_s: float = 10.0
) -> Iterator[tuple[int, Account]]:
    """Yield window number and account of every stream that is clearly beyond what is tolerated.

    Args:
        behave: How the world behaves, by number of the window after the quiet ones.
        windows: How many follow the quiet ones.
        held: Whether those are under alarm.
        window_s: Length of a window, seconds.
    """
    print(f"seed {SEED}")
    traffic, guard = Traffic(SEED, window_s=window_s), BaselineGuard(Learning(), 0.998)
    for number in range(-WARM_UP, windows):
        (window,) = traffic.windows(behave(number) if number >= 0 else QUIET, 1)
        surprise = guard.test(window, traffic.directory)
        for stream in surprise.streams[surprise.p < CLEAR_P].tolist():
            yield number, guard.explain(stream, window, traffic.directory, traffic.text)
        everything = np.full(len(traffic.directory) << FEATURE_BITS, held and number >= 0)
        guard.learn(window, everything)


@pytest.mark.parametrize(
    ("aspect", "behave"),
    [
        ("input_size", lambda number: replace(QUIET, longer=1.01 ** (number / 10))),
        ("latency", lambda number: replace(QUIET, slower=1.01 ** (number / 10))),
        ("score", lambda number: replace(QUIET, surer=0.99 ** (number / 5))),
        ("error", lambda number: replace(QUIET, error_ratio=0.01 * 1.01 ** (number / 5))),
        ("decision", lambda number: replace(QUIET, flipped=min(1.0, number / 800))),
    ],
    ids=["longer inputs", "slower answers", "lower scores", "more errors", "one class of a channel flipped"],
)
def test_a_ramp_is_found_before_it_has_doubled(aspect: str, behave: Callable[[int], Behaviour]) -> None:
    """A ramp that no window shows leads away from the anchor, whatever the baseline has learned of it."""
    found = next((account for _, account in accounts(behave, 690) if account.aspect == aspect), None)

    assert found is not None


def test_it_says_where_it_was_and_where_it_is() -> None:
    """The sentence names series, both values, and that the baseline is moved."""
    account = next(accounts(lambda number: replace(QUIET, longer=1.01 ** (number / 10)), 690))[1]

    assert account.reason.startswith(
        "The baseline itself is being moved, in steps too small to be noticed one by one: "
    )
    assert "support / router-0 1.0" in account.reason
    assert account.observed in account.reason
    assert account.baseline in account.reason


def test_a_tenth_more_or_less_is_no_ramp() -> None:
    """What strays no further than services do within their first day is as usual."""
    assert list(accounts(lambda number: replace(QUIET, longer=1 + 0.1 * np.sin(number / 50), slower=1.2), 300)) == []


def test_what_the_baselines_do_not_learn_does_not_move_them() -> None:
    """A sudden change under alarm is another detector's finding; nobody moves the baseline."""
    assert list(accounts(lambda _: replace(QUIET, longer=6.0), 120, held=True)) == []


def test_decisions_of_the_night_are_told_twice() -> None:
    """What is gone by the morning on two days is a rhythm, though it is at the border of what is tolerated for hours."""
    day = 720  # windows of two minutes

    def night(number: int) -> Behaviour:
        swing = np.sin(2 * np.pi * (number + WARM_UP) / day)
        return replace(QUIET, rate_per_s=4.0, flipped=float(np.clip(1.5 * swing, 0.0, 1.0)))

    days = {
        number // day for number, account in accounts(night, 4 * day, window_s=120.0) if account.aspect == "decision"
    }

    assert days == {0, 1}
