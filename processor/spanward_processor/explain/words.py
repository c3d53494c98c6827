"""An explanation in words: a sentence for a finding, and a page for a person who was woken by one."""

import datetime
import math
from collections.abc import Iterator
from typing import Final

from spanward_processor.explain.explanation import (
    FEWEST_FOR_TAIL,
    FEWEST_ROWS,
    Answer,
    Driver,
    Explanation,
    Interval,
    Rise,
)
from spanward_processor.explain.parts import LAYERS, PARTS, Layer, Part
from spanward_processor.features import show_count, show_seconds, show_share

_NOUNS: Final = {
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
    "input_size": "input size",
    "sparsity": "sparsity",
    "batch_size": "batch size",
    "gc_pause_s": "garbage collection",
    "wait_s": "wait for a worker",
    "model_load_s": "model load",
    "cpu_s": "CPU time",
}

_WHAT: Final = {
    Part.DATA: "Other data",
    Part.GC: "Garbage collection",
    Part.WAIT: "Waiting for a free worker",
    Part.LOAD: "Loading a model",
    Part.QUEUE: "Waiting off the CPU, for a lock, a queue or another service,",
    Part.MACHINE: "The machine",
    Part.VERSION: "Another version or route",
    Part.UNEXPLAINED: "Nothing that was measured",
}

_LESS: Final = {
    Part.DATA: "what data cost",
    Part.GC: "garbage collection",
    Part.WAIT: "waiting for a worker",
    Part.LOAD: "loading models",
    Part.QUEUE: "waiting off the CPU",
    Part.MACHINE: "what the machine cost",
    Part.VERSION: "what version or route cost",
    Part.UNEXPLAINED: "what nobody measured",
}
_WORTH_TELLING: Final = 0.1  # share of the rise that fell
_MOST_FELL: Final = 2

_MOST_SHARE: Final = 1.5
_WORTH_A_LINE: Final = 0.005
_NOTHING_S: Final = 5e-7  # less is shown as nothing

_MISSING: Final = {
    "data": "token counts, sizes and batch sizes: more data and slower code look alike",
    "gc_pause_s": "garbage collection",
    "wait_s": "waits for a worker",
    "model_load_s": "loading of models",
    "cpu_s": "CPU time of calls: computing and waiting look alike",
    "machine": "CPU and memory of host or process: a busy machine is not seen",
}


def sentence(told: Explanation) -> str:
    """Return the answer as a finding tells it."""
    if told.mean is None:
        return f"Why is not told: {_few(told)}."
    if told.answer is not Answer.ROSE:
        return f"Over both times latency {told.answer.value} beyond chance: {_of_both(told)}."
    causes = told.causes
    if not causes:
        return f"Latency rose ({_of_both(told)}), and no single part of it by a tenth of that beyond chance."
    said = " ".join(_because(told, part) for part in causes)
    # the wait lies before the span, whose own duration may have fallen meanwhile
    what = "With the wait for a worker latency rose" if Part.WAIT in causes else "Latency rose"
    return f"{what} ({_of_both(told)}). {said}{_offset(told)}"


def show_time(time_ns: int) -> str:
    """Return a time as a person reads it, UTC."""
    return datetime.datetime.fromtimestamp(time_ns / 1e9, datetime.UTC).strftime("%d %b %H:%M")


def report(told: Explanation, title: str) -> str:
    """Return the answer as a page of plain text.

    Args:
        told: The answer.
        title: What was asked.
    """
    return "\n".join((title, "", *_lines(told)))


def _lines(told: Explanation) -> Iterator[str]:
    if told.mean is None:
        yield f"Nothing can be told: {_few(told)}."
        return
    yield sentence(told)
    yield ""
    for name, rise in (("mean", told.mean), ("p99", told.tail)):
        if rise:
            yield f"{name:<6}{show_seconds(rise.before_s)} -> {show_seconds(rise.now_s)}   {_signed(rise.rise_s)}"
    if told.tail is None:
        yield f"p99   not told: it takes {FEWEST_FOR_TAIL} calls of each time"
    yield f"calls {told.rows[0]:,} before and {told.rows[1]:,} now looked at"
    yield ""
    yield from _table(told.mean, told.tail)
    if told.drivers or told.runtime or told.machine.gauges:
        yield from ("", "What moved, mean of a call")
        yield from (f"  {_moved(driver)}" for driver in (*told.drivers, *told.runtime))
        yield from (f"  {_gauge(told, place)}" for place in range(len(told.machine.gauges)))
    if told.unpriced:
        yield f"  What {_list(told.unpriced)} cost nobody can tell: nothing varied before or now."
    if told.missing:
        yield from ("", "Not told by anybody, so not seen as a cause")
        yield from (f"  {_MISSING[name]}" for name in told.missing)


