"""ONNX Runtime: one span for each run of a session, whether it waits, answers by a callback, or writes where it is told to.

Name and version are those that the model's file tells of itself, unless the user named the session. What an output means a model
does not tell: labels and probabilities are read under the names that converters of scikit-learn's models give them, logits under
theirs, and an only output by its form.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import import_module
from typing import Any, ClassVar, Final, cast
from weakref import WeakKeyDictionary

import spanward
from spanward import Call, Inference, semconv
from spanward._guard import Guard
from spanward.items import Items
from spanward.outcome import label, shape_of
from spanward_integrations.asking import ask
from spanward_integrations.base import BaseInstrumentor
from spanward_integrations.naming import NAMES, ModelName
from spanward_integrations.patching import Patches

Session = Any  # ONNX Runtime ships no types

_LABELS: Final = ("label", "output_label")
_PROBABILITIES: Final = ("probabilities", "output_probability")
_NO_VERSIONS: Final = frozenset({0, 2**63 - 1})  # what a file that tells none is given

_observing: Final = Guard("observing an ONNX session")
_reading: Final = Guard("reading the outputs of an ONNX session")


class OnnxRunError(RuntimeError):
    """A run that answers by a callback told an error, of which no more than this class leaves."""


class OnnxRuntimeInstrumentor(BaseInstrumentor):
    """Instruments all sessions of a process, those that are there already too."""

    _patches: ClassVar = Patches()

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return what must be installed."""
        return ("onnxruntime >= 1.20",)

    def _instrument(self, **kwargs: Any) -> None:
        session: Any = import_module("onnxruntime").InferenceSession
        sessions = _Sessions(kwargs)
        self._patches.wrap(session, "run", sessions.run)
        self._patches.wrap(session, "run_with_ort_values", sessions.run)
        self._patches.wrap(session, "run_with_iobinding", sessions.run_bound)
        self._patches.wrap(session, "run_async", sessions.run_async)

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002 - there is nothing to choose
        self._patches.undo()


# --- a call ----------------------------------------------------------------------------------------------------------


