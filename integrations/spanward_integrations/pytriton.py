"""pytriton: one span for each call of a function that answers for a Triton model.

The functions are those that are bound while this is in force. The trace of a request comes from Triton where it traces, else from
the request's parameters, into which Triton puts the headers it was told to forward. The version is the one that the model was bound as.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from inspect import isasyncgenfunction, iscoroutinefunction, isfunction, ismethod, signature
from typing import Any, ClassVar, Final, cast

from opentelemetry.trace import get_tracer_provider, set_span_in_context

import spanward
from spanward import Call, Inference, Outcome, semconv
from spanward._guard import Guard
from spanward.extract import outcome_of
from spanward.stream import is_stream
from spanward_integrations.asking import ask
from spanward_integrations.base import BaseInstrumentor
from spanward_integrations.patching import Patches
from spanward_integrations.served import Asked, Tensors, begin, carried, joined, value_of_all

_log = logging.getLogger("spanward")

_SERVICE: Final = f"opentelemetry,resource={semconv.SERVICE_NAME}="

_binding: Final = Guard("observing a function that is bound to Triton")
_asking: Final = Guard("looking at what Triton asks a function")
_reading: Final = Guard("reading what a function answers Triton")


class PyTritonInstrumentor(BaseInstrumentor):
    """Instruments the functions that are bound by `Triton.bind` and `RemoteTriton.bind`.

    `instrument(outcome=...)` takes a function that says what the outputs of a call say, which are a mapping of arrays by name; by
    default their form tells.
    """

    _patches: ClassVar = Patches()

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return what must be installed."""
        return ("nvidia-pytriton >= 0.5",)

    def _instrument(self, **kwargs: Any) -> None:
        owner: Any = import_module("pytriton.triton").TritonBase
        self._patches.wrap(owner, "bind", _Binding(kwargs, self._patches).bind)

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002 - there is nothing to choose
        self._patches.undo()


class _Binding:
    """Puts observed functions in the place of those that are bound.

    Args:
        settings: Those that were given to the instrumentor.
        patches: By which what was bound stops to be observed.
    """

    def __init__(self, settings: Mapping[str, Any], patches: Patches) -> None:
        self._settings = {name: settings.get(name) for name in ("tracer_provider", "meter_provider", "outcome")}
        self._patches = patches
        self._told = False

    def bind(self, wrapped: Callable[..., Any], server: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Bind a model's functions, observed."""
        with _binding:
            try:
                asked = signature(wrapped).bind(*args, **kwargs)
            except TypeError:  # the method itself says it better
                return wrapped(*args, **kwargs)
            asked.apply_defaults()
            given = asked.arguments
            inference = spanward.inference(
                str(given["model_name"]),
                version=str(given["model_version"]),
                framework="triton",
                **cast("Any", self._settings),
            )
            functions = given["infer_func"]
            if callable(functions):
                given["infer_func"] = self._observed(functions, inference)
            else:
                given["infer_func"] = [self._observed(one, inference) for one in functions]
            args, kwargs = asked.args, asked.kwargs
        bound = wrapped(*args, **kwargs)
        with _binding:
            self._warn_of_one_service_name(server, kwargs.get("trace_config"))
        return bound

    def _warn_of_one_service_name(self, server: Any, given: list[str] | None) -> None:
        """Say where Triton's own spans would be taken for those of functions: each inference would be counted twice."""
        config = given or getattr(getattr(server, "_config", None), "trace_config", None) or ()
        names = {part.removeprefix(_SERVICE) for part in config if part.startswith(_SERVICE)}
        provider = self._settings["tracer_provider"] or get_tracer_provider()
        name = getattr(getattr(provider, "resource", None), "attributes", {}).get(semconv.SERVICE_NAME)
        if name in names and not self._told:
            self._told = True
            _log.warning(
                "Triton's own spans and those of functions are both of service %r, so each inference counts twice; "
                "give them different names, or take triton.model_name out of detection.roles.model",
                name,
            )

    def _observed(self, function: Any, inference: Inference) -> Any:
        """Return a function of the same kind: pytriton asks for it, and finds the context it left on the function."""
        if not isfunction(function) and not ismethod(function):
            function = function.__call__
        served = _Served(inference, self._settings["outcome"])
        wrapper = served.run_in_coroutine if iscoroutinefunction(function) else served.run
        return self._patches.around(function, served.stream if isasyncgenfunction(function) else wrapper)


class _Served:
    """Wraps the functions of one model.

    Args:
        inference: How its calls are observed.
        outcome: What its outputs say, where the user told.
    """

    def __init__(self, inference: Inference, outcome: Callable[[Any], Outcome] | None) -> None:
        self._inference = inference
        self._outcome = outcome

    def run(self, wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Observe a function, or a generator of a decoupled model."""
        call = self._begin(args)
        if call is None:
            return wrapped(*args, **kwargs)
        answers = ask(call, wrapped, args, kwargs)
        if is_stream(answers):
            return call.follow(answers, outcome=self._outcome_of)
        self._end(call, answers)
        return answers

    async def run_in_coroutine(
        self, wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Observe a coroutine function."""
        call = self._begin(args)
        if call is None:
            return await wrapped(*args, **kwargs)
        with call.active():
            try:
                answers = await wrapped(*args, **kwargs)
            except BaseException as error:
                call.fail(error)
                raise
        self._end(call, answers)
        return answers

    def stream(self, wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Observe an async generator of a decoupled model."""
        answers, call = wrapped(*args, **kwargs), self._begin(args)
        return answers if call is None else call.follow(answers, outcome=self._outcome_of)

    def _begin(self, args: tuple[Any, ...]) -> Call | None:
        with _asking:
            return begin(self._inference, [_asked(request) for request in args[0]])
        return None

    def _end(self, call: Call, answers: Any) -> None:
        with _reading:
            if call.counts:
                outputs = _outputs_of(answers)
                call.set(result=value_of_all(outputs) if self._outcome is None else joined(outputs))
        call.end()

    def _outcome_of(self, answers: Any) -> Outcome:
        """Return what one step of a stream says."""
        outputs = _outputs_of(answers)
        return outcome_of(value_of_all(outputs)) if self._outcome is None else self._outcome(joined(outputs))


def _asked(request: Any) -> Asked:
    span = request.span
    return Asked(request.data, carried(request.parameters) if span is None else set_span_in_context(span))


def _outputs_of(answers: Any) -> list[Tensors]:
    """Return the outputs for each request: a function answers a list of mappings, or of objects that act as such."""
    return [dict(answer.items()) for answer in answers]
