"""What a result says, in one form for all kinds of results."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

PROBABILITY: Final = "probability"
SCORE: Final = "score"
SOFTMAX: Final = "softmax"

LONGEST_LABEL: Final = 64  # characters; a longer text is content that a model wrote, not the name of a class
MOST_PROBABILITIES: Final = 100_000
_MOST_ON_DEVICE: Final = 4096  # numbers of a tensor that is not in host memory; reading one waits for the device
_AS_IT_IS: Final = frozenset({float, str, int, bool, list, tuple, dict})  # what most results are made of


class Tokens(NamedTuple):
    """Token counts of one call, as the model's own tokenizer counted them.

    Args:
        input: Tokens taken.
        output: Tokens generated.
        source: `exact`, or `estimated`.
        cached: Those of the input that came from a cache.
        reasoning: Those of the output that the model used up to think.
    """

    input: int | None = None
    output: int | None = None
    source: str = "exact"
    cached: int | None = None
    reasoning: int | None = None


class Outcome(NamedTuple):
    """What a result says. A named tuple, since one is made for every call: a frozen dataclass takes four times as long.

    Args:
        decision: Label, class or top item.
        score: Confidence in it.
        kind: `probability` where it is one by its form, `softmax` where it was computed from logits, else `score`.
        margin: First less second probability.
        entropy: Shannon entropy of the distribution, nats.
        tokens: Token counts.
        served: Name of the model as the server returned it.
        response_id: Id of the response.
        finish_reasons: Why generating stopped, one for each choice.
    """

    decision: str | None = None
    score: float | None = None
    kind: str = SCORE
    margin: float | None = None
    entropy: float | None = None
    tokens: Tokens | None = None
    served: str | None = None
    response_id: str | None = None
    finish_reasons: tuple[str, ...] = ()


NOTHING: Final = Outcome()


def kind_of(score: float) -> str:
    """Return whether a score that comes with a label can be a probability."""
    return PROBABILITY if 0.0 <= score <= 1.0 else SCORE


def real(value: object) -> float | None:
    """Return a number as float, numpy's and tensors' too; None of anything else, truth values included."""
    if type(value) is float:  # nearly always
        return value
    value = plain(value)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def label(value: object) -> str | None:
    """Return the name of a class; None of anything that is none, as a long text."""
    value = value if type(value) is str else plain(value)
    if isinstance(value, str):
        return value if len(value) <= LONGEST_LABEL else None
    return str(value) if isinstance(value, int) else None


def plain(value: object) -> object:
    """Return an array as a list when it is one row of not too many numbers, and as a scalar when it is one number."""
    if type(value) in _AS_IT_IS:
        return value
    lengths = shape_of(value)
    if lengths is None:
        return value
    if not readable(value, lengths) or sum(length != 1 for length in lengths) > 1:
        return None
    flat: list[object] = cast("Any", value).reshape(-1).tolist()
    return flat[0] if len(flat) == 1 else flat


def shape_of(value: object) -> tuple[int, ...] | None:
    """Return the shape of an array or tensor; None of anything else."""
    shape = getattr(value, "shape", None)
    return cast("tuple[int, ...]", shape) if isinstance(shape, tuple) else None


def readable(value: object, lengths: tuple[int, ...]) -> bool:
    """Return whether an array may be read: never a large one that must be copied from a device first.

    Args:
        value: An array or tensor.
        lengths: Its shape.
    """
    numbers = 1
    for length in lengths:
        numbers *= length
    limit = MOST_PROBABILITIES if in_host_memory(value) else _MOST_ON_DEVICE
    return numbers <= limit and hasattr(value, "tolist") and hasattr(value, "reshape")


def in_host_memory(value: object) -> bool:
    """Return whether the numbers of an array or tensor are where Python can read them without a copy."""
    device = getattr(value, "device", "cpu")
    return getattr(device, "type", device) == "cpu"


def class_of(value: object) -> Any:
    """Return the class of a value, where Python looks for its special methods; typed so that any may be asked for."""
    return type(value)


def fields_of(value: object) -> Mapping[str, object] | None:
    """Return the fields of a dataclass's or pydantic model's instance, as they are; None of anything else.

    Nothing is converted: what such classes offer to make mappings of themselves copies all content.
    """
    kind = class_of(value)
    names = getattr(kind, "__dataclass_fields__", None) or getattr(kind, "model_fields", None)
    if not isinstance(names, Mapping):
        return None
    return {name: getattr(value, name, None) for name in cast("Mapping[str, object]", names)}
