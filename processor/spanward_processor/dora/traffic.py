"""Requests by version of every subject, window by window."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np

from spanward_processor.columns import SpanBatch
from spanward_processor.dora.origins import Origin, origin_of
from spanward_processor.dora.subjects import Part, Subject
from spanward_processor.dora.tally import Columns, Tally, tallies_of
from spanward_processor.evidence import grown
from spanward_processor.features import Rows
from spanward_processor.kernels.jit import Flags
from spanward_processor.keys import KeyDirectory
from spanward_processor.roles import RoleTable
from spanward_processor.texts import text_at
from spanward_processor.windows.window import Window

MOST_COUNTS: Final = 20_000
"""Counts of open windows: a version of a part of a series in one window each; further ones are not counted."""

_MOST_NAMES: Final = 4096  # versions whose text is known, and versions whose commit is

_Counted = tuple[int, Part, int]
_Named = tuple[Subject, str]
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Versions:
    """What a request on its way says of versions.

    Args:
        tallies: Its requests by version of a part.
    """

    tallies: tuple[Tally, ...]


class Traffic:
    """Counts what each version serves, and remembers which commit it was made of.

    Models' versions are counted in the judge's windows anyway; those of other parts are counted here.

    Args:
        directory: Names of the keys.
        roles: Where the columns are.
        width_ns: Length of a window, nanoseconds.
    """

    def __init__(self, directory: KeyDirectory, roles: RoleTable, width_ns: int) -> None:
        self._directory = directory
        self._columns = Columns.of(roles)
        self._width_ns = width_ns
        self._looked_at = 1  # series whose commit was asked for; key 0 is nobody's
        self._texts: dict[int, str] = {}
        self._origins: dict[_Named, Origin] = {}
        self._open: dict[int, Counter[_Counted]] = defaultdict(Counter)  # by begin of the window
        self._models: dict[int, _Named] = {}  # whose versions somebody follows, by key
        self._ignored = np.zeros(0, bool)  # by key, series whose versions nobody follows
        self._until_ns = 0

    # --- requests on their way -----------------------------------------------------------------------------------------

    def note(self, batch: SpanBatch, rows: Rows) -> Versions | None:
        """Return what a request says of versions, None where it is nothing; the directory must not change meanwhile."""
        if self._directory.named != self._looked_at:
            self._look_at_series(batch, rows)
        tallies = tuple(tallies_of(batch, rows, self._columns, self._width_ns))
        for tally in tallies:
            self._name(tally, batch)
        return Versions(tallies) if tallies else None

    def is_silent(self, batch: SpanBatch) -> bool:
        """Return whether a request brings no series and names no version of a part: most do not, and cost this glance."""
        return self._directory.named == self._looked_at and not batch.codes[self._columns.every].any()

    def _look_at_series(self, batch: SpanBatch, rows: Rows) -> None:
        """Note the commit of each series that a request brings."""
        for key in range(self._looked_at, self._directory.named):
            (at,) = np.nonzero(rows.keys[0] == key)
            if at.size:
                series = self._directory[key]
                self._note_origin((self._subject(key, Part.MODEL), series.version), origin_of(batch, int(at[0])))
        self._looked_at = self._directory.named

    def _name(self, tally: Tally, batch: SpanBatch) -> None:
        column = self._columns.of_part[tally.part]
        for key, code, row in zip(tally.keys.tolist(), tally.codes.tolist(), tally.rows.tolist(), strict=True):
            if code not in self._texts:
                _keep(self._texts, code, text_at(batch, column, row))
                if tally.part is Part.SERVICE:  # a template's commit is not that of the process that fills it in
                    subject = self._subject(key, tally.part)
                    self._note_origin((subject, self._texts[code]), origin_of(batch, row))

    def _note_origin(self, named: _Named, origin: Origin) -> None:
        if origin != Origin():
            _keep(self._origins, named, origin)

    def origin(self, subject: Subject, version: str) -> Origin:
        """Return what resources have said of a version's commit."""
        return self._origins.get((subject, version), Origin())

    def _subject(self, key: int, part: Part) -> Subject:
        series = self._directory[key]
        return Subject.of(series.service, series.model, part)

    # --- windows -------------------------------------------------------------------------------------------------------

    def count(self, versions: Versions, now_ns: int) -> None:
        """Count a request that was acknowledged; what is ahead of the clock counts now, what is late does not."""
        room = MOST_COUNTS - sum(map(len, self._open.values()))
        for tally in versions.tallies:
            times = np.minimum(tally.times_ns, now_ns) // self._width_ns * self._width_ns
            columns = zip(tally.keys.tolist(), tally.codes.tolist(), times.tolist(), tally.counts.tolist(), strict=True)
            for key, code, start_ns, count in columns:
                if start_ns >= self._until_ns and (room > 0 or start_ns in self._open):
                    counted = self._open[start_ns]
                    room -= (key, tally.part, code) not in counted
                    counted[key, tally.part, code] += count

    def close(self, window: Window, follows: Callable[[Subject], bool]) -> Mapping[Subject, Mapping[str, float]]:
        """Return the requests of a closed window by subject and version; requests without a version are left out.

        Args:
            window: The window.
            follows: Says whether anybody follows a subject, now and for ever.
        """
        found: dict[Subject, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._until_ns = window.end_ns
        for start_ns in sorted(one for one in self._open if one < window.end_ns):
            counted = self._open.pop(start_ns)
            if start_ns >= window.start_ns:
                for (key, part, code), requests in counted.items():
                    subject, version = self._subject(key, part), self._texts.get(code, "")
                    if version and follows(subject):
                        found[subject][version] += requests
        for key, rows in self._series_of(window):
            if named := self._models.get(key) or self._followed(key, follows):
                found[named[0]][named[1]] += rows
        return found

    def _series_of(self, window: Window) -> Iterable[tuple[int, float]]:
        """Yield the whole series of a window that somebody may follow, each with its requests."""
        rate = window.rates
        parents = self._directory.parents()
        self._ignored = grown(self._ignored, parents.size)
        whole = (rate.keys > 0) & (parents[rate.keys] == rate.keys) & ~self._ignored[rate.keys]
        return zip(rate.keys[whole].tolist(), rate.counts[whole].tolist(), strict=True)

    def _followed(self, key: int, follows: Callable[[Subject], bool]) -> _Named | None:
        """Return the model and version that a series is, None where nobody follows it; which it is, it stays."""
        subject, version = self._subject(key, Part.MODEL), self._directory[key].version
        if version and follows(subject):
            self._models[key] = subject, version
            return self._models[key]
        self._ignored[key] = True
        return None

    def evict(self, gone: Flags) -> None:
        """Let go of keys, (k,) bool."""
        self._models = {key: named for key, named in self._models.items() if not gone[key]}

    # --- over a restart ------------------------------------------------------------------------------------------------

    def as_plain(self) -> dict[str, Any]:
        """Return what is kept, as JSON can hold it."""
        return {
            "until_ns": self._until_ns,
            "texts": list(self._texts.items()),
            "open": [
                (start_ns, [(*which, count) for which, count in counted.items()])
                for start_ns, counted in self._open.items()
            ],
            "origins": [
                (*_plain(subject), version, origin.revision, origin.commit_ns)
                for (subject, version), origin in self._origins.items()
            ],
        }

    def restore(self, plain: dict[str, Any]) -> None:
        """Take back what `as_plain` has told."""
        self._until_ns, self._texts = plain["until_ns"], dict(plain["texts"])
        self._looked_at = self._directory.named
        for start_ns, counted in plain["open"]:
            self._open[start_ns].update({(key, Part(part), code): count for key, part, code, count in counted})
        for service, model, part, version, revision, commit_ns in plain["origins"]:
            self._origins[Subject(service, model, Part(part)), version] = Origin(revision, commit_ns)


def _plain(subject: Subject) -> Sequence[str]:
    return subject.service, subject.model, subject.part


def _keep(kept: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    """Keep a value, in place of the oldest where there is no more room."""
    if len(kept) >= _MOST_NAMES:
        del kept[next(iter(kept))]
    kept[key] = value
