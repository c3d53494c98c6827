"""A finding as it is told: what a detector saw, which slices carry it, and why."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from spanward_processor.attribution.contributions import Contributions
from spanward_processor.attribution.words import MOST_SLICES, clients_deviate, deviating
from spanward_processor.detectors.base import Account, Detector
from spanward_processor.features import Aspect
from spanward_processor.findings import Finding, Severity, SliceShare, State, finding_id
from spanward_processor.judging.dossier import Dossier
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.keys import KeyDirectory
from spanward_processor.windows.window import Window

_CRITICAL_LOG10: Final = (
    6.0  # evidence beyond the threshold at which a warning becomes critical, or twice the threshold
)
_CONTRIBUTES_LOG10_E: Final = 1.3  # evidence of a slice from which it is named: a chance of one in twenty
_FEATURE_MASK: Final = (1 << FEATURE_BITS) - 1

Carriers = tuple[tuple[int, int], ...]
"""Cells, each a stream and a bin, whose rows carry a finding."""


class Telling:
    """Puts what was found into words.

    Args:
        detectors: Who may have found it.
        dossier: What they hold against each stream.
        directory: Names of the keys.
        text: Code to text.
        contributions: Who explains findings by slices; None leaves it at the slices that deviate themselves.
        why: Says why the latency of a series rose, given the window, the series and when its finding opened; empty where nobody can
            tell. None where nobody is asked.
    """

    def __init__(
        self,
        detectors: Sequence[Detector],
        dossier: Dossier,
        directory: KeyDirectory,
        text: Callable[[int], str],
        contributions: Contributions | None,
        why: Callable[[Window, int, int], str] | None,
    ) -> None:
        self._detectors = tuple(detectors)
        self._dossier = dossier
        self._directory = directory
        self._text = text
        self._contributions = contributions
        self._why = why

    def of(
        self, number: int, stream: int, window: Window, opened_ns: int, threshold: float, budget_per_day: float
    ) -> tuple[Finding, Carriers]:
        """Return what is told of a stream, and what rows carry it.

        Args:
            number: The detector that speaks.
            stream: Of which.
            window: The newest one.
            opened_ns: When the finding opened, Unix nanoseconds.
            threshold: Evidence at which a stream alarms, log10.
            budget_per_day: False alarms that are allowed.
        """
        detector, key = self._detectors[number], stream >> FEATURE_BITS
        account = detector.explain(stream, window, self._directory, self._text)
        slices, carriers, because = self._because(number, stream, window, opened_ns)
        log10_e = float(self._dossier.log10_e(np.array([stream]))[0])
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
            p=self._dossier.p(number, stream),
            n=account.n,
            budget_per_day=budget_per_day,
            reason=account.reason + because,
            slices=slices,
            technique=account.technique,
            client=account.client,
            example_trace_id=window.example(key),
        )
        return finding, account.carriers if carriers is None else carriers

    def _because(
        self, number: int, stream: int, window: Window, opened_ns: int
    ) -> tuple[tuple[SliceShare, ...], Carriers | None, str]:
        """Return the slices that explain a finding, the rows of the one slice that alone carries it, and sentences of both."""
        key, feature = stream >> FEATURE_BITS, stream & _FEATURE_MASK
        deviate, judged, unjudged = self._deviating(number, stream, window)
        shares = tuple(share for share, _ in deviate)
        because = deviating(shares, judged, unjudged)
        if self._contributions and (told := self._contributions.of(window, key, feature)):
            clients = self._clients(window, key, told.looked_at) if told.looked_at else ""
            shares, because = told.slices, f" {clients or told.reason}"
        if (
            self._why
            and feature == Aspect.LATENCY
            and (why := self._why(window, self._directory.parent(key), opened_ns))
        ):
            because += f" {why}"
        alone = len(deviate) == 1 and not unjudged  # else rows of the others may carry it too
        return shares, deviate[0][1] if alone else None, because

    def _clients(self, window: Window, series: int, looked_at: Sequence[str]) -> str:
        """Say what clients of a series show, where no slice is the cause of what it shows; empty where they are as usual."""
        stream = series << FEATURE_BITS | Aspect.CLIENT
        number = self._dossier.witness(stream, _CONTRIBUTES_LOG10_E)
        if number is None:
            return ""
        account = self._detectors[number].explain(stream, window, self._directory, self._text)
        return clients_deviate(looked_at, account.observed, account.baseline)

    def _deviating(
        self, number: int, stream: int, window: Window
    ) -> tuple[list[tuple[SliceShare, Carriers]], int, int]:
        """Return the slices that deviate in the same feature as their series, strongest first, how many are judged and not.

        A slice that the detector has not tested in this window has nothing to show for its evidence, and is not named.
        """
        key, feature = stream >> FEATURE_BITS, stream & _FEATURE_MASK
        parents = self._directory.parents()
        if parents[key] != key:
            return [], 0, 0
        children = np.flatnonzero(parents == key)
        every = children[children != key] << FEATURE_BITS | feature
        judged = int(np.count_nonzero(self._dossier.known_to(number, every)))
        tested = every[self._dossier.tested_by(number, every)]
        strength = self._dossier.log10_e(tested) if tested.size else np.empty(0)
        strongest = [at for at in np.argsort(-strength, kind="stable") if strength[at] >= _CONTRIBUTES_LOG10_E]
        told = [self._share(number, int(tested[at]), float(strength[at]), window) for at in strongest[:MOST_SLICES]]
        return told, judged, int(every.size) - judged

    def _share(self, number: int, stream: int, log10_e: float, window: Window) -> tuple[SliceShare, Carriers]:
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


def _severity(account: Account, log10_e: float, threshold: float) -> Severity:
    if account.kind == "security" or log10_e >= threshold + min(_CRITICAL_LOG10, threshold):  # evidence ends at twice
        return Severity.CRITICAL
    return Severity.WARNING
