"""What the stages are told, apart from how an operator writes it (`config.py`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from spanward import semconv


@dataclass(frozen=True, slots=True)
class Learning:
    """When a stream counts as learned.

    Args:
        windows: Windows it must have been seen in.
        rows: Rows it must have been seen with.
    """

    windows: int = 30
    rows: int = 300


@dataclass(frozen=True, slots=True)
class Detection:
    """How spans are judged.

    Args:
        window_s: Length of a window, seconds.
        lateness_s: How long a closed window's rows are awaited, seconds of event time.
        false_alarms_per_day: The one knob for noise, for the whole deployment.
        flagged_rows_ratio: Share of ordinary rows that may be annotated as unusual.
        learning: When a stream counts as learned.
        half_life_s: Event time after which a window counts half in the baseline, seconds.
        slices: Attribute names whose values slice a series.
        roles: Role to attribute names, in place of the built-in lists.
    """

    window_s: float = 10.0
    lateness_s: float = 10.0
    false_alarms_per_day: float = 1.0
    flagged_rows_ratio: float = 0.001
    learning: Learning = field(default_factory=Learning)
    half_life_s: float = 3600.0
    slices: tuple[str, ...] = (semconv.CHANNEL,)
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what the pipeline keeps.

    Args:
        keys: Series and slices.
        slices_per_series: Slices of one series.
        cells_per_window: Cells of one window before new bins are counted as "other".
        texts: Texts kept to name what findings speak of.
        future_s: How far ahead of the clock an event time may be, seconds.
    """

    keys: int = 10_000
    slices_per_series: int = 64
    cells_per_window: int = 1_000_000
    texts: int = 65_536
    future_s: float = 60.0
