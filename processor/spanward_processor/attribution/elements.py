"""The elements of a table of leaves: every conjunction of attribute values that some leaf belongs to."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from spanward_processor.kernels.jit import Flags, Ints
from spanward_processor.kernels.tables import OTHER

_MOST_CUBOIDS: Final = 64  # attribute sets looked at; all of them up to six attributes


@dataclass(frozen=True, slots=True)
class Cuboid:
    """The elements over one set of attributes.

    Args:
        attributes: The columns, ascending; empty for the one element that holds every leaf.
        places: (l,) int64 element of each leaf.
        size: Number of elements.
        named: (size,) bool whether an element can be a cause; the leaves that found no room of their own cannot.
        cost: Natural logarithm of how many elements compete with each of these, the price of choosing one of them.
    """

    attributes: tuple[int, ...]
    places: Ints
    size: int
    named: Flags
    cost: float


def cuboids_of(codes: Ints) -> list[Cuboid]:
    """Return the cuboids of a table of leaves, smallest sets first.

    Args:
        codes: (l, a) int64.
    """
    layers = list(_layers(codes.shape[1]))
    small = np.stack([np.unique(column, return_inverse=True)[1] for column in codes.T], axis=1)
    other = codes == OTHER
    cuboids: list[Cuboid] = []
    for sets in layers:
        for attributes in sets:
            places, size = _places(small, attributes)
            named = np.ones(size, bool)
            named[places[other[:, list(attributes)].any(axis=1)]] = False
            cost = math.log(size) + math.log(len(sets)) + math.log(len(layers))
            cuboids.append(Cuboid(attributes, places, size, named, cost))
    return cuboids


def _layers(width: int) -> Iterator[list[tuple[int, ...]]]:
    """Yield the attribute sets of each size, as long as there are not too many."""
    left = _MOST_CUBOIDS
    for layer in range(width + 1):
        left -= math.comb(width, layer)
        if left < 0:
            return
        yield list(combinations(range(width), layer))


def _places(small: Ints, attributes: tuple[int, ...]) -> tuple[Ints, int]:
    """Return the element of each leaf, numbered without gaps, and how many there are."""
    joined = np.zeros(small.shape[0], np.int64)
    for attribute in attributes:
        joined = joined * (int(small[:, attribute].max(initial=0)) + 1) + small[:, attribute]
        _, joined = np.unique(joined, return_inverse=True)
    return joined, int(joined.max(initial=-1)) + 1
