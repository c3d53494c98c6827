"""The text for Prometheus, read back by Prometheus' own parser."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from spanward_processor.exposition import exposition

RESOURCE = {"service.name": "spanward-processor", "service.version": "1"}


def page(name: str, points: list[tuple[float, Mapping[str, str]]], *, grows: bool = True, about: str = "about") -> str:
    """Return the page of one metric with these values."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], Resource(RESOURCE), shutdown_on_exit=False)
    meter = provider.get_meter("test")
    create = meter.create_observable_counter if grows else meter.create_observable_gauge
    create(name, [lambda _: [Observation(value, dict(labels)) for value, labels in points]], "By", about)
    try:
        return exposition(reader.get_metrics_data())
    finally:
        provider.shutdown()


def families(text: str) -> dict[str, Metric]:
    """Return what the parser finds, by name."""
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_names_get_no_suffix() -> None:
    """A counter is called as a Collector calls it: neither its type nor its unit is appended."""
    text = page("otelcol_receiver_accepted_spans", [(5, {"receiver": "otlp", "transport": "grpc"})])

    assert '\notelcol_receiver_accepted_spans{receiver="otlp",transport="grpc"} 5\n' in text
    assert text.startswith(
        "# HELP otelcol_receiver_accepted_spans about\n# TYPE otelcol_receiver_accepted_spans counter\n"
    )


def test_dots_become_underscores() -> None:
    """In names and in labels, as in the Collector's."""
    text = page("spanward.series.rate", [(0.5, {"service.name": "a.b"})], grows=False)

    assert '\nspanward_series_rate{service_name="a.b"} 0.5\n' in text
    assert "# TYPE spanward_series_rate gauge\n" in text


def test_resource_is_told_once() -> None:
    """Who speaks stands in `target_info`."""
    (sample,) = families(page("m", [(1, {})]))["target_info"].samples

    assert sample.labels == {"service_name": "spanward-processor", "service_version": "1"}


@given(value=st.text(max_size=40), about=st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), max_size=20))
def test_any_text_of_a_sender_stays_within_its_label(value: str, about: str) -> None:
    """Quotes, backslashes and line ends of a model's name cannot write samples of their own."""
    cleaned = value.encode("utf-8", "replace").decode().replace("\r", "").replace("\x85", "").replace("\u2028", "")
    found = families(page("spanward.m", [(1, {"spanward.model.name": cleaned})], about=about))

    assert set(found) == {"spanward_m", "target_info"}
    assert [sample.labels for sample in found["spanward_m"].samples] == [{"spanward_model_name": cleaned}]


@pytest.mark.parametrize("hostile", ['a"} 1\nother{x="', "\\", '\\"', "\n", "a\\nb"])
def test_hostile_labels_are_read_back(hostile: str) -> None:
    """What would end a label early is escaped."""
    (sample,) = families(page("m", [(1, {"x": hostile})]))["m"].samples

    assert sample.labels == {"x": hostile}


def test_two_attributes_of_one_label_are_joined() -> None:
    """A sender's slice `a_b` beside our `a.b` does not write one label twice, which would spoil the whole page."""
    (sample,) = families(page("m", [(1, {"a.b": "1", "a_b": "2"})]))["m"].samples

    assert sample.labels == {"a_b": "1;2"}


def test_equal_samples_stand_once() -> None:
    """Two series whose labels become equal do not spoil the page."""
    text = page("m", [(1, {"a.b": "1;2"}), (1, {"a.b": "1", "a_b": "2"})])

    assert text.count("\nm{") == 1


@pytest.mark.parametrize("value", [0, 5, 0.1, -1.5, 1e300, 5e-324, 2**53])
def test_numbers_are_read_back(value: float) -> None:
    """Every number comes back as it was."""
    (sample,) = families(page("m", [(value, {})], grows=False))["m"].samples

    assert sample.value == value


def test_nothing_observed_is_an_empty_page() -> None:
    """A scrape before the first value is no error."""
    assert exposition(None) == ""
