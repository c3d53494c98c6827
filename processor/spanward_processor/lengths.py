"""Lengths of time in words: as a person says them, and as Prometheus and OpenSLO write them."""

from typing import Final

_UNITS: Final = (("w", "w", 604_800), ("d", "d", 86_400), ("h", "h", 3600), ("m", "min", 60), ("s", "s", 1))
"""How a unit is written, how it is said, and its seconds."""

_WRITTEN_S: Final = {written: size for written, _, size in _UNITS}


def length_s(text: str, *, least_s: int = 60) -> float:
    """Return the seconds of a length of time such as 5m or 30d.

    Args:
        text: A number and a unit.
        least_s: The smallest unit that is taken, seconds.

    Raises:
        ValueError: It is none; says what it must be.
    """
    number, unit = text[:-1], text[-1:]
    units = {written: size for written, size in _WRITTEN_S.items() if size >= least_s}
    if not (number.isascii() and number.isdigit() and len(number) <= 9 and unit in units and int(number) > 0):
        raise ValueError(
            f"must be a number and one of {', '.join(reversed(units))}, such as 5m or 30d; only those are kept"
        )
    return float(int(number) * units[unit])


def prometheus_length(seconds: float) -> str:
    """Return a length of time as Prometheus writes it: 1h, 30m, 3d."""
    for written, _, size in _UNITS[1:]:
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{written}"
    return f"{seconds * 1e3:.0f}ms"


def show_length(seconds: float) -> str:
    """Return a length of time as a person says it: 1 h, 30 min, 5 d."""
    for _, said, size in _UNITS[1:]:
        if seconds >= size and (seconds % size == 0 or seconds >= 10 * size):
            return f"{seconds / size:.0f} {said}"
    return f"{seconds:.3g} s"
