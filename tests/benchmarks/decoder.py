"""Spans per second and core of the decoder, beside the official protobuf parser, in turns.

Run as `python tests/benchmarks/decoder.py [ROUNDS]`. The parser is measured twice: what it takes to build its objects, which
is not yet the decoder's work, and what it takes to read the values that ours puts into columns out of them.
"""

import os
import sys
import time
from collections.abc import Callable

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanward_processor.bench.calibrate import beginning_ns, corpus
from spanward_processor.bench.corpus import Feed, Shape
from spanward_processor.decode import decode
from spanward_processor.roles import role_table

SEED = 20_261_125
REQUESTS = 64
TO_REACH = 1_000_000


def spans_per_s(parse: Callable[[bytes], object], requests: list[bytes], spans: int) -> float:
    """Return spans per second of CPU time of this thread."""
    began = time.thread_time()
    for request in requests:
        parse(request)
    return len(requests) * spans / (time.thread_time() - began)


def read_values(request: bytes) -> list[list[object]]:
    """Return the values of every span's attributes, read through the official classes."""
    parsed = ExportTraceServiceRequest.FromString(request)
    return [
        [getattr(item.value, item.value.WhichOneof("value") or "string_value") for item in span.attributes]
        for resource in parsed.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def main(rounds: int) -> None:
    """Measure and print."""
    shape = Shape()
    feed = Feed(corpus(shape, SEED), beginning_ns(), 5_000, SEED)
    requests = [feed.take() for _ in range(REQUESTS)]
    roles = role_table()
    parsers: dict[str, Callable[[bytes], object]] = {
        "spanward, to columns": lambda request: decode(request, roles),
        "protobuf, to objects": ExportTraceServiceRequest.FromString,
        "protobuf, to values": read_values,
    }
    size = sum(map(len, requests)) / len(requests) / shape.spans
    print(
        f"seed {SEED}; {REQUESTS} requests of {shape.spans} spans, {shape.attributes} attributes, {size:.0f} bytes a span"
    )
    found: dict[str, list[float]] = {name: [] for name in parsers}
    for parse in parsers.values():
        spans_per_s(parse, requests, shape.spans)  # warms kernels, caches and the allocator
    for _ in range(rounds):
        for name, parse in parsers.items():
            found[name].append(spans_per_s(parse, requests, shape.spans))
    for name, values in found.items():
        print(f"{name}: {min(values):,.0f} / {np.median(values):,.0f} / {max(values):,.0f} spans/s per core")
    reached = "reached" if np.median(found["spanward, to columns"]) >= TO_REACH else "not reached"
    print(f"to reach {TO_REACH:,}: {reached}; load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
