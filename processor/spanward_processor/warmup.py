"""Every kernel compiled once, so that the first real request does not wait for it; images run it while they are built."""

import hashlib
import logging
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numba
from llvmlite import binding
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from spanward import semconv
from spanward_processor.configuration.settings import Detection, Learning, Limits
from spanward_processor.kernels import jit
from spanward_processor.kernels.jit import CACHE_FOLDER
from spanward_processor.pipeline import Pipeline
from spanward_processor.receive.otlp_json import to_protobuf
from spanward_processor.signals import Signal
from spanward_processor.slo.objective import Objective, Op, Selector, Source

_log = logging.getLogger(__name__)

STAGES: Final = (
    "decode, score and count",
    "close a window",
    "annotate",
    "refuse spans",
    "compare versions",
    "read JSON",
)
"""What is compiled, in order."""

_KERNELS: Final = Path(jit.__file__).parent
_START_NS: Final = 1_700_000_000_000_000_000
_SPANS: Final = 64
_WINDOWS: Final = 12  # half of them to learn, half of them strange
_MOST_ATTRIBUTES: Final = 32  # more than spans here have
_COMPILED_WITHIN_S: Final = 600.0


def compile_apart() -> None:
    """Fill an empty cache in a process of its own.

    Whoever compiles keeps some 350 MB of the compiler's memory for ever; whoever loads from the cache does not. Where nothing
    can be kept, or the other process fails, nothing is lost: `warm_up` compiles.
    """
    if compiled_mark(_KERNELS).exists() or not _can_keep():
        return
    _log.info("kernels are compiled once, by a process of its own")
    command = [sys.executable, "-m", "spanward_processor", "warmup"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        subprocess.run(  # noqa: S603 - this very program
            command, env=environment, stdout=subprocess.DEVNULL, timeout=_COMPILED_WITHIN_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        _log.warning("kernels were not compiled apart, and are compiled here reason=%r", str(error))


def compiled_mark(kernels: Path) -> Path:
    """Return the file that says: all kernels were compiled, from these files, for this interpreter, compiler and processor.

    The compiler keeps what it made by path and time of the source, so a second installation of the same kernels needs its own.

    Args:
        kernels: The folder of the kernels' sources.
    """
    sources = [(str(path), path.stat().st_mtime_ns) for path in sorted(kernels.glob("*.py"))]
    parts = (
        sources,
        platform.python_version(),
        numba.__version__,
        binding.get_host_cpu_name(),
        binding.get_host_cpu_features().flatten(),
    )
    return CACHE_FOLDER / f"complete-{hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()}"


def _can_keep() -> bool:
    try:
        CACHE_FOLDER.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(CACHE_FOLDER, os.W_OK)


def warm_up(progress: Callable[[str, float], None]) -> float:
    """Send small requests through a pipeline of its own, so that each kernel is compiled or loaded from the cache.

    Args:
        progress: Called after each stage with its name and the seconds it took.

    Returns:
        Seconds in all.
    """
    began = time.perf_counter()
    detection = Detection(
        window_s=1.0,
        lateness_s=0.0,
        false_alarms_per_day=1e9,  # a finding after two strange windows
        flagged_rows_ratio=1.0,
        learning=Learning(windows=1, rows=1),
        objectives=(Objective("warmup", Selector("warmup"), Source.ERROR, Op.LTE, 0.0, 0.9),),
    )
    pipeline = Pipeline(detection, Limits(attributes_per_span=_MOST_ATTRIBUTES))
    works = (_first_request, _close_windows, _annotate, _refuse, _compare, _read_json)
    for stage, work in zip(STAGES, works, strict=True):
        started = time.perf_counter()
        work(pipeline)
        progress(stage, time.perf_counter() - started)
    if _can_keep():
        compiled_mark(_KERNELS).touch()
    return time.perf_counter() - began


def _first_request(pipeline: Pipeline) -> None:
    pipeline.acknowledge(pipeline.process(_request(0)))


def _close_windows(pipeline: Pipeline) -> None:
    for second in range(1, _WINDOWS):
        pipeline.flush()
        pipeline.acknowledge(pipeline.process(_request(second, size=1 if second < _WINDOWS // 2 else 1000)))
    pipeline.flush()


def _annotate(pipeline: Pipeline) -> None:
    """Annotate rows that carry the finding that the last windows opened, and remove attributes of ours."""
    pipeline.process(_request(_WINDOWS, size=1000, reserved=True))


def _refuse(pipeline: Pipeline) -> None:
    """Refuse a span that is over a limit, among others."""
    request = ExportTraceServiceRequest.FromString(_request(0))
    span = request.resource_spans[0].scope_spans[0].spans[0]
    for number in range(_MOST_ATTRIBUTES):
        span.attributes.add(key=str(number))
    pipeline.process(request.SerializeToString())


def _compare(pipeline: Pipeline) -> None:
    """Let two versions answer the same inputs: their trial begins when a window with both has closed."""
    for second in (_WINDOWS + 1, _WINDOWS + 2):
        pipeline.acknowledge(pipeline.process(_request(second, versions=2)))
        pipeline.flush()


def _read_json(pipeline: Pipeline) -> None:
    pipeline.process(to_protobuf(Signal.TRACES, b"{}"))  # one document compiles all, whatever is in it


def _request(second: int, *, size: int = 1, versions: int = 1, reserved: bool = False) -> bytes:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key=semconv.SERVICE_NAME).value.string_value = "warmup"
    scope = resource.scope_spans.add()
    for number in range(_SPANS):
        span = scope.spans.add(
            trace_id=number.to_bytes(16, "big"),
            start_time_unix_nano=_START_NS + second * 1_000_000_000,
            end_time_unix_nano=_START_NS + second * 1_000_000_000 + (number + 1) * 1_000_000,
        )
        _describe(span, number // versions, size, 1 + number % versions)
        if reserved:
            span.attributes.add(key=semconv.ANOMALY_SCORE).value.double_value = 1.0
    return request.SerializeToString()


def _describe(span: Span, number: int, size: int, version: int) -> None:
    texts = {
        semconv.MODEL_NAME: "warmup",
        semconv.CHANNEL: f"channel-{number % 2}",
        semconv.DECISION: f"label-{number % 3}",
        semconv.CLIENT_ID: f"client-{number % 5}",
        semconv.FEATURES_HASH: f"{number:032x}",
    }
    for name, text in texts.items():
        span.attributes.add(key=name).value.string_value = text
    span.attributes.add(key=semconv.MODEL_VERSION).value.int_value = version
    span.attributes.add(key=semconv.SCORE).value.double_value = number / _SPANS
    span.attributes.add(key=semconv.FEATURES_COUNT).value.int_value = size * (1 + number)


__all__ = ["CACHE_FOLDER", "STAGES", "warm_up"]
