"""Rows of the spans that a service sent: what the explanation takes."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from spanward import semconv
from spanward_processor.explain.measured import Measured
from spanward_processor.kernels.jit import Floats

_DATA: Final = {"input_tokens": semconv.GEN_AI_USAGE_INPUT_TOKENS}
_RUNTIME: Final = {
    "gc_pause_s": semconv.RUNTIME_GC_PAUSE_S,
    "wait_s": semconv.RUNTIME_WAIT_S,
    "model_load_s": semconv.RUNTIME_MODEL_LOAD_S,
    "cpu_s": semconv.RUNTIME_CPU_S,
}
_STRETCH_NS: Final = 500_000_000  # of time whose rows share its load


def rows(spans: Sequence[Span]) -> Measured:
    """Return calls as rows.

    Args:
        spans: Calls of one model, as they were sent.
    """
    calls = [(span, {item.key: item.value for item in span.attributes}) for span in spans]

    def column(name: str) -> Floats:
        return np.array([_number(facts, name) for _, facts in calls], np.float64)

    return Measured.of(
        np.array([(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9 for span, _ in calls]),
        data={role: column(name) for role, name in _DATA.items()},
        runtime={role: column(name) for role, name in _RUNTIME.items()},
        groups=np.array([int(_text(facts, semconv.MODEL_VERSION) or 0) for _, facts in calls], np.int64),
        blocks=np.array([span.end_time_unix_nano // _STRETCH_NS for span, _ in calls], np.int64),
    )


def _text(facts: Mapping[str, AnyValue], name: str) -> str:
    return facts[name].string_value if name in facts else ""


def _number(facts: Mapping[str, AnyValue], name: str) -> float:
    value = facts.get(name)
    if value is None:
        return float("nan")
    return value.double_value if value.WhichOneof("value") == "double_value" else float(value.int_value)
