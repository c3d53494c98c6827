"""The root-cause search: what it names, what it leaves alone, and that it needs no luck."""

import itertools

import numpy as np
import pytest

from spanward_processor.attribution.elements import cuboids_of
from spanward_processor.attribution.search import search
from spanward_processor.attribution.shift import amount_shift, mean_shift, rate_shift
from spanward_processor.kernels.jit import Floats, Ints
from spanward_processor.kernels.tables import OTHER
from spanward_processor.testing.root_causes import FAMILIES, S_SMALL, holds, root_cause_case

SIZES = (6, 5, 4)
CODES: Ints = np.array(list(itertools.product(*(range(size) for size in SIZES))), np.int64)
ALPHA = 0.01


def drawn(rates: Floats, seed: int, rows: int = 2_000) -> tuple[Floats, Floats, Floats, Floats]:
    """Return hits and rows now, and of a baseline ten times as long in which all leaves have a rate of 2 %."""
    rng = np.random.default_rng(seed)
    sizes = np.full(len(CODES), float(rows))
    usual = rng.binomial(10 * rows, 0.02, len(CODES)).astype(float)
    return rng.binomial(rows, rates).astype(float), sizes, usual, 10 * sizes


def named(conditions: dict[int, int], rates: float, seed: int) -> set[tuple[tuple[int, int], ...]]:
    """Return what is named when the leaves of one element get another rate."""
    inside = holds(frozenset(conditions.items()), CODES)
    shift = rate_shift(CODES, *drawn(np.where(inside, rates, 0.02), seed))
    return {element.conditions for element in search(shift, ALPHA)}


@pytest.mark.parametrize(
    "conditions", [{0: 3}, {0: 1, 2: 2}, {0: 5, 1: 0, 2: 3}], ids=["one attribute", "two attributes", "a leaf"]
)
def test_the_conjunction_that_moved_is_named(conditions: dict[int, int]) -> None:
    """Neither the whole around it nor the leaves in it are named instead, at any depth."""
    assert named(conditions, 0.05, seed=1) == {tuple(sorted(conditions.items()))}


def test_a_fall_is_named_as_well_as_a_rise() -> None:
    """The direction of the shift does not matter."""
    assert named({1: 2}, 0.01, seed=2) == {((1, 2),)}


def test_two_causes_are_both_named() -> None:
    """A second cause in other attributes is found among what the first one leaves."""
    rates = np.full(len(CODES), 0.02)
    for element in ({0: 1}, {1: 3, 2: 0}):
        rates[holds(frozenset(element.items()), CODES)] = 0.06

    found = {element.conditions for element in search(rate_shift(CODES, *drawn(rates, 3)), ALPHA)}

    assert found == {((0, 1),), ((1, 3), (2, 0))}


def test_everything_moving_is_one_element() -> None:
    """When all leaves rise alike, the element without a condition is named, not its parts."""
    shift = rate_shift(CODES, *drawn(np.full(len(CODES), 0.03), 4))

    assert [element.conditions for element in search(shift, ALPHA)] == [()]


def test_nothing_is_named_while_nothing_changes() -> None:
    """Over 200 quiet tables at alpha 0.01, something is named in a few at most."""
    named_in = 0
    for seed in range(200):
        shift = rate_shift(CODES, *drawn(np.full(len(CODES), 0.02), seed, rows=300))
        named_in += bool(search(shift, ALPHA))

    assert named_in <= 6  # the chance of seven or more at 0.01 each is 0.4 %


def test_other_is_never_a_cause() -> None:
    """Leaves that were folded together have no name to give."""
    codes = CODES.copy()
    codes[codes[:, 0] == 3, 0] = OTHER
    inside = codes[:, 0] == OTHER
    shift = rate_shift(codes, *drawn(np.where(inside, 0.1, 0.02), 5))

    assert all((0, OTHER) not in element.conditions for element in search(shift, ALPHA))


def test_the_mean_of_a_number_is_searched_too() -> None:
    """A confidence that sinks in one slice only is found where the overall mean hardly moves."""
    rng = np.random.default_rng(6)
    rows = np.full(len(CODES), 400.0)
    inside = holds(frozenset({(0, 2), (1, 1)}), CODES)
    usual_mean, mean = np.full(len(CODES), 0.8), np.where(inside, 0.78, 0.8)
    sums = rows * mean + rng.normal(scale=0.1 * np.sqrt(rows))
    usual_sums = 10 * rows * usual_mean + rng.normal(scale=0.1 * np.sqrt(10 * rows))
    squares, usual_squares = rows * (mean**2 + 0.01), 10 * rows * (usual_mean**2 + 0.01)
    shift = mean_shift(CODES, sums, squares, rows, (usual_sums, usual_squares, 10 * rows))

    assert [element.conditions for element in search(shift, ALPHA)] == [((0, 2), (1, 1))]


def test_names_do_not_depend_on_the_order_of_the_leaves() -> None:
    """A table shuffled gives the same elements."""
    case = root_cause_case(S_SMALL, np.random.default_rng(7))
    order = np.random.default_rng(8).permutation(len(case.codes))

    straight = search(amount_shift(case.codes, case.amounts, case.forecasts), ALPHA)
    shuffled = search(amount_shift(case.codes[order], case.amounts[order], case.forecasts[order]), ALPHA)

    assert {element.conditions for element in straight} == {element.conditions for element in shuffled}


@pytest.mark.parametrize("family", FAMILIES)
def test_generated_families_are_solved(family: str) -> None:
    """On fifteen cases of each family, F1 is above what the best published method reached."""
    right = wrong = missed = 0
    rng = np.random.default_rng(9)
    for _ in range(15):
        case = root_cause_case(FAMILIES[family], rng)
        shift = amount_shift(case.codes, case.amounts, case.forecasts)
        found = {frozenset(element.conditions) for element in search(shift, 0.05)}
        right += len(found & case.truth)
        wrong += len(found - case.truth)
        missed += len(case.truth - found)

    assert 2 * right / (2 * right + wrong + missed) >= 0.79


def test_an_empty_table_has_no_cause() -> None:
    """No leaves, no elements."""
    nothing = np.zeros(0)
    assert search(rate_shift(np.zeros((0, 2), np.int64), nothing, nothing, nothing, nothing), ALPHA) == []


def test_the_number_of_cuboids_is_bounded() -> None:
    """With ten attributes only the sets that fit the bound are looked at, smallest first."""
    codes = np.random.default_rng(10).integers(0, 3, (50, 10))

    sets = [cuboid.attributes for cuboid in cuboids_of(codes)]

    assert len(sets) == 1 + 10 + 45
    assert max(map(len, sets)) == 2
