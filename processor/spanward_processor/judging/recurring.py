"""What comes at the same time of day again and again: a nightly job is no news on its third night."""

from collections.abc import Mapping
from typing import Any, Final

from numpy.typing import NDArray

from spanward_processor.findings import Series
from spanward_processor.kept import Arrays, from_json, to_json

REMEMBERED_DAYS: Final = 28
_SECOND_NS: Final = 1_000_000_000
_DAY_NS: Final = 86_400 * _SECOND_NS
_ABOUT_NS: Final = 1_800 * _SECOND_NS  # from one time of day to another that is about the same
_MOST: Final = 1_000  # features of models that are remembered; the one that was noted longest ago is forgotten
_MOST_TIMES: Final = 64  # of each

_Subject = tuple[str, str, int]  # service, model and feature: a deployment does not begin anew


class Recurring:
    """Remembers when findings opened, by service, model and feature."""

    def __init__(self) -> None:
        self._times_ns: dict[_Subject, tuple[int, ...]] = {}  # oldest first

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return {"times": from_json([(*subject, times_ns) for subject, times_ns in self._times_ns.items()])}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        self._times_ns = {
            (service, model, feature): tuple(times_ns) for service, model, feature, times_ns in to_json(arrays["times"])
        }

    def note(self, series: Series, feature: int, opened_ns: int) -> int:
        """Note that a finding opens; return on how many earlier days one about the same opened at about this time of day.

        Args:
            series: Whom it is about.
            feature: What moved.
            opened_ns: When, Unix nanoseconds.
        """
        subject = series.service, series.model, feature
        before = [one for one in self._times_ns.pop(subject, ()) if 0 <= opened_ns - one < REMEMBERED_DAYS * _DAY_NS]
        again = bool(before) and opened_ns - before[-1] <= _ABOUT_NS  # what comes and goes must not push out other days
        self._times_ns[subject] = tuple(before) if again else (*before, opened_ns)[-_MOST_TIMES:]
        if len(self._times_ns) > _MOST:
            del self._times_ns[next(iter(self._times_ns))]
        days = {round((opened_ns - one) / _DAY_NS) for one in before if _is_about(opened_ns - one)}
        return len(days - {0})


def _is_about(apart_ns: int) -> bool:
    """Return whether two times are about whole days apart."""
    return abs(apart_ns - round(apart_ns / _DAY_NS) * _DAY_NS) <= _ABOUT_NS


def likewise(recurrences: int) -> str:
    """Say on how many days it was likewise; nothing where it was on fewer than two, which may be chance."""
    if recurrences < 2:
        return ""
    return f" Findings about it opened at about this time on {recurrences} of the {REMEMBERED_DAYS} days before."
