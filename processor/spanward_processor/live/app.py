"""The live page and the health endpoints, as one ASGI application."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spanward_processor.dora.deployments import Deployments
from spanward_processor.health import health_routes
from spanward_processor.live.canary import Ask, canary_routes
from spanward_processor.live.dora import PATH as DORA
from spanward_processor.live.dora import dora_endpoint
from spanward_processor.live.encode import Json, complete, dumps, numbered
from spanward_processor.live.explain import AskWhy, explain_routes
from spanward_processor.live.stream import EventStream
from spanward_processor.live.view import LiveSource

LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
MOST_STREAMS: Final = 64

_STATIC: Final = Path(__file__).parent / "static"
_POLICY: Final = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"  # telemetry can become text, never markup
)
_SECURITY_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def live_app(
    source: LiveSource,
    ready: Callable[[], bool],
    *,
    closing: Callable[[], bool] = lambda: False,
    allowed_hosts: Sequence[str] = (),
    most_streams: int = MOST_STREAMS,
    ask: Ask | None = None,
    deployments: Deployments | None = None,
    ask_why: AskWhy | None = None,
) -> Starlette:
    """Return the application.

    Args:
        source: What is shown.
        ready: Whether the processor takes spans; `/readyz` answers 503 until it does.
        closing: Whether the server is stopping. Event streams end within a quarter of a second of that, so a server
            need not wait for them.
        allowed_hosts: Host names, beside the loopback ones, under which the page may be asked for; `*` for any.
        most_streams: Event streams that may be open at once; more are answered with 503.
        ask: What is known of canaries; None where nobody may ask.
        deployments: What was deployed; None where nobody may ask.
        ask_why: Who knows why latency rose; likewise.
    """
    # Against DNS rebinding: a foreign site that points its own name at 127.0.0.1 must not read telemetry.
    names = [*LOOPBACK_NAMES, *allowed_hosts]
    known = [Middleware(TrustedHostMiddleware, allowed_hosts=names, www_redirect=False)]
    snapshot = _answering(lambda: complete(source.snapshot()))
    findings = _answering(lambda: numbered(source.transitions(0)))
    routes = [
        *health_routes(ready),
        Route("/", _page, methods=["GET"], middleware=known),
        Route("/events", EventStream(source, closing, most_streams), middleware=known),
        Route("/api/snapshot", snapshot, methods=["GET"], middleware=known),
        Route("/api/findings", findings, methods=["GET"], middleware=known),
        *(canary_routes(ask) if ask else ()),
        *([Route(DORA, dora_endpoint(deployments), methods=["GET"], middleware=known)] if deployments else ()),
        *(explain_routes(ask_why, known) if ask_why else ()),
        Mount("/static", StaticFiles(directory=_STATIC), middleware=known),
    ]
    return Starlette(routes=routes, middleware=[Middleware(SecurityHeaders)])


class SecurityHeaders:
    """Puts the security headers on every answer.

    Args:
        app: What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, with the headers added."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_SECURITY_HEADERS)
                # Files are revalidated by their ETag: a page from before an upgrade must not talk to the new processor.
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        await self._app(scope, receive, send_with_headers)


async def _page(request: Request) -> Response:
    del request
    return FileResponse(_STATIC / "index.html")


def _answering(form: Callable[[], Json]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        del request
        body = await asyncio.to_thread(lambda: dumps(form()).encode("utf-8", "replace"))
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})

    return answer
