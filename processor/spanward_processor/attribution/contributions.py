"""Which slices of a series explain a finding about it, by what their windows counted.

A finding speaks of one feature of one series. What each slice showed lately is held against what is usual for that slice; how
far back "lately" goes is chosen among a few lengths by the evidence, since a small shift needs many windows and a gross one
is watered down by them. Nothing is computed until a finding asks, and then at most once a minute for each.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from spanward_processor.attribution.answer import Answer, Attribution, Cause
from spanward_processor.attribution.attribute import attribute_mean, attribute_mix, attribute_rate
from spanward_processor.attribution.joint import JointRows, best_of
from spanward_processor.attribution.leaves import LeafCounts
from spanward_processor.attribution.mix import as_rate
from spanward_processor.attribution.table import LeafTable
from spanward_processor.attribution.words import REST_AS_USUAL, is_whole_story, sentence
from spanward_processor.features import FEATURES, Aspect, Feature, Shape, show_share
from spanward_processor.findings import SliceShare
from spanward_processor.kernels.binning import SCALE, UNIT_BINS
from spanward_processor.kernels.cells import Packed
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.kernels.tables import FEATURE_BITS, OTHER
from spanward_processor.keys import KeyDirectory
from spanward_processor.windows.cells import Cells, packed
from spanward_processor.windows.window import Window

MOST_CELLS: Final = 1 << 18  # of earlier windows that are kept: 4 MB
MOST_LEAVES: Final = 1 << 13  # of slice and decision; the lightest decisions of a slice become "other"
_LENGTHS: Final = (2, 8, 27)  # windows that "lately" may be; no finding opens after one
_FRESH_NS: Final = 60 * 1_000_000_000
_FORGOTTEN_NS: Final = 10 * _FRESH_NS
_DECISION: Final = "decision"
_LOWEST, _HIGHEST = -20 * SCALE, 1 << 20  # bins of numbers; zero is taken for a millionth


@dataclass(frozen=True, slots=True)
class Contribution:
    """What explains a finding.

    Args:
        reason: In a sentence.
        slices: The slices it names, strongest first; empty where none is to blame.
        looked_at: The attributes of which no single value is to blame, since most of the traffic moved alike; else none.
    """

    reason: str
    slices: tuple[SliceShare, ...]
    looked_at: tuple[str, ...] = ()


@dataclass(slots=True)
class _Told:
    contribution: Contribution | None
    computed_ns: int
    asked_ns: int


class Contributions:
    """Explains findings by slices, when asked.

    Args:
        directory: Names of the keys.
        usual: Stream to what is usual for it.
        text: Code to text.

    Cost:
        Nothing per row. Per window one copy; up to 4 MB for earlier windows. Per answer 5 to 100 ms.
    """

    def __init__(self, directory: KeyDirectory, usual: Callable[[int], Cells], text: Callable[[int], str]) -> None:
        self._directory = directory
        self._usual = usual
        self._text = text
        self._earlier: deque[Packed] = deque(maxlen=_LENGTHS[-1] - 1)  # newest first
        self._joint = JointRows(_LENGTHS[-1] - 1)
        self._told: dict[tuple[int, int], _Told] = {}  # by key and feature

    @property
    def windows(self) -> int:
        """How many earlier windows are kept."""
        return len(self._earlier)

    def keep(self, window: Window, held: Flags) -> None:
        """Keep a window that was judged; as many as there is room for.

        Args:
            window: The window.
            held: (m,) bool by stream, what is under alarm.
        """
        self._joint.keep(window.sample.related(), np.unique(np.flatnonzero(held) >> FEATURE_BITS))
        self._earlier.appendleft(packed(window.cells))
        room = MOST_CELLS
        for place, cells in enumerate(self._earlier):
            room -= cells.streams.size
            if room < 0:
                while len(self._earlier) > place:
                    self._earlier.pop()
                break
        self._told = {
            claim: told for claim, told in self._told.items() if window.end_ns - told.asked_ns < _FORGOTTEN_NS
        }

    def of(self, window: Window, key: int, feature: int) -> Contribution | None:
        """Return what explains a finding; None where slices say nothing about it.

        About a slice nothing is said but which values of other attributes are the causes, within it or else in its series, or that
        nothing else moved: that most of the series moved alike would contradict the finding, and a slice is not explained by itself.

        Args:
            window: The window being judged, not kept yet.
            key: The series or slice that the finding speaks of.
            feature: What moved.
        """
        if feature >= len(FEATURES):  # whole rows, or two features together
            return None
        told = self._told.get((key, feature))
        lasts = told is not None and window.end_ns - told.asked_ns <= 2 * (window.end_ns - window.start_ns)
        if told is None or not lasts or window.end_ns - told.computed_ns >= _FRESH_NS:
            told = self._told[key, feature] = _Told(
                self._computed(window, key, FEATURES[feature]), window.end_ns, window.end_ns
            )
        told.asked_ns = window.end_ns
        return told.contribution

    def _computed(self, window: Window, key: int, feature: Feature) -> Contribution | None:
        if feature.shape is Shape.COUNT or feature.aspect is Aspect.CLIENT:
            return None
        series = self._directory.parent(key)
        recent = (packed(window.cells), *self._earlier)
        single = {name: self._attributed(recent, name, keys, feature) for name, keys in self._slices(series)}
        if not single:
            return None
        counted = max(single.values(), key=_decisive)
        sampled = self._together(window, key, feature, counted.categories)
        found = best_of(counted, sampled, within=key != series)
        if found.answer is Answer.NOTHING:
            return None
        if key != series and not self._explains_slice(found, key):
            return Contribution(REST_AS_USUAL, ()) if self._is_alone(found, key) else None
        show, rows = _shown(feature), "sampled rows" if found is sampled else "rows"
        causes = tuple(self._share(cause, show) for cause in found.causes)
        looked_at = tuple(single) if found.answer is Answer.NO_SINGLE_CAUSE else ()
        return Contribution(sentence(found, show, self._value, looked_at, rows), causes, looked_at)

    def _explains_slice(self, found: Attribution, key: int) -> bool:
        """Return whether causes are named by another attribute than that of the slice: its own values share no rows with it."""
        name, _ = self._directory[key].slice or ("", "")
        named = {condition for cause in found.causes for condition, _ in cause.conditions}
        return found.answer is Answer.CAUSES and name not in named

    def _is_alone(self, found: Attribution, key: int) -> bool:
        """Return whether a slice is the one cause of what its series shows, and all else is as usual."""
        name, _ = self._directory[key].slice or ("", "")
        return is_whole_story(found) and found.causes[0].conditions == ((name, key),)

    def _together(self, window: Window, key: int, feature: Feature, categories: tuple[int, ...]) -> Attribution | None:
        """Return the answer by all attributes at once, from sampled rows; None where there are too few.

        Which decisions moved is better known from what was counted of all rows, where that is known.
        """
        series = self._directory.parent(key)
        within = None if key == series else key
        answers: list[Attribution] = []
        for length in _lengths(1 + len(self._earlier)):
            sides = self._joint.sides(window.sample.related(), series, feature, length, within)
            if sides is not None:
                names = tuple(
                    self._attribute(sides.now, sides.usual, column) for column in range(sides.attributes.size)
                )
                answers.append(_answer(names, sides.now, sides.usual, feature, categories))
        return max(answers, key=lambda found: found.log10_e, default=None)

    def _attribute(self, now: LeafCounts, usual: LeafCounts, column: int) -> str:
        """Return the name of the attribute whose slices stand in a column of leaves."""
        codes = np.concatenate((now.codes[:, column], usual.codes[:, column]))
        name, _ = self._directory[int(codes[codes != OTHER][0])].slice or ("", "")
        return name

    def _slices(self, series: int) -> Iterator[tuple[str, Ints]]:
        """Yield each attribute that slices a series, and the keys of its values, where there are two at least."""
        children = np.flatnonzero(self._directory.parents() == series)
        by_name: dict[str, list[int]] = {}
        for key in children[children != series].tolist():
            name, _ = self._directory[key].slice or ("", "")
            by_name.setdefault(name, []).append(key)
        yield from ((name, np.array(keys, np.int64)) for name, keys in by_name.items() if len(keys) > 1)

    def _attributed(self, recent: Sequence[Packed], name: str, keys: Ints, feature: Feature) -> Attribution:
        """Return the answer by one attribute, from as many recent windows as give the most evidence."""
        streams = keys << FEATURE_BITS | feature.aspect
        parts = [_owned(place, self._usual(stream)) for place, stream in enumerate(streams.tolist())]
        usual, now = _leaves(keys, parts, feature), [_of_streams(cells, streams) for cells in recent]
        answers = (
            _answer((name,), _leaves(keys, now[:length], feature), usual, feature) for length in _lengths(len(recent))
        )
        return max(answers, key=lambda found: found.log10_e)

    def _value(self, key: int) -> str:
        """Return the value of the slice that a key stands for."""
        return (self._directory[key].slice or ("", ""))[1]

    def _share(self, cause: Cause, show: Callable[[float], str]) -> SliceShare:
        (name, key), *more = cause.conditions
        return SliceShare(
            name=name,
            value=self._value(key),
            log10_e=cause.log10_e,
            n=cause.n,
            text=f"{show(cause.observed)}, expected {show(cause.expected)}",
            share=min(max(cause.share, 0.0), 1.0),
            also=tuple((other, self._value(code)) for other, code in more),
        )


def _lengths(windows: int) -> list[int]:
    """Return how many windows to look at, each number once."""
    return sorted({min(length, windows) for length in _LENGTHS})


def _answer(
    names: tuple[str, ...], now: LeafCounts, usual: LeafCounts, feature: Feature, categories: tuple[int, ...] = ()
) -> Attribution:
    """Return what explains a shift of leaves; of decisions by the rate of some, where it is known which moved."""
    if feature.shape is Shape.CATEGORY:
        table = LeafTable.of((*names, _DECISION), now, usual)
        return attribute_rate(as_rate(table, np.array(categories))) if categories else attribute_mix(table)
    table = LeafTable.of(names, now, usual)
    return attribute_rate(table) if feature.shape is Shape.FLAG else attribute_mean(table)


def _decisive(found: Attribution) -> tuple[int, float]:
    """Return what makes one attribute's answer better than another's: a cause first, then that the mix changed."""
    order = (Answer.NOTHING, Answer.NO_SINGLE_CAUSE, Answer.MIX_CHANGED, Answer.CAUSES)
    return order.index(found.answer), found.causes[0].log10_e if found.causes else found.log10_e


_Owned = tuple[Ints, Ints, Floats]  # place of the slice, bin, count


def _owned(place: int, cells: Cells) -> _Owned:
    return np.full(len(cells), place, np.int64), cells.bins, cells.counts


def _of_streams(cells: Packed, streams: Ints) -> _Owned:
    """Return the cells of some streams."""
    firsts, lasts = np.searchsorted(cells.streams, streams), np.searchsorted(cells.streams, streams, "right")
    sizes = lasts - firsts
    owners = np.repeat(np.arange(streams.size), sizes)
    places = np.arange(owners.size) + np.repeat(firsts - (np.cumsum(sizes) - sizes), sizes)
    return owners, cells.bins[places], cells.counts[places].astype(np.float64)


def _leaves(keys: Ints, parts: Sequence[_Owned], feature: Feature) -> LeafCounts:
    """Return what the slices counted: by decision, with events, or with the sums of a number."""
    bins: Ints = np.concatenate([part[1] for part in parts])
    counts: Floats = np.concatenate([part[2] for part in parts])
    codes = keys[np.concatenate([part[0] for part in parts])][:, None]
    if feature.shape is Shape.CATEGORY:
        return LeafCounts.of(np.concatenate((codes, bins[:, None]), axis=1), counts[:, None]).bounded(MOST_LEAVES)
    if feature.shape is Shape.FLAG:
        events: Floats = np.where(bins == 1, counts, 0.0)
        return LeafCounts.of(codes, np.stack((counts, events), axis=1))
    known = bins <= _HIGHEST  # rows that found no bin of their own say nothing
    low, high = (0, UNIT_BINS) if feature.unit_range else (_LOWEST, _HIGHEST)
    values = np.clip(bins[known], low, high).astype(np.float64)
    sums: Floats = counts[known] * np.stack((np.ones(values.size), values, values * values))
    return LeafCounts.of(codes[known], np.ascontiguousarray(sums.T))


def _shown(feature: Feature) -> Callable[[float], str]:
    """Return how a rate or a mean bin of a feature is put into words; the mean bin of a duration is its geometric mean."""
    if feature.shape is not Shape.NUMBER:
        return show_share
    if feature.unit_range:
        return lambda mean: feature.show((mean + 0.5) / UNIT_BINS)
    return lambda mean: feature.show(2.0 ** ((mean + 0.5) / SCALE))
