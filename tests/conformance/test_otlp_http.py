"""What OTLP asks of an HTTP server: a real processor, and httpx or a bare socket in front of it."""

import base64
import gzip
import json
import socket
from collections.abc import Generator
from typing import Any

import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span

import running
from everysignal import BOTH, EXCESSIVE, FEW, REJECTED, REPLIES, SIGNALS, Critical, sent_of
from spans import encoded, eventually, request, span, spans_of
from spanward_processor.configuration.config import Config
from spanward_processor.server import Processor

PROTOBUF, JSON = "application/x-protobuf", "application/json"
TYPES = (PROTOBUF, JSON)
PATHS = {"trace": "/v1/traces", "metrics": "/v1/metrics", "logs": "/v1/logs"}
TOKEN = "a-token-of-decent-length"


@pytest.fixture(scope="module")
def both() -> Generator[tuple[running.Backend, Processor]]:
    """A processor, and the backend behind it that takes everything."""
    with running.backend() as (backend, port), running.processor(port, receiver=BOTH, limits=FEW) as processor:
        yield backend, processor


@pytest.fixture(name="served")
def _served(both: tuple[running.Backend, Processor]) -> Processor:
    """The processor alone."""
    return both[1]


def post(
    processor: Processor, body: bytes, content_type: str = PROTOBUF, path: str = "/v1/traces", **headers: str
) -> httpx.Response:
    """Send a body; return the answer."""
    told = {"content-type": content_type} | {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"http://{processor.http_address}{path}", content=body, headers=told, timeout=20)