def _table(mean: Rise, tail: Rise | None) -> Iterator[str]:
    yield f"{'share of the rise':<26}{'of the mean':<34}{'of p99' if tail else ''}".rstrip()
    for layer in Layer:
        parts = [part for part in PARTS if LAYERS[part] is layer]
        shown = [_cell(rise, [rise.parts_s[part] for part in parts]) for rise in (mean, tail) if rise]
        yield f"{layer.value:<26}{''.join(f'{cell:<34}' for cell in shown)}".rstrip()
        if len(parts) == 1:
            continue
        for part in parts:
            rises = [rise for rise in (mean, tail) if rise]
            if any(abs(rise.parts_s[part].value) >= _WORTH_A_LINE * abs(rise.rise_s.value) for rise in rises):
                shown = [_cell(rise, [rise.parts_s[part]]) for rise in rises]
                yield f"  {part.value:<24}{''.join(f'{cell:<34}' for cell in shown)}".rstrip()


def _cell(rise: Rise, parts: list[Interval]) -> str:
    """Return a share with its interval where it is that of one part, and the seconds; the latter alone where nothing rose."""
    seconds = sum(part.value for part in parts)
    shown = _sign(seconds)
    if rise.answer is not Answer.ROSE:
        return shown
    whole = rise.rise_s.value
    one = parts[0]
    between = f"({_percent(one.low / whole)} to {_percent(one.high / whole)})" if len(parts) == 1 else ""
    return f"{_percent(seconds / whole):>4} % {between:<13} {shown}"


def _because(told: Explanation, part: Part) -> str:
    shares = [
        f"{_part_of(rise.share(part).value)} of {name}"
        for name, rise in (("the mean's rise", told.mean), ("that of p99", told.tail))
        if rise and rise.answer is Answer.ROSE
    ]
    evidence = _evidence(told, part)
    return f"{_WHAT[part]} makes {' and '.join(shares)}{f' ({evidence})' if evidence else ''}."


def _offset(told: Explanation) -> str:
    """Say what fell meanwhile, where the causes make more than the whole rise; nothing where they do not."""
    found: list[str] = []
    for name, rise in (("the mean's rise", told.mean), ("that of p99", told.tail)):
        if rise is None or rise.answer is not Answer.ROSE:
            continue
        shares = {part: rise.share(part).value for part in PARTS}
        fell = sorted((share, part) for part, share in shares.items() if share <= -_WORTH_TELLING)
        if fell and sum(shares[part] for part in told.causes) > 1 + _WORTH_TELLING:
            less = _list_of([f"{_LESS[part]} fell by {_percent(-share)} %" for share, part in fell[:_MOST_FELL]])
            found.append(f"{less} of {name}")
    return f" Together that is more than 100 %, because {'; '.join(found)}." if found else ""


def _part_of(share: float) -> str:
    """Return a share in words; one far beyond the whole only says that other parts fell."""
    return "more than all" if share > _MOST_SHARE else f"{_percent(share)} %"


def _evidence(told: Explanation, part: Part) -> str:
    if part is Part.DATA:
        costly = [one for one in told.drivers if one.seconds > 0]
        return f"{_named(costly[0])} {_range(costly[0])}" if costly else ""
    if part is Part.MACHINE:
        return "; ".join(_gauge(told, told.machine.gauges.index(gauge)) for gauge in told.machine.strained)
    names = {Part.GC: "gc_pause_s", Part.WAIT: "wait_s", Part.LOAD: "model_load_s"}
    return next((_range(one) for one in told.runtime if one.name == names.get(part)), "")


def _range(one: Driver) -> str:
    return f"{_show(one.name, one.before)} to {_show(one.name, one.now)} a call"


def _named(one: Driver) -> str:
    """Return what a person calls it, and what goes with it: which of them costs nobody can tell."""
    return " with ".join(_NOUNS[name] for name in (one.name, *one.alike))


def _show(name: str, value: float) -> str:
    if math.isnan(value):
        return "not told"
    if name.endswith("_s"):
        return show_seconds(value) if value >= _NOTHING_S else "0"
    return show_share(value) if name == "sparsity" else show_count(value)


def _moved(one: Driver) -> str:
    cost = "cost unknown" if math.isnan(one.seconds) else _sign(one.seconds)
    return f"{_named(one):<32}{_show(one.name, one.before)} -> {_show(one.name, one.now)}   {cost}"


def _gauge(told: Explanation, place: int) -> str:
    gauge = told.machine.gauges[place]
    return f"{gauge.name} {show_share(gauge.before)} to {show_share(gauge.now)}"


def _of_both(told: Explanation) -> str:
    rises = [("mean", told.mean), ("p99", told.tail)]
    return ", ".join(f"{name} {show_seconds(one.before_s)} to {show_seconds(one.now_s)}" for name, one in rises if one)


def _few(told: Explanation) -> str:
    return f"{told.rows[0]} rows before and {told.rows[1]} now, it takes {FEWEST_ROWS} of each"


def _list(names: tuple[str, ...]) -> str:
    return _list_of([_NOUNS[name] for name in names])


def _list_of(words: list[str]) -> str:
    return " and ".join(words)


def _signed(rise: Interval) -> str:
    return f"{_sign(rise.value)} (95 % sure: {_sign(rise.low)} to {_sign(rise.high)})"


def _sign(seconds: float) -> str:
    if abs(seconds) < _NOTHING_S:
        return "0"
    return f"{'-' if seconds < 0 else '+'}{show_seconds(abs(seconds))}"


def _percent(share: float) -> int:
    return round(100 * share)
