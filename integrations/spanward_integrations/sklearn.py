"""scikit-learn: one span for each prediction of an estimator, however many estimators it is made of.

Methods are replaced in the classes that define them: of every class that derives from `BaseEstimator`, those of other libraries
and of the user included, and of classes that are defined later as they are defined. No module is imported for it. What stands there
then is a descriptor which decides as a method is looked up: within a prediction or a training the plain method is handed out, so
that the parts of a pipeline cost nothing and make no spans. What joblib's threads and processes do for an estimator is a part of it too.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import update_wrapper
from importlib import import_module
from types import MethodType
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakSet

import spanward
from spanward import Inference
from spanward._guard import Guard
from spanward.outcome import class_of
from spanward_integrations.asking import ask
from spanward_integrations.base import BaseInstrumentor
from spanward_integrations.naming import NAMES, ModelName, name_model
from spanward_integrations.patching import Patches
from spanward_integrations.sklearn_parts import in_parallel, inside, is_inside
from spanward_integrations.sklearn_reading import Estimator, kind_of, predictor_of, readable, tell

PREDICTIONS: Final = ("predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples")
"""Methods that are observed."""
TRAININGS: Final = ("fit", "partial_fit", "fit_predict", "fit_transform", "score")
"""Methods that ask models while these are made or measured: nobody is served, and there are no spans."""

_TASKS: Final = {
    "classifier": "classification",
    "regressor": "regression",
    "clusterer": "clustering",
    "outlier_detector": "outlier-detection",
}

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
            self._patches.wrap(parallel, "__call__", in_parallel)

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
            if is_inside():  # looked up before, and called by an estimator
                return bound(*args, **kwargs)
            return run(bound, name, estimator, args, kwargs)

        self._observed = update_wrapper(method, getattr(plain, "fn", plain))

    def __get__(self, estimator: Estimator, owner: type | None = None) -> Any:
        """Return the plain method of a class, and of a part; the observed one of an estimator that is asked from outside."""
        plain = self._plain.__get__(estimator, owner)
        if estimator is None or is_inside() or not _instrumented.observes(estimator):
            return plain
        return MethodType(self._observed, estimator)


_instrumented: Final = _Instrumented()

# --- a call ----------------------------------------------------------------------------------------------------------


def _training(
    plain: Callable[..., Any], _name: str, _estimator: Estimator, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    with inside():
        return plain(*args, **kwargs)


def _predicting(
    plain: Callable[..., Any], name: str, estimator: Estimator, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    try:
        call = _instrumented.inference(estimator).start(readable(args[0] if args else kwargs.get("X")))
    except Exception as error:  # noqa: BLE001 - an estimator or its data may be of any class
        _observing.swallow(error)
        return plain(*args, **kwargs)
    with inside():
        result = ask(call, plain, args, kwargs)
    if call.recording:
        with _reading:
            tell(call, name, estimator, result)
    call.end()
    return result


def _inference_of(estimator: Estimator, named: ModelName | None, providers: Mapping[str, Any]) -> Inference:
    name, version = named or (type(predictor_of(estimator)).__name__, None)
    return spanward.inference(
        name, version=version, framework="scikit-learn", task=_TASKS.get(kind_of(estimator) or ""), **providers
    )
