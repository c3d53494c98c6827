"""Who is asked why latency rose: keeps rows and gauges, and answers for a model or for one series."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.explain.explanation import ROUNDS, Answer, Explanation, explain
from spanward_processor.explain.gauges import Gauges
from spanward_processor.explain.measured import Measured
from spanward_processor.explain.plain import form_of
from spanward_processor.explain.recent import Recent
from spanward_processor.explain.sql import query
from spanward_processor.explain.words import report, sentence, show_time
from spanward_processor.kept import Arrays, Kept, gathered, scattered
from spanward_processor.keys import KeyDirectory
from spanward_processor.windows.window import Window

_SECOND_NS: Final = 1_000_000_000
_DAY_NS: Final = 86_400 * _SECOND_NS
_MOST_ASKED: Final = 4_000  # rows of each time that a question looks at
_MOST_OF_FINDING: Final = 800
_ROUNDS_OF_FINDING: Final = 30
_MOST_AT_ONCE: Final = 4  # findings that are explained after one window; others wait for the next
_FRESH_NS: Final = 60 * _SECOND_NS
_WINDOWS: Final = 2  # before a finding opened, in which what it speaks of was there
_MOST_TOLD: Final = 1_024


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: the times that are compared.

    Args:
        before: First nanosecond of before, and the first one after it.
        now: Likewise.
    """

    before: tuple[int, int]
    now: tuple[int, int]


class Why:
    """Knows why latency rose.

    Args:
        directory: Names of the keys.
        most_rows: Rows kept in all.
        clock_ns: Returns the time of day, Unix nanoseconds.
        rng: Source of randomness.

    Cost:
        See `Recent` and `Gauges`. A question takes 100 rounds of at most 25 ms; a finding 0.2 s, once a minute, four of them a window.
    """

    def __init__(
        self,
        directory: KeyDirectory,
        most_rows: int,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        rng: np.random.Generator,
    ) -> None:
        self._directory = directory
        self._rng = rng
        self.recent = Recent(most_rows, rng)
        self.gauges = Gauges(clock_ns)
        self._asking = threading.Lock()  # one question at a time: each keeps a processor busy
        self._told: dict[tuple[int, int], tuple[int, str]] = {}  # by series and opening: when, and what
        self._left = _MOST_AT_ONCE

    def adopt(self, most_rows: int) -> None:
        """Keep so many rows from the next window on."""
        self.recent.most_rows = most_rows

    def keep(self, window: Window) -> None:
        """Keep rows of a closed window; nobody else may call meanwhile."""
        self.recent.keep(window)
        self._left = _MOST_AT_ONCE

    def of_model(self, service: str, model: str, since_s: float) -> dict[str, Any]:
        """Return why a model is slower since some time than the day before that, as JSON can hold it; from any thread.

        Args:
            service: Name of the service.
            model: Name of the model; empty for the only one.
            since_s: How long ago now begins, seconds.

        Raises:
            KeyError: No such model was seen, or several were where none was named; says which there are.
        """
        series, model = self._series_of(service, model)
        asked = self._question(since_s)
        with self._asking:
            rng = np.random.default_rng(asked.now[1])
            told = self._explained(series, asked, service, _MOST_ASKED, rng, ROUNDS)
        return self._form(told, service, model, asked)

    def _series_of(self, service: str, model: str) -> tuple[list[int], str]:
        named = [(key, self._directory[key]) for key in self.recent.series().tolist()]
        models = sorted({one.model for _, one in named if one.service == service})
        if not model and len(models) == 1:
            model = models[0]
        if model not in models:
            raise KeyError(", ".join(models) if models else f"no span of the service {service} has come lately")
        return [key for key, one in named if (one.service, one.model) == (service, model)], model

    def _question(self, since_s: float) -> Question:
        _, newest_ns = self.recent.ends_ns
        begins_ns = newest_ns - int(since_s * _SECOND_NS)
        return Question((begins_ns - _DAY_NS, begins_ns), (begins_ns, newest_ns))

    def _explained(
        self, series: list[int], asked: Question, service: str, most: int, rng: np.random.Generator, rounds: int
    ) -> Explanation:
        before = _some(self.recent.rows(series, *asked.before), most, rng)
        now = _some(self.recent.rows(series, *asked.now), most, rng)
        return explain(before, now, rng, self.gauges.machine(service, asked.before, asked.now), rounds)

    def _form(self, told: Explanation, service: str, model: str, asked: Question) -> dict[str, Any]:
        oldest_ns, _ = self.recent.ends_ns
        begins_ns = min(max(asked.before[0], oldest_ns), asked.before[1])
        of_now = f"{show_time(asked.now[0])} to {show_time(asked.now[1])}"
        if oldest_ns < asked.before[1]:
            shown = f"{of_now} beside {show_time(begins_ns)} to {show_time(asked.now[0])}"
        else:
            shown = f"{of_now}, with nothing before to hold it against: the oldest row is of {show_time(oldest_ns)}"
        costly = [one.name for one in told.drivers if one.seconds > 0]
        return form_of(told) | {
            "service": service,
            "model": model,
            "before_ns": [begins_ns, asked.before[1]],
            "now_ns": list(asked.now),
            "sentence": sentence(told),
            "report": report(told, f"Why did the latency of {service} / {model} rise? {shown}"),
            "sql": query(service, model, asked.before, asked.now, costly[0] if costly else None),
        }

    def of_finding(self, window: Window, series: int, opened_ns: int) -> str:
        """Return a sentence for a finding about the latency of a series; empty where there is nothing to tell yet.

        Rows since shortly before it opened are held against the day before that.

        Args:
            window: The window being judged, which was kept.
            series: Key of the series.
            opened_ns: When the finding opened.
        """
        known = self._told.get((series, opened_ns))
        if self._left == 0 or (known and known[1] and window.end_ns - known[0] < _FRESH_NS):
            return known[1] if known else ""
        self._left -= 1
        begins_ns = opened_ns - _WINDOWS * (window.end_ns - window.start_ns)
        asked = Question((begins_ns - _DAY_NS, begins_ns), (begins_ns, window.end_ns))
        service = self._directory[series].service
        told = self._explained([series], asked, service, _MOST_OF_FINDING, self._rng, _ROUNDS_OF_FINDING)
        said = _since_it_opened(sentence(told)) if told.answer is Answer.ROSE else ""
        while len(self._told) >= _MOST_TOLD:
            del self._told[next(iter(self._told))]
        self._told[series, opened_ns] = window.end_ns, said
        return said

    # --- over a restart ------------------------------------------------------------------------------------------------

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return gathered(self._parts())

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        scattered(self._parts(), arrays)

    def _parts(self) -> dict[str, Kept]:
        return {"recent": self.recent, "gauges": self.gauges}


def _some(rows: Measured, most: int, rng: np.random.Generator) -> Measured:
    """Return at most so many rows, drawn by chance; weights are about each other, so all keep theirs."""
    return rows if len(rows) <= most else rows.where(np.sort(rng.choice(len(rows), most, replace=False)))


def _since_it_opened(said: str) -> str:
    """Return a sentence with the time it speaks of: beside it a finding tells its newest window, which may be as usual again, or lower."""
    return f"Since it opened, {said[0].lower()}{said[1:]}"
