"""The live page in a real browser, against a real processor that is fed with OTLP."""

import os
import random
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

import running
from causes import USUAL
from findings import FINDING
from requiring import require_peer
from spanward import semconv
from spanward_processor.dora.deployment import Deployment
from spanward_processor.dora.report import Measured
from spanward_processor.dora.subjects import Part, Subject
from spanward_processor.explain.explanation import explain
from spanward_processor.explain.machine import NOTHING_KNOWN
from spanward_processor.explain.plain import form_of
from spanward_processor.explain.words import sentence
from spanward_processor.findings import Series, Severity, State
from spanward_processor.live.testing import NOTHING, ScriptedSource, served
from spanward_processor.live.view import (
    BudgetView,
    BurnView,
    CanaryView,
    DoraView,
    GuardView,
    History,
    SeriesView,
    Snapshot,
)
from spanward_processor.warmup import warm_up

pytestmark = pytest.mark.chromium

_CHROMIUM = Path("/usr/bin/chromium")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PATIENCE_MS = 20_000
_LEARNED = 6  # windows
_DETECTION = {"window_s": 1, "lateness_s": 0, "learning": {"windows": _LEARNED, "rows": 50}}
_ROWS = 60  # per window
_SEED = 11
_LOST = "No connection to the processor."


_FINDING = replace(
    FINDING,
    kind="performance",
    series=Series("support-desk", "router", "1.0"),
    detector="change",
    aspect="input_size",
    updated_ns=10**10,
    window_ns=10**10,
    observed="median 600",
    baseline="median 100",
    reason="Input size of support-desk / router 1.0 rose.",
)


@dataclass
class Watched:
    """A page, and what it did that nobody should see."""

    page: Page
    complaints: list[str] = field(default_factory=list[str])
    asked: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        """Listen."""
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        self.page.on("request", self._ask)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _ask(self, request: Request) -> None:
        self.asked.add(urlsplit(request.url).netloc)

    def width(self) -> int:
        """Return how wide the page is laid out, pixels."""
        width: int = self.page.evaluate("document.documentElement.scrollWidth")
        return width


class Sender:
    """Sends windows of spans to a processor, each one second of event time.

    Args:
        address: The processor's receiver.
        names: Attributes of every span beside the numbers.
    """

    def __init__(self, address: str, names: dict[str, str]) -> None:
        self._address = address
        self._names = names
        self._rng = random.Random(_SEED)
        self._second = int(time.time()) - 40

    def send(self, windows: int, *, latency_s: float = 0.01) -> None:
        """Send that many windows."""
        for _ in range(windows):
            running.export(self._address, self._window(latency_s))
            self._second += 1

    def _window(self, latency_s: float) -> bytes:
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        resource.resource.attributes.add(key="service.name").value.string_value = "support-desk"
        scope = resource.scope_spans.add()
        for number in range(_ROWS):
            end_ns = self._second * 10**9 + number * 10**7
            span = scope.spans.add(
                trace_id=self._rng.randbytes(16),
                span_id=self._rng.randbytes(8),
                name="classify",
                start_time_unix_nano=end_ns - int(latency_s * self._rng.gauss(1, 0.1) * 10**9),
                end_time_unix_nano=end_ns,
            )
            for name, text in self._names.items():
                span.attributes.add(key=name).value.string_value = text
            span.attributes.add(key=semconv.DECISION).value.string_value = self._rng.choice(("billing", "delivery"))
        return request.SerializeToString()


