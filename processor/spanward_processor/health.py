"""What orchestrators ask: whether the process lives, and whether it takes spans."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route


def health_routes(ready: Callable[[], bool]) -> list[Route]:
    """Return the routes `/healthz` and `/readyz`.

    They are answered under any name: orchestrators probe by address, and the answers tell nothing.

    Args:
        ready: Whether the processor takes spans; `/readyz` answers 503 until it does.
    """

    async def healthz(request: Request) -> Response:
        del request
        return PlainTextResponse("alive")

    async def readyz(request: Request) -> Response:
        del request
        return PlainTextResponse("ready") if ready() else PlainTextResponse("not ready", 503)

    return [Route("/healthz", healthz, methods=["GET"]), Route("/readyz", readyz, methods=["GET"])]
