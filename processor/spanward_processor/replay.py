"""Recorded traffic through a real processor, in the time it was recorded in.

The public Azure LLM inference trace is a CSV file of arrival time, context tokens and generated tokens. It holds no
durations, so its spans begin and end at the arrival, and no latency is learned from them.
"""

import csv
import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from spanward import semconv
from spanward_processor.configuration.config import Config, DetectionConfig
from spanward_processor.findings import Finding
from spanward_processor.panorama import Standing
from spanward_processor.server import Processor
from spanward_processor.signals import Signal

COLUMNS: Final = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_SPANS_PER_REQUEST: Final = 512
_MOST_SHOWN: Final = 80  # characters of a wrong line


class RecordingError(ValueError):
    """A recording cannot be read; the message names file, line and value."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay showed.

    Args:
        spans: Spans sent.
        late: Those of them that came after their window had closed.
        first_ns: Event time of the first, Unix nanoseconds.
        last_ns: Event time of the last.
        standings: How every series stands at the end.
        transitions: What happened to findings, in order.
    """

    spans: int
    late: int
    first_ns: int
    last_ns: int
    standings: tuple[Standing, ...]
    transitions: tuple[Finding, ...]


def read(path: Path) -> Iterator[Span]:
    """Yield a span for every line of a trace file.

    Args:
        path: CSV with the columns of the Azure LLM inference trace.

    Raises:
        RecordingError: The file is not such a trace; says where.
    """
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        lines = csv.reader(file)
        try:
            header = tuple(next(lines, ()))
            if header != COLUMNS:
                shown = ",".join(header)[:_MOST_SHOWN]
                raise RecordingError(f"{path}:1: must be the header {','.join(COLUMNS)}, got {shown!r}")
            for line in lines:
                if line:
                    yield _line(path, lines.line_num, line)
        except csv.Error as error:
            raise RecordingError(f"{path}:{lines.line_num}: must be CSV, got {error}") from error


def _line(path: Path, number: int, line: list[str]) -> Span:
    try:
        time, context, generated = line
        return _span(number, _nanoseconds(time), _tokens(context), _tokens(generated))
    except ValueError as error:
        shown = ",".join(line)[:_MOST_SHOWN]
        raise RecordingError(f"{path}:{number}: must be time,tokens,tokens, got {shown!r} ({error})") from error


def _tokens(text: str) -> int:
    if not 0 <= int(text) < 1 << 63:
        raise ValueError(f"{text} is no number of tokens")
    return int(text)


def _nanoseconds(text: str) -> int:
    """Return Unix nanoseconds of `2023-11-16 18:17:03.9799600` (UTC, seven digits of a second)."""
    whole, _, fraction = text.partition(".")
    if datetime.datetime.fromisoformat(whole).tzinfo:
        raise ValueError("the time has an offset; it must be UTC without one")
    moment = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.UTC)
    return int(moment.timestamp()) * 1_000_000_000 + int(fraction.ljust(9, "0")[:9] or "0")


def _span(number: int, time_ns: int, context: int, generated: int) -> Span:
    span = Span(
        trace_id=number.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        name="text_completion",
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=time_ns,
        end_time_unix_nano=time_ns,
    )
    span.attributes.add(key=semconv.GEN_AI_OPERATION_NAME).value.string_value = "text_completion"
    span.attributes.add(key=semconv.GEN_AI_USAGE_INPUT_TOKENS).value.int_value = context
    span.attributes.add(key=semconv.GEN_AI_USAGE_OUTPUT_TOKENS).value.int_value = generated
    return span


def requests(path: Path) -> Iterator[bytes]:
    """Yield encoded export requests of a trace file; the model is named after the file.

    Args:
        path: See `read`.
    """
    waiting: list[Span] = []
    for span in read(path):
        waiting.append(span)
        if len(waiting) == _SPANS_PER_REQUEST:
            yield _request(path.stem, waiting)
            waiting = []
    if waiting:
        yield _request(path.stem, waiting)


def _request(model: str, spans: list[Span]) -> bytes:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key=semconv.SERVICE_NAME).value.string_value = "replay"
    resource.resource.attributes.add(key=semconv.MODEL_NAME).value.string_value = model
    resource.scope_spans.add().spans.extend(spans)
    return request.SerializeToString()


async def replay(paths: list[Path], detection: DetectionConfig) -> Replayed:
    """Send recordings through a processor of its own, over real OTLP, as fast as it takes them.

    Args:
        paths: Trace files, one after the other.
        detection: How spans are judged.

    Raises:
        RecordingError: A file cannot be read.
    """
    config = Config.model_validate(
        {
            "receiver": {"listen": "127.0.0.1:0", "http_listen": None},
            "live": None,
            "journal": None,
            "detection": detection,
            "telemetry": {"interval_s": 3600},
        }
    )
    transitions: list[Finding] = []
    times: list[int] = []
    async with Processor(config) as processor:
        pipeline = processor.pipeline
        async with grpc.aio.insecure_channel(processor.receiver_address) as channel:
            export = cast("Any", channel).unary_unary(f"/{Signal.TRACES.service}/Export")
            for path in paths:
                for request in requests(path):
                    spans = ExportTraceServiceRequest.FromString(request).resource_spans[0].scope_spans[0].spans
                    times += spans[0].start_time_unix_nano, spans[-1].end_time_unix_nano
                    await export(request)
                    pipeline.tick()
        pipeline.flush()
        transitions += [finding for _, finding in pipeline.panorama.transitions(0)]
        return Replayed(
            spans=processor.counts.accepted,
            late=processor.counts.late,
            first_ns=min(times, default=0),
            last_ns=max(times, default=0),
            standings=pipeline.panorama.standings(),
            transitions=tuple(transitions),
        )
