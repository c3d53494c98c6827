"""An explanation as JSON can hold it."""

import math
from typing import Any

from spanward_processor.explain.explanation import Driver, Explanation, Interval, Rise
from spanward_processor.explain.parts import LAYERS, PARTS, Layer


def form_of(told: Explanation) -> dict[str, Any]:
    """Return an explanation as JSON can hold it."""
    return {
        "answer": told.answer.value,
        "causes": [{"layer": LAYERS[part].value, "part": part.value} for part in told.causes],
        "rows": {"before": told.rows[0], "now": told.rows[1]},
        "mean": _rise(told.mean),
        "p99": _rise(told.tail),
        "drivers": [_driver(one) for one in told.drivers],
        "runtime": [_driver(one) for one in told.runtime],
        "machine": [
            {
                "name": one.name,
                "resource": one.resource.value,
                "before": one.before,
                "now": one.now,
                "strained": one.strained,
            }
            for one in told.machine.gauges
        ],
        "missing": list(told.missing),
        "unpriced": list(told.unpriced),
    }


def _rise(rise: Rise | None) -> dict[str, Any] | None:
    if rise is None:
        return None
    return {
        "answer": rise.answer.value,
        "before_s": rise.before_s,
        "now_s": rise.now_s,
        "rise_s": _interval(rise.rise_s),
        "layers_s": {layer.value: rise.layer_s(layer) for layer in Layer},
        "parts_s": {part.value: _interval(rise.parts_s[part]) for part in PARTS},
    }


def _interval(one: Interval) -> dict[str, float]:
    return {"value": one.value, "low": one.low, "high": one.high}


def _driver(one: Driver) -> dict[str, Any]:
    numbers = {"before": one.before, "now": one.now, "seconds": one.seconds}
    return {"name": one.name, "alike": list(one.alike)} | {
        name: None if math.isnan(value) else value for name, value in numbers.items()
    }
