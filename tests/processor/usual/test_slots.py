"""Slots of streams: one each, until they are let go of."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from arrays import ints
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.usual.slots import ABSENT, Slots


@given(st.lists(st.sets(st.integers(0, 200)), max_size=6))
def test_a_stream_keeps_its_slot(windows: list[set[int]]) -> None:
    """Each stream has one slot, equal to its place in `streams`, however often and in whatever company it comes."""
    slots, twin = Slots(), dict[int, int]()
    for streams in windows:
        admitted = slots.admit(ints(streams)).tolist()
        twin |= {stream: slot for stream, slot in zip(streams, admitted, strict=True) if stream not in twin}
        assert admitted == [twin[stream] for stream in streams]
    everything = np.arange(201)

    assert slots.find(everything).tolist() == [twin.get(stream, ABSENT) for stream in range(201)]
    assert slots.streams.tolist() == sorted(twin, key=twin.__getitem__)
    assert len(slots) == len(twin)
    assert slots.of(7) == twin.get(7, ABSENT)


@given(st.lists(st.tuples(st.sets(st.integers(0, 200)), st.sets(st.integers(0, 12))), max_size=6))
def test_slots_of_who_left_are_given_again(windows: list[tuple[set[int], set[int]]]) -> None:
    """A stream that was let go of has no slot; newcomers get free slots first, and nobody else's changes."""
    slots, twin = Slots(), dict[int, int]()
    for streams, keys in windows:
        free = sorted(set(range(len(slots))) - set(twin.values()))
        new = sorted(streams - twin.keys())
        twin |= dict(zip(new, [*free, *range(len(slots), len(slots) + len(new))], strict=False))
        assert slots.admit(ints(streams)).tolist() == [twin[stream] for stream in streams]
        gone = np.isin(np.arange(13), list(keys))
        left = {stream: slot for stream, slot in twin.items() if stream >> FEATURE_BITS in keys}
        assert slots.evict(gone).tolist() == sorted(left.values())
        twin = {stream: slot for stream, slot in twin.items() if stream not in left}

    again = Slots()
    again.restore(slots.arrays())
    for one in (slots, again):
        assert one.find(np.arange(201)).tolist() == [twin.get(stream, ABSENT) for stream in range(201)]
        assert one.used == len(twin)
    assert again.admit(ints([201])).tolist() == slots.admit(ints([201])).tolist()
