"""Functions that run inside a model server: one span for one call of the function, in the trace of those it answers.

A server may put several requests into one call. The span is then a child of the first request's and linked with the others', their
tensors are joined as if one had asked for all rows, and the span tells statistics of the rows.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from opentelemetry.context import Context, attach
from opentelemetry.propagate import extract
from opentelemetry.trace import get_current_span

from spanward import Call, Inference
from spanward.tracing import detach

Tensors = Mapping[str, Any]
"""Arrays by name; None in place of one that cannot be read where it lies."""


class Asked(NamedTuple):
    """One request, as a server hands it to a function.

    Args:
        tensors: Its inputs.
        context: The trace it belongs to; None where it carries none.
    """

    tensors: Tensors
    context: Context | None


def begin(inference: Inference, requests: Sequence[Asked]) -> Call:
    """Begin the one call that answers some requests.

    Args:
        inference: How calls of the model are observed.
        requests: All that are answered at once.
    """
    traces = [one.context for one in requests if one.context is not None]
    value = value_of_all([one.tensors for one in requests])
    token = attach(traces[0]) if traces else None
    try:
        call = inference.start(*(() if value is None else (value,)))
    finally:
        if token is not None:
            detach(token)
    if call.recording and call.owns:
        for other in traces[1:]:
            call.span.add_link(get_current_span(other).get_span_context())
    return call


def carried(texts: Mapping[str, object] | None) -> Context | None:
    """Return the trace that is carried in headers, or in a request's parameters to which headers are forwarded."""
    carrier = {name.lower(): text for name, text in (texts or {}).items() if isinstance(text, str)}
    if not carrier:
        return None
    context = extract(carrier)
    return context if get_current_span(context).get_span_context().is_remote else None


def joined(parts: Sequence[Tensors]) -> Tensors | None:
    """Return the tensors of several requests or responses as those of one for all rows; None where they do not fit.

    Args:
        parts: The tensors of each.
    """
    if len(parts) == 1:
        return parts[0]
    if not parts or any(part.keys() != parts[0].keys() for part in parts):
        return None
    import numpy as np

    try:
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    except ValueError:  # rows of different lengths, or what is not there to be read
        return None


def value_of_all(parts: Sequence[Tensors]) -> object:
    """Return the tensors of several as one value, or one by one where they do not fit."""
    whole = joined(parts)
    return value_of(whole) if whole is not None else [value_of(part) for part in parts] or None


def value_of(tensors: Tensors) -> object:
    """Return the only tensor, or all by name; None where one cannot be read."""
    if not tensors or any(one is None for one in tensors.values()):
        return None
    return next(iter(tensors.values())) if len(tensors) == 1 else dict(tensors)
