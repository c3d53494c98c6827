"""CPU per span of OTLP JSON made protobuf, beside the general ProtoJSON parser and the bare JSON parser, in turns.

Run as `python tests/benchmarks/otlp_json.py [ROUNDS]`.
"""

import base64
import json
import os
import sys
import time
from collections.abc import Callable
from random import Random
from statistics import median
from typing import Any

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanward_processor.receive.otlp_json import to_protobuf
from spanward_processor.signals import Signal

SEED = 20_261_125
SPANS = 512
START_NS = 1_700_000_000_000_000_000
TO_REACH_US = 5.0


def span(rng: Random) -> dict[str, Any]:
    """Return a span with 12 attributes: 8 texts, 2 integers, 2 doubles."""
    texts = [
        {"key": f"spanward.text.{at}", "value": {"stringValue": f"{rng.getrandbits(48 + 8 * at):x}"}} for at in range(8)
    ]
    numbers = [{"key": f"spanward.count.{at}", "value": {"intValue": str(rng.getrandbits(20))}} for at in range(2)]
    doubles = [{"key": f"spanward.score.{at}", "value": {"doubleValue": rng.random()}} for at in range(2)]
    return {
        "traceId": rng.randbytes(16).hex(),
        "spanId": rng.randbytes(8).hex(),
        "parentSpanId": rng.randbytes(8).hex(),
        "name": "predict",
        "kind": 2,
        "startTimeUnixNano": str(START_NS + rng.getrandbits(40)),
        "endTimeUnixNano": str(START_NS + (1 << 40) + rng.getrandbits(40)),
        "attributes": [*texts, *numbers, *doubles],
        "status": {},
    }


def document(rng: Random) -> bytes:
    """Return one request."""
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "bench"}}]}
    spans = [span(rng) for _ in range(SPANS)]
    tree = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "bench"}, "spans": spans}]}]}
    return json.dumps(tree, separators=(",", ":")).encode()


def by_json_format(text: bytes) -> bytes:
    """Return the same by the official general parser, which wants ids in base64."""
    tree = json.loads(text)
    for resource in tree["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for item in scope["spans"]:
                for name in ("traceId", "spanId", "parentSpanId"):
                    item[name] = base64.b64encode(bytes.fromhex(item[name])).decode()
    return ParseDict(tree, ExportTraceServiceRequest(), ignore_unknown_fields=True).SerializeToString()


def us_a_span(read: Callable[[bytes], object], request: bytes, times: int) -> float:
    """Return microseconds of CPU time of this thread."""
    began = time.thread_time()
    for _ in range(times):
        read(request)
    return (time.thread_time() - began) / times / SPANS * 1e6


def main(rounds: int) -> None:
    """Measure and print."""
    request = document(Random(SEED))
    readers: dict[str, tuple[Callable[[bytes], object], int]] = {
        "spanward, JSON to protobuf": (lambda text: to_protobuf(Signal.TRACES, text), 20),
        "json_format, JSON to protobuf": (by_json_format, 1),
        "json.loads alone": (json.loads, 4),
    }
    ours = ExportTraceServiceRequest.FromString(to_protobuf(Signal.TRACES, request))
    assert ours == ExportTraceServiceRequest.FromString(by_json_format(request))
    print(f"seed {SEED}; {SPANS} spans of 12 attributes, {len(request) / SPANS:.0f} bytes of JSON a span")
    found: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(rounds):
        for name, (read, times) in readers.items():
            found[name].append(us_a_span(read, request, times))
    print(f"CPU us a span (= CPU-s a million), load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for name, costs in found.items():
        print(f"  {name:32} min {min(costs):6.1f}  median {median(costs):6.1f}  max {max(costs):6.1f}")
    reached = median(found["spanward, JSON to protobuf"]) <= TO_REACH_US
    print(f"to reach: {TO_REACH_US:g}; {'reached' if reached else 'not reached'}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
