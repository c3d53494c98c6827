"""DORA's metrics for whoever asks."""

import asyncio
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from spanward_processor.dora.deployments import Deployments
from spanward_processor.dora.forms import form_of
from spanward_processor.dora.report import MONTH_S
from spanward_processor.live.asking import NO_STORE, refusal, since_of

PATH: Final = "/v1/dora"
_KNOWN: Final = ("service", "model", "since")
_MOST_S: Final = 100 * 365 * 86_400.0
_BAD: Final = 400


def dora_endpoint(deployments: Deployments) -> Any:
    """Return the endpoint, a GET with `service`, `model` and `since` as it likes."""

    async def answer(request: Request) -> Response:
        asked = dict(request.query_params)
        errors = [f"{name}: must be one of {', '.join(_KNOWN)}" for name in asked if name not in _KNOWN]
        since_s = MONTH_S
        try:
            since_s = since_of(asked, MONTH_S, _MOST_S)
        except ValueError as error:
            errors.append(str(error))
        if errors:
            return refusal(_BAD, errors)
        form = await asyncio.to_thread(form_of, deployments, since_s, asked.get("service", ""), asked.get("model", ""))
        return JSONResponse(form, headers=NO_STORE)

    return answer
