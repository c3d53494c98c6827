"""Spans of a model that becomes slow for a known reason, second by second."""

import math
from collections.abc import Iterator

import numpy as np
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from causes import World
from spans import Value, span
from spanward import semconv
from spanward_processor.explain.measured import DATA, RUNTIME
from spanward_processor.roles import NUMBER_ROLES

SECOND_NS = 1_000_000_000


def spans_of_world(world: World, per_s: int, seconds: int, start_ns: int, rng: np.random.Generator) -> Iterator[Span]:
    """Yield the spans of calls that end evenly spread over some seconds."""
    calls = world.calls(per_s * seconds, rng)
    ends_ns = start_ns + (np.arange(len(calls)) * SECOND_NS // per_s)
    for row, end_ns in enumerate(ends_ns.tolist()):
        values = (*calls.data[:, row].tolist(), *calls.runtime[:, row].tolist())
        told: dict[str, Value] = {
            NUMBER_ROLES[role][0]: value
            for role, value in zip((*DATA, *RUNTIME), values, strict=True)
            if not math.isnan(value)
        }
        told[semconv.MODEL_VERSION] = f"1.{int(calls.groups[row])}"
        yield span(
            told,
            start_time_unix_nano=end_ns - int(calls.span_s[row] * 1e9),
            end_time_unix_nano=end_ns,
            trace_id=rng.bytes(16),
        )
