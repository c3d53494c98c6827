"""What attribution answers: named causes, or honestly none."""

from dataclasses import dataclass
from enum import StrEnum


class Answer(StrEnum):
    """What explains the shift."""

    CAUSES = "causes"  # one slice or a few
    NO_SINGLE_CAUSE = "no single cause"  # most of the traffic moved alike: look outside
    MIX_CHANGED = "the traffic mix changed"  # no slice changed, but some send more than before
    NOTHING = "nothing moved"  # nothing beyond chance, overall or in a slice


@dataclass(frozen=True, slots=True)
class Cause:
    """One set of rows that explains a part of the shift.

    Args:
        conditions: Attribute name and value code of each, all of which hold.
        share: Part of the shift inside slices that it explains; several can sum to more than one when others fell.
        log10_e: Evidence that it moved, log10 of an e-value, after paying for every other set looked at.
        log10_p: The same as a p-value.
        n: Rows of it now.
        observed: What was seen in it: a rate, or a mean.
        expected: What would have been as usual.
    """

    conditions: tuple[tuple[str, int], ...]
    share: float
    log10_e: float
    log10_p: float
    n: int
    observed: float
    expected: float


@dataclass(frozen=True, slots=True)
class Traffic:
    """A slice whose part of the traffic changed.

    Args:
        attribute: Name.
        value: Code.
        share: Part of the rows now.
        usual_share: Part of the rows in the baseline.
    """

    attribute: str
    value: int
    share: float
    usual_share: float


@dataclass(frozen=True, slots=True)
class Attribution:
    """The answer for one stream that shifted.

    Args:
        answer: What explains it.
        causes: Ranked, strongest first; empty unless the answer is causes.
        log10_e: Evidence that anything moved at all, log10 of an e-value.
        rest_log10_e: Evidence that what the causes leave moved too; small where they are the whole story.
        mix_share: Part of the overall shift that comes from slices sending more or less than before.
        traffic: The slices whose part of the traffic changed most, where the mix changed.
        categories: Codes of the decisions that moved, where decisions were attributed.
    """

    answer: Answer
    causes: tuple[Cause, ...] = ()
    log10_e: float = 0.0
    rest_log10_e: float = 0.0
    mix_share: float = 0.0
    traffic: tuple[Traffic, ...] = ()
    categories: tuple[int, ...] = ()
