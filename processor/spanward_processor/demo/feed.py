"""What the processor tells over its live page: how far it has learned, and each finding as it changes."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Self

import httpx

_READ_TIMEOUT_S: Final = 15.0  # the page says something every second
_RECONNECT_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding as the page tells it; see the processor's documentation for the fields."""

    id: str
    state: str
    severity: str
    aspect: str
    observed: str
    baseline: str
    log10_e: float
    n: int
    reason: str
    slices: tuple[str, ...]
    technique: str
    detector: str = ""
    incident: str = ""

    @classmethod
    def of(cls, told: dict[str, Any]) -> Self:
        """Read one from JSON."""
        technique = told["technique"]
        own = told["series"]["slice"]
        return cls(
            id=told["id"],
            state=told["state"],
            severity=told["severity"],
            aspect=told["aspect"],
            observed=told["observed"],
            baseline=told["baseline"],
            log10_e=told["log10_e"],
            n=told["n"],
            reason=told["reason"],
            slices=(own[1],) if own else tuple(share["value"] for share in told["slices"]),
            technique=f"{technique['id']} {technique['name']}" if technique else "",
            detector=told.get("detector", ""),
            incident=told.get("incident", ""),
        )

    @property
    def is_beside(self) -> bool:
        """Whether another finding of the same incident opened first."""
        return self.incident not in ("", self.id)

    def blames(self, value: str) -> bool:
        """Tell whether the finding is about this slice, or names it as the one that contributes most."""
        return self.slices[:1] == (value,)


@dataclass(frozen=True, slots=True)
class _Event:
    """A server-sent event whose data is JSON."""

    name: str
    id: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Learning:
    """How far all series and slices have learned.

    Args:
        ready: How many are judged.
        known: How many there are.
        progress: Of the one that is furthest behind, 0 to 1.
        reason: What that one has learned, in the processor's words.
    """

    ready: int = 0
    known: int = 0
    progress: float = 0.0
    reason: str = "no spans yet"

    @classmethod
    def of(cls, snapshot: dict[str, Any]) -> Self:
        """Read it from a snapshot."""
        series = snapshot["series"]
        if not series:
            return cls()
        behind = min(series, key=lambda view: view["progress"])
        ready = sum(view["state"] == "ready" for view in series)
        return cls(ready, len(series), behind["progress"], behind["reason"])

    def __str__(self) -> str:
        """Say it in a few words."""
        if not self.known:
            return self.reason
        return f"{self.ready} of {self.known} ready (the model and each channel); slowest: {self.reason}"

    @property
    def done(self) -> bool:
        """Whether all are judged."""
        return 0 < self.known == self.ready


@dataclass(frozen=True, slots=True)
class Opening:
    """A finding when it opened.

    Args:
        at_s: When we heard of it, on the loop's clock.
        finding: As it was then.
    """

    at_s: float
    finding: Finding


@dataclass(slots=True)
class Feed:
    """Follows the live page.

    Args:
        page: Its address.
        hear: Called with every change of a finding.
        learning: How far the processor has learned, as of the newest snapshot.
        accepted: Spans the processor has taken.
        openings: Every finding that opened.
        open: Ids of the findings that last.
        last_id: Number of the newest event that has one; the page goes on from there.
    """

    page: str
    hear: Callable[[Finding], None]
    learning: Learning = field(default_factory=Learning)
    accepted: int = 0
    openings: list[Opening] = field(default_factory=list[Opening])
    open: set[str] = field(default_factory=set[str])
    last_id: str = "0"

    async def follow(self) -> None:
        """Read server-sent events until cancelled, connecting anew where the stream broke off."""
        timeout = httpx.Timeout(5.0, read=_READ_TIMEOUT_S)
        async with httpx.AsyncClient(timeout=timeout) as http:
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    await self._read(http)
                await asyncio.sleep(_RECONNECT_S)

    async def _read(self, http: httpx.AsyncClient) -> None:
        headers = {"Last-Event-ID": self.last_id}
        async with http.stream("GET", f"{self.page}events", headers=headers) as response:
            response.raise_for_status()
            async for event in _events(_lines(response.aiter_text())):
                self._take(event)

    def _take(self, event: _Event) -> None:
        self.last_id = event.id or self.last_id
        if event.name == "snapshot":
            self.learning = Learning.of(event.data)
            self.accepted = event.data["counts"]["accepted"]
        elif event.name == "finding":
            self._note(Finding.of(event.data))

    def _note(self, finding: Finding) -> None:
        if finding.state == "opened":
            self.openings.append(Opening(asyncio.get_running_loop().time(), finding))
            self.open.add(finding.id)
        elif finding.state == "resolved":
            self.open.discard(finding.id)
        self.hear(finding)

    def opened(self, since_s: float, until_s: float = float("inf")) -> list[Opening]:
        """Return the findings that opened in an interval of the loop's clock."""
        return [opening for opening in self.openings if since_s <= opening.at_s < until_s]


async def _lines(texts: AsyncIterator[str]) -> AsyncIterator[str]:
    """Yield lines that end with a line feed, as the standard says; `aiter_lines` also ends them at U+2028."""
    rest = ""
    async for text in texts:
        *lines, rest = (rest + text).split("\n")
        for line in lines:
            yield line


async def _events(lines: AsyncIterator[str]) -> AsyncIterator[_Event]:
    """Yield server-sent events; comments and events without data are passed over."""
    fields: dict[str, str] = {}
    async for line in lines:
        name, _, value = line.partition(":")
        if line:
            fields[name] = value.strip()
            continue
        if "data" in fields:
            yield _Event(fields.get("event", ""), fields.get("id", ""), json.loads(fields["data"]))
        fields = {}
