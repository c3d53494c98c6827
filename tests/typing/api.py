"""A user's program, checked by mypy and pyright in strict mode; it is never run."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar, assert_type, overload

from fastapi import FastAPI

import spanward
from spanward_integrations.fastapi import instrument_fastapi
from spanward_integrations.origin import Origin

T = TypeVar("T")


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


@overload
def one_or_all(rows: str) -> float: ...
@overload
def one_or_all(rows: list[str]) -> list[float]: ...
@spanward.inference("m")
def one_or_all(rows: str | list[str]) -> float | list[float]:
    """Keep overloads: only what stands below them is decorated."""
    return 1.0 if isinstance(rows, str) else [1.0 for _ in rows]


@spanward.inference("m")
def best(items: Sequence[T], default: T) -> T:
    """Keep what is generic."""
    return items[0] if items else default


class Base(ABC):
    """What is abstract stays so, and a property is one."""

    @spanward.inference("m")
    @abstractmethod
    def predict(self, row: list[float]) -> float:
        """Return a score."""

    @property
    @spanward.inference("m")
    def latest(self) -> float:
        """Return a score."""
        return 1.0


class Concrete(Base):
    """Overrides it."""

    @spanward.inference("m")
    def predict(self, row: list[float]) -> float:
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
    assert_type(spanward.inference("m")(partial(classify, source="y"))("x"), dict[str, float])
    assert_type(one_or_all("x"), float)
    assert_type(one_or_all(["x"]), list[float])
    assert_type(best([1, 2], 3), int)
    assert_type(Concrete().predict([1.0]), float)
    assert_type(Concrete().latest, float)
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
