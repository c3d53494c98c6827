"""Old and new version on the same inputs, counted and judged."""

import numpy as np

from spanward_processor.attribution.paired import Answered, flips

PAIRS = [(one, other) for one in range(4) for other in range(4) if one != other]


def rare_class_lost() -> Answered:
    """Return two slices, in the second of which forty percent of a rare class are lost."""
    slices = np.array([[0, 5], [0, 5], [0, 5], [0, 6], [0, 6], [0, 6], [0, 6]])
    old, new = np.array([[1, 2, 3, 1, 2, 3, 3], [1, 2, 3, 1, 2, 3, 1]])
    return Answered.of(slices, old, new, np.array([900.0, 800.0, 50.0, 900.0, 800.0, 30.0, 20.0]))


def test_a_flipped_class_is_seen_in_pairs() -> None:
    """Its share of the whole moves by half a percent; the class that gains is so large that it hardly changes."""
    (flip,) = flips(rare_class_lost(), 0.01)

    assert (flip.slice, flip.decision) == ((0, 6), 3)
    assert (flip.left, flip.came, flip.kept) == (20.0, 0.0, 30.0)


def test_versions_that_differ_at_random_flip_nothing_however_often_it_is_asked() -> None:
    """As many leave each decision as come to it: the new version is different, not biased."""
    rng = np.random.default_rng(2)
    slices = np.column_stack((np.zeros(120, np.int64), np.repeat(np.arange(10), 12)))
    old, new = np.array(PAIRS * 10).T

    def named() -> bool:
        answered, any_named = Answered.nothing(), False
        for _ in range(20):
            counts = rng.poisson(1, 120).astype(float)
            answered += Answered.of(slices, old, new, counts)
            any_named |= bool(flips(answered, 0.01))
        return any_named

    assert sum(named() for _ in range(100)) <= 4


def test_answers_of_shards_add_up_to_those_of_the_whole() -> None:
    """In any order and however they were parted."""
    rng = np.random.default_rng(3)
    slices, old, new = rng.integers(0, 3, (60, 2)), rng.integers(0, 4, 60), rng.integers(0, 4, 60)
    ones = np.ones(60)

    whole = Answered.of(slices, old, new, ones)
    parts = [Answered.of(slices[at::3], old[at::3], new[at::3], ones[at::3]) for at in (2, 0, 1)]
    summed = parts[0] + parts[1] + parts[2]

    np.testing.assert_array_equal(summed.kinds, whole.kinds)
    np.testing.assert_array_equal(summed.counts, whole.counts)


def test_there_are_at_most_so_many_kinds_and_those_that_were_there_stay() -> None:
    """What is new and finds no room is left out; what is known goes on being counted."""
    whole = np.zeros((4, 2), np.int64)
    first = Answered.of(whole[:2], np.array([5, 7]), np.array([5, 7]), np.ones(2))
    more = Answered.of(whole, np.array([1, 5, 6, 8]), np.array([1, 5, 6, 8]), np.ones(4))

    joined = first.joined(more, 3)

    assert joined.kinds[:, 2].tolist() == [1, 5, 7]
    assert joined.counts[2].tolist() == [1.0, 2.0, 1.0]
