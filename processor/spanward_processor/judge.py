"""From evidence to findings that last: opened once, kept up to date, resolved when things are as usual again."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.attribution.contributions import Contributions
from spanward_processor.attribution.words import MOST_SLICES, deviating
from spanward_processor.detectors.base import Account, Detector, Herald, Surprise
from spanward_processor.evidence import Evidence, log10_threshold, together
from spanward_processor.features import FEATURES, Aspect
from spanward_processor.findings import (
    Finding,
    Severity,
    SliceShare,
    State,
    as_plain,
    beside,
    finding_id,
    from_plain,
    joined,
    max_severity,
)
from spanward_processor.kept import Arrays, Kept, from_json, gathered, scattered, to_json
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.keys import KeyDirectory
from spanward_processor.spent import Spent
from spanward_processor.usual.slots import ABSENT, Slots
from spanward_processor.windows.window import Window

_CALM_WINDOWS: Final = 3  # as-usual windows in a row after which a finding is resolved
_ALONE_WINDOWS: Final = 3  # in which no single feature explains why whole rows, or pairs of numbers, are unusual
_UPDATE_NS: Final = 60 * 1_000_000_000  # an open finding is told again at most this often
_CRITICAL_LOG10: Final = (
    6.0  # evidence beyond the threshold at which a warning becomes critical, or twice the threshold
)
_CONTRIBUTES_LOG10_E: Final = 1.3  # evidence of a slice from which it is named: a chance of one in twenty
_FEATURE_MASK: Final = (1 << FEATURE_BITS) - 1

_Claim = tuple[int, int]  # series key, feature: one finding at a time, whoever sees it


@dataclass(slots=True)
class _Lasting:
    """An open finding, the detector that speaks for it, the stream it speaks of, and when it was last told."""

    finding: Finding
    number: int
    stream: int
    streams: set[int]
    carriers: tuple[tuple[int, int], ...]
    told_ns: int


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
        contributions: Contributions | None = None,
        why: Callable[[Window, int, int], str] | None = None,
    ) -> None:
        self._contributions = contributions
        self._why = why
        self._detectors = tuple(detectors)
        self._heralds = tuple(detector for detector in self._detectors if isinstance(detector, Herald))
        self.spent = Spent(detector.name for detector in self._detectors)
        self._slots = Slots()  # of streams ever under test, by whomever
        self._evidence = tuple(Evidence() for _ in self._detectors)  # by slot
        self._directory = directory
        self._text = text
        self._window_s = window_s
        self.false_alarms_per_day = false_alarms_per_day
        self._open: dict[_Claim, _Lasting] = {}
        self._alone: dict[_Claim, int] = {}  # windows in which a claim about whole rows or pairs was not explained

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
            )
            for claim, one in self._open.items()
        ]
        return gathered(self._parts()) | {"open": from_json(lasting)}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        scattered(self._parts(), arrays)
        numbers = {detector.name: number for number, detector in enumerate(self._detectors)}
        self._open = {
            (claim[0], claim[1]): _Lasting(
                from_plain(finding),
                numbers[name],
                stream,
                set(streams),
                tuple((cell[0], cell[1]) for cell in carriers),
                told_ns,
            )
            for claim, finding, name, stream, streams, carriers, told_ns in to_json(arrays["open"])
        }

    def _parts(self) -> dict[str, Kept]:
        parts: dict[str, Kept] = {"slots": self._slots}
        for detector, evidence in zip(self._detectors, self._evidence, strict=True):
            parts |= {f"evidence.{detector.name}": evidence, f"detectors.{detector.name}": detector}
        return parts

    @property
    def tested(self) -> int:
        """How many streams are under test, or were: they share the budget."""
        return len(self._slots)

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
        tested = np.unique(np.concatenate([np.empty(0, np.int64), *(surprise.streams for surprise in surprises)]))
        slots = self._slots.admit(tested)
        threshold = self._threshold()
        for evidence, surprise in zip(self._evidence, surprises, strict=True):
            evidence.grow(len(self._slots))
            of_streams = slots[np.searchsorted(tested, surprise.streams)]
            if surprise.log10_e is None:
                evidence.add(of_streams, surprise.p, threshold)
            else:
                evidence.take(of_streams, surprise.p, surprise.log10_e, threshold)
        changes = [*self._update(window, threshold), *self._open_new(tested, slots, window, threshold)]
        changes += [news for herald in self._heralds for news in herald.news(window, self._directory)]
        held = self._with_suspicious(self._held(), threshold)
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

    def _threshold(self) -> float:
        return log10_threshold(self.tested, self._window_s, self.false_alarms_per_day)

    def _held(self) -> Flags:
        """Return the streams of every open finding: those that alarmed, or where a whole series did, its feature in all slices too.

        With a whole series, what reads several features at once is held too. Nothing else is: it is judged by itself. Were it held
        too, one false finding about a slice would keep the day from being learned until all that follows the day is a finding.
        """
        if not self._open:
            return np.zeros(0, bool)
        parents = self._directory.parents()
        held = np.zeros((parents.size, 1 << FEATURE_BITS), bool)
        whole = [claim for claim, lasting in self._open.items() if _stream_of(claim) in lasting.streams]
        if whole:
            series, features = np.array(whole, np.int64).T
            held[series, features] = True
            held[series, len(FEATURES) :] = True
            held = held[parents]
        of_keys: Flags = held.ravel()
        of_keys[[stream for lasting in self._open.values() for stream in lasting.streams]] = True
        return of_keys

    def _with_suspicious(self, held: Flags, threshold: float) -> Flags:
        """Return the held streams, and with them those that nobody is to learn from for now, since one detector objects."""
        seen = np.zeros(len(self._slots), bool)
        for evidence in self._evidence:
            seen |= evidence.suspicious(threshold)[: seen.size]
        suspicious = self._slots.streams[seen]
        if not suspicious.size:
            return held
        both = np.zeros(max(held.size, int(suspicious.max()) + 1), bool)
        both[: held.size] = held
        both[suspicious] = True
        return both

    def _log10_e(self, streams: Sequence[int]) -> Floats:
        """Return (s,) float64 what all detectors together hold against streams under test, log10."""
        return together(self._evidence, self._slots.find(np.array(streams, np.int64)))

    def _speaker(self, stream: int) -> int:
        """Return the detector with the strongest evidence among those that tested a stream in this window."""
        slot = self._slots.find(np.array([stream]))
        strength = [
            float(evidence.log10_e(slot)[0]) if evidence.tested(slot)[0] else -np.inf for evidence in self._evidence
        ]
        return int(np.argmax(strength))

    # --- new findings ------------------------------------------------------------------------------------------------

    def _open_new(self, tested: Ints, slots: Ints, window: Window, threshold: float) -> Iterator[Finding]:
        claims: dict[_Claim, list[int]] = defaultdict(list)
        for stream in tested[together(self._evidence, slots) >= threshold].tolist() if tested.size else ():
            claims[self._directory.parent(stream >> FEATURE_BITS), stream & _FEATURE_MASK].append(stream)
        new: list[_Claim] = []
        for claim in sorted(claims, key=lambda one: (_urgency(one[1]), -self._log10_e(claims[one]).max())):
            if claim in self._open:
                self._widen(claim, claims[claim])
            elif self._says_more(claim):
                self._begin(claim, claims[claim], window, threshold)
                new.append(claim)
        self._alone = {claim: self._alone[claim] for claim in claims.keys() & self._alone.keys()}
        yield from (self._told(claim) for claim in new)

    def _of_series(self, series: int) -> list[Finding]:
        """Return the open findings of a series and its slices."""
        return [lasting.finding for (one, _), lasting in self._open.items() if one == series]

    def _told(self, claim: _Claim) -> Finding:
        """Return an open finding as it is told: with what else its incident shows."""
        finding = self._open[claim].finding
        return replace(finding, reason=finding.reason + beside(finding, self._of_series(claim[0])))

    def _says_more(self, claim: _Claim) -> bool:
        """Return whether a claim is about a single feature, or has stood alone for some windows.

        Where one number shifts, whole rows and pairs are unusual too, and often sooner; that is one finding, about the number.
        """
        series, feature = claim
        if feature < len(FEATURES):
            return True
        explained = any(one == series and other < len(FEATURES) for one, other in self._open)
        self._alone[claim] = 0 if explained else self._alone.get(claim, 0) + 1
        return self._alone[claim] > _ALONE_WINDOWS

    def _widen(self, claim: _Claim, streams: list[int]) -> None:
        """Add streams to an open finding; once the whole series alarms, the finding speaks of it."""
        lasting, whole = self._open[claim], _stream_of(claim)
        lasting.streams.update(streams)
        if whole in streams and lasting.stream != whole:
            lasting.stream, lasting.number = whole, self._speaker(whole)

    def _begin(self, claim: _Claim, streams: list[int], window: Window, threshold: float) -> None:
        whole = _stream_of(claim)
        stream = whole if whole in streams else streams[int(np.argmax(self._log10_e(streams)))]
        number = self._speaker(stream)
        finding, carriers = self._state(number, stream, window, threshold, window.end_ns)
        finding = joined(finding, self._of_series(claim[0]))
        self._open[claim] = _Lasting(finding, number, stream, set(streams), carriers, window.end_ns)

    def _state(
        self, number: int, stream: int, window: Window, threshold: float, opened_ns: int
    ) -> tuple[Finding, tuple[tuple[int, int], ...]]:
        detector, key = self._detectors[number], stream >> FEATURE_BITS
        account = detector.explain(stream, window, self._directory, self._text)
        slices, judged, unjudged = self._slices(number, stream, window)
        feature = stream & _FEATURE_MASK
        told = self._contributions.of(window, key, feature) if self._contributions else None
        series = self._directory.parent(key)
        why = self._why(window, series, opened_ns) if self._why and feature == Aspect.LATENCY else ""
        log10_e = float(self._log10_e([stream])[0])
        finding = Finding(
            id=finding_id(detector.name, account.aspect, self._directory[key], window.end_ns),
            kind=account.kind,
            state=State.OPENED,
            severity=_severity(account, log10_e, threshold),
            series=self._directory[key],
            detector=detector.name,
            aspect=account.aspect,
            opened_ns=window.end_ns,
            updated_ns=window.end_ns,
            window_ns=window.end_ns - window.start_ns,
            observed=account.observed,
            baseline=account.baseline,
            log10_e=log10_e,
            p=self._evidence[number].p(self._slots.of(stream)),
            n=account.n,
            budget_per_day=self.false_alarms_per_day,
            reason=account.reason
            + (f" {told.reason}" if told else deviating([share for share, _ in slices], judged, unjudged))
            + (f" {why}" if why else ""),
            slices=told.slices if told else tuple(share for share, _ in slices),
            technique=account.technique,
            client_trust=account.client_trust,
            example_trace_id=window.example(key),
        )
        alone = len(slices) == 1 and not unjudged  # else rows of the others may carry it too
        return finding, slices[0][1] if alone else account.carriers

    def _slices(
        self, number: int, stream: int, window: Window
    ) -> tuple[list[tuple[SliceShare, tuple[tuple[int, int], ...]]], int, int]:
        """Return the slices that deviate in the same feature as their series, strongest first, how many are judged and not.

        A slice that the detector has not tested in this window has nothing to show for its evidence, and is not named.
        """
        key, feature = stream >> FEATURE_BITS, stream & _FEATURE_MASK
        parents = self._directory.parents()
        if parents[key] != key:
            return [], 0, 0
        children = np.flatnonzero(parents == key)
        every = children[children != key] << FEATURE_BITS | feature
        slots = self._slots.find(every)
        known = slots != ABSENT
        known[known] = np.isfinite(self._evidence[number].log10_e(slots[known]))
        tested = every[known][self._evidence[number].tested(slots[known])].tolist()
        strength = dict(zip(tested, self._log10_e(tested).tolist(), strict=True)) if tested else {}
        deviating = [child for child, log10_e in strength.items() if log10_e >= _CONTRIBUTES_LOG10_E]
        deviating.sort(key=strength.__getitem__, reverse=True)
        shares = [self._share(number, child, strength[child], window) for child in deviating[:MOST_SLICES]]
        judged = int(np.count_nonzero(known))
        return shares, judged, int(every.size) - judged

    def _share(
        self, number: int, stream: int, log10_e: float, window: Window
    ) -> tuple[SliceShare, tuple[tuple[int, int], ...]]:
        account = self._detectors[number].explain(stream, window, self._directory, self._text)
        name, value = self._directory[stream >> FEATURE_BITS].slice or ("", "")
        share = SliceShare(
            name=name,
            value=value,
            log10_e=log10_e,
            n=account.n,
            text=f"{account.observed}, usually {account.baseline}",
        )
        return share, account.carriers

    # --- open findings -----------------------------------------------------------------------------------------------

    def _update(self, window: Window, threshold: float) -> Iterator[Finding]:
        for claim, lasting in list(self._open.items()):
            slots = self._slots.find(np.array(sorted(lasting.streams), np.int64))
            if all((evidence.calm_windows(slots) >= _CALM_WINDOWS).all() for evidence in self._evidence):
                del self._open[claim]
                explained = self._slots.find(_of_rows(claim[0]))
                for evidence in self._evidence:
                    evidence.forget(slots)
                    evidence.forget(explained[explained != ABSENT])
                yield replace(lasting.finding, state=State.RESOLVED, updated_ns=window.end_ns)
            elif self._shows(lasting):
                told = lasting.finding
                now, lasting.carriers = self._state(lasting.number, lasting.stream, window, threshold, told.opened_ns)
                lasting.finding = replace(
                    now,
                    id=told.id,
                    state=State.UPDATED,
                    opened_ns=told.opened_ns,
                    severity=max_severity(told, now),
                    incident=told.incident,
                )
                rose = lasting.finding.severity != told.severity
                if rose or window.end_ns - lasting.told_ns >= _UPDATE_NS:
                    lasting.told_ns = window.end_ns
                    yield self._told(claim)

    def _shows(self, lasting: _Lasting) -> bool:
        """Return whether the detector that speaks for a finding has seen it in this window too."""
        evidence, slot = self._evidence[lasting.number], self._slots.find(np.array([lasting.stream]))
        return bool(evidence.tested(slot)[0] and not evidence.calm_windows(slot)[0])


def _stream_of(claim: _Claim) -> int:
    """Return the stream of a whole series that a claim is about."""
    series, feature = claim
    return series << FEATURE_BITS | feature


def _urgency(feature: int) -> int:
    """Return where findings about a feature stand among those of one window: security first, whole rows and pairs last."""
    if feature >= len(FEATURES):
        return 2
    return 0 if FEATURES[feature].kind == "security" else 1


def _of_rows(series: int) -> Ints:
    """Return the streams of whole rows and of pairs of numbers of a series."""
    return series << FEATURE_BITS | np.arange(len(FEATURES), 1 << FEATURE_BITS)


def _severity(account: Account, log10_e: float, threshold: float) -> Severity:
    if account.kind == "security" or log10_e >= threshold + min(_CRITICAL_LOG10, threshold):  # evidence ends at twice
        return Severity.CRITICAL
    return Severity.WARNING
