"""Periods that follow the calendar."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanward_processor.slo.calendar import Calendar, calendar_of

SECOND_NS = 1_000_000_000


def ns(text: str, zone: str = "Europe/Paris") -> int:
    """Return a time on the clocks of a place as Unix nanoseconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * SECOND_NS


def period(duration: str, first: str, now: str, zone: str = "Europe/Paris") -> tuple[datetime, datetime]:
    """Return the period that a moment lies in, on the clocks of the place."""
    found = calendar_of(duration, datetime.fromisoformat(first), zone).period_ns(ns(now, zone))
    begin, end = (datetime.fromtimestamp(at / SECOND_NS, ZoneInfo(zone)).replace(tzinfo=None) for at in found)
    return begin, end


@pytest.mark.parametrize(
    ("duration", "first", "now", "begin", "end"),
    [
        ("1M", "2026-01-01", "2026-03-31T23:59:59", "2026-03-01", "2026-04-01"),  # clocks are set on the 29th
        ("1M", "2026-01-01", "2026-04-01", "2026-04-01", "2026-05-01"),
        ("1M", "2026-01-31", "2026-03-01", "2026-02-28", "2026-03-31"),
        ("1Q", "2026-01-01T06:00", "2026-04-01T05:00", "2026-01-01T06:00", "2026-04-01T06:00"),
        ("1w", "2026-01-05", "2026-03-29T12:00", "2026-03-23", "2026-03-30"),
        ("2d", "2026-01-01", "2025-12-31T12:00", "2025-12-30", "2026-01-01"),
        ("1Y", "2024-02-29", "2026-01-01", "2025-02-28", "2026-02-28"),
    ],
)
def test_periods_are_those_of_the_clocks_on_the_wall(duration: str, first: str, now: str, begin: str, end: str) -> None:
    """Months have their own lengths, a day of which clocks are set is a day, and short months end on their last day."""
    assert period(duration, first, now) == (datetime.fromisoformat(begin), datetime.fromisoformat(end))


def test_hours_do_not_follow_clocks_that_are_set() -> None:
    """Twelve hours are twelve hours also in the night that has eleven."""
    begin, end = calendar_of("12h", datetime.fromisoformat("2026-03-28"), "Europe/Paris").period_ns(
        ns("2026-03-29T04:00")
    )

    assert end - begin == 12 * 3600 * SECOND_NS


@given(
    st.datetimes(datetime.fromisoformat("2000-01-01"), datetime.fromisoformat("2040-01-01")).map(
        lambda at: at.replace(microsecond=0)
    ),
    st.integers(1, 40),
    st.sampled_from("mhdwMQY"),
    st.sampled_from(["UTC", "Europe/Paris", "America/New_York", "Asia/Kolkata", "Pacific/Apia"]),
    st.timedeltas(timedelta(days=-4000), timedelta(days=4000)),
)
def test_every_moment_lies_in_one_period(first: datetime, count: int, unit: str, zone: str, ago: timedelta) -> None:
    """A period begins at or before the moment and ends after it, where the next one begins."""
    calendar = Calendar(first, ZoneInfo(zone), count, unit)
    now_ns = int((first.replace(tzinfo=ZoneInfo(zone)).timestamp() + ago.total_seconds()) * SECOND_NS)

    begin, end = calendar.period_ns(now_ns)

    assert begin <= now_ns < end
    assert calendar.period_ns(end)[0] == end
    assert calendar.period_ns(begin - 1)[1] == begin


@pytest.mark.parametrize(("duration", "said"), [("1M", "a calendar month"), ("2w", "2 calendar weeks")])
def test_a_calendar_is_said_in_words(duration: str, said: str) -> None:
    """A sentence can hold it."""
    assert str(calendar_of(duration, datetime.fromisoformat("2026-01-01"), "UTC")) == said
