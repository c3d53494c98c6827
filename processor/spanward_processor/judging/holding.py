"""What no detector learns because of an alarm, for how long, and what is let go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from spanward_processor.configuration.settings import LearnedAfter
from spanward_processor.detectors.base import Anchored, Detector
from spanward_processor.features import FEATURES
from spanward_processor.findings import Finding
from spanward_processor.judging.dossier import Dossier
from spanward_processor.judging.telling import Carriers
from spanward_processor.kernels.jit import Flags, Ints
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.keys import KeyDirectory

_SECOND_NS: Final = 1_000_000_000

Claim = tuple[int, int]
"""Series key and feature: one finding at a time, whoever sees it."""


@dataclass(slots=True)
class Lasting:
    """An open finding.

    Args:
        finding: As it was told last.
        number: The detector that speaks for it.
        stream: What it speaks of.
        streams: All that alarmed.
        carriers: Cells whose rows carry it.
        told_ns: When it was told last, Unix nanoseconds.
        learned: Whether what it speaks of is learned by now.
        returns: How often it has come back within an hour of its end.
    """

    finding: Finding
    number: int
    stream: int
    streams: set[int]
    carriers: Carriers
    told_ns: int
    learned: bool = False
    returns: int = 0


class Holding:
    """Says which streams are not to be learned, since an open finding speaks of them or a detector objects.

    What is under alarm would otherwise become normal, and a poisoner would only have to go on. But what changed for good would be
    a finding for good: after a time that depends on its kind it is learned all the same, anchors begin anew, and the finding ends
    once it is usual.

    Args:
        detectors: Who learns.
        dossier: What they hold against each stream.
        directory: Names of the keys.
        learned_after: How long findings hold what they speak of.
    """

    def __init__(
        self, detectors: Sequence[Detector], dossier: Dossier, directory: KeyDirectory, learned_after: LearnedAfter
    ) -> None:
        self._detectors = tuple(detectors)
        self._dossier = dossier
        self._directory = directory
        self.learned_after = learned_after

    def of(self, findings: Mapping[Claim, Lasting], threshold: float, now_ns: int) -> Flags:
        """Return (h,) bool which streams are held; those beyond its end are not.

        Args:
            findings: The open findings; those that have lasted for long enough are let go.
            threshold: Evidence at which a stream alarms, log10.
            now_ns: End of the window that is about to be learned, Unix nanoseconds.
        """
        self._let_go(findings, now_ns)
        holding = {claim: lasting for claim, lasting in findings.items() if not lasting.learned}
        held = self._with_suspicious(self._held(holding), threshold)
        for claim in findings.keys() - holding.keys():
            streams = self._streams_of(claim)
            held[streams[streams < held.size]] = False
        return held

    def _let_go(self, findings: Mapping[Claim, Lasting], now_ns: int) -> None:
        """Let what findings speak of be learned, where they have lasted for as long as their kind holds it."""
        for claim, lasting in findings.items():
            told = lasting.finding
            lasts_s = (now_ns - told.opened_ns) / _SECOND_NS
            if lasting.learned or lasts_s < self.learned_after.of(told.kind):
                continue
            lasting.learned = True
            streams = self._streams_of(claim)
            for number, detector in enumerate(self._detectors):
                if isinstance(detector, Anchored):
                    detector.begin_anew(streams)
                    self._dossier.acquit(number, streams)

    def _streams_of(self, claim: Claim) -> Ints:
        """Return the streams of a feature of a series and its slices."""
        series, feature = claim
        return np.flatnonzero(self._directory.parents() == series) << FEATURE_BITS | feature

    def _held(self, holding: Mapping[Claim, Lasting]) -> Flags:
        """Return the streams of findings that are not learned: those that alarmed, or where a series did, its feature in all slices.

        With a whole series, what reads several features at once is held too. Nothing else is: it is judged by itself. Were it held
        too, one false finding about a slice would keep the day from being learned until all that follows the day is a finding.
        """
        if not holding:
            return np.zeros(0, bool)
        parents = self._directory.parents()
        held = np.zeros((parents.size, 1 << FEATURE_BITS), bool)
        whole = [claim for claim, lasting in holding.items() if stream_of(claim) in lasting.streams]
        if whole:
            series, features = np.array(whole, np.int64).T
            held[series, features] = True
            held[series, len(FEATURES) :] = True
            held = held[parents]
        of_keys: Flags = held.ravel()
        of_keys[[stream for lasting in holding.values() for stream in lasting.streams]] = True
        return of_keys

    def _with_suspicious(self, held: Flags, threshold: float) -> Flags:
        """Return the held streams, and with them those that nobody is to learn from for now, since one detector objects."""
        suspicious = self._dossier.suspicious(threshold)
        if not suspicious.size:
            return held
        both = np.zeros(max(held.size, int(suspicious.max()) + 1), bool)
        both[: held.size] = held
        both[suspicious] = True
        return both


def stream_of(claim: Claim) -> int:
    """Return the stream of a whole series that a claim is about."""
    series, feature = claim
    return series << FEATURE_BITS | feature
