"""Every shape of callable under the decorator looks like itself and makes one span."""

import asyncio
import contextvars
import functools
import gc
import inspect
import logging
import pickle
import threading
import types
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

import spanward
from captured import attributes_of, hashes_of
from spanward import semconv
from spanward.testing import CapturedSpans


@spanward.inference
def module_level(number: int) -> int:
    """Return a number."""
    return number


@spanward.inference
def module_level_stream(number: int) -> Iterator[int]:
    """Yield a number."""
    yield number


def function(text: str, *, top: int = 1) -> str:
    """Answer."""
    return text * top


async def coroutine(text: str, *, top: int = 1) -> str:
    """Answer."""
    return text * top


def generator(text: str, *, top: int = 1) -> Iterator[str]:
    """Answer."""
    yield text * top


async def async_generator(text: str, *, top: int = 1) -> AsyncIterator[str]:
    """Answer."""
    yield text * top


KINDS = (
    inspect.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
    asyncio.iscoroutinefunction,
    callable,
)


@pytest.mark.parametrize("shape", [function, coroutine, generator, async_generator])
def test_a_decorated_function_looks_like_itself(shape: Callable[..., Any]) -> None:
    """Name, documentation, signature, module and what Python says of its kind survive."""
    observed: Any = spanward.inference("m")(shape)

    for name in ("__name__", "__qualname__", "__doc__", "__module__", "__annotations__", "__wrapped__"):
        assert getattr(observed, name) == (shape if name == "__wrapped__" else getattr(shape, name))
    assert inspect.signature(observed) == inspect.signature(shape)
    assert [kind(observed) for kind in KINDS] == [kind(shape) for kind in KINDS]


@pytest.mark.parametrize("shape", [generator, async_generator])
def test_what_a_stream_is_survives(shape: Callable[..., Any]) -> None:
    """The stream of a decorated generator is a generator to whoever asks."""
    stream: Any = spanward.inference("m")(shape)("x")

    assert (inspect.isgenerator(stream), inspect.isasyncgen(stream)) == (shape is generator, shape is async_generator)
    assert repr(stream).startswith(("<generator", "<async_generator"))


@pytest.mark.parametrize("observed", [module_level, module_level_stream])
def test_decorated_functions_can_be_pickled(observed: Any) -> None:
    """By their name, as functions are."""
    assert pickle.loads(pickle.dumps(observed)) is observed


def test_methods_of_instances_can_be_pickled() -> None:
    """As Python's own: by the instance and the name."""
    model = Model()

    assert pickle.loads(pickle.dumps(model.method))("x") == "x"
    assert list(pickle.loads(pickle.dumps(model.stream))("x")) == ["x"]


@pytest.mark.parametrize("shape", [function, generator])
def test_what_has_no_name_is_pickled_by_what_it_holds(shape: Callable[..., Any]) -> None:
    """Where cloudpickle does that, as Ray, Dask and Spark ask it to."""
    cloudpickle = pytest.importorskip("cloudpickle", reason="comes with the libraries that use it")

    def local(text: str) -> Any:
        return shape(text)

    def local_stream(text: str) -> Iterator[str]:
        yield from shape(text)

    observed = spanward.inference("m")(local if shape is function else local_stream)

    assert list(pickle.loads(cloudpickle.dumps(observed))("x")) == ["x"]


def test_without_arguments_the_function_names_the_model(spans: CapturedSpans) -> None:
    """`@spanward.inference` alone is enough."""
    module_level(1)

    assert attributes_of(spans)[semconv.MODEL_NAME] == "module_level"


class Model:
    """A model whose methods are of every shape."""

    @spanward.inference("m")
    def method(self, text: str) -> str:
        """Answer."""
        return text

    @spanward.inference("m")
    async def later(self, text: str) -> str:
        """Answer."""
        return text

    @spanward.inference("m")
    def stream(self, text: str) -> Iterator[str]:
        """Answer."""
        yield text

    @classmethod
    @spanward.inference("m")
    def stream_of_class(cls, text: str) -> Iterator[str]:
        """Answer."""
        yield text

    @spanward.inference("m")
    @classmethod
    def stream_of_class_above(cls, text: str) -> Iterator[str]:
        """Answer."""
        yield text

    @staticmethod
    @spanward.inference("m")
    def static_stream(text: str) -> Iterator[str]:
        """Answer."""
        yield text

    def __call__(self, text: str) -> str:
        """Answer."""
        return text


