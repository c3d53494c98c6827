"""Functions and models inside a real Triton server: one trace from the client through Triton, and what the processor counts of it."""

from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from importlib import import_module
from importlib.util import find_spec
from queue import SimpleQueue
from typing import Any, Final

import pytest
from opentelemetry.trace import SpanKind

import spanward
import triton_running
from requiring import require_peer
from running import Backend, backend, processor
from spans import eventually, spans_of
from spanward import semconv
from spanward.testing import CapturedSpans, capture_spans
from spanward_integrations import INTEGRATIONS
from spanward_processor.decode import decode
from spanward_processor.roles import TEXT_ROLES, RoleTable, role_table
from spanward_processor.texts import text_at
from triton_running import Server, inputs

pytestmark = [
    pytest.mark.triton,
    pytest.mark.filterwarnings("default"),  # gevent and grpc warn of their own use of older names
]

BOTH: Final = {"listen": "127.0.0.1:0", "http_listen": "127.0.0.1:0"}
WITHIN_S: Final = 30
OURS: Final = {"router": "functions", "words": "functions", "scorer": "backend", "counter": "backend"}
"""Service of the spans that tell what happened inside of Triton, by model."""


class Served:
    """A server whose spans all pass a processor, and the backend behind that."""

    def __init__(self, server: Server, kept: Backend) -> None:
        self.server = server
        self.kept = kept

    def spans(self, trace_id: int | None = None) -> list[Any]:
        """Return all spans that arrived, or those of one trace."""
        wanted = None if trace_id is None else trace_id.to_bytes(16, "big")
        found = [each for sent in list(self.kept.traces) for each in spans_of(sent)]
        return [each for each in found if wanted is None or each.trace_id == wanted]

    def client(self, transport: str) -> Any:
        """Return a client of the module `tritonclient.<transport>`."""
        port = self.server.http_port if transport == "http" else self.server.grpc_port
        return import_module(f"tritonclient.{transport}").InferenceServerClient(f"127.0.0.1:{port}")

    def ask(self, spans: CapturedSpans, transport: str, model: str, *rows: float) -> tuple[Any, Any]:
        """Ask once; return the client's span, and the one from inside of Triton.

        Both models that are not decoupled are asked by a call, others in a stream, whose trace this Triton does not always continue.
        """
        asked, before, arrived = self.client(transport), len(spans.finished), len(self.spans())
        try:
            if model in {"router", "scorer"}:
                asked.infer(model, inputs(transport, *rows))
            else:
                asked.start_stream(lambda result, error: None)
                asked.async_stream_infer(model, inputs(transport, *rows))
                asked.stop_stream()
        except import_module(
            "tritonclient.utils"
        ).InferenceServerException as refused:  # what a test of errors asks for
            if "secret" not in str(refused):
                raise
        finally:
            asked.close()
        assert eventually(lambda: len(spans.finished) > before), "the client's span must end"

        def inside() -> list[Any]:
            return [one for one in self.spans()[arrived:] if one.name == f"inference {model}"]

        assert eventually(lambda: bool(inside())), "the span from inside of Triton must arrive"
        (found,) = inside()
        return spans.finished[before], found


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """A server for all tests of this file."""
    require_peer("tritonclient", find_spec("tritonclient") is not None, "pip install 'spanward[triton]'")
    triton_running.require_server()
    with backend() as (kept, port), processor(port, receiver=BOTH) as running:
        url, endpoint = f"http://{running.http_address}/v1/traces", f"http://{running.receiver_address}"
        yield Served(triton_running.server(url, endpoint), kept)


@pytest.fixture(autouse=True)
def spans() -> Iterator[CapturedSpans]:
    """Spans of a test whose clients are instrumented, and have the server's key."""
    require_peer("tritonclient", find_spec("tritonclient") is not None, "pip install 'spanward[triton]'")
    integration = next(one for one in INTEGRATIONS if one.name == "triton")
    integration.instrument()
    with capture_spans() as captured:
        spanward.configure(hashing_key="k" * 32)
        yield captured
    integration.uninstrument()


