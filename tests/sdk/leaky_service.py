"""A service with content in every place content can be; a test runs it and searches what it exported.

Every piece of content holds the canary. The model's label and its version do not: they are what the spans are for.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi import BackgroundTasks, FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import PlainTextResponse, StreamingResponse
from pydantic import BaseModel
from starlette.testclient import TestClient

import spanward
from spanward_integrations.fastapi import instrument_fastapi, uninstrument_fastapi

app, tenant = FastAPI(), FastAPI()


class Question(BaseModel):
    """What is asked."""

    text: str
    count: int


class CanaryError(Exception):
    """An error whose text, notes and cause hold content."""


def fail(text: str) -> None:
    """Raise with content in every part of the exception."""
    error = CanaryError(f"c4n4ry-exception {text}")
    error.add_note("c4n4ry-note")
    raise error from ValueError("c4n4ry-cause")


@spanward.inference(model="router", version="1.0", client=lambda *, text: f"c4n4ry-client {text}")
def predict(*, text: str) -> dict[str, object]:
    """Answer, or fail where the text says so."""
    if "boom" in text:
        fail(text)
    return {"label": "billing", "score": 0.5, "answer": f"c4n4ry-output {text}"}


@spanward.inference(model="generator")
async def generate(rows: list[Any], *, context: dict[str, str]) -> list[str]:
    """Return free text."""
    await asyncio.sleep(0)
    return [f"c4n4ry-generated {rows} {context}"]


@spanward.inference(model="summary")
def summarise(text: bytes) -> str:
    """Return one free text."""
    return f"c4n4ry-summary {text!r}"


@app.exception_handler(CanaryError)
def answer_error(request: Request, error: CanaryError) -> PlainTextResponse:
    """Tell the client, who may know."""
    return PlainTextResponse(f"{error} {request.url}", status_code=500)


@app.post("/predict/{name}")
def predict_in_thread(name: str, text: str, request: Request, tasks: BackgroundTasks) -> dict[str, object]:
    """Ask the model here and once more after the response."""
    tasks.add_task(predict, text=f"c4n4ry-background {name} {text}")
    return predict(text=f"c4n4ry-input {name} {text} {request.headers['authorization']}")


@app.post("/generate/{name}")
async def generate_in_loop(name: str, question: Question) -> list[str]:
    """Ask a coroutine."""
    summarise(question.text.encode())
    return await generate([name, question.text], context={"c4n4ry-key": question.text})


@app.get("/unhandled/{name}")
def unhandled(name: str) -> None:
    """Fail where no handler is."""
    raise ValueError(f"c4n4ry-unhandled {name}")


@app.get("/refused/{name}")
def refused(name: str) -> None:
    """Refuse with a reason."""
    raise HTTPException(500, detail=f"c4n4ry-detail {name}", headers={"x-reason": "c4n4ry-reason"})


@app.get("/stream/{name}")
def stream(name: str) -> StreamingResponse:
    """Break in the middle of a stream."""

    def chunks() -> Iterator[str]:
        yield str(predict(text=f"c4n4ry-chunk {name}"))
        raise ValueError(f"c4n4ry-stream {name}")

    return StreamingResponse(chunks())


@app.get("/stream-in-loop/{name}")
async def stream_in_loop(name: str) -> StreamingResponse:
    """Stream from a coroutine."""

    async def chunks() -> AsyncIterator[str]:
        yield str(await generate([name], context={}))

    return StreamingResponse(chunks())


@app.websocket("/socket/{name}")
async def socket(connection: WebSocket, name: str) -> None:
    """Ask the model for a message."""
    await connection.accept()
    await connection.send_json(predict(text=f"c4n4ry-socket {name} {await connection.receive_text()}"))
    await connection.close()


@tenant.get("/inner/{name}")
def inner(name: str) -> str:
    """Answer below a mount whose prefix is content."""
    return name


app.mount("/tenants/{who}", tenant)


def main() -> None:
    """Drive every place, and print what the clients got, so that the test sees that content was there."""
    spanward.configure(service_name="leaky")
    instrument_fastapi(app)
    headers = {"authorization": "c4n4ry-header", "user-agent": "c4n4ry-agent", "cookie": "session=c4n4ry-cookie"}
    with TestClient(app, raise_server_exceptions=False, headers=headers) as client:
        for text in ("c4n4ry-query", "boom c4n4ry-query"):
            print(client.post(f"/predict/c4n4ry-path?text={text}", content=b"c4n4ry-body").text)
        for count in (1, "c4n4ry-no-number"):
            body = {"text": "c4n4ry-json", "count": count}
            print(client.post("/generate/c4n4ry-path", json=body).text)
        for path in ("unhandled", "refused", "stream", "stream-in-loop", "tenants/c4n4ry-tenant/inner", "c4n4ry-none"):
            print(client.get(f"/{path}/c4n4ry-path").text)
        client.request("C4N4RY", "/refused/c4n4ry-path")
        with client.websocket_connect("/socket/c4n4ry-path?q=c4n4ry-query") as connection:
            connection.send_text("c4n4ry-message")
            print(connection.receive_text())
    uninstrument_fastapi(app)
    spanward.shutdown()


if __name__ == "__main__":
    main()
