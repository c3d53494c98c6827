"""From spans to the sentence: the pipeline keeps rows of every series, and says of a latency finding what it is made of."""

import numpy as np
import pytest

from causes import USUAL, World
from slowing import SECOND_NS, spans_of_world
from spans import request
from spanward_processor.configuration.settings import Detection, Learning, Limits
from spanward_processor.findings import Finding
from spanward_processor.pipeline import Pipeline

SEED = 20_261_126
START_NS = 1_700_000_000 * SECOND_NS
PER_S, BEFORE_S, NOW_S = 20, 90, 20


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_ns = START_NS

    def __call__(self) -> int:
        """Return the time."""
        return self.now_ns


def pipeline_of(clock: Clock) -> Pipeline:
    """Return a pipeline that learns quickly."""
    detection = Detection(window_s=1.0, lateness_s=0.0, learning=Learning(windows=20, rows=300))
    return Pipeline(detection, Limits(), clock_ns=clock, monotonic_ns=clock)


def fed(pipeline: Pipeline, clock: Clock, world: World, seconds: int, rng: np.random.Generator) -> list[Finding]:
    """Let a world pass, second by second; return what changed about the findings."""
    changes: list[Finding] = []
    for _ in range(seconds):
        spans = spans_of_world(world, PER_S, 1, clock.now_ns, rng)
        clock.now_ns += SECOND_NS
        pipeline.acknowledge(pipeline.process(request(spans).SerializeToString()))
        changes += pipeline.tick()
    return changes


@pytest.fixture(scope="module")
def slowed() -> tuple[Pipeline, list[Finding]]:
    """A pipeline whose model has become slow by garbage collection, and what it found."""
    print(f"seed {SEED}")
    clock, rng = Clock(), np.random.default_rng(SEED)
    pipeline = pipeline_of(clock)
    assert not fed(pipeline, clock, USUAL, BEFORE_S, rng)
    return pipeline, fed(pipeline, clock, USUAL.but(gc_ratio=0.6, gc_s=0.1), NOW_S, rng)


def test_a_latency_finding_says_what_the_rise_is_made_of(slowed: tuple[Pipeline, list[Finding]]) -> None:
    """The finding's reason ends with the layered answer: garbage collection, with its share and its seconds."""
    latency = [finding for finding in slowed[1] if finding.aspect == "latency"]

    assert latency
    assert " Since it opened, latency rose (mean " in latency[-1].reason  # the newest window may be as usual again
    assert "Garbage collection makes" in latency[-1].reason
    assert "of the mean's rise" in latency[-1].reason


def test_a_model_that_slowed_down_is_explained_when_asked(slowed: tuple[Pipeline, list[Finding]]) -> None:
    """The answer names the layer and part, has the seconds of each, a page for a person and the same as SQL."""
    told = slowed[0].why.of_model("test", "", NOW_S)

    assert told["causes"] == [{"layer": "application", "part": "garbage collection"}]
    assert told["mean"]["parts_s"]["garbage collection"]["value"] == pytest.approx(0.6 * 0.1, rel=0.2)
    assert told["mean"]["rise_s"]["value"] == pytest.approx(sum(told["mean"]["layers_s"].values()))
    assert "garbage collection" in told["report"]
    assert told["sql"].startswith("WITH asked AS (")


def test_what_is_known_outlives_a_restart(slowed: tuple[Pipeline, list[Finding]]) -> None:
    """A pipeline that goes on from what another has kept gives the same answer."""
    clock = Clock()
    clock.now_ns += (BEFORE_S + NOW_S) * SECOND_NS
    kept = slowed[0].arrays(complete=True)
    detection = Detection(window_s=1.0, lateness_s=0.0, learning=Learning(windows=20, rows=300))
    again = Pipeline(detection, Limits(), clock_ns=clock, monotonic_ns=clock, kept=kept)

    assert again.why.of_model("test", "m", NOW_S) == slowed[0].why.of_model("test", "m", NOW_S)


@pytest.mark.parametrize(("service", "model"), [("test", "other"), ("other", "m"), ("other", "")])
def test_unknown_models_are_said_to_be_unknown(
    service: str, model: str, slowed: tuple[Pipeline, list[Finding]]
) -> None:
    """Who asks about a model that nobody has seen is told so."""
    with pytest.raises(KeyError):
        slowed[0].why.of_model(service, model, NOW_S)


def test_nothing_is_told_of_a_time_before_the_first_row(slowed: tuple[Pipeline, list[Finding]]) -> None:
    """With nothing to hold it against the answer is that there are too few rows."""
    told = slowed[0].why.of_model("test", "m", 3_600.0)

    assert (told["answer"], told["mean"]) == ("too few rows", None)
    assert "with nothing before to hold it against: the oldest row is of 14 Nov 22:13" in told["report"]
    assert told["rows"]["before"] == 0