class _Sessions:
    """Wraps the runs of all sessions.

    Args:
        providers: Those that were given to the instrumentor.
    """

    def __init__(self, providers: Mapping[str, Any]) -> None:
        self._providers: dict[str, Any] = {name: providers.get(name) for name in ("tracer_provider", "meter_provider")}
        self._inferences: WeakKeyDictionary[Session, tuple[ModelName | None, Inference]] = WeakKeyDictionary()

    def run(self, wrapped: Callable[..., Any], session: Session, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Observe a run that returns its outputs."""
        names, feed = _asked(args, kwargs)
        call = self._begin(session, feed)
        outputs = ask(call, wrapped, args, kwargs)
        _tell(call, session, names, outputs)
        call.end()
        return outputs

    def run_bound(
        self, wrapped: Callable[..., Any], session: Session, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Observe a run whose inputs and outputs are bound, as to a device: none of them is read."""
        call = self._begin(session, None)
        result = ask(call, wrapped, args, kwargs)
        call.end()
        return result

    def run_async(
        self, wrapped: Callable[..., Any], session: Session, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Observe a run that calls back from another thread; the call ends there."""
        names, feed = _asked(args, kwargs)
        given: Callable[..., Any] = args[2] if len(args) > 2 else kwargs["callback"]
        call = self._begin(session, feed)

        def answered(outputs: Any, user_data: Any, error: str) -> None:
            if error:
                call.fail(OnnxRunError())
            else:
                _tell(call, session, names, outputs)
                call.end()
            given(outputs, user_data, error)

        if len(args) > 2:
            args = (*args[:2], answered, *args[3:])
        else:
            kwargs = {**kwargs, "callback": answered}
        try:
            return wrapped(*args, **kwargs)
        except BaseException as error:
            call.fail(error)
            raise

    def _begin(self, session: Session, feed: object) -> Call:
        named, found = NAMES.get(session), self._inferences.get(session)
        if found is None or found[0] is not named:
            found = self._inferences[session] = (named, _inference_of(session, named, self._providers))
        values = _inputs_of(feed)
        call = found[1].start(*values)
        if call.recording and values and (shapes := _shapes_of(session, values[0])):
            call.facts[semconv.FEATURES_SHAPE] = shapes
        return call


def _asked(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Sequence[str] | None, object]:
    """Return which outputs are asked for, all where none is named, and what the model takes."""
    names = args[0] if args else kwargs.get("output_names")
    feed = args[1] if len(args) > 1 else kwargs.get("input_feed", kwargs.get("input_dict_ort_values"))
    return names, feed


def _inference_of(session: Session, named: ModelName | None, providers: Mapping[str, Any]) -> Inference:
    meta: Any = session.get_modelmeta()
    told = None if meta.version in _NO_VERSIONS else str(meta.version)
    name, version = named or (meta.graph_name or "onnx", told)
    return spanward.inference(name, version=version, framework="onnxruntime", **providers)


def _inputs_of(feed: object) -> tuple[object, ...]:
    """Return what is told of the inputs: of an only one itself, of several all by name; values on a device are not read."""
    if not isinstance(feed, Mapping):
        return ()
    arrays = cast("Mapping[str, object]", feed)
    if any(type(one).__name__ == "OrtValue" for one in arrays.values()):
        return ()
    return tuple(arrays.values()) if len(arrays) == 1 else (arrays,)


def _shapes_of(session: Session, value: object) -> str | None:
    """Return the shapes of several inputs, in the order of their names; None where a name is the caller's and not the model's."""
    if not isinstance(value, Mapping):
        return None
    arrays = cast("Mapping[str, object]", value)
    if not arrays.keys() <= {one.name for one in session.get_inputs()}:
        return None
    return ",".join(f"{name}:{'x'.join(map(str, shape_of(one) or ()))}" for name, one in sorted(arrays.items()))


# --- outputs ---------------------------------------------------------------------------------------------------------


def _tell(call: Call, session: Session, names: Sequence[str] | None, outputs: Any) -> None:
    """Tell what the outputs say."""
    if not call.recording or not isinstance(outputs, (list, tuple)):
        return
    with _reading:
        values = cast("Sequence[Any]", outputs)
        asked = names or [one.name for one in session.get_outputs()]
        by_name = dict(zip(asked, values, strict=True))
        labels = next((by_name[name] for name in _LABELS if name in by_name), None)
        if labels is not None:
            _tell_labels(call, labels, next((by_name[name] for name in _PROBABILITIES if name in by_name), None))
        elif "logits" in by_name:
            call.set(result={"logits": by_name["logits"]})
        elif len(values) == 1 and shape_of(values[0]) is not None:
            call.set(result=values[0])


def _tell_labels(call: Call, labels: Any, probabilities: Any) -> None:
    """Tell labels with their probabilities: of one row all of them, of several the best ones' statistics.

    Args:
        call: The call.
        labels: `(n,)`, numbers or texts.
        probabilities: `(n, classes)`, or a list of mappings from class to probability; None where they are not asked for.
    """
    named = [label(one) for one in labels.tolist()]
    if len(named) == 1:
        ranking: object = probabilities[0] if probabilities is not None else None
        if isinstance(ranking, Mapping):
            ranked = cast("Mapping[object, float]", ranking)
            call.set(result=[{"label": label(one), "score": float(score)} for one, score in ranked.items()])
        elif ranking is not None:
            call.set(result=cast("Any", ranking).astype(float).tolist())
        call.set(decision=named[0])
        return
    items = call.items = Items()
    items.count = len(named)
    items.add_columns([one for one in named if one is not None], _best(probabilities))


def _best(probabilities: Any) -> list[float]:
    """Return the best probability of every row."""
    if probabilities is None:
        return []
    if isinstance(probabilities, list):
        return [float(max(cast("Mapping[object, float]", row).values())) for row in cast("list[object]", probabilities)]
    return cast("list[float]", probabilities.max(1).astype(float).tolist())
