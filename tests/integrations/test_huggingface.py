"""Hugging Face pipelines, with real small models: what each task tells, and how calls of every form end."""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import huggingface_models as models
import instrumenting
import spanward
from requiring import require_peer
from spanward import semconv
from spanward.testing import capture_spans
from spanward_integrations import INTEGRATIONS

pytestmark = [
    pytest.mark.huggingface,
    # torch and transformers warn of their own use of older names; their warnings are not what is tested
    pytest.mark.filterwarnings("default"),
]

TEXT = "my invoice is wrong"
LONGER = "cannot log in the account where this is late"


@pytest.fixture(scope="module", autouse=True)
def torch_is_there() -> None:
    """Skip where torch or transformers is missing."""
    there = find_spec("torch") is not None and find_spec("transformers") is not None
    require_peer("transformers with torch", there, "pip install 'spanward[huggingface]'")


@pytest.fixture(autouse=True)
def instrumented() -> Iterator[None]:
    """Instrument pipelines for the time of a test."""
    with instrumenting.instrumented("huggingface"):
        yield


def of_call(pipeline: Any, *inputs: Any, **settings: Any) -> tuple[Any, ReadableSpan]:
    """Call a pipeline and return its result and its one span."""
    with capture_spans() as spans:
        result = pipeline(*inputs, **settings)
        if type(result).__name__ not in {"list", "dict", "tuple"}:
            result = list(result)
        (span,) = spans.finished
    return result, span


def facts(span: ReadableSpan) -> dict[str, Any]:
    """Return a span's attributes."""
    return dict(span.attributes or {})


def count(pipeline: Any, *texts: str) -> int:
    """Return how many tokens the tokenizer makes of texts, each alone, so that nothing is padded."""
    return sum(len(pipeline.tokenizer(text)["input_ids"]) for text in texts)


def test_text_classification_tells_label_score_margin_and_entropy() -> None:
    """The whole distribution is known from the logits, though the pipeline answers with the best label alone."""
    pipeline = models.classifier()

    result, span = of_call(pipeline, TEXT)
    everything = pipeline(TEXT, top_k=None)

    told, scores = facts(span), [one["score"] for one in everything]
    assert told[semconv.DECISION] == result[0]["label"]
    assert told[semconv.SCORE] == result[0]["score"]
    assert told[semconv.MARGIN] == pytest.approx(scores[0] - scores[1], abs=1e-5)
    assert told[semconv.ENTROPY] == pytest.approx(1.0986, abs=1e-3)
    assert told[semconv.MODEL_TASK] == "text-classification"
    assert told[semconv.GEN_AI_USAGE_INPUT_TOKENS] == count(pipeline, TEXT)
    assert told[semconv.TOKENS_SOURCE] == "exact"


def test_a_sigmoid_pipeline_tells_no_distribution() -> None:
    """Where the pipeline does not use softmax, the logits' softmax is not its distribution."""
    _, span = of_call(models.classifier(), TEXT, function_to_apply="sigmoid")

    assert semconv.SCORE in facts(span)
    assert semconv.MARGIN not in facts(span)


def test_padding_of_a_batch_is_not_counted() -> None:
    """A batch is padded to its longest text; tokens are those of the texts."""
    pipeline = models.classifier()

    result, span = of_call(pipeline, [TEXT, LONGER, "late"], batch_size=3)

    told = facts(span)
    assert len(result) == 3
    assert told[semconv.BATCH_SIZE] == 3
    assert told[semconv.GEN_AI_USAGE_INPUT_TOKENS] == count(pipeline, TEXT, LONGER, "late")
    assert sum(told[semconv.BATCH_DECISION_COUNTS]) == 3


def test_token_classification_tells_the_kinds_of_entities() -> None:
    """The decision is which kinds were found; the words are not told."""
    pipeline = models.tagger()

    result, span = of_call(pipeline, TEXT)

    told = facts(span)
    assert told[semconv.DECISION] == ",".join(sorted({one["entity"] for one in result}))
    assert told[semconv.SCORE] == pytest.approx(sum(one["score"] for one in result) / len(result), abs=1e-6)
    assert told[semconv.GEN_AI_USAGE_INPUT_TOKENS] == count(pipeline, TEXT)


def test_zero_shot_tells_the_best_label_and_counts_every_pair() -> None:
    """The model reads the text once with each label, and all of that is counted."""
    pipeline, labels = models.zero_shot(), ["invoice", "parcel"]

    result, span = of_call(pipeline, TEXT, candidate_labels=labels, hypothesis_template="this text is about {}")

    told = facts(span)
    pairs = [len(pipeline.tokenizer(TEXT, f"this text is about {label}")["input_ids"]) for label in labels]
    assert told[semconv.DECISION] == result["labels"][0]
    assert told[semconv.MARGIN] == pytest.approx(result["scores"][0] - result["scores"][1])
    assert told[semconv.GEN_AI_USAGE_INPUT_TOKENS] == sum(pairs)


