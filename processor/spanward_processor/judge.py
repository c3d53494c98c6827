"""From evidence to findings that last: opened once, kept up to date, resolved when things are as usual again."""

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.detectors.base import Account, Detector
from spanward_processor.evidence import Evidence, log10_threshold
from spanward_processor.findings import Finding, Series, Severity, SliceShare, State, as_plain, from_plain
from spanward_processor.kept import Arrays, Kept, from_json, gathered, scattered, to_json
from spanward_processor.kernels.jit import Flags, Ints
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.keys import KeyDirectory
from spanward_processor.slots import ABSENT, Slots
from spanward_processor.spent import Spent
from spanward_processor.window import Window

_CALM_WINDOWS: Final = 3  # as-usual windows in a row after which a finding is resolved
_UPDATE_NS: Final = 60 * 1_000_000_000  # an open finding is told again at most this often
_CRITICAL_LOG10: Final = (
    6.0  # evidence beyond the threshold at which a warning becomes critical, or twice the threshold
)
_CONTRIBUTES_LOG10_E: Final = 1.3  # evidence of a slice from which it is named: a chance of one in twenty
_MOST_SLICES: Final = 5
_FEATURE_MASK: Final = (1 << FEATURE_BITS) - 1

_Claim = tuple[int, int, int]  # detector, series key, feature: one finding at a time


@dataclass(slots=True)
class _Lasting:
    """An open finding, the stream it speaks of, and when it was last told."""

    finding: Finding
    stream: int
    streams: set[int]
    carriers: tuple[tuple[int, int], ...]
    told_ns: int


