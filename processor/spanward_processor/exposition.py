"""Collected metrics as the text that Prometheus scrapes, with the names a Collector's own endpoint gives.

The Collector writes names as they are, dots as underscores, without the suffixes `_total` and units that Prometheus' libraries
for Python always add; dashboards made for it would find nothing under suffixed names. So the text is written here.

Source: Prometheus, "Exposition formats", text format 0.0.4; OpenTelemetry specification, "Prometheus and OpenMetrics
Compatibility" (attributes that become one label, `target_info`); OpenTelemetry Collector 0.161.0, what its endpoint answers.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from opentelemetry.sdk.metrics.export import Metric, MetricsData, NumberDataPoint, Sum

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_NOT_IN_NAMES: Final = re.compile(r"[^a-zA-Z0-9_]")
_ESCAPED: Final = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})
_ESCAPED_IN_HELP: Final = str.maketrans({"\\": "\\\\", "\n": "\\n"})


def exposition(data: MetricsData | None) -> str:
    """Return the text of one collection, sorted by name.

    Args:
        data: What the SDK's reader gives; None when nothing was observed. Sums and gauges of finite numbers only.
    """
    blocks: list[str] = []
    for resource in data.resource_metrics if data else ():
        found = [_block(metric) for scope in resource.scope_metrics for metric in scope.metrics]
        about = _sample("target_info", dict(resource.resource.attributes), 1)
        blocks += sorted(found)
        blocks.append(f"# HELP target_info Target metadata\n# TYPE target_info gauge\n{about}\n")
    return "".join(blocks)


def _block(metric: Metric) -> str:
    name = _name(metric.name)
    counter = isinstance(metric.data, Sum) and metric.data.is_monotonic
    about = (metric.description or "").translate(_ESCAPED_IN_HELP)
    lines = [f"# HELP {name} {about}", f"# TYPE {name} {'counter' if counter else 'gauge'}"]
    return "\n".join((*lines, *dict.fromkeys(_samples(name, metric)), ""))


def _samples(name: str, metric: Metric) -> Iterator[str]:
    for point in metric.data.data_points:
        if isinstance(point, NumberDataPoint):
            yield _sample(name, dict(point.attributes or {}), point.value)


def _sample(name: str, attributes: Mapping[str, object], value: float) -> str:
    labels: dict[str, str] = {}
    for key in sorted(attributes):
        label = _name(key)
        text = str(attributes[key])
        labels[label] = f"{labels[label]};{text}" if label in labels else text
    written = ",".join(f'{label}="{text.translate(_ESCAPED)}"' for label, text in labels.items())
    return f"{name}{{{written}}} {value!r}" if written else f"{name} {value!r}"


def _name(text: str) -> str:
    name = _NOT_IN_NAMES.sub("_", text)
    return f"_{name}" if name[:1].isdigit() or not name else name
