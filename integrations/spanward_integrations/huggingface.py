"""Hugging Face pipelines: one span per call of any pipeline, with token counts as the model got them.

The base class is patched, which every task's class calls. Tokens are counted where the tensors are, in `forward`: texts are
never tokenised once more, padding is not counted, and worker processes that prepare inputs make no difference. A call with a
generator or a Dataset lasts until its results were read, and nothing is read ahead of the user.
"""

from collections import deque
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Final, cast
from weakref import WeakKeyDictionary

from opentelemetry.context import attach, create_key, detach, get_value, set_value

import spanward
from spanward import Call, Inference, Outcome, Tokens
from spanward._guard import Guard
from spanward.extract import outcome_of
from spanward.extract.distribution import SUM_TOLERANCE, of_probabilities
from spanward_integrations.base import BaseInstrumentor
from spanward_integrations.patching import Patches

Pipeline = Any  # transformers and torch are not there where types are checked

_RUN: Final = create_key("spanward-pipeline-run")
_OPERATIONS: Final = {"text-generation": "text_completion", "feature-extraction": "embeddings"}
_SAME_SCORE: Final = 1e-3  # how near a result's score must be to the logits' softmax for that to be its distribution
_OUTSIDE: Final = "O"  # what token classification calls a text without entities

_observing: Final = Guard("observing a pipeline")
_counting: Final = Guard("counting a pipeline's tokens")
_reading: Final = Guard("reading a pipeline's results")
_finding_revision: Final = Guard("finding a model's revision")


