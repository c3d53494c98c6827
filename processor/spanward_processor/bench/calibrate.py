"""Which threshold annotates one row in a hundred: asked of the corpus, so that every side's work is the stated one."""

import numpy as np

from spanward_processor.bench.corpus import Corpus, Feed
from spanward_processor.config import DetectionConfig, LimitsConfig
from spanward_processor.pipeline import Pipeline

_ASKED_REQUESTS = 40


def flagged_rows_ratio(
    feed: Feed, measured: Corpus, learning_requests: int, share: float, detection: DetectionConfig, limits: LimitsConfig
) -> float:
    """Return the p-value that a share of the corpus' rows stays below, once baselines are learned.

    Args:
        feed: The corpus that teaches, as the processor will be sent it.
        measured: The corpus whose rows are asked.
        learning_requests: Requests that teach.
        share: Share of rows to be annotated.
        detection: How the processor under measurement judges.
        limits: What it keeps.
    """
    pipeline = Pipeline(detection.as_settings(), limits.as_settings())
    for _ in range(learning_requests):
        pipeline.acknowledge(pipeline.process(feed.take()))
        pipeline.tick()
    feed.become(measured)
    p = np.concatenate([pipeline.process(feed.take()).p for _ in range(_ASKED_REQUESTS)])
    return float(np.clip(np.quantile(p, share), 1e-9, 0.999))
