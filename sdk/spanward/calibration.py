"""Find a form of fingerprints by which ordinary inputs seldom match, from a sample of them.

A form that cuts too coarsely makes ordinary inputs look alike, and everything counts as a repeat; one that cuts too finely sees no
repeat that was changed. Of the forms under which no more of the sample match than is wanted, the one that still knows most of
slightly changed inputs is chosen. Where there is none, there is no form: `NotArmedError` says how close it came.
"""

import itertools
import math
import random
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from spanward.canonical import canonical
from spanward.fingerprint import Form, Shingles, Windows, overlap
from spanward.hashing import Hasher
from spanward.keys import Key
from spanward.windows import numbers_of

_WIDTHS_OF_WORDS: Final = (2, 3, 4, 5, 8)
_WIDTHS: Final = (4, 8, 16, 32, 64)
_STEPS: Final = (2.0, 1.4, 1.0, 0.7, 0.5, 0.35, 0.25)  # of a number's spread, coarse to fine
_HASHES_OF_TEXT: Final = (24, 50)
_HASHES: Final = (16, 32, 50)
_ALIKE: Final = 10.0  # times the median the largest spread is, where one step does for all numbers
_MOST_STEPS: Final = 128  # numbers that may have steps of their own
_NOISE: Final = 0.05  # of a number's spread, by which the changed inputs differ
_CHANGED_WORDS: Final = 0.05
_LITTLE: Final = 0.02  # of the changed samples; no reason to send more hashes
_KEYS: Final = 3  # a form must do under any key
_NINETEEN_IN_TWENTY: Final = 1.6449  # standard normal quantile, one-sided
_FEWEST: Final = 3.0  # samples times target: with fewer, none matching shows nothing (rule of three)

Ladder = list[Form]
"""Forms from coarse to fine: the first that is fine enough knows most of its ladder."""


class NotArmedError(ValueError):
    """No form keeps the share of matching samples as low as wanted."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A form, and what was measured of it on the sample.

    Args:
        form: To pass to the decorator as `fingerprint=`.
        benign: Share of different samples that matched an earlier one.
        benign_at_most: What the share is below, by 19 in 20, had there been more samples like these.
        changed: Share of slightly changed samples that matched their original.
        samples: Different samples.
    """

    form: Form
    benign: float
    benign_at_most: float
    changed: float
    samples: int


def calibrate(samples: Sequence[object], *, target: float = 0.01, seed: int = 0) -> Calibration:
    """Choose how inputs are cut for fingerprints.

    The share that matches grows with the number of inputs there are to match: give as many as come in some minutes. Equal samples
    count once, since they match under any form.

    Args:
        samples: Ordinary inputs, all texts or all arrays of numbers, in the order in which they came.
        target: Share of them that may match an earlier one.
        seed: Of the changes and keys it is tried with.

    Returns:
        The form that knows most changed inputs, among those within the target.

    Raises:
        NotArmedError: There is none, or there are too few samples to tell.
        TypeError: The samples are neither all texts nor all arrays of numbers of one length.
        ValueError: The target is no share.
    """
    if not 0.0 < target < 1.0:
        msg = f"calibrate: target must be a share between 0 and 1, got {target}"
        raise ValueError(msg)
    different = list({canonical(sample): sample for sample in samples}.values())
    if len(different) * target < _FEWEST:
        need = math.ceil(_FEWEST / target)
        msg = f"calibrate: target {target} needs {need} different samples or more, got {len(different)}"
        raise NotArmedError(msg)
    rng = random.Random(seed)  # noqa: S311 - changes of samples are no secret
    ladders, change = _of_texts(different, rng) if isinstance(different[0], str) else _of_numbers(different, rng)
    changed = [change(sample) for sample in different]
    hashers = [Hasher(Key.of(rng.randbytes(32), None, "blake2b")) for _ in range(_KEYS)]
    found = [_climb(ladder, different, changed, hashers, target) for ladder in ladders]
    if armed := [calibration for calibration in found if calibration.benign_at_most <= target]:
        most = max(calibration.changed for calibration in armed)
        return min(
            (calibration for calibration in armed if calibration.changed >= most - _LITTLE),
            key=lambda calibration: (calibration.form.hashes, -calibration.changed),
        )
    best = min(found, key=lambda calibration: calibration.benign_at_most)
    msg = (
        f"calibrate: at most {target} of the samples may match an earlier one, got {best.benign:.4f} of {best.samples}, "
        f"which is {best.benign_at_most:.4f} at most, with {best.form}"
    )
    raise NotArmedError(msg)