class HuggingFaceInstrumentor(BaseInstrumentor):
    """Instruments all pipelines of a process, and the loading of models."""

    _patches: ClassVar = Patches()  # of the class: the one instance is initialised each time it is asked for

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return what must be installed."""
        return ("transformers >= 4.40",)

    def _instrument(self, **kwargs: Any) -> None:
        transformers: Any = import_module("transformers")
        pipelines = _Pipelines(kwargs)
        self._patches.wrap(transformers.Pipeline, "__call__", pipelines.call)
        self._patches.wrap(transformers.Pipeline, "forward", pipelines.forward)
        self._patches.wrap(transformers.PreTrainedModel, "from_pretrained", _load)

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002 - there is nothing to choose
        self._patches.undo()


# --- a call ----------------------------------------------------------------------------------------------------------


class _Pipelines:
    """Wraps the calls of all pipelines.

    Args:
        providers: Those that were given to the instrumentor.
    """

    def __init__(self, providers: Mapping[str, Any]) -> None:
        self._providers: dict[str, Any] = {name: providers.get(name) for name in ("tracer_provider", "meter_provider")}
        self._inferences: WeakKeyDictionary[Pipeline, Inference] = WeakKeyDictionary()

    def call(
        self, wrapped: Callable[..., Any], pipeline: Pipeline, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Observe one call of a pipeline."""
        inputs = args[0] if args else kwargs.get("inputs")
        call = self._inference(pipeline).start(*((_readable(inputs),) if _is_there(inputs) else ()))
        run = _Run(call, pipeline)
        with _current(run), call.active():
            call.watch_cpu()
            try:
                result = wrapped(*args, **kwargs)
            except BaseException as error:
                call.fail(error)
                raise
            if _is_lazy(result):
                return call.follow(result, outcome=run.outcome)
        with _reading:
            for one in _results_of(inputs, result):
                call.item(run.outcome(one))
        call.end()
        return result

    def forward(
        self, wrapped: Callable[..., Any], pipeline: Pipeline, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Count what goes through the model; before it runs, since it may take things out of its inputs."""
        run = cast("_Run | None", get_value(_RUN))
        if run is None or run.pipeline is not pipeline or not run.call.counts:
            return wrapped(*args, **kwargs)
        with _counting:
            run.count_input(args[0] if args else kwargs["model_inputs"])
        outputs = wrapped(*args, **kwargs)
        with _counting:
            run.count_output(outputs)
        return outputs

    def _inference(self, pipeline: Pipeline) -> Inference:
        found = self._inferences.get(pipeline)
        if found is None:
            task = str(getattr(pipeline, "task", None) or "")
            operation = _OPERATIONS.get(task)
            found = self._inferences[pipeline] = spanward.inference(
                _name_of(pipeline.model),
                revision=_revisions.get(pipeline.model),
                framework="transformers",
                task=task or None,
                operation=operation,
                provider="huggingface" if operation else None,
                **self._providers,
            )
        return found


@contextmanager
def _current(run: "_Run") -> Generator[None]:
    """Let `forward` find the run it belongs to; a stream keeps it for its steps."""
    token = attach(set_value(_RUN, run))
    try:
        yield
    finally:
        detach(token)


def _is_lazy(result: object) -> bool:
    """Return whether results are made only as they are read."""
    return hasattr(type(result), "__iter__") and not isinstance(result, (list, tuple, dict, str))


def _is_there(inputs: object) -> bool:
    """Return whether inputs can be looked at without reading ahead of the user."""
    return isinstance(inputs, (str, list, tuple, dict)) or _is_image(inputs)


def _results_of(inputs: object, result: object) -> list[object]:
    """Return the results, one for each input."""
    if result == [] and not _is_there(inputs):
        return []  # of an iterator without items
    if isinstance(inputs, list) and isinstance(result, list) and not _is_chat(cast("list[object]", inputs)):
        return cast("list[object]", result)
    return [result]


def _is_chat(inputs: list[object]) -> bool:
    """Return whether a list is one conversation and not many inputs."""
    return bool(inputs) and isinstance(inputs[0], dict) and "role" in inputs[0]


def _is_image(inputs: object) -> bool:
    return hasattr(type(inputs), "__array_interface__")


def _readable(inputs: object) -> object:
    """Return inputs that can be hashed: pixels instead of an image object."""
    if not _is_image(inputs):
        return inputs
    import numpy as np

    return np.asarray(inputs)


# --- tokens and results ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Run:
    """One call of a pipeline: what has gone through the model so far, and what it answered.

    Args:
        call: The call.
        pipeline: Its pipeline.
        taken: Tokens that went in; None while there were none to count.
        made: Tokens that were generated, likewise.
        distributions: Of the items that went through the model and whose results are not read yet.
    """

    call: Call
    pipeline: Pipeline
    taken: int | None = None
    made: int | None = None
    distributions: deque[Outcome] = field(default_factory=lambda: deque[Outcome]())

    def count_input(self, inputs: Mapping[str, Any]) -> None:
        """Count what the model takes: all that its attention mask lets through, special tokens included."""
        ids, mask = inputs.get("input_ids"), inputs.get("attention_mask")
        if ids is not None:
            self.taken = (self.taken or 0) + int(ids.numel() if mask is None else mask.sum())
            self._tell()

    def count_output(self, outputs: Mapping[str, Any]) -> None:
        """Count what the model generated, and keep the distributions that its logits make."""
        sequences, ids = outputs.get("generated_sequence"), outputs.get("input_ids")
        if sequences is not None:
            begun = 0 if ids is None else ids.shape[-1]
            if self._config("is_encoder_decoder"):
                begun = 1  # the token that starts the decoder
            made = sum(self._length(row[begun:]) for row in sequences.reshape(-1, sequences.shape[-1]).tolist())
            self.made = (self.made or 0) + made
            self._tell()
        logits = outputs.get("logits")
        if logits is not None and logits.ndim == 2 and logits.shape[1] > 1:
            rows = logits.float().softmax(-1).tolist()
            self.distributions.extend(of_probabilities(row) or Outcome() for row in rows)

    def outcome(self, result: object) -> Outcome:
        """Return what one item's result says, with margin and entropy where its distribution is known."""
        outcome = _outcome_of(result)
        if not self.distributions:
            return outcome
        whole = self.distributions.popleft()
        if outcome.score is None or whole.score is None or abs(outcome.score - whole.score) > _SAME_SCORE:
            return outcome  # the pipeline made its scores otherwise, as by a sigmoid
        return outcome._replace(margin=whole.margin, entropy=whole.entropy, kind=whole.kind)

    def _tell(self) -> None:
        self.call.set(tokens=Tokens(self.taken, self.made))

    def _length(self, row: Sequence[int]) -> int:
        """Return the number of generated tokens of a row: up to the end that the model set, padding left out."""
        ends = self._config("eos_token_id")
        ends = {ends} if isinstance(ends, int) else set(ends or ())
        at = next((index for index, token in enumerate(row) if token in ends), None)
        if at is not None:
            return at + 1
        padding = self._config("pad_token_id")
        return sum(token != padding for token in row)

    def _config(self, name: str) -> Any:
        """Return a setting of how the model generates: of the pipeline, of the model, whichever says something."""
        owners: list[Any] = [getattr(self.pipeline, "generation_config", None), self.pipeline.model.config]
        for owner in owners:
            if (value := getattr(owner, name, None)) is not None:
                return value
        return None


def _outcome_of(result: object) -> Outcome:
    """Return what a result says; never a text that a model wrote."""
    if isinstance(result, list) and result and isinstance(result[0], dict):
        return _outcome_of_list(cast("list[dict[str, Any]]", result))
    if isinstance(result, dict):
        told = cast("dict[str, Any]", result)
        if "labels" in told and "scores" in told:  # zero-shot, best first
            ranking = [
                {"label": label, "score": score} for label, score in zip(told["labels"], told["scores"], strict=True)
            ]
            return _outcome_of_list(ranking)
        if "answer" in told:
            return Outcome(score=float(told["score"])) if "score" in told else Outcome()
        if "label" in told:
            return outcome_of(told)
    return Outcome(decision=_OUTSIDE) if result == [] else Outcome()


def _outcome_of_list(results: list[dict[str, Any]]) -> Outcome:
    first = results[0]
    scores = [float(one["score"]) for one in results if "score" in one]
    if len(scores) != len(results):
        return Outcome()
    kinds = {
        str(one.get("entity_group") or one.get("entity")) for one in results if "entity_group" in one or "entity" in one
    }
    if kinds:
        return Outcome(",".join(sorted(kinds)), sum(scores) / len(scores), "mean")
    ranked = sorted(scores, reverse=True)
    margin = ranked[0] - ranked[1] if len(ranked) > 1 else None
    whole = of_probabilities(ranked) if abs(sum(ranked) - 1) <= SUM_TOLERANCE else None
    best = max(results, key=lambda one: float(one["score"]))
    # A word that fills a mask is content, and is not named.
    decision = str(best["label"]) if "label" in first else None
    return Outcome(decision, ranked[0], "probability", margin, whole.entropy if whole else None)


# --- models ----------------------------------------------------------------------------------------------------------

_revisions: Final[WeakKeyDictionary[Any, str]] = WeakKeyDictionary()
"""Commit of each model that was loaded from a hub; the model itself does not keep it."""


def _load(wrapped: Callable[..., Any], kind: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Observe the loading of a model, and remember its revision."""
    source = args[0] if args else kwargs.get("pretrained_model_name_or_path")
    with spanward.model_loading(_name_of_source(source) or kind.__name__) as loading:
        loaded = wrapped(*args, **kwargs)
        with _finding_revision:
            revision = _revision_of(source, kwargs)
            if revision:
                _revisions[_model_of(loaded)] = revision
                loading.set(revision=revision)
    return loaded


def _model_of(loaded: object) -> object:
    """Return the model alone, where what was loaded tells of the loading too."""
    return cast("tuple[object, ...]", loaded)[0] if isinstance(loaded, tuple) else loaded


def _revision_of(source: object, kwargs: Mapping[str, Any]) -> str | None:
    """Return the commit that was loaded, out of the local cache; nothing is asked over the network."""
    if source is None or Path(str(source)).exists():
        return None
    hub: Any = import_module("huggingface_hub")
    asked = kwargs.get("revision")
    resolved = getattr(asked, "resolved", None)
    if resolved:
        return str(resolved)
    found = hub.try_to_load_from_cache(str(source), "config.json", cache_dir=kwargs.get("cache_dir"), revision=asked)
    return Path(found).parent.name if isinstance(found, str) else None


def _name_of(model: Any) -> str:
    """Return a model's name: on the hub, of its folder, or of its class."""
    return _name_of_source(getattr(model.config, "_name_or_path", None)) or type(model).__name__


def _name_of_source(source: object) -> str:
    """Return the name of a hub's model as it is; of a folder the last part, since where it lies is nobody's business."""
    text = str(source or "")
    return Path(text).name if Path(text).is_absolute() or Path(text).exists() else text
