"""A canary beside the stable version: how often one that is as good is rolled back, and how soon one that is worse.

Run as `PYTHONPATH=tests python tests/benchmarks/quality/canary.py [--nulls N] [--runs N] [--minutes M] [--only NAME] [--peers N] [--from N]`. What happens
is in `canary_traffic.py`. Looks are once a minute for nulls, as asked, and once a second for regressions, as the processor has it.
Beside it Kayenta's judge (`kayenta.py`), which looks once a minute from the fifth on and has a baseline of the canary's size.
Nulls are added up an hour at once (`canary_hours.py`); the first run of each is also heard window by window by a real trial,
which must come to the same evidence at every look.
"""

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from benchmarks.quality.canary_hours import Hour
from benchmarks.quality.canary_traffic import NULLS, REGRESSIONS, Traffic, traffic_of, windows_of
from benchmarks.quality.kayenta import FEWEST, is_high, points
from spanward_processor.canary.settings import Canary
from spanward_processor.canary.trial import Trial
from spanward_processor.canary.verdict import Decision
from spanward_processor.evaluate.intervals import share
from spanward_processor.findings import Series
from spanward_processor.windows.window import Window

FIRST_SEED: Final = 5_000  # 0 to 31 were used while this was built, 90000 to 90029 when scatter was changed
SECOND: Final = 1_000_000_000
START: Final = 1_700_000_000
_ALIKE: Final = 1e-6  # log10 of evidence that is the same


def heard(traffic: Traffic, look_s: int, settings: Canary) -> tuple[list[float], float | None]:
    """Let a trial hear all windows until it rolls back.

    Returns:
        log10 of the evidence at each look, and after how many minutes the canary is rolled back; None where it is not.
    """
    trial = Trial((0, 1), Series("s", "m", "2.0"), Series("s", "m", "2.1"), START * SECOND)
    looks: list[float] = []
    for second, cells in enumerate(windows_of(traffic), start=1):
        begin_ns = (START + second) * SECOND
        trial.hear(replace(Window.empty(begin_ns, begin_ns + SECOND), cells=cells), settings)
        if second % look_s == 0:
            verdict = trial.judge(settings, str)
            looks.append(verdict.log10_e)
            if verdict.decision is Decision.ROLL_BACK:
                return looks, second / 60
    return looks, None


def at_once(traffic: Traffic, look_s: int, settings: Canary, *, compare: bool) -> float | None:
    """Return after how many minutes the canary is rolled back; None where it is not.

    Raises:
        AssertionError: `compare` was asked, and a trial that hears every window came to something else.
    """
    looks = Hour(traffic, settings).looks(look_s)
    if compare:
        real, _ = heard(traffic, look_s, settings)
        worst = max(abs(one - other) for one, other in zip(looks, real, strict=False) if not math.isinf(one))
        assert worst < _ALIKE, f"evidence {worst} apart"
    threshold = -math.log10(settings.alpha)
    return next((place * look_s / 60 for place, log10_e in enumerate(looks, start=1) if log10_e >= threshold), None)


def kayenta(traffic: Traffic, rng: np.random.Generator) -> float | None:
    """Return after how many minutes Kayenta's judge would fail the canary, were it asked every minute; None where never."""
    minutes = traffic.second // 60
    size = int(minutes[-1]) + 1
    share = float(traffic.canary.mean())
    control = ~traffic.canary & (rng.random(traffic.second.size) < share / (1 - share))
    canary = points(traffic.latency, minutes, traffic.failed, traffic.canary, size)
    baseline = points(traffic.latency, minutes, traffic.failed, control, size)
    for minute in range(FEWEST, size + 1):
        if any(is_high(canary[metric, :minute], baseline[metric, :minute]) for metric in range(3)):
            return float(minute)
    return None


@dataclass(slots=True)
class Tally:
    """How long each run took, minutes; None where nothing was found."""

    ours: list[float | None] = field(default_factory=list[float | None])
    kayenta: list[float | None] = field(default_factory=list[float | None])


def quantiles(found: Sequence[float | None]) -> str:
    """Return median and 90th percentile of the delay, runs without a finding counted as later than any."""
    if not found:
        return "not asked"
    ordered = sorted(math.inf if one is None else one for one in found)
    median, late = (ordered[min(int(part * len(ordered)), len(ordered) - 1)] for part in (0.5, 0.9))
    return " / ".join("never" if math.isinf(one) else f"{one:.1f}" for one in (median, late))


def _rate(found: Sequence[float | None]) -> str:
    if not found:
        return "not asked"
    return share(sum(one is not None for one in found), len(found)).shown("{:.1%}".format) + f" of {len(found)}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nulls", type=int, default=100)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--only", default="")
    parser.add_argument("--peers", type=int, default=1_000, help="runs that Kayenta judges too")
    parser.add_argument(
        "--from", dest="begin", type=int, default=0, help="runs to leave out, of seeds that were used before"
    )
    asked = parser.parse_args()
    print(f"seeds from {FIRST_SEED + asked.begin}; {asked.minutes} minutes; ours {Canary()}")
    print("| story | ours: found | median / p90 min | Kayenta: found | median / p90 min |\n|---|---|---|---|---|")
    for stories, runs in ((NULLS, asked.nulls), (REGRESSIONS, asked.runs)):
        for name, story in stories.items():
            if asked.only not in name or not runs:
                continue
            tally, began_s = Tally(), time.perf_counter()
            settings = Canary(warmup_s=0.0 if stories is REGRESSIONS else 120.0)
            for run in range(asked.begin, asked.begin + runs):
                rng = np.random.default_rng(FIRST_SEED + run)
                traffic = traffic_of(story, asked.minutes * 60, rng)
                if stories is NULLS:
                    tally.ours.append(at_once(traffic, 60, settings, compare=run == asked.begin))
                else:
                    tally.ours.append(heard(traffic, 1, settings)[1])
                if run < asked.begin + asked.peers:
                    tally.kayenta.append(kayenta(traffic, rng))
            print(
                f"| {name} | {_rate(tally.ours)} | {quantiles(tally.ours)} | {_rate(tally.kayenta)} | "
                f"{quantiles(tally.kayenta)} | {time.perf_counter() - began_s:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
