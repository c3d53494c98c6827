"""The keys in use, and who is meant by each."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.columns import SpanBatch
from spanward_processor.findings import Series
from spanward_processor.kept import Arrays, copies, of_texts, part, to_texts, under
from spanward_processor.kernels.jit import Ints
from spanward_processor.kernels.tables import KEYS, OVERFLOWED, KeySpace, assign_keys, find_keys_again
from spanward_processor.roles import RoleTable
from spanward_processor.texts import Texts, unknown_text

_FEWEST_PLACES: Final = 256
_OVERFLOW: Final = Series(service="", model="(more models than limits.keys allows)", version="")


class KeyDirectory:
    """Gives rows their keys and keys their names; it grows with the keys it has seen.

    The state is a `KeySpace`, of which `places` follows from the rest, and the texts of the parts, by code.

    Args:
        roles: Where the identifying columns are.
        texts: Code to text, while a key is new.
        most_keys: Keys kept; rows of any further series share key 0.
        most_slices: Slices kept per series.
    """

    def __init__(self, roles: RoleTable, texts: Texts, *, most_keys: int, most_slices: int) -> None:
        self._roles = roles
        self._texts = texts
        self.most_slices = most_slices
        self._identity = np.array([roles.text(role) for role in ("service", "model", "version")], np.int64)
        self._slices = np.array([roles.text(name) for name in roles.slices], np.int64)
        self._most_keys = most_keys
        self._space = KeySpace(
            places=np.zeros((_FEWEST_PLACES, 2), np.uint64),
            parts=np.zeros((1, 3), np.uint64),
            parents=np.full(1, -1, np.int32),
            slices=np.zeros(1, np.int32),
            counts=np.array([1, 0], np.int64),  # key 0 is the overflow series
        )
        self._named = 1  # keys whose parts have texts
        self._part_texts = texts.lasting  # of all keys: most keys share theirs with others

    def held(self) -> Callable[[], Arrays]:
        """Return what gives the arrays of this moment; making it is quick, calling it may take longer."""
        space, texts = copies(self._space._asdict()), dict(self._part_texts)
        return lambda: space | under("names", of_texts(texts))

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return self.held()()

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        self._space = KeySpace(**{name: arrays[name] for name in KeySpace._fields})
        self._part_texts.clear()
        self._part_texts.update(to_texts(part("names", arrays)))
        self._named = len(self)

    def assign(self, batch: SpanBatch) -> Ints:
        """Return (1 + s, n) int64 keys of a batch whose texts were learned; names of new keys are noted."""
        keys = np.empty((1 + self._slices.size, len(batch)), np.int64)
        self._make_room(min(len(self) + keys.size, self._most_keys + 1))
        assign_keys(batch.codes, self._identity, self._slices, self._most_keys, self.most_slices, self._space, keys)
        if self._named < len(self):
            self._name(self._named)
            self._named = len(self)
        return keys

    def _make_room(self, keys: int) -> None:
        """Let the space grow with the keys there are."""
        space = self._space
        missing = keys - space.parents.size
        if missing > 0:
            more = min(missing + keys // 4, self._most_keys + 1 - space.parents.size)
            space = space._replace(
                parts=np.concatenate((space.parts, np.zeros((more, 3), np.uint64))),
                parents=np.concatenate((space.parents, np.full(more, -1, np.int32))),
                slices=np.concatenate((space.slices, np.zeros(more, np.int32))),
            )
        if 2 * keys > space.places.shape[0]:
            places = np.zeros((1 << (2 * keys).bit_length(), 2), np.uint64)
            find_keys_again(space.places, places)
            space = space._replace(places=places)
        self._space = space

    def _name(self, first: int) -> None:
        """Note the texts of the parts of new keys while they are known."""
        parts, parents = self._space.parts[first : len(self)], self._space.parents[first : len(self)]
        for code in np.unique(np.concatenate((parts[parents < 0].ravel(), parts[parents >= 0, 2]))).tolist():
            if self._part_texts.get(code, unknown := unknown_text(code)) == unknown:
                self._part_texts[code] = self._texts[code]

    def __len__(self) -> int:
        """Return the number of keys in use, the overflow key included."""
        return int(self._space.counts[KEYS])

    @property
    def named(self) -> int:
        """Keys that can be asked for: a new one gets its names while the request that brings it is on its way."""
        return self._named

    def __getitem__(self, key: int) -> Series:
        """Return who is meant by a key."""
        if key == 0:
            return _OVERFLOW
        first, second, third = (int(part) for part in self._space.parts[key])
        parent, texts = int(self._space.parents[key]), self._part_texts
        if parent < 0:
            return Series(texts[first], texts[second], texts[third])
        whole = self[parent]
        return Series(whole.service, whole.model, whole.version, (self._roles.texts[first], texts[third]))

    def parent(self, key: int) -> int:
        """Return the series of a slice, or the key itself."""
        parent = int(self._space.parents[key])
        return parent if parent >= 0 else key

    def parents(self) -> Ints:
        """Return (k,) int64 the series of each key; a series is its own."""
        parents = self._space.parents[: len(self)]  # requests on their way may let the space grow meanwhile
        return np.where(parents >= 0, parents, np.arange(parents.size))

    def attributes(self) -> Ints:
        """Return (k,) int64 the number of the attribute by which each slice is one; -1 for series."""
        parts, parents = self._space.parts[: len(self), 0], self._space.parents[: len(self)]
        return np.where(parents >= 0, parts.astype(np.int64), -1)

    @property
    def slicing(self) -> tuple[str, ...]:
        """The attributes whose values slice a series, in the order in which rows have keys of them."""
        return self._roles.slices

    def values(self, keys: Ints) -> Ints:
        """Return the code of the value by which each of some keys is a slice, as int64; 0 for -1, which is no key."""
        return np.where(keys >= 0, self._space.parts[np.maximum(keys, 0), 2].astype(np.int64), 0)

    def versions(self, key: int) -> Ints:
        """Return (v,) int64 the series of the same service and model as a series, itself included, in order of appearance."""
        parts, parents = self._space.parts[: len(self)], self._space.parents[: len(self)]
        same = (parts[:, 0] == parts[key, 0]) & (parts[:, 1] == parts[key, 1]) & (parents < 0)
        same[0] = False  # the overflow series has no parts
        return np.flatnonzero(same)

    def siblings(self, key: int) -> Ints:
        """Return (v,) int64 the keys in whose place a key may stand, in order of appearance.

        For a slice those are the slices of its series by the same attribute, for a series those of the same service and model.
        """
        parent = int(self._space.parents[key])
        if parent < 0:
            return self.versions(key)
        parts, parents = self._space.parts[: len(self)], self._space.parents[: len(self)]
        return np.flatnonzero((parents == parent) & (parts[:, 0] == parts[key, 0]))

    @property
    def overflowed(self) -> int:
        """Rows, and slices of rows, that found no key of their own."""
        return int(self._space.counts[OVERFLOWED])
