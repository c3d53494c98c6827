"""An outcome as a table that a person reads."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np
from rich import box
from rich.table import Table

from spanward_processor.bench.run import Measurement, Outcome
from spanward_processor.bench.sides import DIRECT, OURS, THEIRS

WIDTH: Final = 160
"""Columns a table may need."""

_MB: Final = 1 << 20


def ratios(outcome: Outcome) -> list[float]:
    """Return CPU seconds per million spans, ours over theirs, round by round; none without a peer."""
    pairs = zip(outcome.rounds[OURS], outcome.rounds.get(THEIRS, ()), strict=False)
    return [ours.cpu_s_per_mspan / theirs.cpu_s_per_mspan for ours, theirs in pairs]


def table(outcome: Outcome) -> Table:
    """Return one row of the benchmark as a table: every figure as min / median / max over the rounds."""
    row = outcome.row
    rate = "" if outcome.spans_per_s is None else f", at {outcome.spans_per_s:,.0f} spans/s"
    result = Table(box=box.SIMPLE, title=f"{row.name}: {row.work}{rate}", caption=_caption(outcome))
    result.title_justify = result.caption_justify = "left"
    result.add_column("side", no_wrap=True, min_width=10)
    timed = outcome.spans_per_s is not None
    heads = ["CPU-s per Mspan", "spans/s", "peak RSS, MB", "annotated"]
    heads += ["added p50, ms", "added p99, ms"] if timed else []
    for head in heads:
        result.add_column(head, justify="right", no_wrap=True)
    direct = _direct_s(outcome)
    for side, rounds in outcome.rounds.items():
        cells = [_spread(rounds, lambda one: one.cpu_s_per_mspan, "{:.2f}"), _spread(rounds, _rate, "{:,.0f}")]
        cells += [_spread(rounds, lambda one: one.rss_bytes / _MB, "{:.0f}"), _annotated(rounds)]
        if timed:
            cells += [_way(rounds, share, direct) for share in (0.5, 0.99)]
        result.add_row(side, *cells)
    return result


def _rate(one: Measurement) -> float:
    return one.spans_per_s


def _spread(rounds: Iterable[Measurement], read: Callable[[Measurement], float], show: str) -> str:
    values = sorted(read(one) for one in rounds)
    if not np.isfinite(values).all() or not any(values):
        return "-"
    return " / ".join(show.format(value) for value in (values[0], float(np.median(values)), values[-1]))


def _annotated(rounds: Sequence[Measurement]) -> str:
    annotated, spans = (sum(values) for values in zip(*((one.annotated, one.spans) for one in rounds), strict=True))
    return f"{annotated / spans:.2%}" if annotated else "-"


def _direct_s(outcome: Outcome) -> float:
    """Return the median time to the sink without anything between, seconds."""
    ways = [one.ways_s for one in outcome.rounds.get(DIRECT, ())]
    return float(np.median(np.concatenate(ways))) if ways else 0.0


def _way(rounds: Iterable[Measurement], share: float, direct_s: float) -> str:
    return _spread(rounds, lambda one: (float(np.quantile(one.ways_s, share)) - direct_s) * 1e3, "{:.1f}")


def _caption(outcome: Outcome) -> str:
    loads = [one.load for rounds in outcome.rounds.values() for one in rounds]
    text = f"load average {min(loads):.1f} to {max(loads):.1f}"
    found = sorted(ratios(outcome))
    if not found:
        return text
    text += f"; ours / theirs {found[0]:.2f} / {np.median(found):.2f} / {found[-1]:.2f}"
    if outcome.row.ratio is None:
        return text
    verdict = "reached" if np.median(found) <= outcome.row.ratio else "not reached"
    return f"{text}, to reach {outcome.row.ratio}: {verdict}"
