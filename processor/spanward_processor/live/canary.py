"""Verdicts for controllers that ask: Argo Rollouts by its web metric, Flagger by its webhooks.

Source: Argo Rollouts, "Web Metrics": a GET whose JSON answer a `jsonPath` picks from. Flagger, "Webhooks": a POST; 2xx means go on for
`rollout` and `confirm-promotion` hooks, and roll back for `rollback` hooks; the text of any other answer is logged.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from spanward_processor.canary.verdict import Decision, Verdict

Ask = Callable[[str, str], Verdict | None]
"""Returns what is known of a model's canary; None where the model has no two versions. Raises KeyError for no such model."""

_YES: Final = 200
_NO: Final = 409
_UNKNOWN: Final = 404
_NOTHING: Final[dict[str, Any]] = {
    "verdict": Decision.CONTINUE,
    "ok": True,
    "reason": "no two versions of it have served together yet",
}


def canary_routes(ask: Ask) -> list[Route]:
    """Return the routes; a model's name may hold slashes. Any host name will do: controllers ask by the name of a Service.

    Args:
        ask: What is known.
    """
    path = "/v1/canary/{service}/{model:path}"

    def hook(is_yes: Callable[[Decision], bool]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            return await _answer(ask, request, is_yes)

        return answer

    return [
        Route(f"{path}/promotion", hook(lambda decision: decision is Decision.PROMOTE), methods=["POST"]),
        Route(f"{path}/rollback", hook(lambda decision: decision is Decision.ROLL_BACK), methods=["POST"]),
        Route(path, hook(lambda _: True), methods=["GET"]),
        Route(path, hook(lambda decision: decision is not Decision.ROLL_BACK), methods=["POST"]),
    ]


async def _answer(ask: Ask, request: Request, is_yes: Callable[[Decision], bool]) -> Response:
    names = request.path_params["service"], request.path_params["model"]
    told = {"service": names[0], "model": names[1]}
    try:
        verdict = await asyncio.to_thread(ask, *names)
    except KeyError:
        unknown = told | {"reason": "no span of such a service and model has come"}
        return JSONResponse(unknown, _UNKNOWN, {"Cache-Control": "no-store"})
    decision = verdict.decision if verdict else Decision.CONTINUE
    told |= form_of(verdict) if verdict else _NOTHING
    return JSONResponse(told, _YES if is_yes(decision) else _NO, {"Cache-Control": "no-store"})


def form_of(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as JSON can hold it."""
    return {
        "verdict": verdict.decision.value,
        "ok": verdict.decision is not Decision.ROLL_BACK,
        "reason": verdict.reason,
        "stable": {"version": verdict.stable.version, "requests": verdict.requests[0], "clients": verdict.clients[0]},
        "canary": {"version": verdict.canary.version, "requests": verdict.requests[1], "clients": verdict.clients[1]},
        "log10_e": round(verdict.log10_e, 3),
        "log10_threshold": round(verdict.log10_threshold, 3),
        "began_ns": verdict.began_ns,
        "decided_ns": verdict.decided_ns,
        "at_ns": verdict.at_ns,
        "guards": {
            one.guard: {
                "weight": one.weight,
                "log10_e": round(one.log10_e, 3),
                "what": one.what,
                "stable": one.stable,
                "canary": one.canary,
                "effect": one.interval,
                "safe": one.safe,
            }
            for one in verdict.standings
        },
    }
