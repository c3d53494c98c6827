"""What all detectors hold against each stream, window after window."""

from collections.abc import Collection, Sequence

import numpy as np

from spanward_processor.evidence import Evidence, together
from spanward_processor.kept import Kept
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.keys import among
from spanward_processor.surprise import Surprise
from spanward_processor.usual.slots import ABSENT, Slots


class Dossier:
    """The evidence of each detector by stream; what several hold against one stream is averaged.

    Args:
        detectors: Their names, in the order in which their numbers count.
    """

    def __init__(self, detectors: Sequence[str]) -> None:
        self._detectors = tuple(detectors)
        self._slots = Slots()  # of streams ever under test, by whomever
        self._evidence = tuple(Evidence() for _ in self._detectors)  # by slot

    def parts(self) -> dict[str, Kept]:
        """Return what is kept, by name."""
        parts: dict[str, Kept] = {"slots": self._slots}
        return parts | {f"evidence.{name}": one for name, one in zip(self._detectors, self._evidence, strict=True)}

    def __len__(self) -> int:
        """Return how many streams are under test, or were."""
        return self._slots.used

    def admit(self, surprises: Sequence[Surprise]) -> Ints:
        """Make room for the streams of one window.

        Args:
            surprises: What each detector says of it.

        Returns:
            (s,) int64 the streams that any of them tested, ascending.
        """
        tested = np.unique(np.concatenate([np.empty(0, np.int64), *(surprise.streams for surprise in surprises)]))
        self._slots.admit(tested)
        for evidence in self._evidence:
            evidence.grow(len(self._slots))
        return tested

    def add(self, surprises: Sequence[Surprise], threshold: float) -> None:
        """Add one window, whose streams were admitted.

        Args:
            surprises: What each detector says of it.
            threshold: Evidence at which a stream alarms, log10.
        """
        for evidence, surprise in zip(self._evidence, surprises, strict=True):
            slots = self._slots.find(surprise.streams)
            if surprise.log10_e is None:
                evidence.add(slots, surprise.p, threshold)
            else:
                evidence.take(slots, surprise.p, surprise.log10_e, threshold)

    def log10_e(self, streams: Ints) -> Floats:
        """Return (s,) float64 what all detectors together hold against streams under test, log10."""
        return together(self._evidence, self._slots.find(streams))

    def p(self, number: int, stream: int) -> float:
        """Return a detector's p-value of a stream in the newest window, 1 where it did not test it."""
        return self._evidence[number].p(self._slots.of(stream))

    def speaker(self, stream: int) -> int:
        """Return the detector with the strongest evidence among those that tested a stream in this window."""
        slot = self._slots.find(np.array([stream]))
        strength = [
            float(evidence.log10_e(slot)[0]) if evidence.tested(slot)[0] else -np.inf for evidence in self._evidence
        ]
        return int(np.argmax(strength))

    def witness(self, stream: int, least_log10_e: float) -> int | None:
        """Return who speaks of a stream in this window; None where nobody tested it, or all hold less than that against it."""
        slot = self._slots.find(np.array([stream]))
        if slot[0] == ABSENT or not any(evidence.tested(slot)[0] for evidence in self._evidence):
            return None
        return self.speaker(stream) if together(self._evidence, slot)[0] >= least_log10_e else None

    def known_to(self, number: int, streams: Ints) -> Flags:
        """Return (s,) bool which streams a detector has ever tested."""
        slots = self._slots.find(streams)
        known: Flags = slots != ABSENT
        known[known] = np.isfinite(self._evidence[number].log10_e(slots[known]))
        return known

    def tested_by(self, number: int, streams: Ints) -> Flags:
        """Return (s,) bool which streams a detector tested in the newest window."""
        slots = self._slots.find(streams)
        tested: Flags = (slots != ABSENT) & self._evidence[number].tested(slots)
        return tested

    def shown_by(self, number: int, stream: int) -> bool:
        """Return whether a detector tested a stream in the newest window and did not find it as usual."""
        slot = self._slots.find(np.array([stream]))
        evidence = self._evidence[number]
        return bool(evidence.tested(slot)[0] and not evidence.calm_windows(slot)[0])

    def is_calm(self, streams: Ints, windows: int) -> bool:
        """Return whether streams under test have been as usual for so many windows in a row, for every detector."""
        slots = self._slots.find(streams)
        return all((evidence.calm_windows(slots) >= windows).all() for evidence in self._evidence)

    def suspicious(self, threshold: float) -> Ints:
        """Return (s,) the streams that nobody is to learn from for now, since one detector objects."""
        seen = np.zeros(len(self._slots), bool)
        for evidence in self._evidence:
            seen |= evidence.suspicious(threshold)[: seen.size]
        return self._slots.streams[seen].astype(np.int64)

    def forget(self, streams: Ints) -> None:
        """Begin anew with streams, those among them that are under test."""
        slots = self._slots.find(streams)
        for evidence in self._evidence:
            evidence.forget(slots[slots != ABSENT])

    def evict(self, gone: Flags) -> None:
        """Let go of keys, (k,) bool."""
        slots = self._slots.evict(gone)
        for evidence in self._evidence:
            evidence.clear(slots)

    def acquit_keys(self, number: int, keys: Flags, spared: Collection[int]) -> None:
        """Let a detector hold nothing against the streams of keys, (k,) bool, but for those spared, until it tests them again."""
        streams = self._slots.streams
        chosen = among(keys, streams >> FEATURE_BITS) & ~np.isin(streams, list(spared))
        self._evidence[number].acquit(np.flatnonzero(chosen))

    def acquit(self, number: int, streams: Ints) -> None:
        """Let a detector hold nothing against streams, those among them that are under test, until it tests them again."""
        slots = self._slots.find(streams)
        self._evidence[number].acquit(slots[slots != ABSENT])
