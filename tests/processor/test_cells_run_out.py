"""A window with more cells than `limits.cells_per_window` allows: judged on, told on, with what is known."""

import itertools

from spanward_processor.bench.corpus import Corpus, Feed, Shape
from spanward_processor.configuration.settings import Detection, Learning, Limits
from spanward_processor.pipeline import Pipeline

START_NS = 1_700_000_000_000_000_000


def test_windows_still_close() -> None:
    """Values beyond the limit are counted as "other"; closing the window does not stumble over them."""
    settings = Detection(window_s=1.0, lateness_s=0.0, learning=Learning(windows=1, rows=1), flagged_rows_ratio=0.01)
    ticks = itertools.count(START_NS)
    pipeline = Pipeline(
        settings, Limits(cells_per_window=200), clock_ns=lambda: next(ticks), monotonic_ns=lambda: next(ticks)
    )
    feed = Feed(Corpus(Shape(spans=64, series=20), 7), START_NS, pace_per_s=640.0, seed=7)
    for _ in range(40):
        pipeline.acknowledge(pipeline.process(feed.take()))
        pipeline.tick()
    pipeline.flush()
    history = pipeline.panorama.standings()[1].history

    assert len(history) >= 3
    assert all(point.latency_p50_s is None or point.latency_p50_s > 0 for point in history)
