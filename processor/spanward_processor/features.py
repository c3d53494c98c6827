"""What is watched of a row: each feature is one bin per row, so that a window of any of them is a bag of counts.

Positive numbers fall into base-2 exponential bins of scale 3, as in OpenTelemetry's exponential histogram: bin i holds
(2^(i/8), 2^((i+1)/8)], a relative error of 4.4 % at most. Shares fall into 128 equal bins. Source: OpenTelemetry
metrics data model, "ExponentialHistogram", section on scale.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

import numpy as np

from spanward_processor.columns import SpanBatch
from spanward_processor.explain.measured import DATA, RUNTIME
from spanward_processor.kernels.binning import SCALE, UNIT_BINS, ZERO, bin_rows
from spanward_processor.kernels.counting import Counted
from spanward_processor.kernels.jit import Codes, Ints
from spanward_processor.kernels.repeats import MOST_HASHES, Memory, mark_repeats
from spanward_processor.kernels.sampling import TOLD, Spoken
from spanward_processor.roles import NUMBER_ROLES, RoleTable


class Aspect(IntEnum):
    """The features, numbered as in a stream."""

    RATE = 0
    LATENCY = 1
    ERROR = 2
    INPUT_TOKENS = 3
    OUTPUT_TOKENS = 4
    INPUT_SIZE = 5
    SPARSITY = 6
    SCORE = 7
    DECISION = 8
    REPEAT = 9
    CLIENT = 10


class Shape(StrEnum):
    """How the bins of a feature relate to each other."""

    COUNT = "count"  # only how many rows
    NUMBER = "number"  # ordered bins
    FLAG = "flag"  # 0 or 1; more ones than usual is what matters
    CATEGORY = "category"  # bins without order


@dataclass(frozen=True, slots=True)
class Feature:
    """One watched feature.

    Args:
        aspect: Its number.
        shape: How its bins relate.
        noun: What a person calls it.
        kind: Kind of the findings about it.
        show: Value to words with unit.
        unit_range: Whether values lie in 0..1, in equal bins.
    """

    aspect: Aspect
    shape: Shape
    noun: str
    kind: str
    show: Callable[[float], str]
    unit_range: bool = False

    def value(self, cell_bin: int) -> float:
        """Return the middle of a bin, in the feature's own unit."""
        if cell_bin == ZERO:
            return 0.0
        if self.unit_range and cell_bin >= 0:
            if cell_bin < UNIT_BINS:
                return (cell_bin + 0.5) / UNIT_BINS
            cell_bin -= UNIT_BINS
        if cell_bin < ZERO:
            return -float(2.0 ** ((ZERO - 1 - cell_bin - (1 << 20) + 0.5) / SCALE))
        return float(2.0 ** ((cell_bin + 0.5) / SCALE))


def show_seconds(value: float) -> str:
    """Return a duration in the unit a person would choose."""
    if value < 1e-3:
        return f"{value * 1e6:.0f} us"
    return f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"


def show_count(value: float) -> str:
    """Return a number with as many digits as it deserves."""
    return f"{value:,.0f}" if abs(value) >= 10 or value == 0 else f"{value:.2g}"


def show_share(value: float) -> str:
    """Return a share in percent."""
    percent = 100 * value
    digits = 0 if percent >= 10 or percent == 0 else 1 if percent >= 1 else 1 - math.floor(math.log10(percent))
    return f"{percent:.{min(digits, 6)}f} %"


def show_score(value: float) -> str:
    """Return a score with two digits."""
    return f"{value:.2f}"


FEATURES: Final[tuple[Feature, ...]] = (
    Feature(Aspect.RATE, Shape.COUNT, "request rate", "operational", show_count),
    Feature(Aspect.LATENCY, Shape.NUMBER, "latency", "performance", show_seconds),
    Feature(Aspect.ERROR, Shape.FLAG, "error share", "operational", show_share),
    Feature(Aspect.INPUT_TOKENS, Shape.NUMBER, "input tokens", "performance", show_count),
    Feature(Aspect.OUTPUT_TOKENS, Shape.NUMBER, "output tokens", "performance", show_count),
    Feature(Aspect.INPUT_SIZE, Shape.NUMBER, "input size", "performance", show_count),
    Feature(Aspect.SPARSITY, Shape.NUMBER, "feature sparsity", "quality", show_share, unit_range=True),
    Feature(Aspect.SCORE, Shape.NUMBER, "score", "quality", show_score, unit_range=True),
    Feature(Aspect.DECISION, Shape.CATEGORY, "decision mix", "quality", show_share),
    Feature(Aspect.REPEAT, Shape.FLAG, "share of repeated inputs", "security", show_share),
    Feature(Aspect.CLIENT, Shape.CATEGORY, "client mix", "security", show_share),
)
"""Every feature; the place in the tuple is its number."""