def test_fill_mask_tells_the_score_and_not_the_word() -> None:
    """The word that fills the mask is content."""
    pipeline = models.mask_filler()

    result, span = of_call(pipeline, "my [MASK] is wrong")

    told = facts(span)
    assert told[semconv.SCORE] == pytest.approx(result[0]["score"])
    assert semconv.DECISION not in told
    assert told[semconv.GEN_AI_USAGE_INPUT_TOKENS] == count(pipeline, "my [MASK] is wrong")


def test_feature_extraction_is_named_as_the_conventions_ask() -> None:
    """Embeddings have an operation of their own."""
    pipeline = models.extractor()

    _, span = of_call(pipeline, TEXT)

    assert span.name == "embeddings BertModel"
    assert facts(span)[semconv.GEN_AI_OPERATION_NAME] == "embeddings"
    assert facts(span)[semconv.GEN_AI_USAGE_INPUT_TOKENS] == count(pipeline, TEXT)


def test_image_classification_tells_the_label_and_hashes_the_pixels() -> None:
    """Equal images have equal hashes; there are no tokens."""
    image: Any = import_module("PIL.Image")
    pipeline = models.image_classifier()
    red, same, blue = (image.new("RGB", (8, 8), colour) for colour in ("red", "red", "blue"))

    told = [facts(of_call(pipeline, one)[1]) for one in (red, same, blue)]

    assert told[0][semconv.DECISION] in {"LABEL_0", "LABEL_1", "LABEL_2"}
    assert told[0][semconv.FEATURES_HASH] == told[1][semconv.FEATURES_HASH] != told[2][semconv.FEATURES_HASH]
    assert semconv.GEN_AI_USAGE_INPUT_TOKENS not in told[0]


def test_generated_tokens_are_counted_up_to_the_end_of_text() -> None:
    """The prompt is not counted as output, and nor is what pads a shorter answer."""
    pipeline = models.generator()

    _, span = of_call(pipeline, [TEXT, "late"], batch_size=2, max_new_tokens=12, do_sample=False)

    expected = 0
    for text in (TEXT, "late"):
        ids = pipeline.tokenizer(text, return_tensors="pt")
        row = pipeline.model.generate(**ids, max_new_tokens=12, do_sample=False)[0][
            ids["input_ids"].shape[1] :
        ].tolist()
        end = pipeline.tokenizer.sep_token_id
        expected += row.index(end) + 1 if end in row else len(row)
    told = facts(span)
    assert told[semconv.GEN_AI_USAGE_OUTPUT_TOKENS] == expected
    assert told[semconv.GEN_AI_USAGE_INPUT_TOKENS] == count(pipeline, TEXT, "late")
    assert told[semconv.GEN_AI_OPERATION_NAME] == "text_completion"
    assert semconv.DECISION not in told


def test_a_generator_is_read_lazily_and_is_one_span() -> None:
    """Nothing is read ahead, and the span ends with the last result."""
    pipeline, read = models.classifier(), list[str]()

    def texts() -> Iterator[str]:
        for text in (TEXT, LONGER):
            read.append(text)
            yield text

    with capture_spans() as spans:
        results = pipeline(texts())
        early = len(spans.finished)
        assert len(list(results)) == 2
        (span,) = spans.finished

    told = facts(span)
    assert early == 0
    assert told[semconv.STREAM_ITEMS] == 2
    assert told[semconv.STREAM_END] == "complete"
    assert told[semconv.GEN_AI_USAGE_INPUT_TOKENS] == count(pipeline, TEXT, LONGER)
    assert sum(told[semconv.BATCH_DECISION_COUNTS]) == 2


def test_an_abandoned_generator_keeps_what_was_counted() -> None:
    """Who stops reading gets one span, with what went through the model by then."""
    pipeline = models.classifier()

    with capture_spans() as spans:
        results = pipeline(TEXT for _ in range(50))
        assert next(iter(results))["score"] > 0
        del results
        (span,) = spans.finished

    assert facts(span)[semconv.STREAM_END] == "abandoned"
    assert facts(span)[semconv.GEN_AI_USAGE_INPUT_TOKENS] == count(pipeline, TEXT)


def test_a_dataset_is_read_lazily() -> None:
    """A torch Dataset passes as it does without us, batched too."""
    dataset: Any = import_module("torch.utils.data").Dataset

    class Texts(dataset):  # type: ignore[misc] # torch is not there where types are checked
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> str:
            return (TEXT, LONGER, "late")[index]

    pipeline = models.classifier()

    with capture_spans() as spans:
        results = pipeline(Texts(), batch_size=2)
        assert len(results) == 2  # batches, as a progress bar is told without us
        result = list(results)
        (span,) = spans.finished

    assert len(result) == 3
    assert facts(span)[semconv.GEN_AI_USAGE_INPUT_TOKENS] == count(pipeline, TEXT, LONGER, "late")


