"""What an evaluation is, and the lines of its table."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from spanward_processor.evaluate.intervals import Estimate


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Args:
        seeds: Each is measured by itself.
        short: Whether a first look is enough: less of everything, the same code.
        data: Folder of the public data, which need not exist.
        days: Simulated days of what takes days; None for as many as are asked for.
    """

    seeds: range
    short: bool
    data: Path
    days: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table.

    Args:
        what: What was measured.
        measured: The result, with its 95 % interval where it has one.
        to_reach: What is to be reached, empty where the result is only stated.
        reached: Whether it was; None where nothing was to be reached or nothing could be measured.
    """

    what: str
    measured: str
    to_reach: str = ""
    reached: bool | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One question about how well anomalies are found.

    Args:
        name: By which it is chosen, equal to its file's.
        shows: What it shows, in a sentence.
        measure: Answers it, line by line.
        first_seed: Seeds go on from here; those before it were used while what is measured was built.
        seeds: How many, unless the caller says otherwise.
        needs: Folders of the public data without which nothing can be measured.
    """

    name: str
    shows: str
    measure: Callable[[Effort], Iterable[Line]]
    first_seed: int
    seeds: int = 5
    needs: tuple[str, ...] = ()


def at_least(what: str, found: Estimate, goal: float, show: Callable[[float], str]) -> Line:
    """Return the line of something that should be large; its mean is held against the goal.

    Args:
        what: What was measured.
        found: The result.
        goal: What is to be reached.
        show: A value in words.
    """
    return Line(what, found.shown(show), f">= {show(goal)}", found.mean >= goal if found.of else None)


def at_most(what: str, found: Estimate, goal: float, show: Callable[[float], str]) -> Line:
    """Return the line of something that should be small; see `at_least`."""
    return Line(what, found.shown(show), f"<= {show(goal)}", found.mean <= goal if found.of else None)


def stated(what: str, found: Estimate, show: Callable[[float], str]) -> Line:
    """Return the line of something that is only stated."""
    return Line(what, found.shown(show))


def absent(what: str, folder: str, to_reach: str = "") -> Line:
    """Return the line of something that cannot be measured, since a folder of the public data is not there."""
    return Line(what, f"not measured: {folder} is not under SPANWARD_DATA", to_reach)


def percent(value: float) -> str:
    """Return a share in percent."""
    return f"{100 * value:.1f} %"


def number(value: float) -> str:
    """Return a figure with three digits after the point."""
    return f"{value:.3f}"


def milliseconds(value: float) -> str:
    """Return seconds in milliseconds."""
    return f"{1e3 * value:,.0f} ms"
