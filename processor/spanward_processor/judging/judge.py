"""From evidence to findings that last: opened once, kept up to date, resolved when things are as usual again."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.attribution.contributions import Contributions
from spanward_processor.configuration.settings import LearnedAfter
from spanward_processor.detectors.base import Accumulator, Detector, Herald, Joint, Remembering
from spanward_processor.evidence import log10_threshold
from spanward_processor.features import FEATURES, Aspect
from spanward_processor.findings import Finding, State, as_plain, beside, from_plain, joined, max_severity
from spanward_processor.judging.dossier import Dossier
from spanward_processor.judging.holding import Claim, Holding, Lasting, stream_of
from spanward_processor.judging.presence import Presence
from spanward_processor.judging.recurring import Recurring, likewise
from spanward_processor.judging.returning import Returning, back, calm_windows
from spanward_processor.judging.telling import Carriers, Telling
from spanward_processor.kept import Arrays, Kept, from_json, gathered, scattered, to_json
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.keys import KeyDirectory
from spanward_processor.spent import Spent
from spanward_processor.surprise import Surprise
from spanward_processor.windows.window import Window

_ALONE_WINDOWS: Final = 3  # in which no single feature explains why whole rows, or pairs of numbers, are unusual
_UPDATE_NS: Final = 60 * 1_000_000_000  # an open finding is told again at most this often
_USUALLY_LEARNED_AFTER: Final = LearnedAfter()
_LEARNED: Final = " It has lasted for so long that it is learned from now on, and ends once it is usual."
_WAS_LEARNED: Final = " It lasted, was learned, and is usual now."
_FEATURE_MASK: Final = (1 << FEATURE_BITS) - 1


class Judge:
    """Accumulates what detectors say, keeps to the budget of false alarms, and holds the open findings.

    What several detectors hold against one stream is averaged, and judged by one threshold. A slice's deviation and its
    series' deviation in the same feature are one claim, whoever sees it; the detector with the strongest evidence speaks for
    it, and the slices that contribute are named in it. What is under alarm is not learned by any detector.

    Args:
        detectors: Who is asked.
        directory: Names of the keys.
        text: Code to text.
        window_s: Length of a window, seconds.
        false_alarms_per_day: The budget for all tests together.
        learned_after: How long findings hold what they speak of.
        contributions: Who explains findings by slices; None leaves it at the slices that deviate themselves.
        why: Says why the latency of a series rose, given the window, the series and when its finding opened; empty where nobody can
            tell. None where nobody is asked.
    """

    def __init__(
        self,
        detectors: Sequence[Detector],
        directory: KeyDirectory,
        text: Callable[[int], str],
        *,
        window_s: float,
        false_alarms_per_day: float,
        learned_after: LearnedAfter = _USUALLY_LEARNED_AFTER,
        contributions: Contributions | None = None,
        why: Callable[[Window, int, int], str] | None = None,
    ) -> None:
        self._contributions = contributions
        self._detectors = tuple(detectors)
        self._accumulators = tuple(one for one in self._detectors if isinstance(one, Accumulator))
        self._remembering = tuple(one for one in self._detectors if isinstance(one, Remembering))
        self._heralds = tuple(detector for detector in self._detectors if isinstance(detector, Herald))
        self.spent = Spent(detector.name for detector in self._detectors)
        self._dossier = Dossier([detector.name for detector in self._detectors])
        self._telling = Telling(self._detectors, self._dossier, directory, text, contributions, why)
        self._presence = Presence()
        self._recurring = Recurring()
        self._returning = Returning()
        self._holding = Holding(self._detectors, self._dossier, directory, learned_after)
        self._directory = directory
        self._window_s = window_s
        self.false_alarms_per_day = false_alarms_per_day
        self._open: dict[Claim, Lasting] = {}
        self._spoken_of: set[int] = set()  # streams of single features that open findings speak of
        self._alone: dict[Claim, int] = {}  # windows in which a claim about whole rows or pairs was not explained

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        lasting = [
            (
                claim,
                as_plain(one.finding),
                self._detectors[one.number].name,
                one.stream,
                sorted(one.streams),
                one.carriers,
                one.told_ns,
                one.learned,
                one.returns,
            )
            for claim, one in self._open.items()
        ]
        return gathered(self._parts()) | {"open": from_json(lasting)}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        scattered(self._parts(), arrays)
        numbers = {detector.name: number for number, detector in enumerate(self._detectors)}
        self._open = {
            (claim[0], claim[1]): Lasting(
                from_plain(finding),
                numbers[name],
                stream,
                set(streams),
                tuple((cell[0], cell[1]) for cell in carriers),
                told_ns,
                learned,
                returns,
            )
            for claim, finding, name, stream, streams, carriers, told_ns, learned, returns in to_json(arrays["open"])
        }
        self._spoken_of = self._streams_spoken_of()

    def _parts(self) -> dict[str, Kept]:
        detectors: dict[str, Kept] = {f"detectors.{detector.name}": detector for detector in self._detectors}
        remembered: dict[str, Kept] = {"recurring": self._recurring, "returning": self._returning}
        return self._dossier.parts() | {"presence": self._presence} | remembered | detectors

    def adopt(self, false_alarms_per_day: float, learned_after: LearnedAfter) -> None:
        """Judge by another budget, and hold what findings speak of for another time, from the next window on."""
        self.false_alarms_per_day = false_alarms_per_day
        self._holding.learned_after = learned_after

    @property
    def tested(self) -> int:
        """How many streams are under test, or were: they share the budget."""
        return len(self._dossier)

    @property
    def open_findings(self) -> tuple[Finding, ...]:
        """The findings that last, oldest first."""
        return tuple(lasting.finding for lasting in self._open.values())

    def carriers(self) -> Mapping[tuple[int, int], tuple[str, str]]:
        """Return the cells whose rows carry an open finding, each with detector name and finding id."""
        return {
            cell: (lasting.finding.detector, lasting.finding.id)
            for lasting in self._open.values()
            for cell in lasting.carriers
        }

    def hear(self, window: Window) -> tuple[Finding, ...]:
        """Let every detector test and learn one window; return what changed about the findings."""
        surprises = [self._ask(detector, window) for detector in self._detectors]
        tested = self._dossier.admit(surprises)
        threshold = self._threshold()
        self._dossier.add(surprises, threshold)
        self._excuse_turning(window)
        self._presence.see(window, self._directory)
        changes = [*self._update(window, threshold), *self._open_new(tested, window, threshold)]
        changes += [news for herald in self._heralds for news in herald.news(window, self._directory)]
        self._note_turns(window)
        held = self._holding.of(self._open, threshold, window.end_ns)
        for detector in self._detectors:
            began_s = time.perf_counter()
            detector.learn(window, held)
            self.spent.add(detector.name, "windows", time.perf_counter() - began_s)
        if self._contributions:
            self._contributions.keep(window, held)
        return tuple(changes)

    def _ask(self, detector: Detector, window: Window) -> Surprise:
        began_s = time.perf_counter()
        surprise = detector.test(window, self._directory)
        self.spent.add(detector.name, "windows", time.perf_counter() - began_s)
        return surprise

    def _note_turns(self, window: Window) -> None:
        """Tell who remembers it of which streams findings began or ended to speak."""
        before, self._spoken_of = self._spoken_of, self._streams_spoken_of()
        turned, spoken_of = (np.array(sorted(some), np.int64) for some in (before ^ self._spoken_of, self._spoken_of))
        for one in self._remembering:
            one.turn(turned, spoken_of, window, self._directory)

    def _excuse_turning(self, window: Window) -> None:
        """Let who reads several features at once hold nothing new against series in which one of them turns as it has before."""
        series = np.concatenate([np.empty(0, np.int64), *(one.turning(window) for one in self._remembering)])
        if series.size:
            keys = np.isin(self._directory.parents(), series)
            spoken_of = {stream for lasting in self._open.values() for stream in lasting.streams}
            for number, detector in enumerate(self._detectors):
                if isinstance(detector, Joint):
                    self._dossier.acquit_keys(number, keys, spoken_of)

    def _streams_spoken_of(self) -> set[int]:
        """Return the streams of single features, but for the rate, that open findings speak of."""
        return {
            stream
            for (_, feature), lasting in self._open.items()
            if Aspect.RATE < feature < len(FEATURES)
            for stream in lasting.streams
        }

    def _threshold(self) -> float:
        return log10_threshold(self.tested, self._window_s, self.false_alarms_per_day)

    # --- keys --------------------------------------------------------------------------------------------------------

    def spoken_of(self) -> Ints:
        """Return (n,) int64 the keys that open findings speak of."""
        streams = (stream for lasting in self._open.values() for stream in lasting.streams)
        return np.array(
            sorted({*(series for series, _ in self._open), *(one >> FEATURE_BITS for one in streams)}), np.int64
        )

    def evict(self, gone: Flags) -> None:
        """Let go of keys that no open finding speaks of, (k,) bool; they never come again."""
        self._dossier.evict(gone)
        for detector in self._detectors:
            detector.evict(gone)

    # --- new findings ------------------------------------------------------------------------------------------------

    def _open_new(self, tested: Ints, window: Window, threshold: float) -> Iterator[Finding]:
        claims: dict[Claim, list[int]] = defaultdict(list)
        for stream in tested[self._dossier.log10_e(tested) >= threshold].tolist() if tested.size else ():
            claims[self._directory.parent(stream >> FEATURE_BITS), stream & _FEATURE_MASK].append(stream)
        new: list[Claim] = []
        for claim in sorted(claims, key=lambda one: (_urgency(one[1]), -self._strength(claims[one]).max())):
            if claim in self._open:
                self._widen(claim, claims[claim])
            elif self._says_more(claim) and not self._is_explained(claim, claims[claim]):
                self._begin(claim, claims[claim], window, threshold)
                new.append(claim)
        self._alone = {claim: self._alone[claim] for claim in claims.keys() & self._alone.keys()}
        self._presence.keep_handed(series for series, feature in claims if feature == Aspect.RATE)
        yield from (self._told(claim) for claim in new)

    def _of_series(self, series: int) -> list[Finding]:
        """Return the open findings of a series and its slices."""
        return [lasting.finding for (one, _), lasting in self._open.items() if one == series]

    def _told(self, claim: Claim) -> Finding:
        """Return an open finding as it is told: with what else its incident shows, and whether it is usual at this time."""
        lasting = self._open[claim]
        finding, learned = lasting.finding, _LEARNED if lasting.learned else ""
        again = likewise(finding.recurrences) + back(lasting.returns)
        more = again + beside(finding, self._of_series(claim[0])) + learned
        return replace(finding, reason=finding.reason + more)

    def _says_more(self, claim: Claim) -> bool:
        """Return whether a claim is about a single feature, or has stood alone for some windows.

        Where one number shifts, whole rows and pairs are unusual too, and often sooner; that is one finding, about the number.
        """
        series, feature = claim
        if feature < len(FEATURES):
            return True
        explained = any(one == series and other < len(FEATURES) for one, other in self._open)
        self._alone[claim] = 0 if explained else self._alone.get(claim, 0) + 1
        return self._alone[claim] > _ALONE_WINDOWS

    def _is_explained(self, claim: Claim, streams: Iterable[int]) -> bool:
        """Return whether a rate is another one because other versions took the requests, or because all was switched off."""
        series, feature = claim
        return feature == Aspect.RATE and (
            self._presence.handed_over(series, self._directory) or self._presence.is_gone(_keys_of(streams))
        )

    def _widen(self, claim: Claim, streams: list[int]) -> None:
        """Add streams to an open finding; once the whole series alarms, the finding speaks of it."""
        lasting, whole = self._open[claim], stream_of(claim)
        lasting.streams.update(streams)
        if whole in streams and lasting.stream != whole:
            lasting.stream, lasting.number = whole, self._dossier.speaker(whole)

    def _begin(self, claim: Claim, streams: list[int], window: Window, threshold: float) -> None:
        whole = stream_of(claim)
        stream = whole if whole in streams else streams[int(np.argmax(self._strength(streams)))]
        number = self._dossier.speaker(stream)
        finding, carriers = self._state(number, stream, window, threshold, window.end_ns)
        recurrences = self._recurring.note(self._directory[claim[0]], claim[1], window.end_ns)
        finding = replace(joined(finding, self._of_series(claim[0])), recurrences=recurrences)
        returns = self._returning.returns(stream, window.end_ns)
        self._open[claim] = Lasting(
            finding, number, stream, set(streams), carriers, told_ns=window.end_ns, returns=returns
        )

    def _strength(self, streams: Sequence[int]) -> Floats:
        return self._dossier.log10_e(np.array(streams, np.int64))

    def _state(
        self, number: int, stream: int, window: Window, threshold: float, opened_ns: int
    ) -> tuple[Finding, Carriers]:
        return self._telling.of(number, stream, window, opened_ns, threshold, self.false_alarms_per_day)

    # --- open findings -----------------------------------------------------------------------------------------------

    def _update(self, window: Window, threshold: float) -> Iterator[Finding]:
        for claim, lasting in list(self._open.items()):
            streams = np.array(sorted(lasting.streams), np.int64)
            calm = self._dossier.is_calm(streams, calm_windows(lasting.returns))
            ended = "" if calm else self._ended(claim, lasting)
            if calm or ended:
                yield self._resolve(claim, streams, window, ended)
            elif self._dossier.shown_by(lasting.number, lasting.stream):
                told = lasting.finding
                now, lasting.carriers = self._state(lasting.number, lasting.stream, window, threshold, told.opened_ns)
                lasting.finding = replace(
                    now,
                    id=told.id,
                    state=State.UPDATED,
                    opened_ns=told.opened_ns,
                    severity=max_severity(told, now),
                    incident=told.incident,
                    recurrences=told.recurrences,
                )
                rose = lasting.finding.severity != told.severity
                if rose or window.end_ns - lasting.told_ns >= _UPDATE_NS:
                    lasting.told_ns = window.end_ns
                    yield self._told(claim)

    def _resolve(self, claim: Claim, streams: Ints, window: Window, ended: str) -> Finding:
        """End a finding, with a sentence that says why where its streams are not as usual."""
        lasting = self._open.pop(claim)
        self._returning.note(lasting.stream, lasting.returns, window.end_ns)
        told, ended = lasting.finding, ended or (_WAS_LEARNED if lasting.learned else "")
        if ended:  # they did not turn back
            self._spoken_of -= lasting.streams
        self._dossier.forget(streams)
        self._dossier.forget(_of_rows(claim[0]))
        if ended:  # else things are as they were before
            for detector in self._accumulators:
                detector.forget(streams)
        return replace(told, state=State.RESOLVED, updated_ns=window.end_ns, reason=told.reason + ended)

    def _ended(self, claim: Claim, lasting: Lasting) -> str:
        """Return, as a sentence, why a finding is over though its streams are not as usual; empty while it is not."""
        keys = _keys_of(lasting.streams)
        if claim[1] != Aspect.RATE:
            return (
                " Nothing has come for five minutes, so it is not known any more."
                if self._presence.has_ended(keys)
                else ""
            )
        if self._presence.handed_over(claim[0], self._directory):
            return " Other versions have its requests now."
        return " Nothing has come for a day: it is taken for switched off." if self._presence.is_gone(keys) else ""


def _keys_of(streams: Iterable[int]) -> Ints:
    """Return the keys of streams."""
    return np.array([stream >> FEATURE_BITS for stream in streams], np.int64)


def _urgency(feature: int) -> int:
    """Return where findings about a feature stand among those of one window: security first, whole rows and pairs last."""
    if feature >= len(FEATURES):
        return 2
    return 0 if FEATURES[feature].kind == "security" else 1


def _of_rows(series: int) -> Ints:
    """Return the streams of whole rows and of pairs of numbers of a series."""
    return series << FEATURE_BITS | np.arange(len(FEATURES), 1 << FEATURE_BITS)
