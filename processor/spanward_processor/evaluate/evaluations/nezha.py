"""Nezha's TrainTicket: which service an injected fault sits in, by how each service's own time changed and by its CPU.

The published method reaches 86.7 % (first) and 97.8 % (first three) on 45 faults, with traces, logs and metrics, and names a region of
code or a resource. Here traces and CPU alone are read, services are ranked, and only those faults are asked of whose minutes are there.
Fault-free minutes are not among the public data used here: before is every minute of the other faults.

Source: Yu et al., "Nezha: interpretable fine-grained root causes analysis for microservices on multi-modal observability data",
ESEC/FSE 2023.
"""

import csv
import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from spanward_processor.evaluate.base import Effort, Evaluation, Line, percent, stated
from spanward_processor.evaluate.intervals import share
from spanward_processor.explain.explanation import FEWEST_ROWS
from spanward_processor.explain.machine import Gauge, Machine, Resource
from spanward_processor.explain.measured import Measured
from spanward_processor.explain.parts import PARTS, Part, split
from spanward_processor.explain.shares import mean_changes
from spanward_processor.kernels.jit import Flags, Floats, Ints

FOLDER: Final = "nezha"
DAY: Final = "2023-01-29"
CPU: Final = "cpu_contention"

_MOST_ROWS: Final = 2_000  # of a service, of each time
_ROUNDS: Final = 20
_LASTS_S: Final = 180.0  # minutes of traces there are of each fault
_METRIC_S: Final = 60.0  # what one sample of a metric speaks of


@dataclass(frozen=True, slots=True)
class Fault:
    """One injected fault.

    Args:
        pod: Where.
        kind: What.
        at_s: When, Unix seconds.
    """

    pod: str
    kind: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Spans:
    """Spans of every pod.

    Args:
        pods: Their names.
        pod: (n,) int64 whose span each is.
        operation: (n,) int64 what it did.
        start_s: (n,) float64 when it began, Unix seconds.
        own_s: (n,) float64 how long it lasted beside its children.
        trace: (n,) int64 of which request it is a part.
    """

    pods: tuple[str, ...]
    pod: Ints
    operation: Ints
    start_s: Floats
    own_s: Floats
    trace: Ints


Samples = Mapping[str, Floats]
"""Of each pod (m, 2) float64: Unix seconds, and share of its CPU in use."""


def faults(folder: Path) -> list[Fault]:
    """Return the injected faults; their time in words counts, since one of the numbers is that of another fault."""
    listed = json.loads((folder / f"{DAY}-fault_list.json").read_text(encoding="utf-8"))
    return [
        Fault(
            one["inject_pod"],
            one["inject_type"],
            datetime.fromisoformat(one["inject_time"]).replace(tzinfo=UTC).timestamp(),
        )
        for hour in listed.values()
        for one in hour
    ]


