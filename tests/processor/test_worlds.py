"""Simulated worlds: what they encode is what they say, and what goes wrong in them is found."""

from dataclasses import replace

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from spanward import semconv
from spanward_processor.attribution.words import REST_AS_USUAL
from spanward_processor.configuration.settings import Detection, Limits
from spanward_processor.findings import State
from spanward_processor.testing.encoding import Encoder, text_of
from spanward_processor.testing.simulation import simulate
from spanward_processor.testing.worlds import SECOND_NS, START_NS, Incident, World, classifier, recommender

SEED = 11
STEP_S = 10.0
BEGINS_S = 900.0


def world(incident: Incident | None = None) -> World:
    """Return a classifier of forty calls per second."""
    return World(classifier(40.0), np.random.default_rng(SEED), STEP_S, incident)


def said(span: Span) -> dict[str, object]:
    """Return a span's attributes by name."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value") or "") for one in span.attributes}


def test_encoded_calls_are_those_of_the_columns() -> None:
    """The official library reads every value that was put in, and none that is missing."""
    print(f"seed {SEED}")
    calls = world().calls(0)
    calls.decision[:2], calls.input_size[:2], calls.score[:2] = (-1, 7), (-1, 1 << 30), (np.nan, 0.25)

    request = ExportTraceServiceRequest.FromString(Encoder("s", "m", "1", np.random.default_rng(SEED)).request(calls))

    spans = request.resource_spans[0].scope_spans[0].spans
    assert [span.start_time_unix_nano for span in spans] == calls.start_ns.tolist()
    assert [span.end_time_unix_nano for span in spans] == calls.end_ns.tolist()
    assert [span.status.code == 2 for span in spans] == calls.failed.tolist()
    assert [said(span)["spanward.channel"] for span in spans] == [text_of(one) for one in calls.channel.tolist()]
    assert said(spans[0]).keys() & {"spanward.decision", "spanward.features.count", "spanward.score"} == set()
    assert said(spans[1])["spanward.decision"] == text_of(7)
    assert said(spans[1])["spanward.features.count"] == 1 << 30
    assert said(spans[1])["spanward.score"] == 0.25
    assert "gen_ai.usage.input_tokens" not in said(spans[1])


def test_calls_of_all_steps_come_some_of_them_late() -> None:
    """A late call comes in a later step; none is lost, and none comes twice."""
    print(f"seed {SEED}")
    all_at_once, as_they_come = world(), world()
    made = all_at_once.calls(0).end_ns

    ends = [
        span.end_time_unix_nano
        for step in range(7)
        for request in as_they_come.requests(step)
        for span in ExportTraceServiceRequest.FromString(request).resource_spans[0].scope_spans[0].spans
        if span.end_time_unix_nano < START_NS + STEP_S * SECOND_NS
    ]

    assert sorted(ends) == made.tolist()
    assert ends != sorted(ends)


def test_an_incident_is_found_after_it_begins() -> None:
    """Before it nothing is found; after it the channel's decisions are, within a few windows, and that channel is named."""
    print(f"seed {SEED}")
    poisoned = world(Incident(BEGINS_S, channel=2, moved=0.8))
    settings = replace(Detection(), slices=("spanward.channel",))

    simulated = simulate([poisoned], BEGINS_S + 300.0, settings, Limits())

    opened = [change for change in simulated.changes if change.state is State.OPENED]
    assert [one.aspect for one in opened] == ["decision"]
    assert BEGINS_S < (opened[0].opened_ns - START_NS) / SECOND_NS < BEGINS_S + 120
    assert opened[0].series.slice == (semconv.CHANNEL, text_of(2))
    assert opened[0].reason.endswith(REST_AS_USUAL)
    assert 0 < simulated.late < simulated.accepted / 100


def test_channels_of_a_recommender_are_slices() -> None:
    """Every channel of the world becomes a key of the pipeline, beside the series and the one for too many."""
    application = recommender(40.0, channels=16)

    simulated = simulate([World(application, np.random.default_rng(SEED), STEP_S)], 60.0, Detection(), Limits())

    assert simulated.pipeline.naming.directory.live == 1 + 1 + 16
