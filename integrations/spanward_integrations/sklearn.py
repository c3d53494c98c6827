"""scikit-learn: one span for each prediction of an estimator, however many estimators it is made of.

Methods are replaced in the classes that define them: of every class that derives from `BaseEstimator`, those of other libraries
and of the user included, and of classes that are defined later as they are defined. No module is imported for it. What stands there
then is a descriptor which decides as a method is looked up: within a prediction or a training the plain method is handed out, so
that the parts of a pipeline cost nothing and make no spans. What joblib's threads and processes do for an estimator is a part of it too.
"""

import sys
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import update_wrapper
from importlib import import_module
from types import MethodType
from typing import Any, Final, cast
from weakref import WeakKeyDictionary, WeakSet

from opentelemetry.context import attach, create_key, detach, get_value, set_value

import spanward
from spanward import Call, Inference, Outcome
from spanward._guard import Guard
from spanward.extract.distribution import of_probabilities
from spanward.items import Items
from spanward.outcome import class_of, label
from spanward_integrations.base import BaseInstrumentor
from spanward_integrations.naming import NAMES, ModelName, name_model
from spanward_integrations.patching import Patches

Estimator = Any  # scikit-learn and numpy are not needed where types are checked
Array = Any

PREDICTIONS: Final = ("predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples")
"""Methods that are observed."""
TRAININGS: Final = ("fit", "partial_fit", "fit_predict", "fit_transform", "score")
"""Methods that ask models while these are made or measured: nobody is served, and there are no spans."""

_INSIDE: Final = create_key("spanward-sklearn")
_TASKS: Final = {
    "classifier": "classification",
    "regressor": "regression",
    "clusterer": "clustering",
    "outlier_detector": "outlier-detection",
}
_OUTLIER, _INLIER = "outlier", "inlier"

_observing: Final = Guard("observing an estimator")
_reading: Final = Guard("reading an estimator's result")


class SklearnInstrumentor(BaseInstrumentor):
    """Instruments all estimators of a process."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return what must be installed."""
        return ("scikit-learn >= 1.5",)

    def _instrument(self, **kwargs: Any) -> None:
        _instrumented.begin_all({name: kwargs.get(name) for name in ("tracer_provider", "meter_provider")})

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002 - there is nothing to choose
        _instrumented.end_all()


def instrument_model(estimator: object, name: str | None = None, *, version: str | None = None) -> None:
    """Observe one estimator, and no other one; a second time renames it. The object itself stays as it is, and can be pickled.

    Args:
        estimator: A fitted estimator or pipeline, or an object with such methods.
        name: Name of the model; default the class of what predicts.
        version: Its version.
    """
    if name is not None:
        name_model(estimator, name, version=version)
    _instrumented.begin(estimator)


def uninstrument_model(estimator: object) -> None:
    """Undo `instrument_model`; without it nothing happens."""
    _instrumented.end(estimator)


# --- where methods are replaced --------------------------------------------------------------------------------------


