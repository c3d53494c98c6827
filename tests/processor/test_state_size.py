"""State grows with the series that are seen, and with nothing else."""

import gc
import tracemalloc

import pytest

from spanward_processor.bench.corpus import Corpus, Feed, Shape
from spanward_processor.configuration.settings import Detection, Learning, Limits
from spanward_processor.pipeline import Pipeline
from spanward_processor.warmup import warm_up

START_NS = 1_700_000_000_000_000_000
SEED = 20_261_125
FEWER, MORE = 2_000, 8_000


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    """Compile first: what the compiler keeps is not what is measured."""
    warm_up(lambda _stage, _seconds: None)


def state_bytes(limits: Limits, series: int, windows: int = 6) -> int:
    """Return what a pipeline holds after some windows of ten seconds in which most series were seen once."""
    print(f"seed {SEED}")
    corpus = Corpus(Shape(spans=500, series=series), SEED)
    feed = Feed(corpus, START_NS, pace_per_s=series / 10, seed=SEED)
    now = [START_NS]
    gc.collect()
    tracemalloc.start()
    try:
        pipeline = Pipeline(
            Detection(lateness_s=0.0, learning=Learning(windows=2, rows=30)),
            limits,
            clock_ns=lambda: now[0],
            monotonic_ns=lambda: now[0],
        )
        for _ in range(windows * series // 500):
            now[0] += 500 * 10 * 1_000_000_000 // series
            pipeline.acknowledge(pipeline.process(feed.take()))
            pipeline.tick()
        assert len(pipeline.panorama.standings()[1].history) >= windows - 2
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_a_high_limit_takes_no_room() -> None:
    """Allowing ten million keys costs nothing until they come."""
    low, high = (state_bytes(Limits(keys=keys), 200) for keys in (10_000, 10_000_000))

    assert high - low < 1 << 20


@pytest.mark.slow
def test_a_series_seen_now_and_then_takes_a_few_kilobytes() -> None:
    """Each further series, its slice included, takes at most 2.8 kB: then 100,000 of them stay below 400 MB."""
    fewer, more = (state_bytes(Limits(keys=100_000), series) for series in (FEWER, MORE))

    assert (more - fewer) / (MORE - FEWER) < 2_800
