"""Content in every place it can be in, for each framework: the kit's canary check looks for it in what leaves.

Each function uses an instrumented target in good uses and in those that raise, and returns what the user got of the content, by place.
"""

import asyncio
import contextlib
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import numpy as np

import spanward
import triton_running
from spanward_integrations.leaving import CANARY, NUMBER

if TYPE_CHECKING:
    from fastapi import FastAPI

Got = dict[str, object]


def raised_by(use: Any, *args: Any, **kwargs: Any) -> str:
    """Return the message of what a use raises."""
    try:
        use(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - of any framework
        return str(error)
    raise AssertionError("it must raise")


def _add_endpoints(app: "FastAPI") -> None:
    """Add endpoints that answer, refuse, raise and break, each with what it was asked."""
    from fastapi import HTTPException, Request
    from fastapi.responses import StreamingResponse

    @spanward.inference("router")
    def route(text: str) -> dict[str, object]:
        return {"label": "billing", "score": 0.5, "text": f"answer to {text}"}

    @app.post("/ask/{name}")
    async def ask(name: str, request: Request) -> dict[str, object]:
        return route(f"{name} {request.url} {dict(request.headers)} {await request.body()!r}")

    @app.get("/in-thread/{name}")
    def ask_in_thread(name: str) -> dict[str, object]:
        return route(name)

    @app.get("/refused/{name}")
    def refuse(name: str) -> None:
        raise HTTPException(500, detail=f"refused {name}", headers={"x-reason": CANARY})

    @app.get("/unhandled/{name}")
    async def fail(name: str) -> None:
        raise ValueError(f"failed {name}") from KeyError(name)

    @app.get("/stream/{name}")
    def stream(name: str) -> Any:
        def chunks() -> Iterator[str]:
            yield str(route(name))
            raise ValueError(f"broken {name}")

        return StreamingResponse(chunks())


def use_fastapi(app: "FastAPI", content: str) -> Got:
    """Ask endpoints of all kinds; path, query, headers, cookies, body, answers, details and exceptions are content."""
    from starlette.testclient import TestClient

    _add_endpoints(app)
    headers = {"authorization": CANARY, "user-agent": CANARY, "cookie": f"session={CANARY}", "host": f"{CANARY}.test"}
    headers |= {"baggage": f"user={CANARY}", "x-forwarded-for": CANARY}
    with TestClient(app, raise_server_exceptions=False, headers=headers) as client:
        got: Got = {"answer": client.post(f"/ask/{content}?q={content}", content=content.encode()).text}
        for place in ("in-thread", "refused", "stream"):
            got[place] = client.get(f"/{place}/{content}").text
        client.get(f"/unhandled/{content}")
        client.get(f"/{CANARY}/nowhere")
        client.request(CANARY.upper(), f"/refused/{content}")
    with TestClient(app) as client:
        got["exception"] = raised_by(client.get, f"/unhandled/{content}")
    return got


def use_openai(server: Any, content: str) -> Got:
    """Ask by every surface, whole and streamed; prompts, tools, headers, key and address of the request, answers and errors are content."""
    from openai import AsyncOpenAI, OpenAI

    from serving import serving

    with serving(_saying(server.app, b"hidden", CANARY.encode())) as address:
        settings: dict[str, Any] = {"base_url": f"http://{CANARY}:{CANARY}@{address}/v1", "api_key": CANARY}
        settings |= {"default_headers": {"x-content": CANARY}, "default_query": {"q": CANARY}, "max_retries": 0}
        with OpenAI(**settings) as client:
            got = _ask_openai(client, content)
        got["stream in coroutine"] = asyncio.run(_ask_openai_later(AsyncOpenAI(**settings), content))
    return got


def _ask_openai(client: Any, content: str) -> Got:
    function = {"name": CANARY, "description": content, "parameters": {"type": "object"}}
    said: dict[str, Any] = {
        "messages": [{"role": "system", "content": f"be {CANARY}"}, {"role": "user", "content": content}],
        "tools": [{"type": "function", "function": function}],
        "user": CANARY,
        "metadata": {CANARY: CANARY},
        "extra_headers": {"x-more": CANARY},
        "extra_body": {"context": CANARY},
        "stop": CANARY,
    }
    chat, responses = client.chat.completions, client.responses
    got: Got = {"answer": chat.create(model="router", **said).choices[0].message.content}
    got["stream"] = "".join(
        chunk.choices[0].delta.content or "" for chunk in chat.create(model="router", stream=True, **said)
    )
    got["response"] = responses.create(model="router", input=content, instructions=CANARY).output_text
    got["responses' stream"] = list(responses.create(model="router", input=content, stream=True))
    got["error in a response"] = responses.create(model="rambles", input=content).error
    got["error in a stream"] = list(responses.create(model="errs", input=content, stream=True))
    got["completion"] = client.completions.create(model="router", prompt=content).choices[0].text
    client.embeddings.create(model="router", input=[content, content])
    got["raw"] = chat.with_raw_response.create(model="router", **said).text
    for model in ("fails", "limited"):
        got[model] = raised_by(chat.create, model=model, **said)
    got["complains"] = raised_by(lambda: list(chat.create(model="complains", stream=True, **said)))
    return got


async def _ask_openai_later(client: Any, content: str) -> str:
    async with client:
        messages = [{"role": "user", "content": content}]
        stream = await client.chat.completions.create(model="router", messages=messages, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


def _saying(app: Any, word: bytes, other: bytes) -> Any:
    """Return an application that says another word of the same length in its answers."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        async def say(message: Any) -> None:
            if "body" in message:
                message = {**message, "body": message["body"].replace(word, other)}
            await send(message)

        await app(scope, receive, say)

    return answer


def use_sklearn(estimator: Any, content: str) -> Got:
    """Predict from texts and from numbers, in a pipeline that keeps its parts in a folder; features and exceptions are content."""
    linear, pipeline = import_module("sklearn.linear_model"), import_module("sklearn.pipeline")
    text: Any = import_module("sklearn.feature_extraction.text")
    with TemporaryDirectory(prefix=CANARY) as folder:
        texts = pipeline.make_pipeline(text.CountVectorizer(), linear.LogisticRegression(), memory=folder)
        texts.fit([content, "other words"], ["billing", "login"])
        texts.predict([content])
        texts.predict_proba([content, f"{content} again"])
    got: Got = {"exception": raised_by(texts.predict, [CanaryNumber()])}
    estimator.predict([[NUMBER]])
    estimator.predict_proba([[NUMBER], [-NUMBER]])
    estimator.decision_function(np.array([[0.25]]))
    got["value"] = raised_by(estimator.predict, np.array([[content]], object))
    got["width"] = f"{NUMBER} {raised_by(estimator.predict, [[NUMBER, NUMBER]])}"
    return got


class CanaryNumber:
    """What no estimator takes, and says so."""

    def lower(self) -> str:
        """Raise with content, as a user's own tokenizer might."""
        raise ValueError(f"{CANARY} is no text")


def use_onnxruntime(session: Any, content: str) -> Got:
    """Run a model out of a folder, with wrong names, shapes and callbacks too; numbers, names of inputs and paths are content."""
    from onnx_models import adding_model, softmax_model

    onnxruntime: Any = import_module("onnxruntime")
    row = np.array([[NUMBER, 0.0]], "f4")
    session.run(None, {"x": row})
    session.run_with_ort_values(None, {"x": onnxruntime.OrtValue.ortvalue_from_numpy(row)})
    got: Got = {
        "missing": raised_by(session.run, None, {content: row}),
        "unknown": raised_by(session.run, None, {"x": row, content: row}),
        "output": raised_by(session.run, [content], {"x": row}),
        "kind": f"{content} {raised_by(session.run, None, {'x': np.array([[content, content]], object)})}",
    }
    with TemporaryDirectory(prefix=CANARY) as folder:
        path = Path(folder) / f"{CANARY}.onnx"
        path.write_bytes(softmax_model())
        from_file = onnxruntime.InferenceSession(str(path))
        from_file.run(None, {"x": np.array([[0.0, NUMBER]], "f4")})
        got["path"] = from_file._model_path
    two = onnxruntime.InferenceSession(adding_model())
    got["sum"] = two.run(None, {"a": row, "b": np.zeros((1, 2), "f4")})
    return got


def use_huggingface(pipeline: Any, content: str) -> Got:
    """Ask pipelines of several tasks, one of a model out of a folder; prompts, words, paths and exceptions are content."""
    import huggingface_models as models

    transformers: Any = import_module("transformers")
    pipeline(content)
    pipeline([content, f"{content} again"], batch_size=2)
    list(pipeline(text for text in (content, content)))
    models.tagger()(content)
    models.mask_filler()(f"{content} [MASK]")
    models.extractor()(content)
    got: Got = {
        "generated": models.generator()(content, max_new_tokens=2)[0]["generated_text"],
        "zero-shot": models.zero_shot()(
            content, candidate_labels=["invoice", "parcel"], hypothesis_template=f"{CANARY} {{}}"
        )["sequence"],
    }
    with TemporaryDirectory(prefix=CANARY) as folder:
        place = Path(folder) / "saved"
        pipeline.save_pretrained(place)
        loaded = transformers.pipeline("text-classification", model=str(place))
        loaded(content)
        got["path"] = loaded.model.config._name_or_path
        (place / "config.json").write_text(f'{{"model_type": "{CANARY}"}}')
        got["loading"] = raised_by(transformers.AutoModelForSequenceClassification.from_pretrained, str(place))
        kind = cast("Any", type(pipeline.model))
        with contextlib.suppress(Exception):
            kind.from_pretrained(str(place))
        shutil.rmtree(place)

    def failing() -> Iterator[str]:
        yield content
        raise ValueError(f"failed after {content}")

    got["exception"] = raised_by(lambda: list(pipeline(failing())))
    got["no text"] = CANARY + raised_by(pipeline, [{"text": CanaryNumber()}, content])
    return got


def use_triton(client: Any, content: str) -> Got:
    """Ask over every transport; tensors, ids, headers, parameters and errors are content."""
    server = triton_running.server()
    asked: dict[str, Any] = {"request_id": content, "headers": {"authorization": CANARY}}
    got: Got = {}
    for transport, target in (("grpc", client), ("http", _client_of("http", server.http_port))):
        rows = triton_running.inputs(transport, NUMBER)
        answer = target.infer("router", rows, parameters={"note": CANARY}, **asked)
        got[f"number over {transport}"] = answer.as_numpy("probabilities").tolist()
        got[f"id over {transport}"] = answer.get_response()
        got[f"error over {transport}"] = CANARY + raised_by(
            target.infer, "router", triton_running.inputs(transport, -NUMBER), **asked
        )
        got[f"unknown output over {transport}"] = raised_by(
            target.infer, "router", rows, outputs=[_output_of(transport, content)], **asked
        )
    words: list[object] = []
    client.start_stream(lambda result, error: words.append((result, error)), headers={"authorization": CANARY})
    client.async_stream_infer("words", triton_running.inputs("grpc", 2), request_id=content)
    client.stop_stream()
    for transport, port in (("grpc.aio", server.grpc_port), ("http.aio", server.http_port)):
        got[f"in coroutine over {transport}"] = asyncio.run(_ask_triton(transport, port, asked))
    return got


def _client_of(transport: str, port: int) -> Any:
    return import_module(f"tritonclient.{transport}").InferenceServerClient(f"127.0.0.1:{port}")


def _output_of(transport: str, name: str) -> Any:
    return import_module(f"tritonclient.{transport}").InferRequestedOutput(name)


async def _ask_triton(transport: str, port: int, asked: dict[str, Any]) -> object:
    async with _client_of(transport, port) as client:
        rows = triton_running.inputs(transport.removesuffix(".aio"), NUMBER)
        answer = await client.infer("router", rows, **asked)
        return answer.as_numpy("probabilities").tolist()
