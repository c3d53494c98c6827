"""Tables of leaves with a known root cause, after the literature's generators.

Every combination of attribute values is a leaf. Its amount is Weibull with a shape drawn per case, zero for some leaves;
the forecast is off by a relative normal error, put on the forecast or on the amount with equal chance. A cause is a few
elements of one attribute set; the amounts of all its leaves are lowered by a share drawn around the cause's severity, in
the direction in which the whole is off already.

Source: Kalander, "RiskLoc", arXiv 2205.10004, and the parameters of its reference generator (families S, L and H), which was
read; the code is our own, and the attribute sizes are smaller.
"""

from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np

from spanward_processor.kernels.jit import Flags, Floats, Ints

Conditions = frozenset[tuple[int, int]]  # attribute and value of each


@dataclass(frozen=True, slots=True)
class Family:
    """A family of cases; pairs are the ends of a range to draw from.

    Args:
        sizes: Values of each attribute.
        causes: How many causes.
        elements: How many elements each, of one attribute set.
        severity: Share lost, to which the case's noise is added.
        spread: Standard deviation of the share lost between leaves of a cause.
        noise: Relative error of the forecast.
        zeros: Share of empty leaves.
        shape: Of the Weibull distribution.
    """

    sizes: tuple[int, ...]
    causes: tuple[int, int] = (1, 3)
    elements: tuple[int, int] = (1, 3)
    severity: tuple[float, float] = (0.2, 1.0)
    spread: tuple[float, float] = (0.0, 0.1)
    noise: tuple[float, float] = (0.0, 0.25)
    zeros: tuple[float, float] = (0.0, 0.25)
    shape: tuple[float, float] = (0.5, 1.0)


S_SMALL: Final = Family((8, 6, 5, 4))
WEAK: Final = Family((12, 6, 5, 4), causes=(1, 1), elements=(1, 1), severity=(0.1, 0.3), noise=(0.0, 0.1))
FAMILIES: Final[dict[str, Family]] = {"S-small": S_SMALL, "weak": WEAK}


@dataclass(frozen=True, slots=True)
class RootCauseCase:
    """One case.

    Args:
        codes: (l, a) int64.
        amounts: (l,) float64.
        forecasts: (l,) float64.
        truth: The elements that lost.
    """

    codes: Ints
    amounts: Floats
    forecasts: Floats
    truth: frozenset[Conditions]


def root_cause_case(family: Family, rng: np.random.Generator) -> RootCauseCase:
    """Return a case drawn from a family."""
    codes = np.array(list(product(*(range(size) for size in family.sizes))), np.int64)
    noise = rng.uniform(*family.noise)
    true = 100 * rng.weibull(rng.uniform(*family.shape), len(codes))
    true *= rng.uniform(size=len(codes)) > rng.uniform(*family.zeros)
    off = np.maximum(true * (1 + rng.normal(scale=noise, size=len(codes))), 0.0)
    swapped = rng.uniform(size=len(codes)) < 0.5
    amounts, forecasts = np.where(swapped, off, true), np.where(swapped, true, off)
    fell = amounts.sum() <= forecasts.sum()
    lower, other = (amounts, forecasts) if fell else (forecasts, amounts)
    truth: set[Conditions] = set()
    for _ in range(rng.integers(*family.causes, endpoint=True)):
        severity, spread = rng.uniform(*family.severity) + noise, rng.uniform(*family.spread)
        for element in _elements(family, codes, true, truth, rng):
            inside = holds(element, codes)
            kept = 1 - rng.normal(severity, spread, int(inside.sum()))
            lower[inside] = np.maximum(other[inside] * kept, 0.0)
            truth.add(element)
    return RootCauseCase(codes, amounts, forecasts, frozenset(truth))


def holds(element: Conditions, codes: Ints) -> Flags:
    """Return (l,) bool the leaves of an element."""
    inside = np.ones(len(codes), bool)
    for attribute, value in element:
        inside &= codes[:, attribute] == value
    return inside


def _elements(
    family: Family, codes: Ints, true: Floats, taken: set[Conditions], rng: np.random.Generator
) -> list[Conditions]:
    """Draw elements of one attribute set that are not empty and share no value with those taken."""
    width = len(family.sizes)
    while True:
        layer = int(rng.integers(1, width, endpoint=True))
        attributes = sorted(int(attribute) for attribute in rng.permutation(width)[:layer])
        wanted = int(rng.integers(*family.elements, endpoint=True))
        drawn = {
            frozenset((attribute, int(rng.integers(family.sizes[attribute]))) for attribute in attributes)
            for _ in range(wanted)
        }
        filled = all(true[holds(element, codes)].sum() > 0 for element in drawn)
        if len(drawn) == wanted and filled and all(_apart(one, other) for one in drawn for other in taken):
            return list(drawn)


def _apart(one: Conditions, other: Conditions) -> bool:
    """Return whether two elements are of different attribute sets and differ in every attribute that both name."""
    own, theirs = dict(one), dict(other)
    return own.keys() != theirs.keys() and all(own[key] != theirs[key] for key in own.keys() & theirs.keys())
