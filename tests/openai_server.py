"""A server that speaks the wire format of OpenAI's API, as others speak it too: whole answers, streamed ones, and errors.

The model's name says how it behaves: `fails` answers 500, `limited` 429, `breaks` drops the connection in the middle of a stream,
`complains` sends an error as an event, `waits` never ends. Of responses `failed` and `errs` come to an end that is none, as their status or
an event says, `rambles` puts a message where a code belongs, and `filtered` and `cut` are incomplete. Any other one answers.
Source: OpenAI API reference: chat completions, responses, completions, embeddings, and their streaming events.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

WORDS = ("The", " answer", " is", " hidden-answer")
PROMPT_TOKENS, COMPLETION_TOKENS, CACHED, REASONING = 11, 4, 3, 2
SERVED = "router-2026-11-01"

USAGE = {
    "prompt_tokens": PROMPT_TOKENS,
    "completion_tokens": COMPLETION_TOKENS,
    "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
    "prompt_tokens_details": {"cached_tokens": CACHED},
    "completion_tokens_details": {"reasoning_tokens": REASONING},
}
RESPONSE_USAGE = {
    "input_tokens": PROMPT_TOKENS,
    "input_tokens_details": {"cached_tokens": CACHED},
    "output_tokens": COMPLETION_TOKENS,
    "output_tokens_details": {"reasoning_tokens": REASONING},
    "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
}
_ENDS = {
    "failed": {"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "hidden-message"}},
    "rambles": {"status": "failed", "error": {"code": "hidden message", "message": "hidden-message"}},
    "filtered": {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
    "cut": {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "usage": RESPONSE_USAGE},
}
_ERRORS = {"fails": (500, "server_error"), "limited": (429, "rate_limit_exceeded")}


class OpenAIServer:
    """The application, and the bodies it was sent.

    Args:
        bodies: Every request's body, in order.
    """

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.app = Starlette(
            routes=[
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/v1/responses", self._responses, methods=["POST"]),
                Route("/v1/completions", self._completions, methods=["POST"]),
                Route("/v1/embeddings", self._embeddings, methods=["POST"]),
            ]
        )

    async def _asked(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = await request.json()
        self.bodies.append(body)
        return body

    async def _chat(self, request: Request) -> Response:
        asked = await self._asked(request)
        if (refused := _refusal(asked)) is not None:
            return refused
        if asked.get("stream"):
            return _streamed(asked, _chunks(asked), done=True)
        message = {"role": "assistant", "content": "".join(WORDS), "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return JSONResponse(_head("chat.completion", asked) | {"choices": [choice], "usage": USAGE})

    async def _completions(self, request: Request) -> Response:
        asked = await self._asked(request)
        choice = {"index": 0, "text": "".join(WORDS), "logprobs": None, "finish_reason": "length"}
        return JSONResponse(_head("text_completion", asked) | {"choices": [choice], "usage": USAGE})

    async def _embeddings(self, request: Request) -> Response:
        asked = await self._asked(request)
        given: Any = asked["input"]
        texts = cast("list[object]", given) if isinstance(given, list) else [given]
        data = [{"object": "embedding", "index": index, "embedding": [0.25, -0.5]} for index, _ in enumerate(texts)]
        usage = {"prompt_tokens": PROMPT_TOKENS, "total_tokens": PROMPT_TOKENS}
        return JSONResponse({"object": "list", "data": data, "model": SERVED, "usage": usage})

    async def _responses(self, request: Request) -> Response:
        asked = await self._asked(request)
        if (refused := _refusal(asked)) is not None:
            return refused
        if asked.get("stream"):
            return _streamed(asked, _response_events(asked), done=False)
        return JSONResponse(_response(asked, "completed") | _ENDS.get(asked["model"], {}))


def _head(kind: str, asked: dict[str, Any]) -> dict[str, Any]:
    return {"id": "answer-1", "object": kind, "created": 1, "model": _served(asked), "system_fingerprint": None}


def _served(asked: dict[str, Any]) -> str:
    return SERVED if asked["model"] == "router" else str(asked["model"])


def _refusal(asked: dict[str, Any]) -> Response | None:
    if asked["model"] not in _ERRORS:
        return None
    status, kind = _ERRORS[asked["model"]]
    error = {"message": "hidden-message", "type": kind, "param": None, "code": kind}
    return JSONResponse({"error": error}, status)


def _chunks(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    head = _head("chat.completion.chunk", asked)
    options: dict[str, Any] = asked.get("stream_options") or {}
    with_usage = options.get("include_usage")
    nothing_yet = {"usage": None} if with_usage else {}
    deltas = [{"role": "assistant", "content": ""}, *({"content": word} for word in WORDS)]
    for delta in deltas:
        yield head | {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]} | nothing_yet
    yield head | {"choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]} | nothing_yet
    if with_usage:
        yield head | {"choices": [], "usage": USAGE}


def _response(asked: dict[str, Any], status: str) -> dict[str, Any]:
    done = status == "completed"
    text: dict[str, Any] = {"type": "output_text", "text": "".join(WORDS), "annotations": []}
    message: dict[str, Any] = {"type": "message", "id": "m1", "status": status, "role": "assistant", "content": [text]}
    return {
        "id": "answer-1",
        "object": "response",
        "created_at": 1,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": _served(asked),
        "output": [message] if done else [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": RESPONSE_USAGE if done else None,
    }


def _response_events(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    place = {"item_id": "m1", "output_index": 0, "content_index": 0}
    item: dict[str, Any] = {"type": "message", "id": "m1", "status": "in_progress", "role": "assistant", "content": []}
    part: dict[str, Any] = {"type": "output_text", "text": "", "annotations": []}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": _response(asked, "in_progress")},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", "part": part, **place},
        *({"type": "response.output_text.delta", "delta": word, "logprobs": [], **place} for word in WORDS),
        {"type": "response.output_text.done", "text": "".join(WORDS), "logprobs": [], **place},
        _last_event(asked),
    ]
    for number, event in enumerate(events):
        yield event | {"sequence_number": number}


def _last_event(asked: dict[str, Any]) -> dict[str, Any]:
    if asked["model"] == "errs":
        return {"type": "error", "code": "server_error", "message": "hidden-message", "param": None}
    response = _response(asked, "completed") | _ENDS.get(asked["model"], {})
    return {"type": f"response.{response['status']}", "response": response}


def _streamed(asked: dict[str, Any], events: Iterator[dict[str, Any]], *, done: bool) -> Response:
    return StreamingResponse(_sent(asked["model"], events, done=done), media_type="text/event-stream")


async def _sent(model: str, events: Iterator[dict[str, Any]], *, done: bool) -> AsyncIterator[str]:
    for number, event in enumerate(events):
        if number == 3 and model == "breaks":
            raise ConnectionAbortedError
        if number == 3 and model == "waits":
            await asyncio.Event().wait()
        if number == 3 and model == "complains":
            yield f"data: {json.dumps({'error': {'message': 'hidden-message', 'type': 'server_error'}})}\n\n"
            return
        name = "" if done else f"event: {event['type']}\n"
        yield f"{name}data: {json.dumps(event)}\n\n"
    if done:
        yield "data: [DONE]\n\n"