NOW_NS = 1_795_489_800_000_000_000
_SERIES = SeriesView(
    1, Series("support", "router", "2.1"), "ready", 1.0, "", 1.0, 0.0, 0.01, 0.02, None, (), History((), (), (), (), ())
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for all tests here."""
    require_peer("Chromium", _CHROMIUM.exists(), f"{_CHROMIUM} is absent; tests/peers/chromium.sh installs it")
    warm_up(lambda _stage, _seconds: None)  # a page need not wait for kernels to be compiled
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=_ARGUMENTS, env=dict(os.environ))
        yield browser
        browser.close()


@pytest.fixture
def watch(chromium: Browser) -> Generator[Callable[..., Watched]]:
    """Open pages, and close them after the test."""
    contexts: list[BrowserContext] = []

    def open_page(url: str, *, width: int = 1280) -> Watched:
        context = chromium.new_context(viewport={"width": width, "height": 900})
        context.set_default_timeout(_PATIENCE_MS)
        contexts.append(context)
        watched = Watched(context.new_page())
        watched.page.goto(url)
        return watched

    expect.set_options(timeout=_PATIENCE_MS)
    yield open_page
    for context in contexts:
        context.close()


def _names(model: str = "router", channel: str = "web") -> dict[str, str]:
    return {semconv.MODEL_NAME: model, semconv.MODEL_VERSION: "1.0", semconv.CHANNEL: channel}


def test_page_waits_learns_becomes_ready_and_shows_a_finding_without_reload(watch: Callable[..., Watched]) -> None:
    """One load of the page sees the whole way from no spans to a finding and its reason."""
    with running.processor(live={"listen": "127.0.0.1:0"}, detection=_DETECTION) as processor:
        watched = watch(processor.page_url)
        page, sender = watched.page, Sender(processor.receiver_address, _names())
        page.evaluate("window.loadedOnce = true")
        expect(page.get_by_role("heading", level=1)).to_have_text("Waiting for spans")

        sender.send(3)
        expect(page.get_by_role("heading", level=1)).to_have_text("Learning 1 of 1 series")
        sender.send(_LEARNED + 6)
        expect(page.get_by_role("heading", level=1)).to_have_text("Watching 1 series: nothing unusual")
        sender.send(5, latency_s=0.5)
        finding = page.locator("article.finding").first
        expect(finding.locator(".reason")).to_contain_text("Latency of support-desk / router 1.0 rose")

        expect(finding.locator(".facts")).to_contain_text("by chance")
        expect(page).to_have_title("(1) Spanward")
        assert page.evaluate("window.loadedOnce")
        assert (watched.complaints, watched.asked) == ([], {urlsplit(processor.page_url).netloc})


@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_names_stay_text_and_break_no_layout(watch: Callable[..., Watched], width: int) -> None:
    """Markup is shown as it is written, direction controls lose their power, and a very long name is wrapped."""
    markup = "<img src=x onerror=alert(1)>"
    model = f"{markup}\u202egnp.exe {'m' * 3000}"
    channel = f"{markup}\u2067{'c' * 3000}"
    with running.processor(live={"listen": "127.0.0.1:0"}, detection=_DETECTION) as processor:
        watched = watch(processor.page_url, width=width)
        page, sender = watched.page, Sender(processor.receiver_address, _names(model, channel))
        sender.send(_LEARNED + 6)
        sender.send(5, latency_s=0.5)
        expect(page.locator("article.finding").first).to_be_visible()

        expect(page.locator(".series h2").first).to_contain_text(f"{markup}\ufffdgnp.exe mmm")
        expect(page.locator(".slice-table th[scope=row]").first).to_contain_text(f"{markup}\ufffdccc")
        assert page.locator('img[src="x"]').count() == 0
        assert "\u202e" not in page.content()
        assert watched.width() == width
        assert (watched.complaints, watched.asked) == ([], {urlsplit(processor.page_url).netloc})


def test_findings_of_one_incident_stand_together(watch: Callable[..., Watched]) -> None:
    """The worst finding of an incident is shown, what else it shows is named beside it and can be opened."""
    began = replace(_FINDING, id="a" * 32, incident="a" * 32)
    worse = replace(_FINDING, id="b" * 32, incident="a" * 32, aspect="client", severity=Severity.CRITICAL, opened_ns=2)
    worse = replace(worse, client="<b>4807</b>")
    other = replace(_FINDING, id="c" * 32, incident="c" * 32, aspect="rate", opened_ns=3)
    with served(ScriptedSource(replace(NOTHING, findings=(other, worse, began)))) as url:
        page = watch(url).page
        articles = page.locator(".findings > article.finding")

        expect(articles).to_have_count(2)
        expect(articles.first.locator(".finding-head")).to_contain_text("client")
        expect(articles.first.locator("dl.facts code")).to_have_text(worse.client)
        beside = page.locator(".findings > details.beside")
        expect(beside).to_have_count(1)
        expect(beside.locator("summary")).to_have_text("The same incident shows in input size: 1 more finding")
        expect(beside.locator("article")).to_be_hidden()
        beside.locator("summary").click()
        expect(beside.locator("article")).to_be_visible()


def test_of_equally_severe_findings_security_leads_then_the_one_that_began(watch: Callable[..., Watched]) -> None:
    """What is shown first is what the log names first, however strong the evidence of its consequences."""
    critical = replace(_FINDING, severity=Severity.CRITICAL, incident="a" * 32)
    began = replace(critical, id="a" * 32, aspect="repeat", kind="security")
    beside = replace(critical, id="b" * 32, aspect="score", kind="quality")
    older = replace(critical, id="c" * 32, incident="c" * 32, aspect="latency", opened_ns=0)
    shown_with = replace(older, id="d" * 32, aspect="rate")
    with served(ScriptedSource(replace(NOTHING, findings=(beside, began, shown_with, older)))) as url:
        heads = watch(url).page.locator(".findings > article.finding .finding-head")

        expect(heads).to_contain_text(["repeat", "latency"])


def test_how_long_a_finding_lasts_is_told_from_when_it_opened(watch: Callable[..., Watched]) -> None:
    """The times add up, also of a roll-back, which is over at once though its evidence is that of a whole trial."""
    opened_ns = 1_795_489_800 * 10**9  # 03:10:00
    lasting = replace(_FINDING, id="a" * 32, opened_ns=opened_ns, window_ns=32 * 10**9)
    resolved = replace(lasting, id="b" * 32, state=State.RESOLVED, updated_ns=opened_ns + 40 * 10**9)
    at_once = replace(lasting, id="c" * 32, state=State.RESOLVED, updated_ns=opened_ns)
    snapshot = replace(NOTHING, watermark_ns=opened_ns + 70 * 10**9, findings=(lasting, resolved, at_once))
    with served(ScriptedSource(snapshot)) as url:
        told = watch(url).page.locator(".finding .lasting")

        expect(told).to_contain_text(
            ["03:10:00, for 1 min 10 s", "03:10:00, resolved after 40 s", "03:10:00, over at once"]
        )


@pytest.mark.parametrize("width", [1280, 390])
def test_a_latency_finding_shows_what_the_rise_is_made_of(watch: Callable[..., Watched], width: int) -> None:
    """The layers stand as a bar with their shares, as soon as somebody asks; a hostile name stays text."""
    print(f"seed {_SEED}")
    rng = np.random.default_rng(_SEED)
    told = explain(USUAL.calls(600, rng), USUAL.but(tokens=900, lock_ratio=0).calls(600, rng), rng, NOTHING_KNOWN, 8)
    name = "<img src=x>/" + "m" * 400
    asked = list[tuple[str, str]]()

    def ask_why(service: str, model: str, since_s: float) -> dict[str, Any]:
        assert since_s > 0
        asked.append((service, model))
        return form_of(told) | {"sentence": f"{sentence(told)} {name}"}

    finding = replace(_FINDING, id="d" * 32, aspect="latency", series=Series("support-desk", name, "1.0"))
    shown = replace(NOTHING, findings=(finding,), watermark_ns=30 * 10**9)
    with served(ScriptedSource(shown), ask_why=ask_why) as url:
        watched = watch(url, width=width)
        why = watched.page.locator("article.finding details.why")
        why.locator("summary").click()

        expect(why.locator("p").first).to_contain_text("Other data makes")
        expect(why.locator("figure").first).to_contain_text("of the mean's rise")
        expect(why.locator("figure").first.locator("li").first).to_contain_text("data")
        expect(why.locator("figure").first.locator(".mix-bar span").first).to_be_visible()
        assert asked == [("support-desk", name)]
        assert watched.page.locator('img[src="x"]').count() == 0
        assert watched.width() == width
        assert watched.complaints == []


def _with_panels(name: str) -> Snapshot:
    """Return a page with a budget overdrawn, a canary taken back and a deployment that failed, all of a model of that name."""
    stable, canary = Series("support", name, "2.0"), Series("support", name, "2.1")
    guard = GuardView("latency", "typical latency", "60 ms", "120 ms", "x2, between x1.6 and x2.4", safe=False)
    action = (NOW_NS, True, "roll-back of router: flag set")
    subject = Subject("support", name, Part.MODEL)
    return replace(
        NOTHING,
        counts=replace(NOTHING.counts, accepted=1),
        series=(_SERIES,),
        budgets=(
            BudgetView(
                "answered",
                name,
                "99.9 %",
                "1 d",
                None,
                86_400.0,
                -0.25,
                9000,
                12,
                None,
                (BurnView(3600.0, 20.0, 14.4),),
                "critical",
            ),
        ),
        canaries=(
            CanaryView(stable, canary, "roll_back", "slower", 0.1, (900, 100), NOW_NS, NOW_NS, (guard,), (action,)),
        ),
        dora=DoraView(
            (Measured(subject, "2.1", 86_400.0, 4, 4.0, 1, 0.25, 90.0, 0, 1, 0.25, 7200.0, 4),),
            (Deployment(0, subject, "2.1", "2.0", NOW_NS, failed_ns=NOW_NS, cause="rolled back to 2.0"),),
        ),
    )


@pytest.mark.parametrize("width", [1280, 390])
def test_budgets_canaries_and_deployments_are_shown(watch: Callable[..., Watched], width: int) -> None:
    """Each has a panel with its numbers; hostile names break no layout."""
    shown = _with_panels("<img src=x>" + "r" * 2000)
    with served(ScriptedSource(shown)) as url:
        watched = watch(url, width=width)
        page = watched.page
        budgets, canaries, deployments = (
            page.get_by_role("region", name=title) for title in ("Objectives", "Canaries", "Deployments in 30 days")
        )
        expect(budgets).to_contain_text("-25 % of the budget of 1 d left")
        expect(budgets.locator(".over")).to_contain_text("20x of 14.4x")
        expect(canaries).to_contain_text("10 % of the requests")
        expect(canaries.locator("table")).to_contain_text("x2, between x1.6 and x2.4")
        expect(canaries.locator(".actions")).to_contain_text("done roll-back of router")
        expect(deployments.locator("table")).to_contain_text("4 (4 a day)")
        expect(deployments.locator(".newest")).to_contain_text("failed: rolled back to 2.0; not over")
        assert page.locator('img[src="x"]').count() == 0
        assert watched.width() == width
        assert watched.complaints == []


def test_lost_connection_is_shown_and_recovers_by_itself(watch: Callable[..., Watched]) -> None:
    """When the processor is gone the page says since when it is stale; when it is back, the page goes on."""
    with running.processor(live={"listen": "127.0.0.1:0"}) as processor:
        url = processor.page_url
        page = watch(url).page
        expect(page.get_by_role("heading", level=1)).to_have_text("Waiting for spans")
        expect(page.get_by_text(_LOST)).to_have_count(0)
    expect(page.get_by_text(_LOST)).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("What you see is as of")
    with running.processor(live={"listen": urlsplit(url).netloc}, detection=_DETECTION) as processor:
        expect(page.get_by_text(_LOST)).to_have_count(0)
        Sender(processor.receiver_address, _names()).send(3)
        expect(page.get_by_role("heading", level=1)).to_have_text("Learning 1 of 1 series")
