"""How the kit exercises pytriton, and checks of what is special about it: `python pytriton_case.py CHECK` runs one of either.

They run in an environment that has pytriton, and neither pytest nor our numpy.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np
from opentelemetry.sdk.trace import ReadableSpan

from spanward import semconv
from spanward.testing import capture_spans
from spanward_integrations import INTEGRATIONS, Integration, testing
from spanward_integrations.leaving import NUMBER

TRACE = "0af7651916cd43dd8448eb211c80319c"


class PyTritonCase:
    """A function that is bound to Triton, and asked as pytriton asks it; no server is started for it."""

    def __init__(self, integration: Integration) -> None:
        self.integration = integration

    def target(self) -> Any:
        """Return a server to which a function can be bound."""
        return import_module("pytriton.triton").Triton()

    def instrument(self, target: Any) -> None:
        """Instrument all of it."""
        self.integration.instrument()

    def uninstrument(self, target: Any) -> None:
        """Undo that."""
        self.integration.uninstrument()

    def patched(self) -> dict[str, object]:
        """Return how functions are bound."""
        return {"TritonBase.bind": vars(import_module("pytriton.triton").TritonBase)["bind"]}

    def state(self, target: Any) -> object:
        """Return what instrumenting may change."""
        return {name: id(one) for name, one in self.patched().items()}

    def call(self, target: Any) -> None:
        """Ask for one row."""
        ((answered,),) = asyncio.run(self._ask(target, 0.25))
        assert answered["probabilities"].tolist() == [[0.25, 0.75]]

    def fail(self, target: Any) -> BaseException:
        """Ask for what the function refuses."""
        try:
            asyncio.run(self._ask(target, -1))
        except ValueError as error:
            return error
        raise AssertionError("it must raise")

    def use_content(self, target: Any, content: str) -> dict[str, object]:
        """Put content into tensors, parameters, answers and exceptions."""

        def spell(requests: Any) -> list[dict[str, Any]]:
            if (requests[0]["features"] < 0).any():
                raise ValueError(f"{content} is below zero") from KeyError(content)
            return [{"probabilities": request["features"][:, :2]} for request in requests]

        asked = bound(target, spell)

        async def ask(number: float) -> list[Any]:
            return [step async for step in asked([request_of([number], note=content, **{content: content})])]

        ((answered,),) = asyncio.run(ask(NUMBER))
        try:
            asyncio.run(ask(-NUMBER))
        except ValueError as error:
            return {"answer": answered["probabilities"].tolist(), "exception": error}
        raise AssertionError("it must raise")

    async def _ask(self, target: Any, number: float) -> list[Any]:
        from triton_server import double

        return [step async for step in bound(target, double)([request_of([number])])]


def bound(server: Any, function: Any) -> Any:
    """Bind a function and return what pytriton calls in its place."""
    from triton_server import described

    server.bind("router", function, model_version=7, **described())
    *_, model = server._model_manager.models
    return import_module("pytriton.proxy.inference")._AsyncGenForCallableAdapter(model.infer_functions[0])


def request_of(numbers: list[float], **parameters: str) -> Any:
    """Return a request of some rows, as pytriton hands it to a function."""
    features = np.array([[number, 1, 2] for number in numbers], np.float32)
    return import_module("pytriton.proxy.types").Request({"features": features}, parameters)


def spans_of(function: Any, *requests: Any, steps: int = 1) -> list[ReadableSpan]:
    """Ask a bound function once and return the spans that it makes; it must answer in so many steps."""
    case = PyTritonCase(next(one for one in INTEGRATIONS if one.name == "pytriton"))
    case.integration.instrument()
    asked = bound(case.target(), function)

    async def ask() -> list[Any]:
        return [step async for step in asked(list(requests))]

    with capture_spans() as spans:
        answers = asyncio.run(ask())
        finished = list(spans.finished)
    case.integration.uninstrument()
    assert len(answers) == steps, answers
    return finished


def answer(requests: Any) -> list[dict[str, Any]]:
    """Answer a probability for each row."""
    first = [request["features"][:, :1] for request in requests]
    return [{"probabilities": np.concatenate([one, 1 - one], axis=1).astype(np.float32)} for one in first]


class Answering:
    """An object that can be called, with a generator as its method."""

    def __call__(self, requests: Any) -> Iterator[list[dict[str, Any]]]:
        """Answer twice."""
        yield answer(requests)
        yield answer(requests)


def check_functions_of_every_kind_make_one_span() -> None:
    """Functions, coroutine functions, generators, async generators, objects and decorated functions stay what they are to pytriton."""

    async def coroutine(requests: Any) -> Any:
        return answer(requests)

    def generator(requests: Any) -> Iterator[Any]:
        yield answer(requests)
        yield answer(requests)

    async def async_generator(requests: Any) -> AsyncIterator[Any]:
        yield answer(requests)
        yield answer(requests)

    @import_module("pytriton.decorators").batch  # type: ignore[untyped-decorator]
    def decorated(features: Any) -> Any:
        return {"probabilities": np.concatenate([features[:, :1], 1 - features[:, :1]], axis=1)}

    kinds: dict[Callable[..., Any] | Answering, int] = {answer: 1, coroutine: 1, generator: 2, async_generator: 2}
    for function, steps in (*kinds.items(), (Answering(), 2), (decorated, 1)):
        (span,) = spans_of(function, request_of([0.25]), steps=steps)
        told = dict(span.attributes or {})
        assert told.get(semconv.STREAM_ITEMS, 1) == steps, function
        assert told.get(semconv.DECISION, "1") == "1", function


def check_several_requests_are_one_span_of_all_rows() -> None:
    """It is a child of the first request's trace, linked with the others', and tells statistics of the rows."""
    asked = [request_of([0.25] * 2, TRACEPARENT=f"00-{TRACE}-{number:016x}-01") for number in (1, 2, 3)]
    (span,) = spans_of(answer, *asked)
    told = dict(span.attributes or {})

    assert span.parent is not None
    assert (format(span.parent.trace_id, "032x"), span.parent.span_id) == (TRACE, 1)
    assert [link.context.span_id for link in span.links] == [2, 3]
    assert (told[semconv.BATCH_SIZE], told[semconv.FEATURES_SHAPE]) == (6, "6x3")
    assert (told[semconv.MODEL_NAME], told[semconv.MODEL_VERSION]) == ("router", "7")
    assert told[semconv.BATCH_DECISION_COUNTS] == (6,)


def check_what_was_bound_is_not_observed_any_more() -> None:
    """Functions that were bound while pytriton was instrumented make no spans once it is not."""
    case = PyTritonCase(next(one for one in INTEGRATIONS if one.name == "pytriton"))
    case.integration.instrument()
    target = case.target()
    case.integration.uninstrument()
    with capture_spans() as spans:
        case.call(target)
        assert not spans.finished


def check_one_service_name_for_both_is_told() -> None:
    """Where Triton's own spans and those of functions have one service name, an inference would be counted twice: the log says so."""
    told: list[logging.LogRecord] = []

    def keep(record: logging.LogRecord) -> bool:
        told.append(record)
        return True

    logging.getLogger("spanward").addFilter(keep)
    case = PyTritonCase(next(one for one in INTEGRATIONS if one.name == "pytriton"))
    case.integration.instrument()
    trace = [
        "mode=opentelemetry",
        "opentelemetry,url=http://127.0.0.1:9/",
        "opentelemetry,resource=service.name=router",
    ]
    config = import_module("pytriton.triton").TritonConfig(trace_config=trace)
    for _ in range(2):
        bound(import_module("pytriton.triton").Triton(config=config), answer)
    assert [record.levelname for record in told] == ["WARNING"], told
    assert "'router'" in told[0].getMessage()


if __name__ == "__main__":
    if (special := globals().get(sys.argv[1])) is not None:
        special()
    else:
        getattr(testing, sys.argv[1])(PyTritonCase(next(one for one in INTEGRATIONS if one.name == "pytriton")))
