"""Attributes into encoded spans: new bytes at the end of a span, the processor's own inbound ones out, lengths anew.

Every other byte stays as it came, unknown fields included. Protobuf fields may come in any order, so appending a
field to a message is as good as any place.
"""

from typing import Final, NamedTuple

import numpy as np

from spanward_processor.kernels.frames import END, LENGTH_AT, PARENT, START, Frames
from spanward_processor.kernels.jit import Bytes, Floats, Ints, borrowing
from spanward_processor.kernels.memory import copy_bytes

_DOUBLE: Final = 8


class Notes(NamedTuple):
    """What to write into which span.

    Args:
        templates: (b,) uint8 encoded attributes, one template after the other.
        starts: (t + 1,) int64 where each template begins.
        score_at: (t,) int64 offset within the template of the eight bytes of the score.
        rows: (n,) int64 template of each span, -1 for none.
        scores: (n,) float64.
    """

    templates: Bytes
    starts: Ints
    score_at: Ints
    rows: Ints
    scores: Floats


@borrowing
def varint_size(value: int) -> int:
    """Return the bytes of the shortest varint."""
    size = 1
    while value >= 128:
        value >>= 7
        size += 1
    return size


@borrowing
def write_varint(out: Bytes, at: int, value: int) -> int:
    """Write the shortest varint; return the position after it."""
    while value >= 128:
        out[at] = np.uint8((value & 0x7F) | 0x80)
        value >>= 7
        at += 1
    out[at] = np.uint8(value)
    return at + 1


@borrowing
def _growth(frame: Ints, inside: int) -> int:
    """Return by how many bytes a frame grows when its payload grows by `inside`."""
    old = int(frame[START] - frame[LENGTH_AT])
    return inside + varint_size(int(frame[END] - frame[START]) + inside) - old


@borrowing
def plan_growth(frames: Frames, removed: Ints, notes: Notes, growth: Ints) -> int:
    """Find by how much each frame's payload grows.

    Args:
        frames: Where each message lies.
        removed: (k, 3) int64 attributes to leave out: span row, first byte, one past the last; sorted.
        notes: What to write.
        growth: (r + s + n, 2) int64 zeros to fill, resources first, then scopes, then spans: growth of the payload, and
            1 where anything in it changes.

    Returns:
        By how much the request grows, bytes.
    """
    resources, scopes = frames.resources.shape[0], frames.scopes.shape[0]
    first_scope, first_span = resources, resources + scopes
    for index in range(removed.shape[0]):
        place = first_span + removed[index, 0]
        growth[place, 0] -= removed[index, 2] - removed[index, 1]
        growth[place, 1] = 1
    for row in range(frames.spans.shape[0]):
        place = first_span + row
        if notes.rows[row] >= 0:
            growth[place, 0] += notes.starts[notes.rows[row] + 1] - notes.starts[notes.rows[row]]
            growth[place, 1] = 1
        if growth[place, 1] == 1:
            scope = first_scope + frames.spans[row, PARENT]
            growth[scope, 0] += _growth(frames.spans[row], growth[place, 0])
            growth[scope, 1] = 1
    for row in range(scopes):
        if growth[first_scope + row, 1] == 1:
            resource = frames.scopes[row, PARENT]
            growth[resource, 0] += _growth(frames.scopes[row], growth[first_scope + row, 0])
            growth[resource, 1] = 1
    total = 0
    for row in range(resources):
        if growth[row, 1] == 1:
            total += _growth(frames.resources[row], growth[row, 0])
    return total


@borrowing
def _open_frame(out: Bytes, at: int, data: Bytes, done: int, frame: Ints, inside: int) -> tuple[int, int]:
    """Copy up to a frame's length and write the new length; return the next positions in `out` and `data`."""
    at = copy_bytes(out, at, data, done, frame[LENGTH_AT])
    return write_varint(out, at, frame[END] - frame[START] + inside), frame[START]


@borrowing
def _write_note(out: Bytes, at: int, row: int, notes: Notes, score: Bytes) -> int:
    template = notes.rows[row]
    first, last = int(notes.starts[template]), int(notes.starts[template + 1])
    begin = at
    at = copy_bytes(out, at, notes.templates, first, last)
    where = begin + int(notes.score_at[template])
    copy_bytes(out, where, score, _DOUBLE * row, _DOUBLE * (row + 1))
    return at


@borrowing
def splice(data: Bytes, frames: Frames, removed: Ints, notes: Notes, score: Bytes, growth: Ints, out: Bytes) -> int:
    """Write the request anew with the planned changes.

    Args:
        data: (b,) uint8 request.
        frames: Where each message lies.
        removed: As for `plan_growth`.
        notes: What to write.
        score: (8 n,) uint8 the scores as little-endian doubles.
        growth: From `plan_growth`.
        out: (b + growth of the request,) uint8 to fill.

    Returns:
        Bytes written.
    """
    resources, scopes = frames.resources.shape[0], frames.scopes.shape[0]
    at = done = gone = 0
    scope = resource = -1
    for row in range(frames.spans.shape[0]):
        place = resources + scopes + row
        if growth[place, 1] == 0:
            continue
        parent = frames.spans[row, PARENT]
        if frames.scopes[parent, PARENT] != resource:
            resource = frames.scopes[parent, PARENT]
            at, done = _open_frame(out, at, data, done, frames.resources[resource], growth[resource, 0])
        if parent != scope:
            scope = parent
            at, done = _open_frame(out, at, data, done, frames.scopes[scope], growth[resources + scope, 0])
        at, done = _open_frame(out, at, data, done, frames.spans[row], growth[place, 0])
        while gone < removed.shape[0] and removed[gone, 0] == row:
            at = copy_bytes(out, at, data, done, removed[gone, 1])
            done = removed[gone, 2]
            gone += 1
        at = copy_bytes(out, at, data, done, frames.spans[row, END])
        done = frames.spans[row, END]
        if notes.rows[row] >= 0:
            at = _write_note(out, at, row, notes, score)
    return copy_bytes(out, at, data, done, data.size)
