"""Notes in encoded spans: what they say, and that nothing else changes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

import naive
import naive_wire
from otlp import encoded, requests
from spanward import semconv
from spanward_processor.annotate import Templates, annotate
from spanward_processor.decode import decode
from spanward_processor.features import FEATURES, Aspect, Rows
from spanward_processor.kernels.tables import MISSING
from spanward_processor.roles import role_table

ROLES = role_table(key=bytes(16))
CARRIERS = {(16 + Aspect.LATENCY, 3): ("baseline", "id-a"), (32 + Aspect.CLIENT, -9): ("dominant_client", "id-b")}
TEMPLATES = Templates.of(CARRIERS, ("baseline",))
DETECTORS = [("baseline",), ("baseline",), ("dominant_client",), ("baseline", "dominant_client"), ("baseline",)]
IDS = ["id-a", "id-a", "id-b", "id-b", ""]


def note(template: int, score: float) -> bytes:
    """Return the attributes of a template through the official classes."""
    span = Span()
    span.attributes.add(key=semconv.ANOMALY_SCORE).value.double_value = score
    names = span.attributes.add(key=semconv.ANOMALY_DETECTORS).value.array_value.values
    for name in DETECTORS[template]:
        names.add(string_value=name)
    if IDS[template]:
        span.attributes.add(key=semconv.ANOMALY_FINDING_ID).value.string_value = IDS[template]
    return span.SerializeToString()


@settings(max_examples=50)
@given(requests(), st.lists(st.integers(-1, 4), min_size=18, max_size=18))
def test_annotated_requests_equal_the_official_parsers(request: bytes, chosen: list[int]) -> None:
    """For any mix of notes and removed attributes the official parser reads what it would have written itself."""
    batch = decode(request, ROLES)
    templates, p = np.array(chosen[: len(batch)], np.int64), 10.0 ** -np.arange(float(len(batch)))
    scores = -np.log10(p) + 0.0
    notes = {row: note(t, float(scores[row])) for row, t in enumerate(templates.tolist()) if t >= 0}

    out = bytes(annotate(batch, TEMPLATES, templates, p))

    assert ExportTraceServiceRequest.FromString(out).SerializeToString() == naive.annotated(request, notes)
    assert out == naive_wire.spliced(request, notes)


def test_unknown_fields_survive() -> None:
    """A field of a later protocol, in the annotated span itself, stays where it was."""
    span = Span(name="s").SerializeToString() + b"\xfa\x07\x03new"
    scope = b"\x12" + bytes([len(span)]) + span
    resource = b"\x12" + bytes([len(scope)]) + scope
    request = b"\x0a" + bytes([len(resource)]) + resource

    out = bytes(annotate(decode(request, ROLES), TEMPLATES, np.array([4]), np.array([1e-5])))

    assert out.endswith(span + note(4, 5.0))


def test_the_score_is_minus_log10_of_p() -> None:
    """A p-value of one in a hundred is a score of two; p = 0 is finite and p = 1 is no negative zero."""
    batch = decode(encoded({}, {}, {}), ROLES)

    out = ExportTraceServiceRequest.FromString(
        bytes(annotate(batch, TEMPLATES, np.full(3, 4), np.array([0.01, 0.0, 1.0])))
    )

    scores = [span.attributes[0].value.double_value for span in out.resource_spans[0].scope_spans[0].spans]
    assert scores[0] == 2.0
    assert 300 < scores[1] < 310
    assert str(scores[2]) == "0.0"


def test_rows_in_a_carrying_cell_get_the_finding() -> None:
    """A row of the finding's key and bin is chosen, of the series or of a slice; any other only when unusual."""
    bins = np.full((len(FEATURES), 5), MISSING)
    bins[Aspect.LATENCY], bins[Aspect.CLIENT] = [3, 3, 4, 4, 4], [0, 0, -9, 0, 0]
    keys = np.array([[1] * 5, [-1, -1, 2, -1, -1]])
    rows = Rows(keys, bins, np.zeros(5, np.int64), np.zeros((5, 2), np.uint64))
    unusual = np.array([False, True, False, True, False])

    assert TEMPLATES.choose(rows, unusual).tolist() == [0, 1, 2, 4, -1]


def test_without_findings_only_unusual_rows_are_chosen() -> None:
    """With nothing open there is one template."""
    bins = np.zeros((len(FEATURES), 2), np.int64)
    rows = Rows(np.ones((1, 2), np.int64), bins, np.zeros(2, np.int64), np.zeros((2, 2), np.uint64))

    assert Templates.of({}, ("baseline",)).choose(rows, np.array([True, False])).tolist() == [0, -1]
