"""Periods of a budget that follow the calendar of some place: the month in Paris, the week in New York.

Source: OpenSLO specification v1, https://github.com/OpenSLO/OpenSLO, `timeWindow`.
"""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_WRITTEN: Final = re.compile(r"([1-9][0-9]{0,3})([mhdwMQY])")
_MINUTES: Final = {"m": 1, "h": 60}  # these do not follow clocks that are set
_DAYS: Final = {"d": 1, "w": 7}
_MONTHS: Final = {"M": 1, "Q": 3, "Y": 12}
_NOUNS: Final = {"m": "minute", "h": "hour", "d": "day", "w": "week", "M": "month", "Q": "quarter", "Y": "year"}
_MONTH_S: Final = 30 * 86_400
_SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Calendar:
    """Periods of one length that follow each other.

    Args:
        first: When one of them begins, on the clocks of the place; without a time zone.
        zone: The place.
        count: How many units a period has.
        unit: One of m, h, d, w, M, Q and Y, as in OpenSLO.
    """

    first: datetime
    zone: ZoneInfo
    count: int
    unit: str

    @property
    def usual_s(self) -> float:
        """Usual length of a period, seconds: a month has 30 days."""
        if self.unit in _MONTHS:
            return float(self.count * _MONTHS[self.unit] * _MONTH_S)
        return 60.0 * self.count * (_MINUTES.get(self.unit) or 1440 * _DAYS[self.unit])

    def period_ns(self, now_ns: int) -> tuple[int, int]:
        """Return where the period begins that a moment lies in, and where it ends.

        Args:
            now_ns: Unix nanoseconds.
        """
        place = (now_ns - self._begin_ns(0)) // int(self.usual_s * _SECOND_NS)
        while self._begin_ns(place) > now_ns:
            place -= 1
        while self._begin_ns(place + 1) <= now_ns:
            place += 1
        return self._begin_ns(place), self._begin_ns(place + 1)

    def _begin_ns(self, place: int) -> int:
        """Return where a period begins; the one that begins at `first` has place 0."""
        units = place * self.count
        if self.unit in _MINUTES:
            begin = self.first.replace(tzinfo=self.zone).astimezone(UTC) + timedelta(
                minutes=units * _MINUTES[self.unit]
            )
        elif self.unit in _DAYS:
            begin = (self.first + timedelta(days=units * _DAYS[self.unit])).replace(tzinfo=self.zone)
        else:
            begin = _months_later(self.first, units * _MONTHS[self.unit]).replace(tzinfo=self.zone)
        return round(begin.timestamp()) * _SECOND_NS

    def __str__(self) -> str:
        noun = f"calendar {_NOUNS[self.unit]}"
        return f"a {noun}" if self.count == 1 else f"{self.count} {noun}s"


def calendar_of(duration: str, first: datetime, zone: str) -> Calendar:
    """Return the calendar that a document asks for.

    Args:
        duration: A number and a unit, such as 1M.
        first: When a period begins; without a time zone.
        zone: Name in the IANA time zone database.

    Raises:
        ValueError: It is none; says what it must be.
    """
    written = _WRITTEN.fullmatch(duration)
    if not written:
        raise ValueError(f"duration must be a number and one of m, h, d, w, M, Q, Y, such as 1M, got {duration}")
    try:
        place = ZoneInfo(zone)
    except (LookupError, OSError, ValueError) as error:
        raise ValueError(f"timeZone must be one of the IANA database, such as Europe/Paris, got {zone}") from error
    return Calendar(first, place, int(written[1]), written[2])


def _months_later(begin: datetime, months: int) -> datetime:
    """Return the same day of a later month, or its last day where it has no such day."""
    year, month = divmod(begin.year * 12 + begin.month - 1 + months, 12)
    return begin.replace(year=year, month=month + 1, day=min(begin.day, monthrange(year, month + 1)[1]))
