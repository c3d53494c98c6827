"""DORA's metrics for whoever asks."""

import asyncio
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from spanward_processor.dora.deployments import Deployments
from spanward_processor.dora.forms import form_of
from spanward_processor.dora.report import MONTH_S
from spanward_processor.slo.lengths import length_s

PATH: Final = "/v1/dora"
_KNOWN: Final = ("service", "model", "since")


def dora_endpoint(deployments: Deployments) -> Any:
    """Return the endpoint, a GET with `service`, `model` and `since` as it likes."""

    async def answer(request: Request) -> Response:
        asked, errors = dict(request.query_params), list[str]()
        errors += [f"{name}: must be one of {', '.join(_KNOWN)}" for name in asked if name not in _KNOWN]
        since_s = MONTH_S
        try:
            since_s = length_s(asked["since"]) if "since" in asked else MONTH_S
        except ValueError as error:
            errors.append(f"since: {error}, got {asked['since'][:40]!r}")
        if errors:
            return JSONResponse({"errors": errors}, 400, {"Cache-Control": "no-store"})
        form = await asyncio.to_thread(form_of, deployments, since_s, asked.get("service", ""), asked.get("model", ""))
        return JSONResponse(form, headers={"Cache-Control": "no-store"})

    return answer
