"""The benchmark's scorer against its rules spelled out slowly, and the detector on series that show what it should see."""

import math
from pathlib import Path

import numpy as np
import pytest

from spanward_processor.evaluate.evaluations.nab import frozen, read, surprises
from spanward_processor.evaluate.nab_score import LOW_FALSE_ALARMS, LOW_MISSED, STANDARD, Corpus, Labelled, Profile
from spanward_processor.kernels.jit import Floats

SEED = 4


def labelled(size: int, *windows: tuple[int, int]) -> Labelled:
    """Return a series with these windows."""
    return made(np.zeros(size), *windows)


def made(values: Floats, *windows: tuple[int, int]) -> Labelled:
    """Return a series of values five minutes apart."""
    return Labelled("made", values, np.array(windows, np.int64).reshape(-1, 2), 300 * np.arange(values.size))


def slow_score(series: Labelled, detected: list[int], profile: Profile) -> float:
    """Return the scaled score of one series, rule by rule."""

    def sigmoid(position: float) -> float:
        return 2 / (1 + math.exp(5 * position)) - 1 if position <= 3 else -1.0

    windows, raw = [(int(first), int(last)) for first, last in series.windows], 0.0
    for first, last in windows:
        inside = [place for place in detected if first <= place <= last]
        position = -(last - min(inside) + 1) / (last - first + 1) if inside else 0.0
        raw += sigmoid(position) / sigmoid(-1.0) if inside else -profile.missed
    for place in detected:
        if not any(first <= place <= last for first, last in windows):
            before = [(first, last) for first, last in windows if last < place]
            far = (place - before[-1][1]) / (before[-1][1] - before[-1][0]) if before else math.inf
            raw += profile.false_alarm * (sigmoid(far) if before else -1.0)
    return 100 * (raw + profile.missed * len(windows)) / ((1 + profile.missed) * len(windows))


@pytest.mark.parametrize("profile", [STANDARD, LOW_FALSE_ALARMS, LOW_MISSED], ids=lambda profile: profile.name)
def test_scores_follow_the_rules_at_every_threshold(profile: Profile) -> None:
    """On random scores, windows of several widths: as the rules spelled out, and the best threshold is the best of all."""
    print(f"seed {SEED}")
    series = labelled(400, (80, 119), (200, 204), (300, 349))
    scores = np.round(np.random.default_rng(SEED).random(400), 2)
    corpus = Corpus([series], [scores])

    slow = {
        threshold: slow_score(series, [place for place in range(60, 400) if scores[place] >= threshold], profile)
        for threshold in np.unique(scores[60:]).tolist()
    }

    assert {threshold: corpus.score(threshold, profile) for threshold in slow} == pytest.approx(slow)
    assert slow[corpus.best_threshold(profile)] == max(slow.values())


def test_silence_has_no_points_and_perfection_a_hundred() -> None:
    """A detector that says nothing has 0; one that is right at the first place of every window 100."""
    series = labelled(1_000, (300, 399), (700, 799))
    perfect = np.zeros(1_000)
    perfect[[300, 700]] = 1.0

    assert Corpus([series], [perfect]).score(1.0, STANDARD) == pytest.approx(100.0)
    assert Corpus([series], [perfect]).score(2.0, STANDARD) == 0.0


def test_what_comes_during_probation_is_not_scored() -> None:
    """15 % of a series, 750 places at most, count for nothing."""
    early = np.zeros(10_000)
    early[749] = 1.0

    assert Corpus([labelled(10_000, (5_000, 5_100))], [early]).score(1.0, STANDARD) == 0.0


def test_a_jump_is_one_alarm_at_its_first_place() -> None:
    """Noise around one level, then around another: the jump is the largest surprise, and what follows is the same alarm."""
    print(f"seed {SEED}")
    values = np.random.default_rng(SEED).normal(0.0, 1.0, 2_000)
    values[1_200:] += 20.0

    found = surprises(made(values))

    assert 300 + int(np.argmax(found[300:])) == 1_200  # behind probation
    assert np.count_nonzero(found[1_201:1_240] > found[1_200] / 2) == 0


def test_the_hour_of_the_day_is_expected() -> None:
    """A swing that comes every day is no surprise; a day without it is, though no value of it is unusual by itself."""
    print(f"seed {SEED}")
    swing = 10.0 * np.sin(2 * np.pi * np.arange(288) / 288)
    values = np.tile(swing, 8) + np.random.default_rng(SEED).normal(0.0, 0.5, 8 * 288)
    values[6 * 288 : 7 * 288] = values[0]

    found = surprises(made(values))

    assert 6 * 288 <= 576 + int(np.argmax(found[576:])) < 7 * 288


def test_what_has_come_before_surprises_less() -> None:
    """Of four spikes of one height, days apart, the first stands out from the noise, the others hardly from the first."""
    print(f"seed {SEED}")
    values = np.random.default_rng(SEED).normal(0.0, 1.0, 3_000)
    spikes = [1_500, 1_900, 2_300, 2_700]
    values[spikes] = 15.0

    first, *others = surprises(made(values))[spikes]

    assert first > 4.0
    assert max(others) < first / 2


def test_a_shift_that_no_single_value_shows_is_seen_by_its_mean() -> None:
    """As little as the noise itself, for a day and a half: more than any mean of a day was in the three weeks before."""
    print(f"seed {SEED}")
    values = np.random.default_rng(SEED).normal(0.0, 1.0, 6_500)
    values[6_000:6_432] += 1.0

    found = surprises(made(values))

    assert 6_000 <= 1_500 + int(np.argmax(found[1_500:])) < 6_432


def test_series_and_their_windows_are_read(tmp_path: Path) -> None:
    """A folder in the benchmark's form: values in order, windows by time, ends included; a frozen threshold has a score."""
    (tmp_path / "data" / "kind").mkdir(parents=True)
    lines = "\n".join(f"2014-04-01 00:{minute:02d}:00,{minute}.5" for minute in range(50))
    for name in ("one", "two"):
        (tmp_path / "data" / "kind" / f"{name}.csv").write_text(f"timestamp,value\n{lines}\n", encoding="utf-8")
    (tmp_path / "combined_windows.json").write_text(
        '{"kind/one.csv": [["2014-04-01 00:20:00.000000", "2014-04-01 00:24:00.000000"]],'
        ' "kind/two.csv": [["2014-04-01 00:30:00.000000", "2014-04-01 00:31:00.000000"]]}',
        encoding="utf-8",
    )

    every = read(tmp_path)

    assert [(one.name, one.windows.tolist()) for one in every] == [
        ("kind/one.csv", [[20, 24]]),
        ("kind/two.csv", [[30, 31]]),
    ]
    assert every[0].values[:2].tolist() == [0.5, 1.5]
    assert np.diff(every[0].times_s).tolist() == [60] * 49
    assert frozen(every, [np.arange(50.0), np.arange(50.0)], STANDARD, SEED) < 100.0