def document(*spans: Span) -> dict[str, Any]:
    """Return a request of spans as OTLP has it in JSON."""
    found: dict[str, Any] = MessageToDict(request(spans), use_integers_for_enums=True)
    for each in found["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        each |= {name: base64.b64decode(each[name]).hex() for name in ("traceId", "spanId")}
    return found


def body_of(content_type: str, *spans: Span) -> bytes:
    """Return a request of spans in one of the two encodings."""
    return encoded(*spans) if content_type == PROTOBUF else json.dumps(document(*spans)).encode()


def span_in(found: dict[str, Any]) -> dict[str, Any]:
    """Return the first span of a document."""
    first: dict[str, Any] = found["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    return first


def received(both: tuple[running.Backend, Processor], sent: dict[str, Any]) -> Span:
    """Send a document; return the one span that the backend got."""
    backend, processor = both
    answer = post(processor, json.dumps(sent).encode(), JSON)
    assert answer.status_code == 200, answer.text
    (got,) = spans_of(backend.traces[-1])
    return got


def response_in(answer: httpx.Response, signal: str = "trace") -> Any:
    """Return the export response in an answer; of JSON it is read by names and values as they stand there."""
    if answer.headers["content-type"] == PROTOBUF:
        return REPLIES[signal].FromString(answer.content)
    partial = answer.json().get("partialSuccess", {})
    response = REPLIES[signal]()
    if partial:
        name = REJECTED[signal]
        camel = name.split("_")[0] + "".join(part.capitalize() for part in name.split("_")[1:])
        setattr(response.partial_success, name, int(partial.get(camel, "0")))
        response.partial_success.error_message = partial.get("errorMessage", "")
    return response


def empty_of(content_type: str) -> bytes:
    """Return a request without telemetry."""
    return b"" if content_type == PROTOBUF else b"{}"


# --- encodings


def test_http_binary_has_its_content_type(served: Processor) -> None:
    """Our response; that our exporters' requests have it is seen where they are tested."""
    assert post(served, encoded(span())).headers["content-type"] == PROTOBUF


def test_http_json_has_its_content_type(served: Processor) -> None:
    """The response to JSON; our exporters send binary only."""
    assert post(served, json.dumps(document(span())).encode(), JSON).headers["content-type"] == JSON


@pytest.mark.parametrize("case", [str.upper, str.lower])
def test_json_ids_are_hex_of_any_case(case: Any, both: tuple[running.Backend, Processor]) -> None:
    """Trace, span, parent and link ids."""
    found = document(span())
    ids = {
        "traceId": "5b8effF798038103d269b633813fc60c",
        "spanId": "eee19b7ec3c1b174",
        "parentSpanId": "eee19b7ec3c1b173",
    }
    span_in(found).update({name: case(value) for name, value in ids.items()})
    span_in(found)["links"] = [{"traceId": case(ids["traceId"]), "spanId": case(ids["spanId"])}]

    got = received(both, found)

    assert [got.trace_id, got.span_id, got.parent_span_id] == [bytes.fromhex(value) for value in ids.values()]
    assert got.links[0].trace_id == got.trace_id


def test_json_enums_are_integers(both: tuple[running.Backend, Processor]) -> None:
    """Kind and status code are read; of what we write only a Status has a code, and it is a number."""
    found = document(span())
    span_in(found).update({"kind": 3, "status": {"code": 2}})

    got = received(both, found)
    answer = post(both[1], b"{", JSON)

    assert (got.kind, got.status.code) == (Span.SPAN_KIND_CLIENT, 2)
    assert answer.json()["code"] == 3


def test_json_unknown_fields_are_ignored(both: tuple[running.Backend, Processor]) -> None:
    """At every level and of every kind: the span is the one without them."""
    plain, more = document(span()), document(span())
    span_in(more)["attributes"] = span_in(plain)["attributes"]
    span_in(more).update({name: span_in(plain)[name] for name in ("startTimeUnixNano", "endTimeUnixNano")})
    unknown = {"aNewField": {"deep": [1, {"er": None}, "text"]}, "another": 1.5}
    for level in (
        more,
        more["resourceSpans"][0],
        more["resourceSpans"][0]["resource"],
        span_in(more),
        span_in(more)["attributes"][0],
        span_in(more)["attributes"][0]["value"],
    ):
        level.update(unknown)

    assert received(both, more) == received(both, plain)


def test_json_keys_are_lower_camel_case(both: tuple[running.Backend, Processor]) -> None:
    """So we read them, and so we write."""
    found = document(span())
    span_in(found)["droppedAttributesCount"] = 7
    partial = post(both[1], body_of(JSON, EXCESSIVE, span()), JSON)

    assert received(both, found).dropped_attributes_count == 7
    assert {"rejectedSpans", "errorMessage"} == set(partial.json()["partialSuccess"])


@pytest.mark.parametrize("form", [str, int])
def test_json_64_bit_integers_are_strings_or_numbers(form: Any, both: tuple[running.Backend, Processor]) -> None:
    """Values beyond what a double holds exactly are read exactly; the count we write is a string."""
    found = document(span())
    value, start = 9_007_199_254_740_993, 1_795_000_000_123_456_789
    span_in(found)["attributes"].append({"key": "n", "value": {"intValue": form(value)}})
    span_in(found)["startTimeUnixNano"] = form(start)

    got = received(both, found)
    partial = post(both[1], body_of(JSON, EXCESSIVE, span()), JSON).json()["partialSuccess"]

    assert (got.attributes[-1].value.int_value, got.start_time_unix_nano) == (value, start)
    assert partial["rejectedSpans"] == "1"


# --- requests


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_http_takes_post(method: str, served: Processor) -> None:
    """And nothing else: 405, with the one that is allowed."""
    answer = httpx.request(method, f"http://{served.http_address}/v1/traces", timeout=20)

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert post(served, encoded(span())).status_code == 200


@pytest.mark.parametrize("signal", SIGNALS)
def test_http_server_has_the_default_paths(signal: str, both: tuple[running.Backend, Processor]) -> None:
    """Each takes its signal and forwards it as that."""
    backend, processor = both
    everything: dict[str, list[Any]] = {"trace": backend.traces, "metrics": backend.metrics, "logs": backend.logs}
    kept = everything[signal]
    before = len(kept)

    assert post(processor, sent_of(signal), path=PATHS[signal]).status_code == 200
    assert len(kept) == before + 1


@pytest.mark.parametrize("content_type", TYPES)
def test_http_server_limits_body_size(content_type: str) -> None:
    """413, as it comes and unpacked, without Retry-After: senders must not come back with it."""
    body = body_of(content_type, span({"text": "x" * 40_000}))
    with running.processor(receiver=BOTH, limits={"message_bytes": 20_000, "compression_ratio": 1e5}) as processor:
        answers = [post(processor, body, content_type)]
        answers.append(post(processor, gzip.compress(body), content_type, content_encoding="gzip"))

    assert [answer.status_code for answer in answers] == [413, 413]
    assert [answer.headers.get("retry-after") for answer in answers] == [None, None]


# --- responses


@pytest.mark.parametrize("content_type", TYPES)
def test_http_response_has_the_type_of_the_request(content_type: str, served: Processor) -> None:
    """Full success, partial success and failure; parameters of the type do not matter."""
    answers = [
        post(served, body_of(content_type, span()), content_type),
        post(served, body_of(content_type, span(), EXCESSIVE), f"{content_type}; charset=utf-8"),
        post(served, b"\xff", content_type),
        post(served, b"", content_type, path="/elsewhere"),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 400, 404]
    assert [answer.headers["content-type"] for answer in answers] == [content_type] * 4


@pytest.mark.parametrize("content_type", TYPES)
@pytest.mark.parametrize("signal", SIGNALS)
def test_http_empty_request_is_success(signal: str, content_type: str, served: Processor) -> None:
    """An empty message of either encoding."""
    assert post(served, empty_of(content_type), content_type, PATHS[signal]).status_code == 200


@pytest.mark.parametrize("signal", SIGNALS)
def test_http_success_is_200_with_the_export_response(signal: str, served: Processor) -> None:
    """The body is that message, which is empty: no bytes, or an empty object."""
    binary = post(served, sent_of(signal), path=PATHS[signal])
    text = post(served, b"{}", JSON, PATHS[signal])

    assert (binary.status_code, REPLIES[signal].FromString(binary.content)) == (200, REPLIES[signal]())
    assert (text.status_code, text.json()) == (200, {})


@pytest.mark.parametrize("content_type", TYPES)
def test_http_success_leaves_partial_success_unset(content_type: str, served: Processor) -> None:
    """Neither encoding has the field."""
    answer = post(served, body_of(content_type, span()), content_type)

    assert not response_in(answer).HasField("partial_success")
    assert b"partialSuccess" not in answer.content


@pytest.mark.parametrize("content_type", TYPES)
def test_http_partial_success_is_200_with_the_export_response(content_type: str, served: Processor) -> None:
    """With the field set."""
    answer = post(served, body_of(content_type, span(), EXCESSIVE), content_type)

    assert answer.status_code == 200
    assert response_in(answer).HasField("partial_success")


@pytest.mark.parametrize("signal", SIGNALS)
def test_http_partial_success_counts_what_was_rejected(signal: str, served: Processor) -> None:
    """Spans that we refuse, in both encodings, and what the backend rejects of any signal."""
    refused = [post(served, body_of(kind, EXCESSIVE, span(), EXCESSIVE), kind) for kind in TYPES]
    critical = running.backend(kept=Critical(7, "too old"))
    with critical as (_, port), running.processor(port, receiver=BOTH) as processor:
        answer = post(processor, sent_of(signal), path=PATHS[signal])

    assert [response_in(each).partial_success.rejected_spans for each in refused] == [2, 2]
    assert getattr(response_in(answer, signal).partial_success, REJECTED[signal]) == 7


@pytest.mark.parametrize("content_type", TYPES)
def test_http_partial_success_says_why(content_type: str, served: Processor) -> None:
    """As over gRPC."""
    partial = response_in(post(served, body_of(content_type, span(), EXCESSIVE), content_type)).partial_success

    assert "limits.attributes_per_span" in partial.error_message
    assert "at most 20 attributes, got 31" in partial.error_message


@pytest.mark.parametrize("content_type", TYPES)
def test_http_warning_has_a_message_and_no_count(content_type: str) -> None:
    """A backend's warning reaches the sender as it is."""
    critical = running.backend(kept=Critical(0, "use less"))
    with critical as (_, port), running.processor(port, receiver=BOTH) as processor:
        answer = post(processor, body_of(content_type, span()), content_type)
    partial = response_in(answer).partial_success

    assert (answer.status_code, partial.rejected_spans, partial.error_message) == (200, 0, "use less")


# --- failures

FAILURES: dict[str, tuple[int, dict[str, Any]]] = {
    "bad data": (400, {"body": b"\xff"}),
    "damaged gzip": (400, {"body": b"x", "content_encoding": "gzip"}),
    "no token": (401, {"authorization": ""}),
    "wrong path": (404, {"path": "/v1/profiles"}),
    "too large": (413, {"body": bytes(30_000)}),
    "unknown encoding": (415, {"content_encoding": "br"}),
    "long header": (431, {"x_long": "y" * 5_000}),
}


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Generator[Processor]:
    """A processor that asks for a token and takes little."""
    tokens = tmp_path_factory.mktemp("strict") / "tokens"
    tokens.write_text(TOKEN)
    limits = {"message_bytes": 20_000, "header_bytes": 4_096}
    with running.processor(receiver=BOTH | {"tokens_file": str(tokens)}, limits=limits) as processor:
        yield processor


def failing(processor: Processor, content_type: str, change: dict[str, Any]) -> httpx.Response:
    """Send what is wrong in one way only."""
    asked: dict[str, Any] = {"body": body_of(content_type, span()), "authorization": f"Bearer {TOKEN}"} | change
    return post(processor, asked.pop("body"), content_type, **asked)


@pytest.mark.parametrize("kind", FAILURES)
def test_http_failures_are_4xx_or_5xx(kind: str, strict: Processor) -> None:
    """Each by the status that HTTP has for it."""
    status, change = FAILURES[kind]

    assert failing(strict, PROTOBUF, change).status_code == status


def message_in(answer: httpx.Response) -> str:
    """Return the message of the google.rpc.Status in an answer of either encoding."""
    if answer.headers["content-type"] == PROTOBUF:
        return str(Status.FromString(answer.content).message)
    assert answer.headers["content-type"] == JSON
    return str(answer.json()["message"])


@pytest.mark.parametrize("content_type", TYPES)
@pytest.mark.parametrize("kind", [*FAILURES, "wrong method", "unknown type", "no HTTP", "too many connections"])
def test_http_failures_carry_a_status(kind: str, content_type: str, strict: Processor) -> None:
    """In the encoding of the request, and in JSON where it has neither; also from what answers before OTLP begins."""
    if kind in FAILURES:
        answer = failing(strict, content_type, FAILURES[kind][1])
        assert answer.headers["content-type"] == content_type
    elif kind == "too many connections":
        answer = one_too_many(content_type)
    elif kind == "no HTTP":
        answer = spoken_to(strict.http_address, b"hello\r\n\r\n")
    elif kind == "wrong method":
        headers = {"content-type": content_type}
        answer = httpx.get(f"http://{strict.http_address}/v1/traces", headers=headers, timeout=20)
        assert answer.headers["content-type"] == content_type
    else:
        answer = post(strict, b"x", "text/plain", authorization=f"Bearer {TOKEN}")

    assert answer.status_code >= 400
    assert message_in(answer)


def one_too_many(content_type: str) -> httpx.Response:
    """Return what is answered on a connection beyond the limit."""
    with running.processor(receiver=BOTH, limits={"connections": 1}) as processor:
        host, _, port = processor.http_address.rpartition(":")
        answers: list[httpx.Response] = []

        def refused() -> bool:
            answers.append(post(processor, empty_of(content_type), content_type))
            return answers[-1].status_code == 503

        with socket.create_connection((host, int(port)), 20):
            assert eventually(refused)
    assert int(answers[-1].headers["retry-after"]) >= 1
    return answers[-1]


def spoken_to(address: str, sent: bytes) -> httpx.Response:
    """Return what is answered to bytes that are no request."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), 20) as connection:
        connection.sendall(sent)
        said = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, body = said.partition(b"\r\n\r\n")
    lines = [line.split(b": ", 1) for line in head.split(b"\r\n")[1:]]
    return httpx.Response(int(head.split()[1]), headers=[(name, value) for name, value in lines], content=body)


@pytest.mark.parametrize("content_type", TYPES)
@pytest.mark.parametrize("signal", SIGNALS)
def test_http_bad_data_is_400(signal: str, content_type: str, served: Processor) -> None:
    """What cannot be decoded, of every signal in both encodings."""
    assert post(served, b"\x0a\xff", content_type, PATHS[signal]).status_code == 400


@pytest.mark.parametrize("content_type", TYPES)
def test_http_bad_data_is_described(content_type: str, served: Processor) -> None:
    """A BadRequest says what and where."""
    answer = post(served, b"{" if content_type == JSON else b"\x0a\xff", content_type)
    if content_type == JSON:
        description = answer.json()["details"][0]["fieldViolations"][0]["description"]
    else:
        described = BadRequest()
        assert Status.FromString(answer.content).details[0].Unpack(described)
        description = described.field_violations[0].description

    assert "byte" in description


def test_http_server_throttles_with_retry_after() -> None:
    """503 with whole seconds, at least one."""
    with running.processor(receiver=BOTH, limits={"requests_per_s": 1}) as processor:
        answers = [post(processor, encoded(span())) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 503]
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_http_server_takes_both_encodings_on_one_port(served: Processor) -> None:
    """By turns on one connection."""
    used: set[object] = set()
    with httpx.Client(base_url=f"http://{served.http_address}", timeout=20) as client:
        for kind in (PROTOBUF, JSON, PROTOBUF):
            answer = client.post("/v1/traces", content=body_of(kind, span()), headers={"content-type": kind})
            used.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
            assert (answer.status_code, answer.headers["content-type"]) == (200, kind)

    assert len(used) == 1


def test_http_default_port_is_4318() -> None:
    """Without a configuration."""
    assert Config().receiver.http_listen == "127.0.0.1:4318"
