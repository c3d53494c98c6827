"""An OTLP request into a `SpanBatch`; bytes that are no such request are an error with a reason."""

import numpy as np

from spanward_processor.columns import SpanBatch
from spanward_processor.kernels.attributes import PREDICTED, Values, reserved_ranges
from spanward_processor.kernels.frames import Frames, locate_frames
from spanward_processor.kernels.jit import Bytes, Ints
from spanward_processor.kernels.spans import Facts, read_spans
from spanward_processor.kernels.validate import MAX_DEPTH
from spanward_processor.kernels.wire import REASONS
from spanward_processor.roles import RoleTable


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
    data = np.frombuffer(request, np.uint8)
    frames = _locate(data)
    spans = frames.spans.shape[0]
    facts = Facts(*(np.zeros(spans, np.int64) for _ in Facts._fields))
    values = _empty_values(spans, roles)
    done = np.zeros(1, np.int64)
    error = read_spans(data, roles.names, values, facts, frames, done)
    if error:
        raise _undecodable(error, f"in span {done[0] + 1} of {spans}")
    return SpanBatch(
        data=data,
        frames=frames,
        facts=facts,
        codes=np.ascontiguousarray(values.codes[:, :spans]),
        text_at=np.ascontiguousarray(values.text_at[:, :spans]),
        text_size=np.ascontiguousarray(values.text_size[:, :spans]),
        numbers=np.ascontiguousarray(values.numbers[:, :spans]),
        reserved=_reserved(data, frames, facts),
    )


def _locate(data: Bytes) -> Frames:
    stack = np.empty((2, MAX_DEPTH), np.int64)
    frames = Frames(*(np.empty((0, 5), np.int64) for _ in Frames._fields))
    for _ in ("count", "fill"):
        found = np.zeros(4, np.int64)
        error = locate_frames(data, frames, found, stack)
        if error:
            raise _undecodable(error, f"in the field at byte {found[3]}")
        if found[2] == frames.spans.shape[0]:
            break
        frames = Frames(*(np.empty((rows, 5), np.int64) for rows in found[:3]))
    return frames


def _undecodable(error: int, place: str) -> UndecodableError:
    return UndecodableError(f"not an ExportTraceServiceRequest: {REASONS[error]} ({place})")


def _empty_values(spans: int, roles: RoleTable) -> Values:
    texts, numbers = len(roles.texts), len(roles.numbers)
    return Values(
        codes=np.zeros((texts, spans + 1), np.uint64),
        text_at=np.zeros((texts, spans + 1), np.int64),
        text_size=np.zeros((texts, spans + 1), np.int64),
        numbers=np.full((numbers, spans + 1), np.nan),
        holders=np.full((2, texts + numbers), -1, np.int64),
        ranks=np.zeros((2, texts + numbers), np.int64),
        digits=np.empty(20, np.uint8),
        stack=np.empty((2, MAX_DEPTH), np.int64),
        seen=np.full((3, PREDICTED), -1, np.int64),
    )


def _reserved(data: Bytes, frames: Frames, facts: Facts) -> Ints:
    ranges = np.zeros((int(facts.reserved.sum()), 3), np.int64)
    if ranges.size:
        reserved_ranges(data, frames.spans, facts.reserved, ranges)
    return ranges