def _tally_columns() -> Ints:
    """Return where each feature with bins 0 and 1 alone is tallied, -1 for the others."""
    columns = np.full(len(FEATURES), -1, np.int64)
    width = 0
    for feature in FEATURES:
        if feature.shape in _TALLIED:
            columns[feature.aspect] = width
            width += _TALLIED[feature.shape]
    return columns


_TALLIED: Final = {Shape.COUNT: 1, Shape.FLAG: 2}  # bins of a feature of that shape

_TALLIES: Final = np.array(
    [
        (feature.aspect, cell_bin)
        for feature in FEATURES
        if feature.shape in _TALLIED
        for cell_bin in range(_TALLIED[feature.shape])
    ],
    np.int64,
)

_UNTALLIED: Final = np.array([feature.shape not in _TALLIED for feature in FEATURES])

_NUMBERED: Final = np.array([feature.shape is Shape.NUMBER for feature in FEATURES])

COUNTED: Final = Counted(
    in_slices=np.array([feature.aspect is not Aspect.CLIENT for feature in FEATURES]),
    tally=_tally_columns(),
    logged=np.where(_UNTALLIED, np.cumsum(_UNTALLIED) - 1, -1),
    strip=np.where(_NUMBERED, np.cumsum(_NUMBERED) - 1, -1),
    tallies=_TALLIES,
)
"""How rows are counted. Clients are not counted for slices: who sends is a question of the whole series."""

NUMBERS: Final = np.flatnonzero(_NUMBERED)
"""The features that are numbers; a row's vector has one place for each, in this order."""

MARKED: Final = np.array([Aspect.ERROR, Aspect.DECISION, Aspect.REPEAT], np.int64)
"""The features beside numbers that sampled rows keep where several attributes slice them, behind the keys of their slices."""

LOGGED_FEATURES: Final = int(_UNTALLIED.sum())
"""Features that are not tallied."""


_TOLD_COLUMNS: Final = np.array([tuple(NUMBER_ROLES).index(role) for role in (*DATA, *RUNTIME)], np.int64)

SILENT: Final = Spoken(np.empty(0, np.int64), np.empty((TOLD, 0)), _TOLD_COLUMNS)
"""Rows that say nothing beside their bins."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a batch as detectors and windows see them.

    Args:
        keys: (1 + s, n) int64 key of the series, then of each slice; -1 where there is none.
        bins: (f, n) int64 bin per feature, `MISSING` where the row says nothing.
        time_ns: (n,) int64 event time: when the span ended.
        traces: (n, 2) uint64 trace id, big-endian halves; 0 where absent.
        spoken: What they say beside their bins, to be kept of a few.
        inputs: (n,) uint64 code of the input's hash, 0 where absent; None where they are not told.
    """

    keys: Ints
    bins: Ints
    time_ns: Ints
    traces: Codes
    spoken: Spoken = SILENT
    inputs: Codes | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.keys.shape[1])


def empty_memory(hashes: int) -> Memory:
    """Return a memory of recent inputs that has seen none.

    Args:
        hashes: Hashes it holds, a power of two.
    """
    return Memory(np.zeros((hashes, 2), np.uint64), np.zeros(1, np.int64), np.empty(MOST_HASHES, np.int64))


def rows_of(batch: SpanBatch, keys: Ints, roles: RoleTable, recent: Memory) -> Rows:
    """Derive the features of a batch.

    Args:
        batch: Decoded request.
        keys: (1 + s, n) int64 from the key space.
        roles: Where each role's column is.
        recent: Memory of recent inputs, changed.
    """
    repeats = np.empty(len(batch), np.int64)
    print_column = roles.text("fingerprint")
    mark_repeats(
        batch.data,
        keys[0],
        inputs := batch.codes[roles.text("input_hash")],
        batch.text_at[print_column],
        batch.text_size[print_column],
        recent,
        repeats,
    )
    bins = np.empty((len(FEATURES), len(batch)), np.int64)
    texts = np.array([roles.text("decision"), roles.text("client"), roles.text("error")], np.int64)
    traces = np.zeros((len(batch), 2), np.uint64)
    bin_rows(batch.data, batch.facts, batch.codes, texts, batch.numbers, repeats, bins, traces)
    spoken = Spoken(batch.facts.start_ns, batch.numbers, _TOLD_COLUMNS)
    # a copy: rows wait to be delivered, and a view would keep every text column until then
    return Rows(keys, bins, batch.facts.end_ns, traces, spoken, inputs.copy())