def told(span: Any) -> dict[str, Any]:
    """Return what a span that arrived says."""
    kinds = {one.key: one.value.WhichOneof("value") for one in span.attributes}
    return {one.key: getattr(one.value, kinds[one.key]) for one in span.attributes}


@pytest.mark.parametrize("transport", ["http", "grpc"])
@pytest.mark.parametrize("model", ["router", "scorer"])
def test_one_trace_goes_from_the_client_through_triton_to_the_model(
    served: Served, spans: CapturedSpans, transport: str, model: str
) -> None:
    """The client's span is above Triton's own, and these above the one of what answers; all arrive through the processor."""
    # Triton 2.51 takes some requests over gRPC for the first of a trace, whoever sends them: 5 of 100 of a client without Spanward
    # that sends a `traceparent` with each, and the same one later goes on. Over HTTP it never does.
    for _ in range(5 if transport == "grpc" else 1):
        with spanward.inference("caller"):
            call, inside = served.ask(spans, transport, model, 0.25)
        caller = spans.finished[-1].context
        assert caller is not None
        if int.from_bytes(inside.trace_id, "big") == caller.trace_id:
            break
    else:
        pytest.fail("no trace went on inside of Triton")
    above = {"router": ["router", "python_backend_execute", "proxy_inference_callable"], "scorer": ["scorer"]}[model]
    wanted = ["InferRequest", *above, f"inference {model}"]
    assert eventually(lambda: set(wanted) <= {one.name for one in served.spans(caller.trace_id)}), (
        "Triton's must arrive"
    )

    found = {one.span_id: one for one in served.spans(caller.trace_id)}
    path = [inside]
    while path[-1].parent_span_id in found:
        path.append(found[path[-1].parent_span_id])
    print("\n".join("  " * depth + one.name for depth, one in enumerate(reversed(path))))
    assert call.context is not None
    assert int.from_bytes(path[-1].parent_span_id, "big") == call.context.span_id
    assert [one.name for one in reversed(path)] == wanted
    assert call.kind is SpanKind.CLIENT


@pytest.mark.parametrize("model", ["router", "scorer"])
def test_client_and_server_tell_the_same_of_one_inference(served: Served, spans: CapturedSpans, model: str) -> None:
    """Version, hash of the input under one key, and statistics of the rows."""
    call, inside = served.ask(spans, "http", model, 0.25, 0.5)

    theirs, ours = told(inside), dict(call.attributes or {})
    same = [semconv.MODEL_NAME, semconv.MODEL_VERSION, semconv.MODEL_FRAMEWORK, semconv.FEATURES_HASH]
    same += [semconv.FEATURES_SHAPE, semconv.BATCH_SIZE, semconv.BATCH_SCORE_MEAN]
    assert {name: theirs[name] for name in same} == {name: ours[name] for name in same}
    assert theirs[semconv.MODEL_VERSION] == {"router": "7", "scorer": "3"}[model]


@pytest.mark.parametrize("model", ["words", "counter"])
@pytest.mark.parametrize(("number", "items"), [(3, 3), (0, 0)])
def test_a_decoupled_model_is_one_span_until_its_last_answer(
    served: Served, spans: CapturedSpans, model: str, number: int, items: int
) -> None:
    """Answers are counted, and what they say is told as statistics."""
    with spanward.inference("caller"):
        _, inside = served.ask(spans, "grpc", model, number)

    assert told(inside)[semconv.STREAM_ITEMS] == items
    assert told(inside)[semconv.STREAM_END] == "complete"
    if items:
        assert told(inside)[semconv.BATCH_SCORE_MEAN] == 0.75


