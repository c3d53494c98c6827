"""Placeholder until the live page lands in this branch: health only."""

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from spanward_processor.live.view import LiveSource


def live_app(source: LiveSource, ready: Callable[[], bool]) -> Starlette:
    async def readyz(request: Request) -> Response:
        return PlainTextResponse("", 200 if ready() else 503)

    return Starlette(routes=[Route("/readyz", readyz)])
