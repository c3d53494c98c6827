"""An attribution in a sentence that a tired person understands."""

from collections.abc import Callable, Sequence
from typing import Final

from spanward_processor.attribution.answer import Answer, Attribution, Cause
from spanward_processor.features import show_share
from spanward_processor.findings import SliceShare

_MOST_NAMED: Final = 3
MOST_SLICES: Final = 5
"""Slices that deviate by themselves and are named at most."""

REST_AS_USUAL: Final = "The rest of the series is as usual."
"""Said of a slice that moved alone."""


def sentence(
    found: Attribution,
    show: Callable[[float], str],
    text: Callable[[int], str],
    looked_at: Sequence[str] = (),
    rows: str = "rows",
) -> str:
    """Say what explains the shift.

    Args:
        found: The attribution.
        show: A rate or mean in words.
        text: Code to text.
        looked_at: The attributes that were looked at, where no single value of them is the cause.
        rows: What the rows are called in which causes are counted.
    """
    if found.answer is Answer.CAUSES:
        return _say_causes(found, show, text, rows)
    if found.answer is Answer.NO_SINGLE_CAUSE:
        return f"{_nobody(looked_at)}: most of the traffic moved alike; look for something that all of it shares."
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


def clients_deviate(looked_at: Sequence[str], observed: str, baseline: str) -> str:
    """Say that no slice is the cause, while the clients of the series are not as usual either.

    Args:
        looked_at: The attributes that were looked at.
        observed: What the clients show, in words.
        baseline: What they usually show.
    """
    return f"{_nobody(looked_at)}, but clients deviate: {observed}, usually {baseline}."


def _nobody(looked_at: Sequence[str]) -> str:
    *others, last = [_short(name) for name in looked_at] or ["slice"]
    names = f"{', '.join(others)} or {last}" if others else last
    return f"No single {names} is the cause"


def _say_causes(found: Attribution, show: Callable[[float], str], text: Callable[[int], str], rows: str) -> str:
    named = [
        f"{conditions_of(cause, text)} ({show(cause.observed)}, expected {show(cause.expected)}; "
        f"{show_share(min(max(cause.share, 0.0), 1.0))} of the shift, {cause.n:,} {rows})"
        for cause in found.causes[:_MOST_NAMED]
    ]
    more = len(found.causes) - len(named)
    rest = f" and {more} more" if more else ""
    calm = " Without it the rest is as usual." if is_whole_story(found) else ""
    return f"Explained by {_joined(named)}{rest}.{calm}"


def is_whole_story(found: Attribution) -> bool:
    """Return whether one cause is named, and what it leaves is as usual."""
    return len(found.causes) == 1 and found.rest_log10_e < 1


def conditions_of(cause: Cause, text: Callable[[int], str]) -> str:
    """Return a cause's conditions in words."""
    return " and ".join(f"{_short(name)} '{text(code)}'" for name, code in cause.conditions)


def _joined(parts: Sequence[str]) -> str:
    return "; ".join(parts)


def _short(attribute: str) -> str:
    return attribute.rpartition(".")[2]
