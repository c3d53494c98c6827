"""An attribution in a sentence that a tired person understands."""

from collections.abc import Callable, Sequence
from typing import Final

from spanward_processor.attribution.answer import Answer, Attribution, Cause
from spanward_processor.features import show_share
from spanward_processor.findings import SliceShare

_MOST_NAMED: Final = 3
MOST_SLICES: Final = 5
"""Slices that deviate by themselves and are named at most."""


def sentence(found: Attribution, show: Callable[[float], str], text: Callable[[int], str], rows: str = "rows") -> str:
    """Say what explains the shift.

    Args:
        found: The attribution.
        show: A rate or mean in words.
        text: Code to text.
        rows: What the rows are called in which causes are counted.
    """
    if found.answer is Answer.CAUSES:
        return _say_causes(found, show, text, rows)
    if found.answer is Answer.NO_SINGLE_CAUSE:
        return "No single cause: most of the traffic moved alike; look for something that all of it shares."
    if found.answer is Answer.MIX_CHANGED:
        parts = [
            f"{_short(one.attribute)} '{text(one.value)}' sends {show_share(one.share)} of rows, usually "
            f"{show_share(one.usual_share)}"
            for one in found.traffic
        ]
        return f"The traffic mix changed, no slice behaves differently: {'; '.join(parts)}."
    return "Nothing moved beyond chance, neither overall nor in a slice."


def deviating(slices: Sequence[SliceShare], judged: int, unjudged: int) -> str:
    """Say which slices deviate by themselves: one with what it shows, a few by name, all in a word; and how many nobody can tell of.

    Args:
        slices: Those that deviate, strongest first.
        judged: How many are judged.
        unjudged: How many have had too few rows for that.
    """
    if not slices or judged + unjudged == 1:
        return ""
    first = slices[0]
    names = ", ".join(f"{share.name}={share.value}" for share in slices)
    rest = f" {unjudged} more had too few rows to tell." if unjudged else ""
    if len(slices) == 1:
        return f" {'Only ' if not unjudged else ''}{names} deviates: {first.text}.{rest}"
    if not unjudged and len(slices) >= min(judged, MOST_SLICES):
        return " Every slice deviates."
    return f" Deviating slices: {names}.{rest}"


def _say_causes(found: Attribution, show: Callable[[float], str], text: Callable[[int], str], rows: str) -> str:
    named = [
        f"{conditions_of(cause, text)} ({show(cause.observed)}, expected {show(cause.expected)}; "
        f"{show_share(min(max(cause.share, 0.0), 1.0))} of the shift, {cause.n:,} {rows})"
        for cause in found.causes[:_MOST_NAMED]
    ]
    more = len(found.causes) - len(named)
    rest = f" and {more} more" if more else ""
    calm = " Without it the rest is as usual." if found.rest_log10_e < 1 and len(found.causes) == 1 else ""
    return f"Explained by {_joined(named)}{rest}.{calm}"


def conditions_of(cause: Cause, text: Callable[[int], str]) -> str:
    """Return a cause's conditions in words."""
    return " and ".join(f"{_short(name)} '{text(code)}'" for name, code in cause.conditions)


def _joined(parts: Sequence[str]) -> str:
    return "; ".join(parts)


def _short(attribute: str) -> str:
    return attribute.rpartition(".")[2]
