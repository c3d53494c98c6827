"""Slots of streams: one each, for ever."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from arrays import ints
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