class _Instrumented:
    """Which estimators are observed: all of them, single ones, or both."""

    def __init__(self) -> None:
        self._patches = Patches()
        self._providers: dict[str, Any] = {}
        self._all = False
        self._single: WeakSet[Any] = WeakSet()
        self._inferences: WeakKeyDictionary[Estimator, tuple[ModelName | None, Inference]] = WeakKeyDictionary()

    def begin_all(self, providers: Mapping[str, Any]) -> None:
        """Observe all estimators."""
        self._providers, self._all = dict(providers), True
        self._patch_all()

    def end_all(self) -> None:
        """Observe single ones alone again."""
        self._providers, self._all = {}, False
        self._patch_again()

    def begin(self, estimator: Estimator) -> None:
        """Observe one estimator."""
        self._single.add(estimator)
        kind: type = class_of(estimator)
        self._patch(kind)
        self._patch_parallel()

    def end(self, estimator: Estimator) -> None:
        """Observe it no more."""
        if estimator in self._single:
            self._single.discard(estimator)
            self._patch_again()

    def observes(self, estimator: Estimator) -> bool:
        """Return whether an estimator's predictions are observed."""
        return self._all or estimator in self._single

    def inference(self, estimator: Estimator) -> Inference:
        """Return what observes an estimator; the name that the user gave it last counts."""
        named, found = NAMES.get(estimator), self._inferences.get(estimator)
        if found is None or found[0] is not named:
            found = self._inferences[estimator] = (named, _inference_of(estimator, named, self._providers))
        return found[1]

    def _patch_again(self) -> None:
        """Take everything out, and put in again what is still asked for."""
        self._patches.undo()
        self._inferences.clear()
        if self._all:
            self._patch_all()
        for estimator in list(self._single):
            self.begin(estimator)

    def _patch_all(self) -> None:
        base = import_module("sklearn.base").BaseEstimator
        for kind in _subclasses_of(base):
            self._patch(kind)
        self._patches.wrap(base, "__init_subclass__", self._define)
        self._patch_parallel()

    def _patch_parallel(self) -> None:
        """Let parts that run in other threads know that they are parts."""
        parallel: Any = import_module("sklearn.utils.parallel").Parallel
        if not self._patches.has(parallel, "__call__"):
            self._patches.wrap(parallel, "__call__", _in_parallel)

    def _define(self, wrapped: Callable[..., None], kind: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Let a class be defined, and patch it."""
        wrapped(*args, **kwargs)
        with _observing:
            self._patch(kind)

    def _patch(self, kind: type) -> None:
        """Replace methods where they are defined: in the class, in those it derives from, and in their mixins."""
        for owner in kind.__mro__[:-1]:
            for name in (*PREDICTIONS, *TRAININGS):
                plain: Any = vars(owner).get(name)
                if hasattr(plain, "__get__") and not isinstance(plain, (_Method, property)):
                    self._patches.put(owner, name, _Method(plain, name))


def _subclasses_of(kind: type) -> Iterable[type]:
    waiting, seen = [kind], {kind}
    while waiting:
        each: type
        for each in waiting.pop().__subclasses__():
            if each not in seen:
                seen.add(each)
                waiting.append(each)
                yield each


class _Method:
    """What stands for a method in its class.

    Args:
        plain: The method, or another descriptor: some are there only where a part of the estimator has them.
        name: Its name.
    """

    def __init__(self, plain: Any, name: str) -> None:
        self._plain = plain
        run = _predicting if name in PREDICTIONS else _training

        def method(estimator: Estimator, /, *args: Any, **kwargs: Any) -> Any:
            bound = plain.__get__(estimator, type(estimator))
            if get_value(_INSIDE):  # looked up before, and called by an estimator
                return bound(*args, **kwargs)
            return run(bound, name, estimator, args, kwargs)

        self._observed = update_wrapper(method, getattr(plain, "fn", plain))

    def __get__(self, estimator: Estimator, owner: type | None = None) -> Any:
        """Return the plain method of a class, and of a part; the observed one of an estimator that is asked from outside."""
        plain = self._plain.__get__(estimator, owner)
        if estimator is None or get_value(_INSIDE) or not _instrumented.observes(estimator):
            return plain
        return MethodType(self._observed, estimator)


_instrumented: Final = _Instrumented()

# --- parts -----------------------------------------------------------------------------------------------------------


@contextmanager
def _inside() -> Generator[None]:
    """Let estimators that are asked here be parts of the one that asks."""
    token = attach(set_value(_INSIDE, True))
    try:
        yield
    finally:
        detach(token)


def _in_parallel(wrapped: Callable[..., Any], _parallel: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return wrapped(_parts(args[0]), *args[1:], **kwargs) if args and get_value(_INSIDE) else wrapped(*args, **kwargs)


def _parts(tasks: Iterable[Any]) -> Generator[Any]:
    """Yield the tasks of an estimator as its parts; joblib asks for some of them from other threads."""
    iterator = iter(tasks)
    while True:
        with _inside():
            task = next(iterator, None)
        if task is None:
            return
        delayed: Any = task[0]
        if hasattr(delayed, "function"):
            delayed.function = _Part(delayed.function)
        yield task


class _Part:
    """A function that runs as a part; processes of joblib get it pickled.

    Args:
        function: The function.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with _inside():
            return self._function(*args, **kwargs)


# --- a call ----------------------------------------------------------------------------------------------------------


def _training(
    plain: Callable[..., Any], _name: str, _estimator: Estimator, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    with _inside():
        return plain(*args, **kwargs)


def _predicting(
    plain: Callable[..., Any], name: str, estimator: Estimator, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    try:
        call = _instrumented.inference(estimator).start(_readable(args[0] if args else kwargs.get("X")))
    except Exception as error:  # noqa: BLE001 - an estimator or its data may be of any class
        _observing.swallow(error)
        return plain(*args, **kwargs)
    with call.active(), _inside():
        call.watch_cpu()
        try:
            result = plain(*args, **kwargs)
        except BaseException as error:
            call.fail(error)
            raise
    if call.recording:
        with _reading:
            _tell(call, name, estimator, result)
    call.end()
    return result


def _inference_of(estimator: Estimator, named: ModelName | None, providers: Mapping[str, Any]) -> Inference:
    name, version = named or (type(_predictor_of(estimator)).__name__, None)
    return spanward.inference(
        name, version=version, framework="scikit-learn", task=_TASKS.get(_kind_of(estimator) or ""), **providers
    )


def _predictor_of(estimator: Estimator) -> Estimator:
    """Return what predicts in the end: the last step of a pipeline, the best one of a search."""
    steps: object = getattr(estimator, "steps", None)
    if isinstance(steps, list) and steps:
        return _predictor_of(cast("list[tuple[str, Any]]", steps)[-1][1])
    best: Estimator = getattr(estimator, "best_estimator_", None)
    return estimator if best is None else _predictor_of(best)


def _kind_of(estimator: Estimator) -> str | None:
    """Return what scikit-learn takes an estimator for."""
    predictor = _predictor_of(estimator)
    if hasattr(predictor, "__sklearn_tags__"):
        return cast("str | None", import_module("sklearn.utils").get_tags(predictor).estimator_type)
    return cast("str | None", getattr(predictor, "_estimator_type", None))


def _readable(data: object) -> object:
    """Return rows that can be hashed, without a copy where that is possible: an only text, or the array that a table holds."""
    if isinstance(data, list):
        rows = cast("list[object]", data)
        return rows[0] if len(rows) == 1 and isinstance(rows[0], str) else rows
    if hasattr(type(data), "__array__") and not hasattr(data, "dtype") and hasattr(data, "shape"):
        return sys.modules["numpy"].asarray(data)
    return data


# --- results ---------------------------------------------------------------------------------------------------------


def _tell(call: Call, name: str, estimator: Estimator, result: Array) -> None:
    """Tell decision and score of one row, or the statistics of several; outputs of several targets have neither."""
    shape: tuple[int, ...] = getattr(result, "shape", ())
    if not shape or shape[0] == 0:
        return
    labels, scores, margins = _columns(name, estimator, result, shape)
    if shape[0] > 1:
        items = call.items = Items()
        items.count = shape[0]
        items.add_columns(labels, scores)
        return
    decision = labels[0] if labels else None
    if name == "predict_proba" and scores:
        call.set(result=_of_distribution(decision, result[0].tolist()))
    elif decision is not None or scores:
        score = scores[0] if scores else None
        call.set(result=Outcome(decision, score, margin=margins[0] if margins else None))


def _columns(
    name: str, estimator: Estimator, result: Array, shape: tuple[int, ...]
) -> tuple[list[str], list[float], list[float]]:
    """Return decision, score and margin of every row, as far as a method tells them."""
    kind, classes = _kind_of(estimator), _classes_of(estimator)
    if name == "score_samples":
        return [], result.tolist(), []
    if name == "predict" and len(shape) == 1:
        if kind == "outlier_detector":
            return [_OUTLIER if one < 0 else _INLIER for one in result.tolist()], [], []
        if kind != "classifier" and result.dtype.kind == "f":
            return [], result.tolist(), []
        return _labels(result.tolist()), [], []
    if name == "decision_function" and len(shape) == 1:
        scores: list[float] = result.tolist()
        if kind == "outlier_detector":
            return [_OUTLIER if one < 0 else _INLIER for one in scores], scores, []
        if len(classes) == 2:
            return [classes[one > 0] for one in scores], scores, [abs(one) for one in scores]
        return [], scores, []
    if name != "predict" and len(shape) == 2 and len(classes) == shape[1]:
        ordered = result.copy()
        ordered.sort(1)
        best: list[float] = ordered[:, -1].tolist()
        margins: list[float] = (ordered[:, -1] - ordered[:, -2]).tolist() if shape[1] > 1 else []
        return [classes[at] for at in result.argmax(1).tolist()], best, margins
    return [], [], []


def _of_distribution(decision: str | None, probabilities: list[float]) -> Outcome:
    """Return what the probabilities of one row say, under the name of the class."""
    outcome = of_probabilities(probabilities) or Outcome()
    return outcome._replace(decision=decision)


def _classes_of(estimator: Estimator) -> list[str]:
    classes: object = getattr(estimator, "classes_", None)
    listed = cast("Any", classes).tolist() if hasattr(classes, "tolist") else None
    return _labels(cast("list[object]", listed)) if isinstance(listed, list) else []


def _labels(values: list[object]) -> list[str]:
    """Return the names of classes; none where one of them is a text too long to be a name."""
    named = [f"{value:g}" if isinstance(value, float) else label(value) for value in values]
    known = [name for name in named if name is not None]
    return known if len(known) == len(values) else []