def _of_texts(samples: Sequence[Any], rng: random.Random) -> tuple[list[Ladder], Callable[[Any], object]]:
    """Return forms for texts, and what changes some words of one."""
    if not all(isinstance(sample, str) for sample in samples):
        msg = "calibrate: samples must be all texts or all arrays, got texts and others"
        raise TypeError(msg)
    words = [word for sample in samples for word in sample.split()]

    def change(text: str) -> str:
        changed = text.split()
        for place in rng.sample(range(len(changed)), min(len(changed), math.ceil(_CHANGED_WORDS * len(changed)))):
            changed[place] = rng.choice(words)
        return " ".join(changed)

    return [[Shingles(width, hashes=hashes) for width in _WIDTHS_OF_WORDS] for hashes in _HASHES_OF_TEXT], change


def _of_numbers(samples: Sequence[Any], rng: random.Random) -> tuple[list[Ladder], Callable[[Any], object]]:
    """Return forms for arrays, and what adds noise to one; each number has a step of its own where their scales differ."""
    rows = [numbers_of(sample) for sample in samples]
    table = [[] if row is None else list(map(float, row)) for row in rows]
    lengths = set(map(len, table))
    if len(lengths) > 1 or 0 in lengths:
        msg = "calibrate: samples must be all texts or all arrays of numbers of one length, got others"
        raise TypeError(msg)
    spreads = tuple(map(_spread, zip(*table, strict=True)))
    if len(spreads) > _MOST_STEPS or max(spreads) <= _ALIKE * statistics.median(spreads):
        spreads = (_spread([number for row in table for number in row]),)

    def change(sample: object) -> list[float]:
        row = cast("Sequence[float]", numbers_of(sample))
        noise = (rng.gauss(0.0, _NOISE * spreads[place % len(spreads)]) for place in range(len(row)))
        return [float(number) + added for number, added in zip(row, noise, strict=True)]

    widths = sorted({min(width, len(table[0])) for width in _WIDTHS})
    steps = [tuple(step * spread for spread in spreads) for step in _STEPS]
    return [[Windows(width, each, hashes) for each in steps] for width in widths for hashes in _HASHES], change


def _spread(column: Sequence[float]) -> float:
    """Return the standard deviation of the finite numbers; 1 where they do not differ."""
    finite = [number for number in column if math.isfinite(number)]
    return (statistics.pstdev(finite) if finite else 0.0) or 1.0


def _climb(
    ladder: Ladder, samples: Sequence[object], changed: Sequence[object], hashers: Sequence[Hasher], target: float
) -> Calibration:
    """Return the first form of a ladder that is within the target, else the best of them."""
    best: Calibration | None = None
    for form in ladder:
        found = _measure(form, samples, changed, hashers, target)
        if best is None or found.benign_at_most < best.benign_at_most:
            best = found
        if found.benign_at_most <= target:
            return found
    return cast("Calibration", best)


def _measure(
    form: Form, samples: Sequence[object], changed: Sequence[object], hashers: Sequence[Hasher], target: float
) -> Calibration:
    """Try a form under some keys; the worst of them counts, and the first beyond the target ends it."""
    benign, known = 0.0, 1.0
    for hasher in hashers:
        prints = [hasher.fingerprint(sample, "", form) for sample in samples]
        benign = max(benign, _matching(prints, target))
        if _at_most(benign, len(samples)) > target:
            known = 0.0
            break
        others = [hasher.fingerprint(sample, "", form) for sample in changed]
        pairs = zip(prints, others, strict=True)
        known = min(known, sum(overlap(*pair) >= 0.5 for pair in pairs) / len(samples))
    return Calibration(form, benign, _at_most(benign, len(samples)), known, len(samples))


def _at_most(share: float, count: int) -> float:
    """Return the upper end of a share's confidence interval.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.
    """
    square = _NINETEEN_IN_TWENTY**2
    spread = _NINETEEN_IN_TWENTY * math.sqrt(share * (1.0 - share) / count + square / (4 * count**2))
    return (share + square / (2 * count) + spread) / (1.0 + square / count)


def _matching(prints: Sequence[bytes], target: float) -> float:
    """Return the share that has half of its hashes in common with any one earlier; beyond the target, of the first ones.

    The processor keeps only the newest row of a hash, and so counts fewer. But where ordinary inputs have half in common, they also
    take the hashes of a repeat from it.
    """
    holders: dict[bytes, list[int]] = {}
    matching = 0
    for row, fingerprint in enumerate(prints):
        hashes = [fingerprint[at : at + 8] for at in range(0, len(fingerprint), 8)]
        earlier = Counter(itertools.chain.from_iterable(holders.get(value, ()) for value in hashes))
        matching += 2 * max(earlier.values(), default=0) >= max(len(hashes), 1)
        if matching > target * len(prints):
            return matching / (row + 1)
        for value in hashes:
            holders.setdefault(value, []).append(row)
    return matching / len(prints)
