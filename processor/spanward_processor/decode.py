"""An OTLP request into a `SpanBatch`; bytes that are no such request are an error with a reason."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Final, Self

import numpy as np

from spanward_processor.columns import SpanBatch
from spanward_processor.kernels.attributes import PREDICTED, RECENT, Room, Values, reserved_ranges
from spanward_processor.kernels.frames import Frames, locate_frames
from spanward_processor.kernels.jit import Bytes, Ints
from spanward_processor.kernels.spans import Facts, read_spans
from spanward_processor.kernels.validate import MAX_DEPTH
from spanward_processor.kernels.wire import REASONS
from spanward_processor.roles import RoleTable

_SMALL_SPAN_BYTES: Final = 128
_FEW: Final = 16


class UndecodableError(ValueError):
    """The bytes are not an ExportTraceServiceRequest."""


def decode(request: bytes, roles: RoleTable) -> SpanBatch:
    """Decode one encoded ExportTraceServiceRequest.

    Args:
        request: The bytes as received.
        roles: Which attributes become columns.

    Returns:
        The columns; `data` shares memory with `request`.

    Raises:
        UndecodableError: The bytes are malformed; the message says how and where.
    """
    with _workspace(len(roles.texts), len(roles.numbers)) as space:
        return _read(np.frombuffer(request, np.uint8), roles, space)


def count_spans(request: bytes) -> int:
    """Return how many spans a request has, at a tenth of what decoding it takes.

    Args:
        request: The bytes as received.

    Raises:
        UndecodableError: The frames around the spans are malformed.
    """
    with _workspace(0, 0) as space:
        frames, _ = _locate(np.frombuffer(request, np.uint8), space)
    return len(frames.spans)


@contextmanager
def _workspace(texts: int, numbers: int) -> Generator["_Workspace"]:
    """Lend a workspace that nobody else uses meanwhile."""
    free = _workspaces(texts, numbers)
    try:
        space = free.pop()
    except IndexError:  # another thread may have taken the last one
        space = _Workspace.of(texts, numbers)
    try:
        yield space
    finally:
        free.append(space)


@dataclass(frozen=True, slots=True)
class _Workspace:
    """What is needed only while one request is read; kept, since making it takes as long as reading a few spans."""

    room: Room
    resource: Values
    found: Ints

    @classmethod
    def of(cls, texts: int, numbers: int) -> Self:
        heads, keys, claims = np.empty((3, PREDICTED), np.int64)
        room = Room(
            digits=np.empty(20, np.uint8),
            stack=np.empty((2, MAX_DEPTH), np.int64),
            heads=heads,
            keys=keys,
            claims=claims,
            recent=np.empty((RECENT * texts, 3), np.int64),
        )
        return cls(room, _empty_values(1, texts, numbers), np.empty(5, np.int64))


@cache
def _workspaces(texts: int, numbers: int) -> list[_Workspace]:  # noqa: ARG001 - of role tables of this size
    """Return the workspaces nobody uses, at most as many as there are threads that decode."""
    return []


def _read(data: Bytes, roles: RoleTable, space: _Workspace) -> SpanBatch:
    frames, outer_reserved = _locate(data, space)
    spans = frames.spans.shape[0]
    facts = Facts(*np.zeros((len(Facts._fields), spans), np.int64))
    values = _empty_values(spans, len(roles.texts), len(roles.numbers))
    found = space.found
    error = read_spans(data, roles.names, space.resource, values, facts, space.room, frames, found)
    if error:
        raise _undecodable(error, f"in span {found[0] + 1} of {spans}")
    return SpanBatch(
        data=data,
        frames=frames,
        facts=facts,
        codes=values.codes,
        text_at=values.text_at,
        text_size=values.text_size,
        numbers=values.numbers,
        reserved=_reserved(data, frames, facts, int(found[1])),
        outer_reserved=outer_reserved,
    )


def _locate(data: Bytes, space: _Workspace) -> tuple[Frames, int]:
    """Find the frames, and how many attributes of ours resources and scopes have.

    One walk does where a guess from the request's size leaves room for all frames, else a second one follows.
    """
    found = space.found
    most = _FEW, _FEW, _FEW + data.size // _SMALL_SPAN_BYTES
    while True:
        resources, scopes, spans = (np.empty((count, 5), np.int64) for count in most)
        error = locate_frames(data, Frames(resources, scopes, spans), found, space.room.stack)
        if error:
            raise _undecodable(error, f"in the field at byte {found[3]}")
        needed = int(found[0]), int(found[1]), int(found[2])
        if needed[0] <= most[0] and needed[1] <= most[1] and needed[2] <= most[2]:
            return Frames(resources[: needed[0]], scopes[: needed[1]], spans[: needed[2]]), int(found[4])
        most = needed


def _undecodable(error: int, place: str) -> UndecodableError:
    return UndecodableError(f"not an ExportTraceServiceRequest: {REASONS[error]} ({place})")


def _empty_values(rows: int, texts: int, numbers: int) -> Values:
    return Values(
        codes=np.zeros((texts, rows), np.uint64),
        text_at=np.zeros((texts, rows), np.int64),
        text_size=np.zeros((texts, rows), np.int64),
        numbers=np.empty((numbers, rows)),
        holders=np.empty(texts + numbers, np.int64),
    )


def _reserved(data: Bytes, frames: Frames, facts: Facts, count: int) -> Ints:
    ranges = np.zeros((count, 3), np.int64)
    if count:
        reserved_ranges(data, frames.spans, facts.reserved, ranges)
    return ranges
