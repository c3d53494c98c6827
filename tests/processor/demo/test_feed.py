"""How the demo reads the live page: over real HTTP, from a scripted source."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from findings import FINDING
from spanward_processor.demo.feed import Feed, Finding, Learning
from spanward_processor.findings import Finding as Told
from spanward_processor.findings import Series, SliceShare, State
from spanward_processor.live.testing import NOTHING, ScriptedSource, served
from spanward_processor.live.view import History, SeriesView

_PATIENCE_S = 15
_SERIES = Series("support-desk", "router", "1.0")


def _told(**changes: object) -> Told:
    told = replace(
        FINDING,
        series=_SERIES,
        observed="'account' 50 %",
        baseline="'account' 15 %",
        log10_e=6.5,
        n=80,
        reason="The mix shifted.",
        slices=(
            SliceShare("spanward.channel", "partner-feed", 6.0, 30, "more"),
            SliceShare("spanward.channel", "web", 1.5, 20, "more"),
        ),
    )
    return replace(told, **changes)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - fields by name


def _view(key: int, *, progress: float) -> SeriesView:
    return SeriesView(
        key=key,
        series=_SERIES,
        state="ready" if progress >= 1 else "learning",
        progress=progress,
        reason=f"{progress:.0%}",
        rate_per_s=None,
        error_ratio=None,
        latency_p50_s=None,
        latency_p99_s=None,
        input_size_p50=None,
        decisions=(),
        history=History((), (), (), (), ()),
    )


def _followed(
    source: ScriptedSource, met: Callable[[Feed], bool], tell: Callable[[], object]
) -> tuple[Feed, list[str]]:
    """Follow a page until a condition is met; `tell` is called once it is connected."""
    heard: list[str] = []

    async def follow(url: str) -> Feed:
        feed = Feed(f"{url}/", lambda finding: heard.append(finding.state))
        following = asyncio.create_task(feed.follow())
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while feed.accepted == 0:  # noqa: ASYNC110 - a plain number, nothing to await
                    await asyncio.sleep(0.02)
                tell()
                while not met(feed):  # noqa: ASYNC110 - a plain number, nothing to await
                    await asyncio.sleep(0.02)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        return feed

    with served(source) as url:
        return asyncio.run(follow(url)), heard


def _source(*views: SeriesView) -> ScriptedSource:
    return ScriptedSource(replace(NOTHING, counts=replace(NOTHING.counts, accepted=7), series=views))


def test_learning_is_of_the_one_furthest_behind() -> None:
    """All must be ready before anything goes wrong."""
    feed, _ = _followed(_source(_view(1, progress=1.0), _view(2, progress=0.4)), lambda _: True, lambda: None)
    assert feed.learning == Learning(ready=1, known=2, progress=0.4, reason="40%")
    assert not feed.learning.done


def test_everything_ready_ends_the_learning() -> None:
    """Two of two are ready."""
    feed, _ = _followed(_source(_view(1, progress=1.0), _view(2, progress=1.0)), lambda _: True, lambda: None)
    assert feed.learning.done


def test_nothing_known_is_not_learned() -> None:
    """Before the first span there is nothing to be done with."""
    assert not Learning.of({"series": []}).done


def test_finding_is_open_from_opened_to_resolved() -> None:
    """Each change is heard once, in order; only the opening counts as one."""
    source = _source()

    def tell() -> None:
        for state in (State.OPENED, State.UPDATED, State.RESOLVED):
            source.tell(_told(state=state))

    feed, heard = _followed(source, lambda feed: bool(feed.openings) and not feed.open, tell)
    assert heard == ["opened", "updated", "resolved"]
    assert [opening.finding.id for opening in feed.openings] == ["f1"]


def test_finding_with_odd_line_ends_in_its_text_is_read_whole() -> None:
    """A line separator in a name is no end of line in an event stream."""
    source = _source()
    feed, _ = _followed(source, lambda feed: bool(feed.openings), lambda: source.tell(_told(reason="a\u2028b\x85c")))
    assert feed.openings[0].finding.reason == "a\u2028b\x85c"


def _read(told: Told) -> Finding:
    source = _source()
    feed, _ = _followed(source, lambda feed: bool(feed.openings), lambda: source.tell(told))
    return feed.openings[0].finding


def test_finding_of_a_series_blames_its_strongest_slice() -> None:
    """The slice that contributes most is the one blamed, and no other."""
    finding = _read(_told())
    assert (finding.blames("partner-feed"), finding.blames("web")) == (True, False)


def test_finding_of_a_slice_blames_it() -> None:
    """A finding about a slice needs no contributions."""
    finding = _read(_told(series=replace(_SERIES, slice=("spanward.channel", "email")), slices=()))
    assert finding.blames("email")
