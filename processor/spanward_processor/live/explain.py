"""Why a model is slow, for whoever asks: `spanward explain`, or a browser."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from spanward_processor.live.asking import NO_STORE, refusal, since_of

AskWhy = Callable[[str, str, float], dict[str, Any]]
"""Returns why a service's model rose, since so many seconds. Raises KeyError for no such model."""

_HOUR_S: Final = 3_600.0
_DAY_S: Final = 86_400.0
_UNKNOWN: Final = 404
_BAD: Final = 400


def explain_routes(ask: AskWhy, middleware: list[Middleware]) -> list[Route]:
    """Return the routes; a model's name may hold slashes, and may be left out where a service has one.

    Args:
        ask: Who knows.
        middleware: What stands before the answer.
    """

    async def answer(request: Request) -> Response:
        names = request.path_params["service"], request.path_params.get("model", "")
        try:
            since_s = since_of(request.query_params, _HOUR_S, _DAY_S)
            told = await asyncio.to_thread(ask, *names, since_s)
        except ValueError as error:
            return refusal(_BAD, [str(error)])
        except KeyError as error:
            return refusal(_UNKNOWN, [error.args[0]])
        return JSONResponse(told, headers=NO_STORE)

    paths = "/v1/explain/{service}", "/v1/explain/{service}/{model:path}"
    return [Route(path, answer, methods=["GET"], middleware=middleware) for path in paths]
