"""What each detector takes, microseconds a span, at 10,000 spans a second of event time: rows as they come, and windows as they close.

Run as `python tests/benchmarks/detectors.py [WINDOWS]`. In-process, without network, journal and forwarding. Times are by the clock,
so other work on the machine is in them.
"""

import os
import sys
from collections.abc import Mapping
from typing import Final

from rich.console import Console
from rich.table import Table

from spanward_processor.bench.calibrate import beginning_ns, corpus, learning_requests
from spanward_processor.bench.corpus import Feed, Shape
from spanward_processor.bench.sides import our_config
from spanward_processor.configuration.config import Config
from spanward_processor.pipeline import Pipeline

SEED: Final = 7
PACE_PER_S: Final = 10_000.0
TO_REACH: Final = {1_000: 2.0, 100_000: 3.0}  # series: all detectors together, us a span

Spent = Mapping[tuple[str, str], float]


def measured(series: int, windows: int) -> tuple[Spent, int]:
    """Return seconds by detector and work, and over how many spans, once all has learned.

    Args:
        series: Series that the spans are of.
        windows: Windows that close meanwhile.
    """
    shape = Shape(series=series)
    config = Config.model_validate(our_config("127.0.0.1:1", gzip=False, flagged_rows_ratio=0.01, series=series))
    pipeline = Pipeline(config.detection.as_settings(), config.limits.as_settings())
    feed = Feed(corpus(shape, SEED), beginning_ns(), PACE_PER_S, SEED)
    for _ in range(2 * learning_requests(shape, PACE_PER_S)):
        _pass(pipeline, feed)
    before, spans = pipeline.spent(), 0
    for _ in range(round(windows * config.detection.window_s * PACE_PER_S / shape.spans)):
        spans += _pass(pipeline, feed)
    return {work: seconds - before[work] for work, seconds in pipeline.spent().items()}, spans


def _pass(pipeline: Pipeline, feed: Feed) -> int:
    processed = pipeline.process(feed.take())
    pipeline.acknowledge(processed)
    pipeline.tick()
    return processed.spans


def main(windows: int) -> None:
    """Measure and print."""
    for series, most in TO_REACH.items():
        spent, spans = measured(series, windows)
        per_span = {work: 1e6 * seconds / spans for work, seconds in spent.items()}
        table = Table("detector", "rows, us a span", "windows, us a span", title=f"{series:,} series, {spans:,} spans")
        for name in dict.fromkeys(name for name, _ in spent):
            table.add_row(name, f"{per_span[name, 'rows']:.3f}", f"{per_span[name, 'windows']:.3f}")
        Console().print(table)
        total = sum(per_span.values())
        print(f"all: {total:.2f} us a span, to reach {most}: {'reached' if total <= most else 'not reached'}")
    print(f"seed {SEED}, load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