@pytest.mark.parametrize(
    ("model", "error"),
    [("router", "ValueError"), ("words", "ValueError"), ("scorer", "TritonError"), ("counter", "TritonError")],
)
def test_an_error_inside_of_triton_marks_the_span(served: Served, spans: CapturedSpans, model: str, error: str) -> None:
    """Raised, or sent as an answer; of its message nothing is in our spans."""
    with spanward.inference("caller"):
        _, inside = served.ask(spans, "grpc", model, -2)

    assert told(inside)[semconv.ERROR_TYPE] == error
    assert inside.status.code == inside.status.STATUS_CODE_ERROR
    assert b"secret" not in inside.SerializeToString()


def test_requests_that_triton_joins_are_one_span(served: Served, spans: CapturedSpans) -> None:
    """A call of `execute` for several requests has one span of all rows, linked with the other requests."""
    asked, answers, before = served.client("grpc"), SimpleQueue[Any](), len(served.spans())
    for _ in range(8):
        asked.async_infer("scorer", inputs("grpc", 0.25), lambda result, error: answers.put(error))
    assert [answers.get(timeout=WITHIN_S) for _ in range(8)] == [None] * 8
    asked.close()

    def inside() -> list[Any]:
        return [one for one in served.spans()[before:] if one.name == "inference scorer"]

    def rows() -> int:
        return sum(int(told(one)[semconv.FEATURES_SHAPE].partition("x")[0]) for one in inside())

    assert eventually(lambda: rows() == 8), "all rows must be told"
    assert len(inside()) < 8
    assert sum(1 + len(one.links) for one in inside()) == 8
    joined = max(inside(), key=lambda one: len(one.links))
    assert told(joined)[semconv.BATCH_SIZE] == 1 + len(joined.links)


def counted(requests: list[bytes], roles: RoleTable) -> Counter[tuple[str, str, str]]:
    """Return how many rows the processor counts in each series."""
    series: Counter[tuple[str, str, str]] = Counter()
    for request in requests:
        batch = decode(request, roles)
        for row in range(len(batch)):
            service, model, version = (text_at(batch, roles.text(one), row) for one in ("service", "model", "version"))
            if batch.codes[roles.text("model"), row]:
                series[service, model, version] += 1
    return series


def test_no_series_counts_an_inference_twice(served: Served, spans: CapturedSpans) -> None:
    """What is inside of Triton, and Triton itself, are different services; an operator may leave Triton's own spans out."""
    calls = [served.ask(spans, "http", model, 0.25)[0] for _ in range(3) for model in ("router", "scorer")]
    traces = {call.context.trace_id.to_bytes(16, "big") for call in calls if call.context is not None}

    def requests() -> list[bytes]:
        found = [deepcopy(one) for one in list(served.kept.traces)]
        for scope in (scope for one in found for resource in one.resource_spans for scope in resource.scope_spans):
            kept = [each for each in scope.spans if each.trace_id in traces]
            del scope.spans[:]
            scope.spans.extend(kept)
        return [one.SerializeToString() for one in found]

    whole = {
        (service, model, version): 3
        for model, version in (("router", "7"), ("scorer", "3"))
        for service in (OURS[model], "triton-inference-server")
    }
    assert eventually(lambda: counted(requests(), role_table()) == whole), counted(requests(), role_table())
    names = tuple(name for name in TEXT_ROLES["model"] if name != "triton.model_name")
    without = counted(requests(), role_table(overrides={"model": names}))
    assert without == {series: 3 for series in whole if series[0] != "triton-inference-server"}


@pytest.mark.parametrize(
    "check",
    [
        "check_functions_of_every_kind_make_one_span",
        "check_several_requests_are_one_span_of_all_rows",
        "check_what_was_bound_is_not_observed_any_more",
        "check_one_service_name_for_both_is_told",
    ],
)
def test_what_is_special_about_pytriton(check: str) -> None:
    """Each check of `pytriton_case.py` holds where pytriton is installed."""
    triton_running.check_there("pytriton_case.py", check)