class Judge:
    """Accumulates what detectors say, keeps to the budget of false alarms, and holds the open findings.

    A slice's deviation and its series' deviation in the same feature are one claim; the slices that contribute are named
    in it. What a series under alarm shows is not learned by any detector.

    Args:
        detectors: Who is asked.
        directory: Names of the keys.
        text: Code to text.
        window_s: Length of a window, seconds.
        false_alarms_per_day: The budget for all tests together.
    """

    def __init__(
        self,
        detectors: Sequence[Detector],
        directory: KeyDirectory,
        text: Callable[[int], str],
        *,
        window_s: float,
        false_alarms_per_day: float,
    ) -> None:
        self._detectors = tuple(detectors)
        self.spent = Spent(detector.name for detector in self._detectors)
        self._slots = tuple(Slots() for _ in self._detectors)  # of streams ever under test
        self._evidence = tuple(Evidence() for _ in self._detectors)  # by slot
        self._directory = directory
        self._text = text
        self._window_s = window_s
        self.false_alarms_per_day = false_alarms_per_day
        self._open: dict[_Claim, _Lasting] = {}

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        lasting = [
            (claim, as_plain(one.finding), one.stream, sorted(one.streams), one.carriers, one.told_ns)
            for claim, one in self._open.items()
        ]
        return gathered(self._parts()) | {"open": from_json(lasting)}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        scattered(self._parts(), arrays)
        self._open = {
            (claim[0], claim[1], claim[2]): _Lasting(
                from_plain(finding), stream, set(streams), tuple((cell[0], cell[1]) for cell in carriers), told_ns
            )
            for claim, finding, stream, streams, carriers, told_ns in to_json(arrays["open"])
        }

    def _parts(self) -> dict[str, Kept]:
        parts: dict[str, Kept] = {}
        for detector, slots, evidence in zip(self._detectors, self._slots, self._evidence, strict=True):
            name = detector.name
            parts |= {f"slots.{name}": slots, f"evidence.{name}": evidence, f"detectors.{name}": detector}
        return parts

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
        threshold = self._threshold()
        tested: list[Ints] = []
        for number, detector in enumerate(self._detectors):
            began_s = time.perf_counter()
            surprise = detector.test(window, self._directory)
            self.spent.add(detector.name, "windows", time.perf_counter() - began_s)
            slots = self._slots[number].admit(surprise.streams)
            self._evidence[number].grow(len(self._slots[number]))
            self._evidence[number].add(slots, surprise.p, threshold)
            tested.append(surprise.streams)
        changes = [*self._update(window, tested, threshold), *self._open_new(window, tested, threshold)]
        open_series = self._held()
        for number, detector in enumerate(self._detectors):
            began_s = time.perf_counter()
            detector.learn(window, self._with_suspicious(open_series, number, threshold))
            self.spent.add(detector.name, "windows", time.perf_counter() - began_s)
        return tuple(changes)

    def _threshold(self) -> float:
        return log10_threshold(sum(map(len, self._slots)), self._window_s, self.false_alarms_per_day)

    def _held(self) -> Flags:
        """Return the streams of every series that has an open finding, its slices included."""
        if not self._open:
            return np.zeros(0, bool)
        series = np.unique([claim[1] for claim in self._open]).astype(np.int64)
        return np.repeat(np.isin(self._directory.parents(), series), 1 << FEATURE_BITS)

    def _with_suspicious(self, held: Flags, number: int, threshold: float) -> Flags:
        """Return the held streams, and with them those that are not to be learned from for now."""
        suspicious = self._slots[number].streams[
            self._evidence[number].suspicious(threshold)[: len(self._slots[number])]
        ]
        if not suspicious.size:
            return held
        both = np.zeros(max(held.size, int(suspicious.max()) + 1), bool)
        both[: held.size] = held
        both[suspicious] = True
        return both

    def _log10_e(self, number: int, stream: int) -> float:
        return self._evidence[number].log10_e(self._slots[number].of(stream))

    # --- new findings ------------------------------------------------------------------------------------------------

    def _open_new(self, window: Window, tested: Sequence[Ints], threshold: float) -> Iterator[Finding]:
        for number, evidence in enumerate(self._evidence):
            claims: dict[_Claim, list[int]] = defaultdict(list)
            for stream in np.sort(self._slots[number].streams[evidence.alarmed(threshold)]).tolist():
                claims[self._claim(number, stream)].append(stream)
            for claim, streams in claims.items():
                if claim in self._open:
                    self._widen(claim, streams)
                elif np.isin(streams, tested[number]).all():
                    yield self._begin(claim, streams, window, tested[number], threshold)

    def _widen(self, claim: _Claim, streams: list[int]) -> None:
        """Add streams to an open finding; once the whole series alarms, the finding speaks of it."""
        lasting, whole = self._open[claim], claim[1] << FEATURE_BITS | claim[2]
        lasting.streams.update(streams)
        if whole in streams:
            lasting.stream = whole

    def _claim(self, number: int, stream: int) -> _Claim:
        return number, self._directory.parent(stream >> FEATURE_BITS), stream & _FEATURE_MASK

    def _begin(self, claim: _Claim, streams: list[int], window: Window, tested: Ints, threshold: float) -> Finding:
        number, series, feature = claim
        whole = series << FEATURE_BITS | feature
        stream = whole if whole in streams else max(streams, key=lambda one: self._log10_e(number, one))
        finding, carriers = self._state(claim, stream, window, tested, threshold)
        self._open[claim] = _Lasting(finding, stream, set(streams), carriers, window.end_ns)
        return finding

    def _state(
        self, claim: _Claim, stream: int, window: Window, tested: Ints, threshold: float
    ) -> tuple[Finding, tuple[tuple[int, int], ...]]:
        detector, evidence = self._detectors[claim[0]], self._evidence[claim[0]]
        key = stream >> FEATURE_BITS
        account = detector.explain(stream, window, self._directory, self._text)
        slices, judged, unjudged = self._slices(claim, stream, window, tested)
        slot = self._slots[claim[0]].of(stream)
        log10_e = evidence.log10_e(slot)
        finding = Finding(
            id=_finding_id(detector.name, account.aspect, self._directory[key], window.end_ns),
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
            p=evidence.p(slot),
            n=account.n,
            budget_per_day=self.false_alarms_per_day,
            reason=account.reason + _blame(slices, judged, unjudged),
            slices=tuple(share for share, _ in slices),
            technique=account.technique,
            client_trust=account.client_trust,
            example_trace_id=window.example(key),
        )
        alone = len(slices) == 1 and not unjudged  # else rows of the others may carry it too
        return finding, slices[0][1] if alone else account.carriers

    def _slices(
        self, claim: _Claim, stream: int, window: Window, tested: Ints
    ) -> tuple[list[tuple[SliceShare, tuple[tuple[int, int], ...]]], int, int]:
        """Return the slices that deviate in the same feature as their series, strongest first, how many are judged and not.

        A slice without a test in this window has nothing to show for its evidence, and is not named.
        """
        number, series, feature = claim
        if stream != series << FEATURE_BITS | feature:
            return [], 0, 0
        children = np.flatnonzero(self._directory.parents() == series)
        every = children[children != series] << FEATURE_BITS | feature
        streams = every[self._slots[number].find(every) != ABSENT]
        strength = {child: self._log10_e(number, child) for child in streams[np.isin(streams, tested)].tolist()}
        deviating = [child for child, log10_e in strength.items() if log10_e >= _CONTRIBUTES_LOG10_E]
        deviating.sort(key=strength.__getitem__, reverse=True)
        shares = [self._share(number, child, window) for child in deviating[:_MOST_SLICES]]
        return shares, int(streams.size), int(every.size - streams.size)

    def _share(self, number: int, stream: int, window: Window) -> tuple[SliceShare, tuple[tuple[int, int], ...]]:
        account = self._detectors[number].explain(stream, window, self._directory, self._text)
        name, value = self._directory[stream >> FEATURE_BITS].slice or ("", "")
        share = SliceShare(
            name=name,
            value=value,
            log10_e=self._log10_e(number, stream),
            n=account.n,
            text=f"{account.observed}, usually {account.baseline}",
        )
        return share, account.carriers

    # --- open findings -----------------------------------------------------------------------------------------------

    def _update(self, window: Window, tested: Sequence[Ints], threshold: float) -> Iterator[Finding]:
        for claim, lasting in list(self._open.items()):
            evidence, slots = self._evidence[claim[0]], self._slots[claim[0]]
            places = slots.find(np.array(sorted(lasting.streams), np.int64))
            if all(evidence.calm_windows(slot) >= _CALM_WINDOWS for slot in places.tolist()):
                del self._open[claim]
                evidence.forget(places)
                yield replace(lasting.finding, state=State.RESOLVED, updated_ns=window.end_ns)
            elif lasting.stream in tested[claim[0]] and not evidence.calm_windows(slots.of(lasting.stream)):
                now, lasting.carriers = self._state(claim, lasting.stream, window, tested[claim[0]], threshold)
                told = lasting.finding
                lasting.finding = replace(
                    now, id=told.id, state=State.UPDATED, opened_ns=told.opened_ns, severity=max_severity(told, now)
                )
                rose = lasting.finding.severity != told.severity
                if rose or window.end_ns - lasting.told_ns >= _UPDATE_NS:
                    lasting.told_ns = window.end_ns
                    yield lasting.finding


