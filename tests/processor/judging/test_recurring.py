"""What comes at the same time of day again and again."""

import pytest

from spanward_processor.features import Aspect
from spanward_processor.findings import Series
from spanward_processor.judging.recurring import Recurring, likewise

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
DAY_NS = 86_400 * SECOND_NS
NIGHT_NS = 1_700_000_000 * SECOND_NS
ROUTER = Series("support", "router", "1.0")


def noted(*times_ns: int, last: Series = ROUTER) -> int:
    """Return what is said of the last of some findings about the router's rate."""
    recurring = Recurring()
    for time_ns in times_ns[:-1]:
        recurring.note(ROUTER, Aspect.RATE, time_ns)
    return recurring.note(last, Aspect.RATE, times_ns[-1])


def nights(*numbers: int, late_ns: int = 0) -> list[int]:
    """Return the same time of some nights, the last one later or earlier."""
    times_ns = [NIGHT_NS + number * DAY_NS for number in numbers]
    return [*times_ns[:-1], times_ns[-1] + late_ns]


def test_a_nightly_job_is_known_on_its_third_night() -> None:
    """Each earlier night counts once, however many findings it had."""
    assert noted(*nights(0)) == 0
    assert noted(*nights(0, 1)) == 1
    assert noted(*nights(0, 0, 1, 1, 2)) == 2


@pytest.mark.parametrize(("late_ns", "days"), [(29 * MINUTE_NS, 2), (-29 * MINUTE_NS, 2), (31 * MINUTE_NS, 0)])
def test_about_the_same_time_is_half_an_hour(late_ns: int, days: int) -> None:
    """A job that begins a little earlier or later is the same; what comes at another time is not."""
    assert noted(*nights(0, 1, 2, late_ns=late_ns)) == days


def test_what_comes_weekly_is_known_too() -> None:
    """Three Mondays ago, and the two since."""
    assert noted(*nights(0, 7, 14, 21)) == 3


def test_what_was_long_ago_is_forgotten() -> None:
    """Only four weeks count."""
    assert noted(*nights(0, 1, 29)) == 0
    assert noted(*nights(0, 1, 28)) == 1


def test_what_opens_again_within_the_hour_does_not_count() -> None:
    """A finding that comes and goes is not usual at this time of day."""
    assert noted(NIGHT_NS, NIGHT_NS + 10 * MINUTE_NS, NIGHT_NS + 20 * MINUTE_NS) == 0


def test_what_comes_and_goes_does_not_push_out_other_days() -> None:
    """A finding that opens again and again for an hour of one night takes the place of few others."""
    flapping = [NIGHT_NS + 2 * DAY_NS + minute * MINUTE_NS for minute in range(90)]

    assert noted(*nights(0, 1), *flapping, NIGHT_NS + 3 * DAY_NS) == 3


def test_a_deployment_does_not_begin_anew() -> None:
    """The next version of a model does at night what the one before did; another model does not."""
    assert noted(*nights(0, 1, 2), last=Series("support", "router", "2.0")) == 2
    assert noted(*nights(0, 1, 2), last=Series("support", "other", "1.0")) == 0


def test_other_features_do_not_count() -> None:
    """Slow each night and failing for once are two things."""
    recurring = Recurring()
    for time_ns in nights(0, 1):
        recurring.note(ROUTER, Aspect.LATENCY, time_ns)

    assert recurring.note(ROUTER, Aspect.ERROR, NIGHT_NS + 2 * DAY_NS) == 0


def test_how_much_is_remembered_is_bounded() -> None:
    """Of more than a thousand the one that was noted longest ago is forgotten, and of each no more than 64 times are kept."""
    recurring = Recurring()
    for number in range(1_001):
        recurring.note(Series("support", f"model-{number}", ""), Aspect.RATE, NIGHT_NS)
    for minute in range(100):
        recurring.note(ROUTER, Aspect.RATE, NIGHT_NS + minute * MINUTE_NS)

    assert recurring.note(Series("support", "model-0", ""), Aspect.RATE, NIGHT_NS + DAY_NS) == 0
    assert recurring.note(Series("support", "model-900", ""), Aspect.RATE, NIGHT_NS + DAY_NS) == 1
    assert recurring.arrays()["times"].size < 120_000


def test_it_is_known_after_a_restart() -> None:
    """Who takes back what another kept counts its nights."""
    recurring, other = Recurring(), Recurring()
    for time_ns in nights(0, 1):
        recurring.note(ROUTER, Aspect.RATE, time_ns)
    other.restore(recurring.arrays())

    assert other.note(ROUTER, Aspect.RATE, NIGHT_NS + 2 * DAY_NS) == 2


def test_once_is_not_told() -> None:
    """One other day may be chance."""
    assert likewise(1) == ""
    assert likewise(2) == " Findings about it opened at about this time on 2 of the 28 days before."
