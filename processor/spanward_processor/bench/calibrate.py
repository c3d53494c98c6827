"""Which threshold annotates one row in a hundred: asked of the corpus, so that every side's work is the stated one."""

import time
from functools import cache
from typing import Final

import numpy as np

from spanward_processor.bench.corpus import Corpus, Feed, Shape
from spanward_processor.bench.sides import our_config
from spanward_processor.configuration.config import Config
from spanward_processor.kernels.jit import Floats
from spanward_processor.pipeline import Pipeline

ANNOTATED_SHARE: Final = 0.01
WINDOWS_TO_LEARN: Final = 16.3
"""Windows of event time that teach, beside the lateness: a series is ready after two, distances of its rows from each other after
a dozen where there are a hundred; and a little of the last, which closes the one before."""

_ASKED_ROUNDS: Final = 2  # the baselines learn on, and the share drifts with them
_PAST_S: Final = 7200


@cache
def corpus(shape: Shape, seed: int) -> Corpus:
    """Return a corpus, built once per process."""
    return Corpus(shape, seed)


def learning_requests(shape: Shape, pace_per_s: float) -> int:
    """Return how many requests teach the baselines at a pace of event time."""
    detection = Config().detection
    event_s = WINDOWS_TO_LEARN * detection.window_s + detection.lateness_s
    return int(event_s * pace_per_s / shape.learned().spans)


@cache
def flagged_rows_ratio(shape: Shape, pace_per_s: float, requests: int, seed: int) -> float:
    """Return the p-value below which one row in a hundred stays, once baselines are learned.

    Args:
        shape: What a measured request looks like.
        pace_per_s: Spans per second of event time.
        requests: Requests of a round.
        seed: Seed of the corpus.
    """
    config = Config.model_validate(our_config("127.0.0.1:1", gzip=False, flagged_rows_ratio=0.0, series=shape.series))
    pipeline = Pipeline(config.detection.as_settings(), config.limits.as_settings())
    feed = Feed(corpus(shape.learned(), seed), beginning_ns(), pace_per_s, seed)
    for _ in range(learning_requests(shape, pace_per_s)):
        _send(pipeline, feed)
    feed.become(corpus(shape, seed))
    p = np.concatenate([_send(pipeline, feed) for _ in range(_ASKED_ROUNDS * requests)])
    return float(np.clip(np.quantile(p, ANNOTATED_SHARE), 1e-9, 0.999))


def _send(pipeline: Pipeline, feed: Feed) -> Floats:
    processed = pipeline.process(feed.take())
    pipeline.acknowledge(processed)
    pipeline.tick()
    return processed.p


def beginning_ns() -> int:
    """Return the event time of the first span.

    It lies in the past, so that event time can pass at the corpus' pace and not at the clock's; two hours at 5,000 spans
    per second are 36 million spans.
    """
    return (int(time.time()) - _PAST_S) // 60 * 60 * 1_000_000_000
