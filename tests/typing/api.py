"""A user's program, checked by mypy and pyright in strict mode; it is never run."""

from collections.abc import AsyncIterator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import assert_type

from fastapi import FastAPI

import spanward
from spanward_integrations.fastapi import instrument_fastapi
from spanward_integrations.origin import Origin


def channel_of(text: str, source: str = "web") -> str:
    """Choose the channel by an argument."""
    return source


def tokens_of(result: str) -> spanward.Tokens:
    """Count what was generated."""
    return spanward.Tokens(output=len(result))


@spanward.inference
def bare(text: str, *, top: int = 1) -> list[str]:
    """Keep its signature without any argument."""
    return [text] * top


@spanward.inference("m", version="1", channel=channel_of, dimensions={"region": "eu"}, tokens=spanward.Tokens(input=1))
def classify(text: str, source: str = "web") -> dict[str, float]:
    """Keep its signature."""
    return {text: 1.0, source: 0.0}


@spanward.inference(model="m", tokens=tokens_of)
async def generate(prompt: str) -> str:
    """Stay a coroutine function."""
    return prompt


@spanward.inference("m", item_events=True)
def stream(prompt: str) -> Generator[str, int, float]:
    """Stay a generator function."""
    sent = yield prompt
    return float(sent)


@spanward.inference("m")
async def stream_later(prompt: str) -> AsyncIterator[str]:
    """Stay an async generator function."""
    yield prompt


class Model:
    """Methods keep theirs too, in whatever order the decorators are."""

    @spanward.inference("m")
    def predict(self, row: list[float]) -> float:
        """Return a score."""
        return sum(row)

    @spanward.inference("m")
    @classmethod
    def of_class(cls, row: list[float]) -> float:
        """Return a score."""
        return sum(row)

    @classmethod
    @spanward.inference("m")
    def of_class_below(cls, row: list[float]) -> float:
        """Return a score."""
        return sum(row)

    @spanward.inference("m")
    @staticmethod
    def static(row: list[float]) -> float:
        """Return a score."""
        return sum(row)

    @spanward.inference
    def bare(self, row: list[float]) -> float:
        """Return a score."""
        return sum(row)

    def __call__(self, row: list[float]) -> float:
        """Return a score."""
        return sum(row)


@spanward.model_loading("m", version="1")
def load(path: str) -> Model:
    """Keep its signature."""
    del path
    return Model()


async def use() -> None:
    """Call everything with the right types."""
    assert_type(bare("x", top=2), list[str])
    assert_type(classify("x", source="y"), dict[str, float])
    assert_type(await generate("x"), str)
    assert_type(stream("x"), Generator[str, int, float])
    async for item in stream_later("x"):
        assert_type(item, str)
    for model in (load("x"), Model()):
        assert_type(model.predict([1.0]), float)
        assert_type(model.bare([1.0]), float)
    assert_type(Model.of_class([1.0]), float)
    assert_type(Model.of_class_below([1.0]), float)
    assert_type(Model.static([1.0]), float)
    assert_type(spanward.inference("m")(Model())([1.0]), float)
    assert_type(spanward.configure(service_name="s", hashing_key=b"0" * 16, metrics="off"), spanward.Settings)
    spanward.shutdown()


def serve(app: FastAPI) -> None:
    """Say where requests come from."""
    instrument_fastapi(app)
    instrument_fastapi(
        app,
        Origin(
            channel="api",
            client=lambda scope: scope["user"].display_name,
            trust="authenticated",
            dimensions=lambda scope: {"tenant": str(scope["path_params"]["tenant"])},
        ),
    )


async def use_blocks(words: Iterator[str]) -> Iterator[str]:
    """Say what a decorator cannot know."""
    with spanward.request_context(channel="mail", client="alice") as request:
        assert_type(request, spanward.RequestContext)
    async with spanward.inference("m", version="1") as call:
        assert_type(call, spanward.Call)
        call.set(input="x", score=0.5, decision="yes", tokens=spanward.Tokens(input=1))
        call.item(spanward.Outcome("a", 0.5))
    call = spanward.inference("m").start("x")
    call.end({"label": "a"})
    with ThreadPoolExecutor() as pool:
        assert_type(pool.submit(spanward.handoff(classify), "x").result(), dict[str, float])
    with spanward.inference("m") as call:
        return call.follow(words)