def spans(folder: Path) -> Spans:
    """Return all spans, in no order."""
    pods, operations, traces = dict[str, int](), dict[str, int](), dict[str, int]()
    told: list[tuple[int, int, float, float, int]] = []
    for path in sorted(folder.glob("trace/*.csv.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        length = {row["SpanID"]: _seconds(row) for row in rows}
        inside = dict.fromkeys(length, 0.0)
        for row in rows:
            if row["ParentID"] in inside:
                inside[row["ParentID"]] += length[row["SpanID"]]
        told += [
            (
                pods.setdefault(row["PodName"], len(pods)),
                operations.setdefault(row["OperationName"], len(operations)),
                int(row["StartTimeUnixNano"]) / 1e9,
                max(length[row["SpanID"]] - inside[row["SpanID"]], 1e-6),
                traces.setdefault(row["TraceID"], len(traces)),
            )
            for row in rows
        ]
    pod, operation, start_s, own_s, trace = (np.array(column) for column in zip(*told, strict=True))
    return Spans(tuple(pods), pod, operation, start_s, own_s, trace)


def _seconds(row: Mapping[str, str]) -> float:
    return (int(row["EndTimeUnixNano"]) - int(row["StartTimeUnixNano"])) / 1e9


def samples(folder: Path) -> Samples:
    """Return how busy each pod was."""
    found: dict[str, Floats] = {}
    for path in sorted(folder.glob("metric/*_metric.csv.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        found[path.name.removesuffix("_metric.csv.gz")] = np.array(
            [[float(row["TimeStamp"]), float(row["CpuUsageRate(%)"] or 0.0) / 100] for row in rows]
        )
    return found


def ranked(
    fault: Fault, others: list[Fault], every: Spans, cpu: Samples, rng: np.random.Generator
) -> list[tuple[str, Part]]:
    """Return pods and what became dearer in each, the one that adds most to a request first.

    Args:
        fault: Only its time is looked at.
        others: Of which the same.
        every: All spans.
        cpu: How busy pods were.
        rng: Draws rows.
    """
    now = _during(fault, every.start_s)
    before = np.zeros_like(now)
    for other in others:
        before |= _during(other, every.start_s)
    before &= ~now
    requests = np.unique(every.trace[now]).size
    found: list[tuple[float, str, Part]] = []
    for place, pod in enumerate(every.pods):
        mine = every.pod == place
        if min(np.count_nonzero(mine & now), np.count_nonzero(mine & before)) < FEWEST_ROWS:
            continue
        was, is_now = (_rows(every, mine & time, rng) for time in (before, now))
        low_s = _dearer(was, is_now, _machine(cpu.get(pod), fault), rng)
        a_request = np.count_nonzero(mine & now) / requests
        found += [(float(low_s[number]) * a_request, pod, part) for number, part in enumerate(PARTS)]
    return [(pod, part) for _, pod, part in sorted(found, key=lambda one: -one[0])]


def _during(fault: Fault, at_s: Floats) -> Flags:
    return np.asarray((at_s >= fault.at_s) & (at_s < fault.at_s + _LASTS_S))


def _rows(every: Spans, chosen: Flags, rng: np.random.Generator) -> Measured:
    places = np.flatnonzero(chosen)
    if places.size > _MOST_ROWS:
        places = rng.choice(places, _MOST_ROWS, replace=False)
    return Measured.of(every.own_s[places], groups=every.operation[places])


def _machine(told: Floats | None, fault: Fault) -> Machine:
    """Return how busy a pod was; a sample speaks of the minute before it."""
    if told is None:
        return Machine()
    now = _during(fault, told[:, 0] - _METRIC_S)
    if not now.any() or now.all():
        return Machine()
    return Machine((Gauge("CpuUsageRate", Resource.CPU, float(told[~now, 1].mean()), float(told[now, 1].mean())),))


def _dearer(before: Measured, now: Measured, machine: Machine, rng: np.random.Generator) -> Floats:
    """Return (8,) float64 seconds by `PARTS` by which a span's own time rose at least, as far as drawing rows again tells."""
    drawn = [mean_changes(split(before.again(rng), now.again(rng), machine)) for _ in range(_ROUNDS)]
    return np.asarray(np.stack(drawn).min(axis=0))


def _right(fault: Fault, ranking: list[tuple[str, Part]], first: int) -> bool:
    """Return whether the pod is among the first."""
    return fault.pod in list(dict.fromkeys(pod for pod, _ in ranking))[:first]


def measure(effort: Effort) -> Iterator[Line]:
    """Rank services for every fault; see `Evaluation`."""
    folder = effort.data / FOLDER / DAY
    asked, every, cpu = faults(folder), spans(folder), samples(folder)
    rng = np.random.default_rng(effort.seeds.start)
    rankings = [(fault, ranked(fault, [one for one in asked if one is not fault], every, cpu, rng)) for fault in asked]
    for kind in sorted({fault.kind for fault in asked}):
        yield from _lines(kind, [pair for pair in rankings if pair[0].kind == kind])
    yield from _lines("all", rankings)
    busy = [(fault, ranking[0]) for fault, ranking in rankings if fault.kind == CPU]
    exact = sum(top == (fault.pod, Part.MACHINE) for fault, top in busy)
    yield stated(f"{CPU}: first, and told as the machine's", share(exact, len(busy)), percent)


def _lines(name: str, rankings: list[tuple[Fault, list[tuple[str, Part]]]]) -> Iterator[Line]:
    for first in (1, 3):
        hits = sum(_right(fault, ranking, first) for fault, ranking in rankings)
        yield stated(f"{name}: among the first {first}, of {len(rankings)} faults", share(hits, len(rankings)), percent)


EVALUATION: Final = Evaluation(
    name="nezha",
    shows="Which service an injected fault of the TrainTicket traces sits in; the published method has 86.7 % and 97.8 %, of more data.",
    measure=measure,
    first_seed=100,
    seeds=1,
    needs=(FOLDER,),
)
