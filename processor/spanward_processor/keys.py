"""The keys in use, and who is meant by each."""

from typing import Final

import numpy as np

from spanward_processor.columns import SpanBatch
from spanward_processor.findings import Series
from spanward_processor.kernels.jit import Ints
from spanward_processor.kernels.tables import KEYS, OVERFLOWED, KeySpace, assign_keys
from spanward_processor.roles import RoleTable
from spanward_processor.texts import Texts

_OVERFLOW: Final = Series(service="", model="(more models than limits.keys allows)", version="")


class KeyDirectory:
    """Gives rows their keys and keys their names.

    Args:
        roles: Where the identifying columns are.
        texts: Code to text, while a key is new.
        most_keys: Keys kept; rows of any further series share key 0.
        most_slices: Slices kept per series.
    """

    def __init__(self, roles: RoleTable, texts: Texts, *, most_keys: int, most_slices: int) -> None:
        self._roles = roles
        self._texts = texts
        self._most_slices = most_slices
        self._identity = np.array([roles.text(role) for role in ("service", "model", "version")], np.int64)
        self._slices = np.array([roles.text(name) for name in roles.slices], np.int64)
        places = 1 << (2 * (most_keys + 1)).bit_length()
        self._space = KeySpace(
            mixed=np.zeros(places, np.uint64),
            ids=np.zeros(places, np.int64),
            parts=np.zeros((most_keys + 1, 3), np.uint64),
            parents=np.full(most_keys + 1, -1, np.int64),
            slices=np.zeros(most_keys + 1, np.int64),
            counts=np.array([1, 0], np.int64),  # key 0 is the overflow series
        )
        self._series: list[Series] = [_OVERFLOW]

    def assign(self, batch: SpanBatch) -> Ints:
        """Return (1 + s, n) int64 keys of a batch whose texts were learned; names of new keys are noted."""
        keys = np.empty((1 + self._slices.size, len(batch)), np.int64)
        assign_keys(batch.codes, self._identity, self._slices, self._most_slices, self._space, keys)
        for key in range(len(self._series), len(self)):
            self._series.append(self._name(key))
        return keys

    def _name(self, key: int) -> Series:
        first, second, third = (int(part) for part in self._space.parts[key])
        parent = int(self._space.parents[key])
        if parent < 0:
            return Series(self._texts[first], self._texts[second], self._texts[third])
        whole = self._series[parent]
        return Series(whole.service, whole.model, whole.version, (self._roles.texts[first], self._texts[third]))

    def __len__(self) -> int:
        """Return the number of keys in use, the overflow key included."""
        return int(self._space.counts[KEYS])

    def __getitem__(self, key: int) -> Series:
        """Return who is meant by a key."""
        return self._series[key]

    def parent(self, key: int) -> int:
        """Return the series of a slice, or the key itself."""
        parent = int(self._space.parents[key])
        return parent if parent >= 0 else key

    def parents(self) -> Ints:
        """Return (k,) int64 the series of each key; a series is its own."""
        parents = self._space.parents[: len(self)]
        return np.where(parents >= 0, parents, np.arange(parents.size))

    @property
    def overflowed(self) -> int:
        """Rows, and slices of rows, that found no key of their own."""
        return int(self._space.counts[OVERFLOWED])
