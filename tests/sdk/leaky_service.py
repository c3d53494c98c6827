"""A service with content in every place content can be; a test runs it and searches what it exported.

Every piece of content holds the canary. The model's label and its version do not: they are what the spans are for. Told to leak, it
says one piece of content where a user must not, which the search has to find.
"""

import asyncio
import contextlib
import sys
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


@spanward.inference("teller", channel="web", item_events=True)
def tell(text: str) -> Iterator[dict[str, object]]:
    """Answer in pieces, and fail in the last where the text says so."""
    yield {"label": "billing", "score": 0.5, "text": f"c4n4ry-piece {text}"}
    yield {"label": "billing", "score": 0.25, "text": f"c4n4ry-piece {text}"}
    if "boom" in text:
        fail(text)


@spanward.inference("teller")
async def tell_in_loop(text: str) -> AsyncIterator[str]:
    """Answer in pieces from a coroutine."""
    for number in range(3):
        yield f"c4n4ry-piece {number} {text}"


@spanward.inference("matcher", schema="2", fingerprint=spanward.Windows(2, (0.5,)), client="c4n4ry-client")
def match(row: list[float]) -> list[float]:
    """Return probabilities."""
    return [0.25, 0.75]


class C4n4ryUnhashable:
    """A class of the user's, which has no canonical form; its repr is content."""

    def __repr__(self) -> str:
        """Return content."""
        return "c4n4ry-repr"


def stream_in_every_way() -> None:
    """Read to the end, break, raise and cancel."""
    print(list(tell("c4n4ry-streamed")))
    for _ in tell("c4n4ry-abandoned"):
        break
    with contextlib.suppress(CanaryError):
        list(tell("boom c4n4ry-broken"))

    async def cancelled() -> None:
        stream = tell_in_loop("c4n4ry-cancelled")
        await anext(stream)
        reading = asyncio.ensure_future(anext(stream))
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading

    asyncio.run(cancelled())


def use_blocks() -> None:
    """Set content-bearing results in blocks, nest calls, and raise through them from a cause with content."""
    with spanward.inference("block", version="1.0") as call:
        call.set(input="c4n4ry-asked", result={"label": "billing", "text": "c4n4ry-block"}, client="c4n4ry-client")
        predict(text="c4n4ry-nested")
    with contextlib.suppress(CanaryError), spanward.inference("block") as call:
        call.set(input=object(), result=C4n4ryUnhashable())
        fail("c4n4ry-raised")
    match([0.25, 1.5, 2.5])
    summarise(C4n4ryUnhashable())  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def leak() -> None:
    """Do what the README warns of: put content where it leaves as it is."""
    spanward.inference("router", channel=lambda text: text)(lambda text: {"label": "billing"})("c4n4ry-leaked")


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
    stream_in_every_way()
    use_blocks()
    if "--leak" in sys.argv:
        leak()
    spanward.shutdown()


if __name__ == "__main__":
    main()