def max_severity(left: Finding, right: Finding) -> Severity:
    """Return the higher of two severities: a finding never becomes less severe while it lasts."""
    order = list(Severity)
    return max(left.severity, right.severity, key=order.index)


def _severity(account: Account, log10_e: float, threshold: float) -> Severity:
    if account.kind == "security" or log10_e >= threshold + min(_CRITICAL_LOG10, threshold):  # evidence ends at twice
        return Severity.CRITICAL
    return Severity.WARNING


def _blame(slices: Sequence[tuple[SliceShare, object]], judged: int, unjudged: int) -> str:
    """Say which slices contribute: one with what it shows, a few by name, all in a word; and how many nobody can tell of.

    Args:
        slices: Those that deviate, strongest first.
        judged: How many are judged.
        unjudged: How many have had too few rows for that.
    """
    if not slices or judged + unjudged == 1:
        return ""
    first = slices[0][0]
    names = ", ".join(f"{share.name}={share.value}" for share, _ in slices)
    rest = f" {unjudged} more had too few rows to tell." if unjudged else ""
    if len(slices) == 1:
        return f" {'Only ' if not unjudged else ''}{names} deviates: {first.text}.{rest}"
    if not unjudged and len(slices) >= min(judged, _MOST_SLICES):
        return " Every slice deviates."
    return f" Deviating slices: {names}.{rest}"


def _finding_id(detector: str, aspect: str, series: Series, opened_ns: int) -> str:
    parts = (detector, aspect, series.service, series.model, series.version, *(series.slice or ()), str(opened_ns))
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
