"""Loading a model: a span of its own, and evidence for the call that had to wait for it."""

import functools
import inspect
from collections.abc import Callable
from time import perf_counter_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Self, TypeVar, cast

from opentelemetry import trace
from opentelemetry.context import Context, attach, get_current
from opentelemetry.trace import Span, SpanKind

from spanward import semconv
from spanward._guard import Guard
from spanward.failure import FAILURE, error_type
from spanward.results import LONGEST_TEXT
from spanward.runtime import NS_PER_S
from spanward.tracing import CALL, SPAN, detach, global_tracing

if TYPE_CHECKING:
    from spanward.call import Call

P = ParamSpec("P")
R = TypeVar("R")

_starting: Final = Guard("starting the span of a model's loading")
_ending: Final = Guard("ending the span of a model's loading")


class ModelLoading:
    """One loading of a model, as a `with` block; as a decorator, one for each call of a function.

    Args:
        name: Name of the model.
        version: Its version.
        revision: Its revision.
    """

    def __init__(self, name: str, version: str | None, revision: str | None) -> None:
        self._name = name
        self._facts = {
            semconv.LOADING_MODEL_NAME: name,
            semconv.LOADING_MODEL_VERSION: version,
            semconv.LOADING_MODEL_REVISION: revision,
        }
        self._span: Span = trace.INVALID_SPAN
        self._token: Any = None
        self._started_ns = 0

    def set(self, *, version: str | None = None, revision: str | None = None) -> None:
        """Say what is known only once the model is there.

        Args:
            version: Its version.
            revision: Its revision.
        """
        self._facts[semconv.LOADING_MODEL_VERSION] = version or self._facts[semconv.LOADING_MODEL_VERSION]
        self._facts[semconv.LOADING_MODEL_REVISION] = revision or self._facts[semconv.LOADING_MODEL_REVISION]

    def __enter__(self) -> Self:
        """Begin to load."""
        with _starting:
            self._span = global_tracing().tracer.start_span(f"load {self._name}", kind=SpanKind.INTERNAL)
        self._token = attach(Context({**get_current(), SPAN: self._span}))
        self._started_ns = perf_counter_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the span; exceptions pass unchanged, and only their type is told."""
        took_ns = perf_counter_ns() - self._started_ns
        detach(self._token)
        with _ending:
            if self._span.is_recording():
                told = {name: text[:LONGEST_TEXT] for name, text in self._facts.items() if text is not None}
                self._span.set_attributes(told)
                self._span.set_attribute(semconv.RUNTIME_MODEL_LOAD_S, took_ns / NS_PER_S)
                if error is not None:
                    self._span.set_attribute(semconv.ERROR_TYPE, error_type(error))
                    self._span.set_status(FAILURE)
            if (call := cast("Call | None", get_current().get(CALL))) is not None:
                call.add_loading(took_ns)
        with _ending:
            self._span.end()

    def __call__(self, function: Callable[P, R], /) -> Callable[P, R]:
        """Observe every call of a function that loads the model."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def loading_later(*args: P.args, **kwargs: P.kwargs) -> Any:
                with self._again():
                    return await function(*args, **kwargs)

            return cast("Callable[P, R]", loading_later)

        @functools.wraps(function)
        def loading(*args: P.args, **kwargs: P.kwargs) -> R:
            with self._again():
                return function(*args, **kwargs)

        return loading

    def _again(self) -> "ModelLoading":
        facts = self._facts
        return ModelLoading(self._name, facts[semconv.LOADING_MODEL_VERSION], facts[semconv.LOADING_MODEL_REVISION])


def model_loading(name: str, *, version: str | None = None, revision: str | None = None) -> ModelLoading:
    """Observe that a model is loaded: `with spanward.model_loading("router", version="1.0"): ...`, or as a decorator.

    The loading is a span of its own. A call of a model in which it happens, as the first one of a model that is loaded
    lazily, also says as `spanward.runtime.model_load_s` how much of its time that took.

    Args:
        name: Name of the model.
        version: Its version.
        revision: Its revision, as a commit of a model hub.
    """
    return ModelLoading(name, version, revision)
