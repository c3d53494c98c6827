"""What a window is compared with where something else than of late may be usual at its time."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from spanward_processor.kernels.cells import Packed
from spanward_processor.kernels.deviance import GROUPS, deviances
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.usual.bags import Gathered, shares_side_by_side
from spanward_processor.usual.calendar import Cycle, Page
from spanward_processor.windows.cells import some_of, starts_of

_PARTS: Final = (0.25, 0.5, 0.75, 1.0)  # of the way to what was usual at this time: a turn may take an hour


class Nearest:
    """Finds what streams of a window are nearest to: what was usual of late, or what they turned to at this time before.

    The window itself chooses, so that no bet against all that may be usual gains more than the one against the true one.

    Args:
        tested: (c,) cells of the window, of some streams.
        usual: (d,) what was usual of late, of these streams and others.
        subjects: (s,) int64 the streams of the window by subject.
        shapes: (f,) int64 as for `deviances`.

    Source:
        Wasserman, Ramdas and Balakrishnan, "Universal inference", PNAS 117 (2020): a likelihood ratio against the likeliest of
        the null hypotheses has a mean of at most one under each of them.
    """

    def __init__(self, tested: Packed, usual: Packed, subjects: Ints, shapes: Ints) -> None:
        self._tested, self._subjects, self._shapes = tested, subjects, shapes
        self._starts = starts_of(tested, subjects.size)
        self.streams = tested.streams[self._starts[:-1]]
        self._usual = Gathered(usual, self.streams)
        self._of_late = self._distance(usual)
        self._least = self._of_late.copy()
        self._instead: list[Packed] = []  # of streams that are nearer to something else
        self._chosen = np.full(subjects.size, -1)  # which of those; -1 for what was usual of late

    def look(self, cycles: Sequence[Cycle], of: Flags) -> None:
        """Compare some streams, (s,) bool, with the second nearest of what they turned to in several cycles.

        What they did once may have been an incident; what they did twice at about the same time is usual at that time.
        """
        if len(cycles) < 2:
            return
        distance, choice = np.stack([self._nearest_of(cycle) for cycle in cycles], axis=1)
        order = np.argsort(distance, axis=0, kind="stable")[1]
        each = np.arange(self._subjects.size)
        nearer = of & (distance[order, each] < self._least)
        self._least[nearer] = distance[order, each][nearer]
        self._chosen[nearer] = choice[order, each][nearer].astype(np.int64)

    def _nearest_of(self, cycle: Cycle) -> Floats:
        """Return (2, s) float64 how far streams are from the nearest of a cycle, and which of `_instead` that is."""
        nearest = np.stack((np.full(self._subjects.size, np.inf), np.full(self._subjects.size, -1.0)))
        for page in cycle:
            for mixed in self._mixed(page):
                distance = self._distance(mixed)
                nearer = distance < nearest[0]
                nearest[0, nearer], nearest[1, nearer] = distance[nearer], len(self._instead)
                self._instead.append(mixed)
        return nearest

    def _mixed(self, page: Page) -> list[Packed]:
        """Return what lies between what was usual of late and what streams turned to, in some steps."""
        shape = page.shape(self._subjects)
        both = (shape.rows > 0) & (self._usual.rows > 0)
        owners, bins, usual, turned = shares_side_by_side(self._usual, shape, both)
        rows, streams = np.minimum(self._usual.rows, shape.rows)[owners], self.streams[owners]
        return [Packed(streams, bins, (rows * (usual + part * (turned - usual))).astype(np.float32)) for part in _PARTS]

    def _distance(self, usual: Packed) -> Floats:
        """Return (s,) float64 the deviance of the window from cells; infinity where there are none."""
        answers = np.zeros((4, self.streams.size))
        deviances(self._shapes, self._starts, self._tested, usual, np.empty((2, GROUPS)), answers)
        return np.where(answers[3] > 0, answers[0], np.inf)

    def is_found(self) -> Flags:
        """Return (s,) bool which streams are nearer to what they turned to before."""
        return np.asarray(self._chosen >= 0)

    def gained(self) -> Floats:
        """Return (s,) float64 by how much that explains the window better: twice the logarithm of a likelihood ratio."""
        return np.subtract(self._of_late, self._least, out=np.zeros(self._least.size), where=self.is_found())

    def beside(self, usual: Packed) -> Packed:
        """Return what is usual, with what streams turned to before in its place where they are nearer to that."""
        parts = [some_of(usual, ~np.isin(usual.streams, self.streams[self.is_found()]))]
        numbers: list[int] = np.unique(self._chosen[self.is_found()]).tolist()
        for number in numbers:
            instead = self._instead[number]
            parts.append(some_of(instead, np.isin(instead.streams, self.streams[self._chosen == number])))
        streams = np.concatenate([one.streams for one in parts])
        bins = np.concatenate([one.bins for one in parts])
        counts = np.concatenate([one.counts for one in parts])
        order = np.lexsort((bins, streams))
        return Packed(streams[order], bins[order], counts[order])
