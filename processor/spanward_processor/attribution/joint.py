"""Rows of several attributes at once, sampled: what counts of single slices cannot tell, that only A together with B moved.

A window's sample keeps of its rows, where more than one attribute slices them, the slices of each and what they showed. The newest
windows' rows are held against rows of earlier windows, from before anything was found. Samples of shards merge exactly, so what follows
from them does too.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from spanward_processor.attribution.answer import Answer, Attribution
from spanward_processor.attribution.leaves import LeafCounts
from spanward_processor.features import MARKED, NUMBERS, Feature, Shape
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.kernels.sampling import UNKNOWN
from spanward_processor.kernels.tables import MISSING, OTHER
from spanward_processor.windows.sample import Sample

MOST_SERIES: Final = 64
"""Series of which earlier rows are kept: the first that have any."""

MOST_ROWS: Final = 2048
"""Earlier rows of one series; the newest ones."""

_FEWEST_USUAL: Final = 500
_FEWEST_NOW: Final = 50


@dataclass(frozen=True, slots=True)
class Sides:
    """Leaves of several attributes, now and usually.

    Args:
        attributes: (a,) int64 which of the attributes that slice a series they have.
        now: What the newest windows' rows count.
        usual: What earlier rows count.
    """

    attributes: Ints
    now: LeafCounts
    usual: LeafCounts


class JointRows:
    """Keeps sampled rows of the newest windows, and of each series some from before.

    Args:
        recent: How many windows are "now" at most; only what is older and not under alarm becomes usual.

    Cost:
        Per row nothing beyond the sample; per window and series with several attributes some 20 us; for each of at most 64 series
        with three attributes 230 kB.
    """

    def __init__(self, recent: int) -> None:
        self._recent: deque[Sample] = deque(maxlen=recent)  # newest first
        self._usual: dict[int, Sample] = {}

    def keep(self, sample: Sample, held: Ints) -> None:
        """Take in a window that was judged.

        Args:
            sample: Its rows.
            held: (h,) int64 keys of series that are under alarm: what is old by now teaches nothing about them.
        """
        if len(self._recent) == self._recent.maxlen:
            self._learn(self._recent[-1], held)
        if sample.marks.shape[1]:
            for key in np.unique(sample.keys).tolist() if len(self._usual) < MOST_SERIES else ():
                if len(self._usual) < MOST_SERIES:
                    self._usual.setdefault(key, Sample.empty())
            kept = _where(sample, np.isin(sample.keys, np.fromiter(self._usual, np.int64)))
        else:
            kept = Sample.empty()
        self._recent.appendleft(kept)

    def _learn(self, sample: Sample, held: Ints) -> None:
        for key in np.setdiff1d(sample.keys, held).tolist():
            self._usual[key] = _joined(_of_series(sample, key), self._usual[key], MOST_ROWS)

    def sides(
        self, newest: Sample, series: int, feature: Feature, windows: int, within: int | None = None
    ) -> Sides | None:
        """Return what leaves of all attributes count, now and usually; None where there are too few rows, or one attribute.

        Args:
            newest: The sample of the window being judged, not kept yet.
            series: Key of the series.
            feature: What is counted.
            windows: How many windows are "now".
            within: Key of a slice that all rows are of; None for all.
        """
        usual = self._usual.get(series)
        if usual is None or not newest.marks.shape[1]:
            return None
        now = Sample.empty()
        for sample in (newest, *self._recent)[:windows]:
            now = _joined(now, _of_series(sample, series), MOST_ROWS)
        if within is not None:
            now, usual = (_where(rows, (_parts(rows) == within).any(axis=1)) for rows in (now, usual))
        if now.keys.size < _FEWEST_NOW or usual.keys.size < _FEWEST_USUAL:
            return None
        both = np.concatenate((_parts(now), _parts(usual)))
        varied = np.flatnonzero([np.unique(column[column >= 0]).size > 1 for column in both.T])
        if varied.size < (2 if within is None else 1):
            return None
        return Sides(varied, _leaves(now, varied, feature), _leaves(usual, varied, feature))


def best_of(counted: Attribution, sampled: Attribution | None, *, within: bool) -> Attribution:
    """Return the better of two answers: by single attributes, which count every row, and by all of them, from a sample.

    The sample's is better where it names what the other cannot see.

    Args:
        counted: By single attributes.
        sampled: By all of them; None where there are too few rows.
        within: Whether the sample is of one slice only; else the other sees all but combinations.
    """
    if sampled is None or sampled.answer is not Answer.CAUSES:
        return counted
    return sampled if within or any(len(cause.conditions) > 1 for cause in sampled.causes) else counted


def _parts(sample: Sample) -> Ints:
    """Return (r, s) int64 the slices of rows."""
    return sample.marks[:, : sample.marks.shape[1] - MARKED.size]


def _where(sample: Sample, chosen: Flags | slice) -> Sample:
    """Return some rows, without what is not asked for here."""
    return Sample(
        sample.keys[chosen],
        sample.ranks[chosen],
        sample.values[chosen],
        sample.marks[chosen],
        sample.measured[chosen, :0],
        sample.routes[chosen],
    )


def _of_series(sample: Sample, key: int) -> Sample:
    first, last = np.searchsorted(sample.keys, [key, key + 1]).tolist()
    return _where(sample, slice(first, last))


def _joined(newer: Sample, older: Sample, most: int) -> Sample:
    """Return the rows of both, at most so many, the newer ones first."""
    if not newer.keys.size or not older.keys.size:
        return newer if newer.keys.size else older
    return Sample(
        np.concatenate((newer.keys, older.keys))[:most],
        np.concatenate((newer.ranks, older.ranks))[:most],
        np.concatenate((newer.values, older.values))[:most],
        np.concatenate((newer.marks, older.marks))[:most],
        np.concatenate((newer.measured, older.measured))[:most],
        np.concatenate((newer.routes, older.routes))[:most],
    )


def _leaves(sample: Sample, attributes: Ints, feature: Feature) -> LeafCounts:
    """Return what rows count by leaf, as `LeafTable` wants it for the shape of the feature."""
    codes = _parts(sample)[:, attributes]
    codes = np.where(codes >= 0, codes, OTHER)
    if feature.shape is Shape.NUMBER:
        values = sample.values[:, NUMBERS.tolist().index(feature.aspect)]
        known = values != UNKNOWN
        of = values[known].astype(np.float64)
        return LeafCounts.of(codes[known], np.stack((np.ones(of.size), of, of * of), axis=1))
    bins = sample.marks[:, sample.marks.shape[1] - MARKED.size + MARKED.tolist().index(feature.aspect)]
    known = bins != MISSING
    codes, bins = codes[known], bins[known]
    ones: Floats = np.ones(bins.size)
    if feature.shape is Shape.CATEGORY:
        return LeafCounts.of(np.concatenate((codes, bins[:, None]), axis=1), ones[:, None])
    return LeafCounts.of(codes, np.stack((ones, (bins == 1).astype(np.float64)), axis=1))
