"""Which series are versions of one model, which of them serve now, and which is the one to go back to."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from spanward_processor.canary.settings import Canary, Named
from spanward_processor.findings import Series
from spanward_processor.kernels.jit import Flags
from spanward_processor.keys import KeyDirectory

_SECOND_NS: Final = 1_000_000_000
_MOST_AT_ONCE: Final = 4096  # new keys that are looked at together, some 20 ms, since requests on their way wait for it
_TOGETHER_NS: Final = 60 * _SECOND_NS  # versions that served last within so much of each other serve side by side
_ELDER_NS: Final = 60 * _SECOND_NS  # a version that was there so much earlier is the stable one, whatever its share


class Versions:
    """The versions of every model, by the keys of their series.

    Args:
        directory: Names of the keys.
    """

    def __init__(self, directory: KeyDirectory) -> None:
        self._directory = directory
        self._known = 1  # keys that were looked at; key 0 is nobody's
        self._first_ns: dict[int, int] = {}
        self._last_ns: dict[int, int] = {}  # when each served last, while any model has several
        self._several = False  # whether any model has had two versions
        self._of_model: dict[tuple[str, str], list[int]] = defaultdict(list)

    def look(self, now_ns: int) -> list[int]:
        """Return the series that are new since the last look; of very many only the first, the others next time."""
        found: list[int] = []
        last = min(self._known + _MOST_AT_ONCE, self._directory.named)
        for key in range(self._known, last):
            if self._directory.parent(key) == key:
                series = self._directory[key]
                self._first_ns[key] = self._last_ns[key] = now_ns
                of_model = self._of_model[series.service, series.model]
                of_model.append(key)
                self._several |= len(of_model) > 1
                found.append(key)
        self._known = last
        return found

    def forget_times(self) -> None:
        """Take all series that are known for old ones, as after a restart."""
        while self._known < self._directory.named:
            self.look(0)

    def evict(self, gone: Flags) -> None:
        """Let go of keys, (k,) bool; they never come again."""
        for key in [key for key in self._first_ns if gone[key]]:
            del self._first_ns[key], self._last_ns[key]
        for model, keys in list(self._of_model.items()):
            self._of_model[model] = [key for key in keys if key in self._first_ns]
            if not self._of_model[model]:
                del self._of_model[model]

    def any(self) -> bool:
        """Return whether any model has had two versions."""
        return self._several

    def knows(self, service: str, model: str) -> bool:
        """Return whether a version of a model was seen."""
        return bool(self._of_model.get((service, model)))

    def others(self, key: int) -> list[int]:
        """Return the other versions of the same model, first seen first."""
        series = self._directory[key]
        return [other for other in self._of_model[series.service, series.model] if other != key]

    def serve(self, keys: Iterable[int], end_ns: int) -> None:
        """Note which series have served in a window, and when it ended."""
        self._last_ns |= {key: end_ns for key in keys if key in self._first_ns}

    def elder_than(self, key: int) -> list[int]:
        """Return the versions of the same model that were there long before, of those the ones that served last."""
        elder = [other for other in self.others(key) if self._first_ns[key] - self._first_ns[other] >= _ELDER_NS]
        newest_ns = max((self._last_ns[other] for other in elder), default=0)
        return [other for other in elder if newest_ns - self._last_ns[other] <= _TOGETHER_NS]

    def pairs(self, rows: dict[int, float], settings: Canary) -> list[tuple[int, int]]:
        """Return the versions to compare, as (stable, canary).

        Args:
            rows: Rows of each series that serves now.
            settings: Which pairs the operator names.
        """
        models: dict[tuple[str, str], list[int]] = defaultdict(list)
        for key in rows:
            if key in self._first_ns:
                series = self._directory[key]
                models[series.service, series.model].append(key)
        return [
            (stable, canary)
            for keys in models.values()
            if len(keys) > 1
            for stable in self._stable(keys, rows, settings)
            for canary in sorted(keys)
            if canary != stable and self._is_meant(canary, settings)
        ]

    def _stable(self, keys: list[int], rows: dict[int, float], settings: Canary) -> list[int]:
        """Return the version to go back to: the one that is named, else the eldest, else the one with most rows."""
        named = named_for(self._directory[keys[0]], settings.models)
        if named:
            return [key for key in keys if self._directory[key].version == named.stable]
        eldest = min(self._first_ns[key] for key in keys)
        old = [key for key in keys if self._first_ns[key] - eldest < _ELDER_NS]
        return [max(old, key=rows.__getitem__)]

    def _is_meant(self, key: int, settings: Canary) -> bool:
        named = named_for(self._directory[key], settings.models)
        return not named or not named.canary or named.canary == self._directory[key].version


def named_for(series: Series, models: Iterable[Named]) -> Named | None:
    """Return what the operator says of a model, if anything."""
    return next((one for one in models if (one.service, one.model) == (series.service, series.model)), None)
