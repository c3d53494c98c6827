"""Scenes for the page: what an operator may find at 3 a.m."""

import hashlib
import random
from dataclasses import replace

import pytest

from findings import FINDING
from spanward_processor.findings import Finding, Series, Severity, SliceShare, State, Technique
from spanward_processor.live.testing import NOTHING
from spanward_processor.live.view import Counts, History, SeriesView, Snapshot

_SEED = 3
_WINDOW_S = 10
_POINTS = 120
_NOW_S = 1_795_489_800  # 2026-11-24 03:10:00 UTC
_TICKETS = Series("support-api", "ticket-router", "2.1.0")
_RANKING = Series("shop-web", "recommender", "7")
_CANARY = Series("support-api", "ticket-router", "2.2.0-rc1")


def _history(
    rng: random.Random, *, rate: float, latency_s: float, slow_since: int = _POINTS, factor: float = 1
) -> History:
    middles = [latency_s * rng.gauss(1, 0.03) * (factor if at >= slow_since else 1) for at in range(_POINTS)]
    return History(
        t_s=tuple(float(_NOW_S - _WINDOW_S * (_POINTS - 1 - at)) for at in range(_POINTS)),
        rate_per_s=tuple(rate * rng.gauss(1, 0.05) for _ in range(_POINTS)),
        latency_p50_s=tuple(middles),
        latency_p99_s=tuple(middle * rng.gauss(2.6, 0.15) for middle in middles),
        error_ratio=tuple(rng.choice((0.0, 0.0, 0.002)) for _ in range(_POINTS)),
    )


def _view(key: int, series: Series, history: History, decisions: dict[str, float], **changes: object) -> SeriesView:
    view = SeriesView(
        key=key,
        series=series,
        state="ready",
        progress=1.0,
        reason="118 of 30 windows, 14,160 of 300 rows",
        rate_per_s=history.rate_per_s[-1] if history.t_s else None,
        error_ratio=history.error_ratio[-1] if history.t_s else None,
        latency_p50_s=history.latency_p50_s[-1] if history.t_s else None,
        latency_p99_s=history.latency_p99_s[-1] if history.t_s else None,
        input_size_p50=412.0,
        decisions=tuple(decisions.items()),
        history=history,
    )
    return replace(view, **changes)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - fields by name


_MIX = {"billing": 0.41, "delivery": 0.33, "technical": 0.19, "account": 0.07}


def _tickets(rng: random.Random, **slow: float) -> list[SeriesView]:
    whole = _history(
        rng, rate=12, latency_s=0.0118, slow_since=int(slow.get("since", _POINTS)), factor=slow.get("factor", 1)
    )
    channels = {"email": 6.1, "chat": 3.8, "partner-feed": 2.1}
    slices = [
        _view(
            10 + at,
            replace(_TICKETS, slice=("spanward.channel", channel)),
            _history(rng, rate=rate, latency_s=0.0118),
            {"technical": 0.71, "billing": 0.16} if channel == "partner-feed" and slow else _MIX,
        )
        for at, (channel, rate) in enumerate(channels.items())
    ]
    return [_view(1, _TICKETS, whole, _MIX), *slices]


def _finding(series: Series, aspect: str, ago_s: int, reason: str, **changes: object) -> Finding:
    finding = replace(
        FINDING,
        id=hashlib.blake2b(f"{series} {aspect} {ago_s}".encode(), digest_size=16).hexdigest(),
        kind="performance",
        state=State.UPDATED,
        severity=Severity.CRITICAL,
        series=series,
        aspect=aspect,
        opened_ns=(_NOW_S - ago_s) * 10**9,
        updated_ns=_NOW_S * 10**9,
        window_ns=_WINDOW_S * 10**9,
        log10_e=42.3,
        p=1e-9,
        n=118,
        reason=reason,
    )
    return replace(finding, **changes)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - fields by name


