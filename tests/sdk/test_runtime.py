"""What the process did besides: garbage, CPU time and the loading of models."""

import asyncio
import gc
import os
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest
from opentelemetry.trace import StatusCode

import spanward
from captured import attributes_of
from spanward import semconv
from spanward.testing import CapturedSpans


def test_a_collection_inside_a_call_is_told(spans: CapturedSpans) -> None:
    """Its pause is; a call without one tells none."""

    @spanward.inference("m")
    def predict(collecting: bool) -> None:
        if collecting:
            gc.collect()

    gc.disable()
    try:
        predict(True)
        predict(False)
    finally:
        gc.enable()

    with_pause, without = (span.attributes or {} for span in spans.finished)
    assert isinstance(pause := with_pause[semconv.RUNTIME_GC_PAUSE_S], float)
    span = spans.finished[0]
    assert 0 < pause < ((span.end_time or 0) - (span.start_time or 0)) / 1e9
    assert semconv.RUNTIME_GC_PAUSE_S not in without


def test_cpu_time_is_told_beside_wall_time(spans: CapturedSpans) -> None:
    """A call that sleeps takes little of it."""

    @spanward.inference("m")
    def predict() -> None:
        time.sleep(0.05)
        sum(range(100_000))

    predict()

    assert isinstance(cpu := attributes_of(spans)[semconv.RUNTIME_CPU_S], float)
    assert 0 < cpu < 0.05


def test_cpu_time_of_brief_functions_is_not_measured(spans: CapturedSpans) -> None:
    """Once a call took less than 100 us the next one is not measured; after a longer one it is again."""

    @spanward.inference("m")
    def predict(sleep_s: float) -> None:
        if sleep_s:
            time.sleep(sleep_s)

    for sleep_s in (*[0.0] * 50, 0.001, 0.0):
        predict(sleep_s)

    measured = [semconv.RUNTIME_CPU_S in (span.attributes or {}) for span in spans.finished]
    assert measured.count(False) > 25
    assert measured[-1]


def test_cpu_time_of_a_stream_is_that_of_its_steps(spans: CapturedSpans) -> None:
    """What the consumer computes is not the model's."""

    @spanward.inference("m")
    def stream() -> object:
        for _ in range(2):
            time.sleep(0.001)
            yield 1

    for _ in stream():  # type: ignore[attr-defined]
        end = time.thread_time() + 0.03
        while time.thread_time() < end:
            pass

    assert isinstance(cpu := attributes_of(spans)[semconv.RUNTIME_CPU_S], float)
    assert 0 < cpu < 0.03


def test_loading_a_model_is_a_span(spans: CapturedSpans) -> None:
    """It names the model, but is no call of it."""
    with spanward.model_loading("bert", version="1") as loading:
        time.sleep(0.01)
        loading.set(revision="abc")

    found = attributes_of(spans)
    assert spans.finished[0].name == "load bert"
    assert isinstance(took := found.pop(semconv.RUNTIME_MODEL_LOAD_S), float)
    assert took >= 0.01
    assert found == {
        semconv.LOADING_MODEL_NAME: "bert",
        semconv.LOADING_MODEL_VERSION: "1",
        semconv.LOADING_MODEL_REVISION: "abc",
    }


def test_a_call_that_loads_its_model_says_so(spans: CapturedSpans) -> None:
    """The first call of a model that is loaded lazily is told from the others."""

    @spanward.model_loading("bert")
    def load() -> str:
        time.sleep(0.01)
        return "model"

    @spanward.inference("bert")
    def predict(loaded: str | None) -> str:
        return loaded or load()

    predict(predict(None))

    loading, first, second = spans.finished
    assert loading.parent == first.context
    assert isinstance(took := (first.attributes or {})[semconv.RUNTIME_MODEL_LOAD_S], float)
    assert took >= 0.01
    assert semconv.RUNTIME_MODEL_LOAD_S not in (second.attributes or {})


def test_coroutine_functions_can_load_models(spans: CapturedSpans) -> None:
    """The span lasts until they return."""

    @spanward.model_loading("bert")
    async def load() -> str:
        await asyncio.sleep(0.01)
        return "model"

    assert asyncio.run(load()) == "model"
    assert isinstance(took := attributes_of(spans)[semconv.RUNTIME_MODEL_LOAD_S], float)
    assert took >= 0.01


def test_a_model_that_cannot_be_loaded_fails(spans: CapturedSpans) -> None:
    """The exception passes, and its class is told."""

    @spanward.model_loading("bert")
    def load() -> None:
        raise OSError("secret path")

    with pytest.raises(OSError, match="secret path"):
        load()

    assert attributes_of(spans)[semconv.ERROR_TYPE] == "OSError"
    assert spans.finished[0].status.status_code is StatusCode.ERROR
    assert "secret" not in str(attributes_of(spans))


def test_cpu_and_memory_of_the_process_are_metrics() -> None:
    """With the extra they are reported beside the calls'; without it the command that installs it is named."""
    program = (
        "import spanward\n"
        "from opentelemetry import metrics\n"
        "from opentelemetry.sdk.metrics import MeterProvider\n"
        "from opentelemetry.sdk.metrics.export import InMemoryMetricReader\n"
        "reader = InMemoryMetricReader()\n"
        "metrics.set_meter_provider(MeterProvider([reader]))\n"
        "for _ in range(2): spanward.configure(hashing_key='0123456789abcdef', process_metrics=True)\n"
        "(resource,) = reader.get_metrics_data().resource_metrics\n"
        "print(*sorted(metric.name for scope in resource.scope_metrics for metric in scope.metrics))\n"
    )
    environment = {**os.environ, "OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)

    if find_spec("psutil") and find_spec("opentelemetry.instrumentation.system_metrics"):
        assert {"process.cpu.time", "process.memory.usage"} <= set(done.stdout.split()), done.stderr
    else:
        assert "pip install 'spanward[runtime]'" in done.stderr
