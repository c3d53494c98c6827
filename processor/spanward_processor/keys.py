"""The keys in use, who is meant by each, and which make room for others.

A number is given once and for all: what was evicted never comes back under its number, so nobody can take it for another.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.columns import SpanBatch
from spanward_processor.findings import Series
from spanward_processor.kept import Arrays, copies, of_texts, part, to_texts, under
from spanward_processor.kernels.jit import Codes, Flags, Ints
from spanward_processor.kernels.tables import (
    EVICTED,
    FEATURE_BITS,
    KEYS,
    LIVE,
    OVERFLOWED,
    KeySpace,
    assign_keys,
    find_keys_again,
)
from spanward_processor.roles import RoleTable
from spanward_processor.texts import Texts, unknown_text

IDLE_ROUNDS: Final = 24
"""Rounds of `KeyDirectory.evict` in which a key must not have been seen before it may make room."""

_FEWEST_PLACES: Final = 256
_CROWDED: Final = 0.9  # share of the keys there may be, from which on some make room
_ROOMY: Final = 0.75  # ... and to which they do
_MIX: Final = np.array([1, 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)
"""Odd factors by which the parts of a name are made one number: codes are keyed hashes, so nobody can choose two that collide."""
_OVERFLOW: Final = Series(service="", model="(more models than limits.keys allows)", version="")


class KeyDirectory:
    """Gives rows their keys and keys their names; it grows with the keys it has seen.

    The state is a `KeySpace`, of which `places` follows from the rest, and the texts of the parts, by code.

    Args:
        roles: Where the identifying columns are.
        texts: Code to text, while a key is new.
        most_keys: Live keys at most; rows of any further series share key 0.
        most_slices: Live slices per series.
    """

    def __init__(self, roles: RoleTable, texts: Texts, *, most_keys: int, most_slices: int) -> None:
        self._roles = roles
        self._texts = texts
        self.most_slices = most_slices
        self._identity = np.array([roles.text(role) for role in ("service", "model", "version")], np.int64)
        self._slices = np.array([roles.text(name) for name in roles.slices], np.int64)
        self.most_keys = most_keys
        self._space = KeySpace(
            places=np.zeros((_FEWEST_PLACES, 2), np.uint64),
            parts=np.zeros((1, 3), np.uint64),
            parents=np.full(1, -1, np.int32),
            slices=np.zeros(1, np.int32),
            idle=np.zeros(1, np.uint8),
            counts=np.array([1, 0, 1], np.int64),  # key 0 is the overflow series
        )
        self._named = 1  # keys whose parts have texts
        self._subjects = np.zeros(0, np.int64)  # see `by_subject`
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
        self._named, self._subjects = len(self), np.zeros(0, np.int64)

    def assign(self, batch: SpanBatch) -> Ints:
        """Return (1 + s, n) int64 keys of a batch whose texts were learned; names of new keys are noted."""
        keys = np.empty((1 + self._slices.size, len(batch)), np.int64)
        self._make_room(len(self) + min(keys.size, max(self.most_keys + 1 - self.live, 0)))
        assign_keys(batch.codes, self._identity, self._slices, self.most_keys, self.most_slices, self._space, keys)
        if self._named < len(self):
            self._name(self._named)
            self._named = len(self)
        return keys

    def _make_room(self, keys: int) -> None:
        """Let the space grow with the keys there are."""
        space = self._space
        missing = keys - space.parents.size
        if missing > 0:
            more = missing + keys // 4
            space = space._replace(
                parts=np.concatenate((space.parts, np.zeros((more, 3), np.uint64))),
                parents=np.concatenate((space.parents, np.full(more, -1, np.int32))),
                slices=np.concatenate((space.slices, np.zeros(more, np.int32))),
                idle=np.concatenate((space.idle, np.zeros(more, np.uint8))),
            )
        placed = keys - len(self) + self.live
        self._space = self._placed(space, placed) if 2 * placed > space.places.shape[0] else space

    @staticmethod
    def _placed(space: KeySpace, keys: int) -> KeySpace:
        """Return the space with a table that has room for so many live keys, and none of others."""
        places = np.zeros((max(_FEWEST_PLACES, 1 << (2 * keys).bit_length()), 2), np.uint64)
        find_keys_again(space.places, space.idle, places)
        return space._replace(places=places)

    def _name(self, first: int) -> None:
        """Note the texts of the parts of new keys while they are known."""
        for code in self._parts_of(np.arange(first, len(self))).tolist():
            if self._part_texts.get(code, unknown := unknown_text(code)) == unknown:
                self._part_texts[code] = self._texts[code]

    # --- making room -------------------------------------------------------------------------------------------------

    def evict(self, spared: Ints) -> Flags:
        """Note that a round is over; where room is scarce, let go of keys that were not seen for long.

        Where there are almost as many as there may be, those that were not seen for longest go; where a series has all the slices
        that it may have, those of them that were not seen for long. Nobody may `assign` meanwhile.

        Args:
            spared: (n,) int64 keys that somebody still speaks of; they and their series stay.

        Returns:
            (k,) bool which keys were let go of. Their numbers are never given again.
        """
        idle, live = self._space.idle[: len(self)], ~self.evicted()
        idle[live] = np.minimum(idle[live], EVICTED - 2) + 1
        old = live & (idle > IDLE_ROUNDS)
        old[0] = False
        old[spared] = False
        old[self.parents()[spared]] = False
        gone = self._longest_unseen(old, self.live - 1) | self._of_full_series(old)
        if gone.any():
            self._let_go(gone)
        return gone

    def _longest_unseen(self, old: Flags, live: int) -> Flags:
        """Return (k,) bool which of the old keys go, that there is room again; a slice never stays without its series."""
        if live < _CROWDED * self.most_keys or not old.any():
            return np.zeros(old.size, bool)
        idle = self._space.idle[: old.size]
        ages = np.sort(idle[old])[::-1]
        surplus = live - int(_ROOMY * self.most_keys)
        longest: Flags = old & (idle >= ages[min(surplus, ages.size) - 1])
        return longest

    def _of_full_series(self, old: Flags) -> Flags:
        """Return (k,) bool which of the old keys are slices of a series that may have no more."""
        parents = self._space.parents[: old.size]
        full = self._space.slices[: old.size] >= self.most_slices
        crowded: Flags = old & (parents >= 0) & full[np.maximum(parents, 0)]
        return crowded

    def _let_go(self, gone: Flags) -> None:
        space = self._space
        parents = space.parents[: gone.size]
        np.subtract.at(space.slices, parents[gone & (parents >= 0)], 1)
        space.idle[: gone.size][gone] = EVICTED
        space.counts[LIVE] -= np.count_nonzero(gone)
        self._space = self._placed(space, self.live)
        named = self._parts_of(np.flatnonzero(~self.evicted()))
        for code in self._part_texts.keys() - set(named.tolist()):
            del self._part_texts[code]

    def _parts_of(self, keys: Ints) -> Codes:
        """Return the codes of the texts that some keys are called by, each once, ascending."""
        parts, parents = self._space.parts[keys], self._space.parents[keys]
        return np.unique(np.concatenate((parts[parents < 0].ravel(), parts[parents >= 0, 2])))

    def evicted(self) -> Flags:
        """Return (k,) bool which keys were let go of."""
        gone: Flags = self._space.idle[: len(self)] == EVICTED
        return gone

    # --- who is meant ------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Return the number of keys that were ever given, the overflow key included."""
        return int(self._space.counts[KEYS])

    @property
    def live(self) -> int:
        """The number of keys that were not let go of, the overflow key included."""
        return int(self._space.counts[LIVE])

    @property
    def named(self) -> int:
        """Keys that can be asked for: a new one gets its names while the request that brings it is on its way."""
        return self._named

    def __getitem__(self, key: int) -> Series:
        """Return who is meant by a key; one that was let go of is called by codes."""
        if key == 0:
            return _OVERFLOW
        first, second, third = (int(part) for part in self._space.parts[key])
        parent = int(self._space.parents[key])
        if parent < 0:
            return Series(self._text(first), self._text(second), self._text(third))
        whole = self[parent]
        return Series(whole.service, whole.model, whole.version, (self._roles.texts[first], self._text(third)))

    def _text(self, code: int) -> str:
        text = self._part_texts.get(code)
        return unknown_text(code) if text is None else text

    def parent(self, key: int) -> int:
        """Return the series of a slice, or the key itself."""
        parent = int(self._space.parents[key])
        return parent if parent >= 0 else key

    def parents(self) -> Ints:
        """Return (k,) int64 the series of each key; a series is its own, and so is what was let go of."""
        gone = self.evicted()
        parents = self._space.parents[: gone.size]  # requests on their way may let the space grow meanwhile
        return np.where((parents >= 0) & ~gone, parents, np.arange(parents.size))

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
        """Return (v,) int64 the live series of the same service and model as a series, in order of appearance."""
        gone = self.evicted()
        parts, parents = self._space.parts[: gone.size], self._space.parents[: gone.size]
        same = (parts[:, 0] == parts[key, 0]) & (parts[:, 1] == parts[key, 1]) & (parents < 0) & ~gone
        same[0] = False  # the overflow series has no parts
        return np.flatnonzero(same)

    def siblings(self, key: int) -> Ints:
        """Return (v,) int64 the live keys in whose place a key may stand, in order of appearance.

        For a slice those are the slices of its series by the same attribute, for a series those of the same service and model.
        """
        parent = int(self._space.parents[key])
        if parent < 0:
            return self.versions(key)
        gone = self.evicted()
        parts, parents = self._space.parts[: gone.size], self._space.parents[: gone.size]
        return np.flatnonzero((parents == parent) & (parts[:, 0] == parts[key, 0]) & ~gone)

    def by_subject(self, streams: Ints) -> Ints:
        """Return (s,) int64 streams, each as that of the first version of its service, model and slice that ever had a key."""
        keys = len(self)
        if self._subjects.size < keys:
            self._subjects = _firsts(self._space.parts[:keys], self._space.parents[:keys])
        by_subject: Ints = self._subjects[streams >> FEATURE_BITS] << FEATURE_BITS | streams & ((1 << FEATURE_BITS) - 1)
        return by_subject

    @property
    def overflowed(self) -> int:
        """Rows, and slices of rows, that found no key of their own."""
        return int(self._space.counts[OVERFLOWED])


def _firsts(parts: Codes, parents: NDArray[np.int32]) -> Ints:
    """Return (k,) int64 the first key of the same service, model and slice as each."""
    whole = parents < 0
    series = np.where(whole, np.arange(parents.size), parents)
    slices = np.where(whole[:, None], 0, parts[:, ::2] + np.array([1, 0], np.uint64))  # attributes count from nought
    named = np.concatenate((parts[series, :2], slices), axis=1)
    _, first, back = np.unique((named * _MIX).sum(axis=1, dtype=np.uint64), return_index=True, return_inverse=True)
    return np.asarray(first[back])


def among(gone: Flags, keys: NDArray[Any]) -> Flags:
    """Return (n,) bool which of some keys, (n,) int, are marked in (k,) bool; those beyond its end, and negative ones, are not."""
    inside = (keys >= 0) & (keys < gone.size)
    marked = np.zeros(keys.size, bool)
    marked[inside] = gone[keys[inside]]
    return marked