def _findings() -> tuple[Finding, ...]:
    feed = replace(_TICKETS, slice=("spanward.channel", "partner-feed"))
    return (
        _finding(
            _TICKETS,
            "latency",
            160,
            f"Latency of {_TICKETS} rose: median 48.1 ms, usually 11.8 ms; 99th percentile 126 ms, usually 30.7 ms.",
            observed="median 48.1 ms, p99 126 ms",
            baseline="median 11.8 ms, p99 30.7 ms",
            example_trace_id="5b8efff798038103d269b633813fc60c",
            slices=(
                SliceShare("spanward.channel", "email", 38.2, 61, "median 49 ms, usually 11.9 ms"),
                SliceShare("spanward.channel", "chat", 21.7, 38, "median 47.4 ms, usually 11.7 ms"),
                SliceShare("spanward.channel", "partner-feed", 4.1, 19, "median 45 ms, usually 12 ms"),
            ),
        ),
        _finding(
            feed,
            "decision",
            90,
            f"Decision mix of {feed} shifted: 'technical' 71 % of rows, usually 19 %; 'billing' 16 %, usually 41 %.",
            kind="quality",
            severity=Severity.WARNING,
            observed="'technical' 71 %, 'billing' 16 %",
            baseline="'technical' 19 %, 'billing' 41 %",
            log10_e=7.9,
            n=21,
        ),
        _finding(
            _RANKING,
            "client",
            40,
            f"Client mix of {_RANKING} shifted: client '9f3ac1' sent 64 % of rows, usually 2 %.",
            kind="security",
            severity=Severity.INFO,
            detector="dominant_client",
            observed="'9f3ac1' 64 %",
            baseline="'9f3ac1' 2 %",
            log10_e=3.4,
            n=402,
            technique=Technique("AML.T0029", "Denial of AI Service", "demonstrated", "5.6.0"),
            client="9f3ac1",
        ),
        *(
            _finding(
                _TICKETS,
                "rate",
                ago,
                f"Request rate of {_TICKETS} rose to {rate}/s, usually 12/s.",
                kind="operational",
                severity=Severity.WARNING,
                state=State.RESOLVED,
                updated_ns=(_NOW_S - ago + 110) * 10**9,
                observed=f"{rate}/s",
                baseline="12/s",
            )
            for ago, rate in ((860, 31), (90_000, 27))
        ),
    )


@pytest.fixture
def scenes() -> dict[str, Snapshot]:
    """Snapshots by name: `nothing`, `learning`, `quiet`, `trouble`."""
    rng = random.Random(_SEED)
    base = replace(
        NOTHING,
        version="0.1.0",
        started_ns=(_NOW_S - 1300) * 10**9,
        watermark_ns=_NOW_S * 10**9,
        window_s=float(_WINDOW_S),
        counts=Counts(accepted=128_402, refused=0, dropped=0, late=0, forwarded=128_402, annotated=0),
    )
    ranking = _view(
        2, _RANKING, _history(rng, rate=140, latency_s=0.0042), {"item-17": 0.12, "item-4": 0.08, "item-92": 0.05}
    )
    young = _history(rng, rate=1.3, latency_s=0.0102)
    young = History(
        young.t_s[-12:],
        young.rate_per_s[-12:],
        young.latency_p50_s[-12:],
        young.latency_p99_s[-12:],
        young.error_ratio[-12:],
    )
    canary = _view(3, _CANARY, young, _MIX, state="learning", progress=0.4, reason="12 of 30 windows, 156 of 300 rows")
    quiet = _tickets(rng)
    slow = _tickets(rng, since=_POINTS - 17, factor=4.1)
    learning = [
        replace(view, state="learning", progress=0.73, reason="22 of 30 windows, 1,180 of 300 rows") for view in quiet
    ]
    return {
        "nothing": NOTHING,
        "learning": replace(base, series=(*learning, canary)),
        "quiet": replace(base, series=(ranking, *quiet)),
        "trouble": replace(
            base,
            counts=replace(base.counts, annotated=312, late=14, refused=3),
            series=(ranking, canary, *slow),
            findings=_findings(),
        ),
    }