class LaterModel:
    """A model that is a coroutine function to whoever calls it."""

    async def __call__(self, text: str) -> str:
        """Answer."""
        return text


class StreamModel:
    """A model that is a generator function to whoever calls it."""

    def __call__(self, text: str) -> Iterator[str]:
        """Answer."""
        yield text


def test_methods_of_every_shape_have_one_hash(spans: CapturedSpans) -> None:
    """Self and class are no input, for streams too."""
    model = Model()
    model.method("x")
    asyncio.run(model.later("x"))
    for stream in (
        model.stream("x"),
        Model.stream_of_class("x"),
        model.stream_of_class_above("x"),
        Model.static_stream("x"),
    ):
        assert list(stream) == ["x"]

    assert len(hashes_of(spans)) == 6
    assert len(set(hashes_of(spans))) == 1
    assert inspect.isgeneratorfunction(model.stream)


@pytest.mark.parametrize(
    ("callable_", "name"),
    [
        (Model(), "Model"),
        (functools.partial(function), "partial"),
        (LaterModel(), "LaterModel"),
        (functools.partial(coroutine, top=1), "partial"),
        (StreamModel(), "StreamModel"),
        (functools.partial(functools.partial(generator), top=1), "partial"),
        (len, "len"),
        (str.lower, "str.lower"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_callables_of_every_shape_are_observed(spans: CapturedSpans, callable_: Any, name: str) -> None:
    """Objects, partials and builtins are; the model without a name is called by the callable's."""
    answer = spanward.inference(callable_)("x")
    if inspect.isawaitable(answer):
        answer = asyncio.run(wait(answer))
    elif inspect.isgenerator(answer):
        (answer,) = answer

    assert answer in {"x", 1}
    assert attributes_of(spans)[semconv.MODEL_NAME] == name


async def wait(answer: Awaitable[Any]) -> Any:
    """Await anything."""
    return await answer


def test_a_function_that_returns_a_coroutine_is_observed_until_that_ends(spans: CapturedSpans) -> None:
    """Other decorators may hide that a function is a coroutine function."""

    @spanward.inference("m")
    def hidden(text: str) -> Awaitable[str]:
        return coroutine(text)

    async def ask() -> str:
        waiting = hidden("x")
        assert spans.finished == ()
        return await waiting

    assert asyncio.run(ask()) == "x"
    assert len(spans.finished) == 1


@types.coroutine
def old_coroutine(text: str) -> Generator[Any, Any, str]:
    """Answer as coroutines did before they had a syntax."""
    yield from asyncio.sleep(0).__await__()
    return text


def test_a_coroutine_function_of_the_old_kind_is_awaited(spans: CapturedSpans) -> None:
    """Python itself takes it for a generator function."""
    observed: Any = spanward.inference("m")(old_coroutine)

    assert asyncio.run(wait(observed("x"))) == "x"
    assert semconv.STREAM_ITEMS not in attributes_of(spans)


def failing(text: str) -> str:
    """Raise."""
    raise KeyError(text)


@pytest.mark.parametrize(("answer", "told"), [(str.upper, None), (failing, "KeyError")])
def test_a_call_that_returns_a_future_lasts_until_that_is_done(
    spans: CapturedSpans, answer: Callable[[str], str], told: str | None
) -> None:
    """The very future is returned, and the span tells what becomes of it."""
    submitted: list[Future[str]] = []
    go = threading.Event()
    with ThreadPoolExecutor(1) as pool:

        @spanward.inference("m", decision=lambda answered: answered)
        def ask(text: str) -> Future[str]:
            pool.submit(go.wait, 10)
            submitted.append(pool.submit(answer, text))
            return submitted[0]

        assert ask("x") is submitted[0]
        assert spans.finished == ()
        go.set()

    found = attributes_of(spans)
    assert found.get(semconv.ERROR_TYPE) == told
    assert found.get(semconv.DECISION) == (None if told else "X")


def test_a_call_that_returns_a_task_lasts_until_that_is_cancelled(spans: CapturedSpans) -> None:
    """Futures of asyncio are futures too."""

    @spanward.inference("m")
    def ask() -> asyncio.Task[None]:
        return asyncio.create_task(asyncio.sleep(60))

    async def give_up() -> None:
        task = ask()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(give_up())

    assert attributes_of(spans)[semconv.ERROR_TYPE] == "asyncio.exceptions.CancelledError"


def test_an_exception_that_nobody_asks_for_is_still_logged(spans: CapturedSpans) -> None:
    """The span tells of it, and asyncio says that it was never retrieved, as without us."""
    said: list[str] = []

    @spanward.inference("m")
    def ask() -> asyncio.Future[str]:
        future = asyncio.get_running_loop().create_future()
        future.set_exception(KeyError("x"))
        return future

    async def forget() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context["message"]))
        ask()
        await asyncio.sleep(0)  # until the future has told what it holds
        gc.collect()

    asyncio.run(forget())

    assert attributes_of(spans)[semconv.ERROR_TYPE] == "KeyError"
    assert said == ["Future exception was never retrieved"]


@pytest.mark.parametrize("observed", [spanward.inference("m")(generator), Model().stream], ids=["function", "method"])
@pytest.mark.parametrize(("above", "names"), [("m", ["m"]), ("other", ["m", "other"])])
def test_an_observed_stream_is_observed_once_more(
    spans: CapturedSpans, observed: Any, above: str, names: list[str]
) -> None:
    """As with functions: of one model it is one span, of two models each has its own."""
    assert list(spanward.inference(above)(observed)("x")) == ["x"]
    assert [(span.attributes or {})[semconv.MODEL_NAME] for span in spans.finished] == names


class Abstract(ABC):
    """What must be there in every model."""

    @spanward.inference("m")
    @abstractmethod
    def above(self, text: str) -> str:
        """Answer."""

    @abstractmethod
    @spanward.inference("m")
    def below(self, text: str) -> Iterator[str]:
        """Answer."""
        yield text

    @spanward.inference("m")
    @classmethod
    @abstractmethod
    def of_class(cls, text: str) -> str:
        """Answer."""


def test_abstract_methods_stay_abstract() -> None:
    """Above and below the decorator."""
    assert Abstract.__abstractmethods__ == {"above", "below", "of_class"}


class Slotted:
    """A model whose instances hold nothing, and methods made of observed ones."""

    __slots__ = ()

    @spanward.inference("m")
    def answer(self, text: str) -> str:
        """Answer."""
        return text

    @spanward.inference("m")
    def stream(self, text: str) -> Iterator[str]:
        """Answer."""
        yield text

    fixed = functools.partialmethod(answer, "x")
    fixed_stream = functools.partialmethod(stream, "x")

    @property
    @spanward.inference("m")
    def latest(self) -> str:
        """Answer."""
        return "x"


def test_methods_may_be_bound_as_python_binds_them(spans: CapturedSpans) -> None:
    """By `partialmethod`, by a property, and on instances without a dictionary."""
    model = Slotted()

    assert [model.answer("x"), model.fixed(), *model.fixed_stream(), model.latest] == ["x"] * 4
    assert len(spans.finished) == 4
    assert len(set(hashes_of(spans)[:3])) == 1


@pytest.mark.parametrize("wrong", [7, Model, property(lambda self: self)], ids=["number", "class", "property"])
def test_what_cannot_be_called_is_refused(wrong: Any) -> None:
    """The error comes when it is decorated, not when a model is asked."""
    with pytest.raises(TypeError, match="must be put on a function or another callable"):
        spanward.inference("m")(wrong)


@pytest.mark.parametrize("shape", [generator, async_generator, function])
def test_a_call_with_wrong_arguments_fails_as_without_us(shape: Any) -> None:
    """The error is raised by the call itself and names the function."""
    with pytest.raises(TypeError, match=rf"{shape.__name__}\(\) got an unexpected keyword"):
        spanward.inference("m")(shape)("x", wrong=1)


class Forever:
    """Waits without any loop."""

    def __await__(self) -> Generator[None]:
        """Wait."""
        yield


def test_a_coroutine_that_nobody_awaits_any_more(spans: CapturedSpans, caplog: pytest.LogCaptureFixture) -> None:
    """Closed from another context, as at the end of a loop, it ends its span and logs no error of a detached context."""
    caplog.set_level(logging.ERROR)

    @spanward.inference("m")
    async def waiting() -> None:
        await Forever()

    call = waiting()
    contextvars.copy_context().run(call.send, None)
    call.close()

    assert attributes_of(spans)[semconv.ERROR_TYPE] == "GeneratorExit"
    assert caplog.records == []
