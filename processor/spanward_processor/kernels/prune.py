"""A request without some of its spans, and without the processor's own attributes on resources and scopes.

Every other byte stays as it came. A scope or resource that is left without spans by this goes too: OTLP asks senders not
to send empty ones. What changes is noted as edits in the order of their places, then written in one go.

Source: opentelemetry-proto, collector/trace/v1, trace/v1; OpenTelemetry Protocol specification 1.x, "Empty Telemetry
Envelopes".
"""

from typing import Final

from spanward_processor.kernels.attributes import key_is_reserved
from spanward_processor.kernels.frames import RESOURCE_ATTRIBUTES, SCOPE_ATTRIBUTES
from spanward_processor.kernels.jit import Bytes, Ints, borrowing
from spanward_processor.kernels.memory import copy_bytes
from spanward_processor.kernels.splice import varint_size, write_varint
from spanward_processor.kernels.wire import LENGTH, read_length, read_tag, step_over

EDITS: Final = 0
SPANS: Final = 1
KEPT: Final = 2

_CUT: Final = -1


@borrowing
def _cut(edits: Ints, done: Ints, first: int, last: int) -> int:
    """Note that a run of bytes goes; return its length."""
    place = done[EDITS]
    edits[place, 0], edits[place, 1], edits[place, 2] = first, last, _CUT
    done[EDITS] += 1
    return last - first


@borrowing
def _open(edits: Ints, done: Ints, length_at: int, start: int) -> int:
    """Keep a place for the new length of a message, before the edits inside of it; return the place."""
    place = int(done[EDITS])
    edits[place, 0], edits[place, 1] = length_at, start
    done[EDITS] += 1
    return place


@borrowing
def _close(edits: Ints, done: Ints, place: int, size: int, cut: int) -> int:
    """Note the new length of a message that had `size` bytes; return by how much the whole field shrinks."""
    if cut == 0:
        done[EDITS] = place
        return 0
    edits[place, 2] = size - cut
    return cut + int(edits[place, 1] - edits[place, 0]) - varint_size(size - cut)


@borrowing
def _prune_attributes(data: Bytes, at: int, end: int, field: int, edits: Ints, done: Ints) -> int:
    """Cut attributes of ours out of a Resource or InstrumentationScope; return the bytes cut."""
    cut = 0
    while at < end:
        tag_at = at
        number, wire, length_at = read_tag(data, at, end)
        at = step_over(data, length_at, end, wire)
        if number == field and wire == LENGTH:
            start, stop = read_length(data, length_at, end)
            if key_is_reserved(data, start, stop):
                cut += _cut(edits, done, tag_at, at)
    return cut


@borrowing
def _prune_field(data: Bytes, length_at: int, end: int, field: int, edits: Ints, done: Ints) -> int:
    """Prune the Resource or InstrumentationScope in a field; return by how much the field shrinks."""
    start, stop = read_length(data, length_at, end)
    place = _open(edits, done, length_at, start)
    return _close(edits, done, place, stop - start, _prune_attributes(data, start, stop, field, edits, done))


@borrowing
def _prune_scope(data: Bytes, at: int, end: int, dropped: Ints, edits: Ints, done: Ints) -> int:
    """Prune a ScopeSpans; return the bytes cut."""
    cut = 0
    while at < end:
        tag_at = at
        number, wire, length_at = read_tag(data, at, end)
        at = step_over(data, length_at, end, wire)
        if wire == LENGTH and number == 1:
            cut += _prune_field(data, length_at, end, SCOPE_ATTRIBUTES, edits, done)
        elif wire == LENGTH and number == 2:
            if dropped[done[SPANS]] > 0:
                cut += _cut(edits, done, tag_at, at)
            else:
                done[KEPT] += 1
            done[SPANS] += 1
    return cut


@borrowing
def _left_empty(spans: int, kept: int, done: Ints) -> bool:
    """Return whether all spans since the given counts were dropped, and there were any."""
    return bool(done[SPANS] > spans and done[KEPT] == kept)


@borrowing
def _prune_resource(data: Bytes, at: int, end: int, dropped: Ints, edits: Ints, done: Ints) -> int:
    """Prune a ResourceSpans; return the bytes cut."""
    cut = 0
    while at < end:
        tag_at = at
        number, wire, length_at = read_tag(data, at, end)
        at = step_over(data, length_at, end, wire)
        if wire == LENGTH and number == 1:
            cut += _prune_field(data, length_at, end, RESOURCE_ATTRIBUTES, edits, done)
        elif wire == LENGTH and number == 2:
            start, _ = read_length(data, length_at, end)
            spans, kept = int(done[SPANS]), int(done[KEPT])
            place = _open(edits, done, length_at, start)
            inside = _prune_scope(data, start, at, dropped, edits, done)
            if _left_empty(spans, kept, done):
                done[EDITS] = place
                cut += _cut(edits, done, tag_at, at)
            else:
                cut += _close(edits, done, place, at - start, inside)
    return cut


@borrowing
def plan_pruning(data: Bytes, dropped: Ints, edits: Ints, done: Ints) -> None:
    """Note what changes in a well-formed request.

    Args:
        data: (b,) uint8 request.
        dropped: (n,) int64 above 0 for spans that go.
        edits: (e, 3) int64 to fill: first byte, one past the last, and the length to write instead, or -1 for nothing. There
            must be room for three, and four more for each span and attribute that goes.
        done: (3,) int64 zeros; afterwards how many edits there are, spans there were, and spans are kept.
    """
    at = 0
    while at < data.size:
        tag_at = at
        number, wire, length_at = read_tag(data, at, data.size)
        at = step_over(data, length_at, data.size, wire)
        if wire != LENGTH or number != 1:
            continue
        start, _ = read_length(data, length_at, data.size)
        spans, kept = int(done[SPANS]), int(done[KEPT])
        place = _open(edits, done, length_at, start)
        inside = _prune_resource(data, start, at, dropped, edits, done)
        if _left_empty(spans, kept, done):
            done[EDITS] = place
            _cut(edits, done, tag_at, at)
        else:
            _close(edits, done, place, at - start, inside)


@borrowing
def write_pruned(data: Bytes, edits: Ints, out: Bytes) -> int:
    """Write the request anew; return its length, which is at most the old one.

    Args:
        data: (b,) uint8 request.
        edits: (e, 3) int64 the edits of `plan_pruning`, no more.
        out: (b,) uint8 to fill.
    """
    at = read = 0
    for place in range(edits.shape[0]):
        at = copy_bytes(out, at, data, read, edits[place, 0])
        if edits[place, 2] != _CUT:
            at = write_varint(out, at, edits[place, 2])
        read = edits[place, 1]
    return copy_bytes(out, at, data, read, data.size)
