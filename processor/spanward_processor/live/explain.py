"""Why a model is slow, for whoever asks: `spanward explain`, or a browser."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from spanward_processor.explain.since import SinceError, seconds_of

AskWhy = Callable[[str, str, float], dict[str, Any]]
"""Returns why a service's model rose, since so many seconds. Raises KeyError for no such model."""

_UNKNOWN: Final = 404
_BAD: Final = 400
_HEADERS: Final = {"Cache-Control": "no-store"}


def explain_routes(ask: AskWhy, middleware: list[Middleware]) -> list[Route]:
    """Return the routes; a model's name may hold slashes, and may be left out where a service has one.

    Args:
        ask: Who knows.
        middleware: What stands before the answer.
    """

    async def answer(request: Request) -> Response:
        names = request.path_params["service"], request.path_params.get("model", "")
        try:
            since_s = seconds_of(request.query_params.get("since", "1h"))
            told = await asyncio.to_thread(ask, *names, since_s)
        except SinceError as error:
            return JSONResponse({"reason": str(error)}, _BAD, _HEADERS)
        except KeyError as error:
            return JSONResponse({"reason": error.args[0]}, _UNKNOWN, _HEADERS)
        return JSONResponse(told, headers=_HEADERS)

    paths = "/v1/explain/{service}", "/v1/explain/{service}/{model:path}"
    return [Route(path, answer, methods=["GET"], middleware=middleware) for path in paths]