@pytest.mark.parametrize("lazy", [False, True], ids=["list", "generator"])
def test_worker_processes_do_not_hide_tokens(lazy: bool) -> None:
    """Inputs that are prepared in other processes are counted where the model is."""
    pipeline, texts = models.classifier(), [TEXT, LONGER]

    _, span = of_call(pipeline, (text for text in texts) if lazy else texts, num_workers=1)

    assert facts(span)[semconv.GEN_AI_USAGE_INPUT_TOKENS] == count(pipeline, TEXT, LONGER)


def test_a_generator_without_items_decides_nothing() -> None:
    """Only a text without entities is outside of all of them."""
    empty: list[str] = []

    for pipeline in (models.classifier(), models.tagger()):
        result, span = of_call(pipeline, (text for text in empty))
        assert result == []
        assert semconv.DECISION not in facts(span)


def test_a_decorated_function_and_its_pipeline_are_one_span() -> None:
    """Who decorates the function that calls the pipeline gets the pipeline's facts in its own span."""
    pipeline = models.classifier()

    @spanward.inference
    def classify(text: str) -> str:
        return str(pipeline(text)[0]["label"])

    with capture_spans() as spans:
        label = classify(TEXT)
        (span,) = spans.finished

    assert facts(span)[semconv.DECISION] == label
    assert facts(span)[semconv.MODEL_NAME] == "BertForSequenceClassification"
    assert facts(span)[semconv.GEN_AI_USAGE_INPUT_TOKENS] == count(pipeline, TEXT)


def test_a_folder_is_named_by_its_last_part(tmp_path: Path) -> None:
    """Where a model lies on a machine is nobody's business; loading it is a span."""
    pipeline: Any = import_module("transformers").pipeline
    made = models.classifier()
    made.save_pretrained(tmp_path / "router")

    with capture_spans() as spans:
        loaded = pipeline("text-classification", model=str(tmp_path / "router"))
        loaded(TEXT)
        told = [facts(span) for span in spans.finished]

    assert told[-1][semconv.MODEL_NAME] == "router"
    assert told[0][semconv.LOADING_MODEL_NAME] == "router"
    assert str(tmp_path) not in str(told)


HUB = """
import os, sys
cache, sha = sys.argv[1:]
from transformers import pipeline
from spanward_integrations import INTEGRATIONS
from spanward.testing import capture_spans
next(one for one in INTEGRATIONS if one.name == "huggingface").instrument()
with capture_spans() as spans:
    pipeline("text-classification", model="acme/router")("my invoice is wrong")
    print(*sorted({str(value) for span in spans.finished for value in span.attributes.values()} & {sha, "acme/router"}))
"""


def test_the_revision_of_a_hub_model_is_its_commit(tmp_path: Path) -> None:
    """A model out of the hub's cache is known by the commit that was loaded, without a network."""
    sha = "0123456789abcdef0123456789abcdef01234567"
    kept = tmp_path / "models--acme--router"
    models.classifier().save_pretrained(kept / "snapshots" / sha)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(sha)

    done = subprocess.run(
        [sys.executable, "-c", HUB, str(tmp_path), sha],
        env={**os.environ, "HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.split() == [sha, "acme/router"], done.stderr


def test_given_providers_are_used() -> None:
    """A TracerProvider given to `instrument` makes the spans."""
    integration = next(one for one in INTEGRATIONS if one.name == "huggingface")
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    integration.uninstrument()
    integration.instrument(tracer_provider=provider)

    models.classifier()(TEXT)

    assert [span.name for span in exporter.get_finished_spans()] == ["inference BertForSequenceClassification"]


def test_tokens_of_dropped_spans_are_measured() -> None:
    """With `metrics="all"` what went through the model is counted, whether its span is sampled or not."""
    reader = InMemoryMetricReader()
    integration = next(one for one in INTEGRATIONS if one.name == "huggingface")
    integration.uninstrument()
    integration.instrument(
        tracer_provider=TracerProvider(ALWAYS_OFF, shutdown_on_exit=False),
        meter_provider=MeterProvider([reader], shutdown_on_exit=False),
    )
    pipeline = models.classifier()
    spanward.configure(metrics="all")
    try:
        pipeline(TEXT)
    finally:
        spanward.configure(metrics="duration")

    data = reader.get_metrics_data()
    assert data is not None
    points = {metric.name: metric.data.data_points for metric in data.resource_metrics[0].scope_metrics[0].metrics}
    (taken,) = points[semconv.GEN_AI_CLIENT_TOKEN_USAGE]
    assert isinstance(taken, HistogramDataPoint)
    assert taken.sum == count(pipeline, TEXT)
