"""Root-cause search: the fewest conjunctions of attribute values that together explain the shift.

Each candidate is an element, a set of leaves that share some attribute values. It is worth the likelihood that a shift
of its own wins, less the price of having chosen it among all elements: a family-wise test over the whole lattice, so an
element of a rare combination must show more than one of two channels. The best element is taken; if some of its parts
explain more than it does as a whole, without making up nearly all of it, they are taken instead, each examined in the
same way; then the search goes on among the leaves not yet explained. The scatter of the unexplained leaves is measured
anew until it is stable.

Source: the scan over subsets follows Kulldorff, "A spatial scan statistic", 1997; the lattice of elements, the ripple
effect and "coarse before fine" follow HotSpot (Sun et al., IEEE Access 2018), Squeeze (Li et al., ISSRE 2019) and RiskLoc
(Kalander, arXiv 2205.10004). Decision 0018 says what differs and why.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from spanward_processor.attribution.elements import Cuboid, cuboids_of
from spanward_processor.attribution.gain import Gain, unmoved_scatter
from spanward_processor.attribution.shift import Kind, LeafShift
from spanward_processor.kernels.jit import Flags

_ROUNDS: Final = 4  # of measuring the scatter and searching
_SETTLED: Final = 0.05  # relative change of the scatter below which the causes stay the same
_MOST_CAUSES: Final = 16
_NEARLY_ALL: Final = 0.8  # of an element's evidence: parts that make up so much of it are the element itself
_LEAST_SHARE: Final = 0.05  # of what all causes explain; less is true but is not the cause


@dataclass(frozen=True, slots=True)
class Element:
    """A conjunction found by the search.

    Args:
        conditions: Column and value code of each attribute; empty for "everything".
        leaves: (l,) bool the leaves it explains; those of a stronger element are not among them.
        worth: Log-likelihood won, less the price of choice, nats; above zero is significant.
        log10_p: log10 of the p-value, adjusted for all elements looked at.
    """

    conditions: tuple[tuple[int, int], ...]
    leaves: Flags
    worth: float
    log10_p: float


def search(leaves: LeafShift, alpha: float) -> list[Element]:
    """Return the elements that explain the shift, strongest first.

    Args:
        leaves: The shift of each leaf.
        alpha: Chance of naming anything while nothing has changed.
    """
    if not len(leaves):
        return []
    lattice = _Lattice(leaves, cuboids_of(leaves.codes), -math.log(alpha))
    found: list[_Candidate] = []
    for _ in range(_ROUNDS):
        scatter = unmoved_scatter(leaves, ~_union(found, len(leaves)))
        if found and (scatter < 0 or abs(scatter - lattice.scatter) <= _SETTLED * lattice.scatter):
            break
        lattice.measure(max(scatter, 0.0))
        found = lattice.explain(np.ones(len(leaves), bool), None)
        if not found:
            break
    return [lattice.element(candidate) for candidate in _worth_naming(leaves, found)]


@dataclass(frozen=True, slots=True)
class _Candidate:
    cuboid: Cuboid
    leaves: Flags
    gain: float
    worth: float


def _union(found: Sequence[_Candidate], size: int) -> Flags:
    union = np.zeros(size, bool)
    for candidate in found:
        union |= candidate.leaves
    return union


def _worth_naming(leaves: LeafShift, found: Sequence[_Candidate]) -> list[_Candidate]:
    """Return what a person would call a cause: not "and everything else a bit", and no crumbs."""
    named = [candidate for candidate in found if candidate.cuboid.attributes] if len(found) > 1 else list(found)
    if leaves.kind is not Kind.CHANGES:
        explained = [abs(float(leaves.shift[candidate.leaves].sum())) for candidate in named]
        least = _LEAST_SHARE * sum(explained)
        named = [candidate for candidate, part in zip(named, explained, strict=True) if part >= least]
    return sorted(named, key=lambda candidate: -candidate.worth)


class _Lattice:
    """All elements over the leaves, and the search through them."""

    def __init__(self, leaves: LeafShift, cuboids: Sequence[Cuboid], price: float) -> None:
        self._leaves = leaves
        self._cuboids = cuboids
        self._price = price
        self.measure(0.0)

    def measure(self, scatter: float) -> None:
        """Take the variance of the effect between unmoved leaves to be this."""
        self.scatter = scatter
        self._gain = Gain(self._leaves, scatter)

    def explain(self, among: Flags, parent: _Candidate | None) -> list[_Candidate]:
        """Return the elements that explain the shift of some leaves.

        Args:
            among: (l,) bool the leaves.
            parent: The element that they make up; then its parts are looked at, as long as they can be worth more.
        """
        free = among.copy()
        found: list[_Candidate] = []
        goal = parent.worth if parent else -np.inf
        while len(found) < _MOST_CAUSES and self._reach(free, found) > goal:
            best = self._best(free, parent)
            if best is None:
                break
            chosen = self.explain(best.leaves, best)
            found += chosen
            free &= ~_union(chosen, free.size)
        if parent is None:
            return found
        return [parent] if self._is_whole(parent, found) else found

    def _reach(self, free: Flags, found: Sequence[_Candidate]) -> float:
        """Return what parts could be worth at most: every leaf left with an effect of its own, for one price."""
        return sum(part.worth for part in found) + float(self._gain.alone[free].sum()) - self._price

    def _is_whole(self, parent: _Candidate, parts: Sequence[_Candidate]) -> bool:
        """Return whether an element moved as a whole, rather than in parts."""
        if sum(part.worth for part in parts) <= parent.worth:
            return True
        weight = self._gain.weight
        covered = float(weight[_union(parts, weight.size)].sum()) >= _NEARLY_ALL * float(weight[parent.leaves].sum())
        return covered and len(parts) > 1 and bool(parent.cuboid.attributes)

    def _best(self, free: Flags, parent: _Candidate | None) -> _Candidate | None:
        """Return the element worth most among the free leaves, or None where none is worth its price."""
        best: _Candidate | None = None
        for cuboid in self._cuboids:
            if parent is not None and not set(parent.cuboid.attributes) < set(cuboid.attributes):
                continue
            gains = np.where(cuboid.named, self._gain.of_sets(cuboid.places, free, cuboid.size), 0.0)
            place = int(np.argmax(gains))
            gain = float(gains[place])
            worth = gain - cuboid.cost - self._price
            if worth > (best.worth if best else 0.0):
                best = _Candidate(cuboid, (cuboid.places == place) & free, gain, worth)
        return best

    def element(self, candidate: _Candidate) -> Element:
        """Return a candidate as the caller knows it."""
        codes = self._leaves.codes[int(np.argmax(candidate.leaves))]
        conditions = tuple((attribute, int(codes[attribute])) for attribute in candidate.cuboid.attributes)
        log_p = min(0.0, candidate.cuboid.cost - candidate.gain)
        return Element(conditions, candidate.leaves, candidate.worth, log_p / math.log(10))
