"""From evidence to findings that last."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from spanward_processor.configuration.settings import LearnedAfter, Learning
from spanward_processor.detectors import DETECTORS, Baseline, panel
from spanward_processor.detectors.base import Account, Joint
from spanward_processor.detectors.base import Remembering as RememberingDetector
from spanward_processor.features import FEATURES, Aspect
from spanward_processor.findings import TOGETHER_WINDOWS, Finding, Severity, State
from spanward_processor.judging.judge import Judge
from spanward_processor.kept import Arrays
from spanward_processor.kernels.jit import Flags, Ints
from spanward_processor.keys import KeyDirectory
from spanward_processor.surprise import Surprise
from spanward_processor.testing.traffic import CHANNELS, QUIET, SECOND_NS, START_NS, Behaviour, Traffic
from spanward_processor.windows.cells import stream_of
from spanward_processor.windows.window import Window

SEED = 20_261_126
SERIES = 1
WILD, ODD, CALM = 0.0, 0.01, 0.9
LATENCY = stream_of(SERIES, Aspect.LATENCY)


def slice_stream(traffic: Traffic, channel: str) -> int:
    """Return the latency stream of a channel."""
    keys = range(len(traffic.directory))
    return next(
        stream_of(key, Aspect.LATENCY) for key in keys if (traffic.directory[key].slice or ("", ""))[1] == channel
    )


class Scripted:
    """A detector that says what the test tells it, and remembers what it may learn."""

    name: ClassVar[str] = "scripted"

    def __init__(self) -> None:
        self.learning = Learning()
        self.p: Mapping[int, float] = {}
        self.held: list[int] = []
        self.evicted: list[int] = []
        self.explained: list[int] = []

    def arrays(self) -> Arrays:
        """Nothing is kept."""
        return {}

    def restore(self, arrays: Mapping[str, Any]) -> None:
        """Nothing was kept."""

    def test(self, window: Window, directory: KeyDirectory) -> Surprise:
        """Return the script."""
        streams: Ints = np.array(sorted(self.p), np.int64)
        return Surprise(streams, np.array([self.p[stream] for stream in streams.tolist()], np.float64))

    def evict(self, gone: Flags) -> None:
        """Note them."""
        self.evicted = np.flatnonzero(gone).tolist()

    def learn(self, window: Window, held: Flags) -> None:
        """Note what is held."""
        self.held = np.flatnonzero(held).tolist()

    def explain(self, stream: int, window: Window, directory: KeyDirectory, text: Callable[[int], str]) -> Account:
        """Say which stream it is."""
        self.explained.append(stream)
        series = directory[stream >> 4]
        aspect = Aspect(stream & 15).name.lower()
        return Account("performance", aspect, "much", "little", f"{series} is slow.", 50, ((stream, 1),))


class Accumulating(Scripted):
    """A scripted detector that brings its own evidence: what the script says, in powers of ten."""

    name: ClassVar[str] = "accumulating"

    def test(self, window: Window, directory: KeyDirectory) -> Surprise:
        """Return the script."""
        streams: Ints = np.array(sorted(self.p), np.int64)
        return Surprise(streams, np.ones(streams.size), np.array([self.p[stream] for stream in streams.tolist()]))


class Anchoring(Scripted):
    """A scripted detector that compares with what was usual at first; it notes of which streams it forgets that."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[list[int]] = []

    def begin_anew(self, streams: Ints) -> None:
        """Note them."""
        self.begun.append(streams.tolist())


class Remembering(Anchoring):
    """One that also notes which streams turned, and says which series turn again."""

    def __init__(self) -> None:
        super().__init__()
        self.turned: list[list[int]] = []
        self.spoken_of: list[int] = []
        self.again: list[int] = []

    def turn(self, turned: Ints, spoken_of: Ints, window: Window, directory: KeyDirectory) -> None:
        """Note them."""
        self.turned += [turned.tolist()] if turned.size else []
        self.spoken_of = spoken_of.tolist()

    def turning(self, window: Window) -> Ints:
        """Return the script."""
        return np.array(self.again, np.int64)


class Reading(Accumulating):
    """One that accumulates, and reads several features at once."""

    joint: ClassVar[bool] = True


class Court:
    """A judge over one scripted detector, another that accumulates where asked for, and their clock."""

    def __init__(
        self,
        *,
        budget: float = 1.0,
        judged: Sequence[str] = CHANNELS,
        two: bool = False,
        joint: bool = False,
        models: int = 1,
        learned_after_s: float | None = None,
    ) -> None:
        self.traffic = Traffic(SEED, models=models)
        self.detector, self.other = Remembering(), Reading() if joint else Accumulating()
        self.judge = Judge(
            (self.detector, self.other) if two or joint else (self.detector,),
            self.traffic.directory,
            self.traffic.text,
            window_s=10.0,
            false_alarms_per_day=budget,
            learned_after=LearnedAfter(performance=learned_after_s),
        )
        self._second = 0
        self.hear(dict.fromkeys([LATENCY, *(slice_stream(self.traffic, channel) for channel in judged)], CALM))

    def pass_s(self, seconds: int) -> None:
        """Let time pass in which nobody looks."""
        self._second += seconds

    def hear(self, p: Mapping[int, float] | float, times: int = 1) -> list[Finding]:
        """Let windows pass in which the latency streams have these p-values; return what changed."""
        self.detector.p = p if isinstance(p, Mapping) else {LATENCY: p}
        changes: list[Finding] = []
        for _ in range(times):
            start = START_NS + self._second * SECOND_NS
            changes += self.judge.hear(Window.empty(start, start + 10 * SECOND_NS))
            self._second += 10
        return changes


def states(changes: list[Finding]) -> list[State]:
    """Return the states of transitions."""
    return [change.state for change in changes]


def test_one_wild_window_raises_no_finding() -> None:
    """A single window, however wild, is no finding."""
    court = Court()

    assert court.hear(CALM, 20) + court.hear(WILD) + court.hear(CALM, 20) == []


def test_what_comes_back_soon_ends_later() -> None:
    """A stream that is on the border opens few findings: each return within the hour takes twice as long to end, and says so."""
    court = Court()
    told: list[Finding] = []
    lengths: list[int] = []
    for _ in range(3):
        told += court.hear(WILD, 2)
        calm = 0
        while State.RESOLVED not in states(court.hear(CALM)):
            calm += 1
        lengths.append(calm + 1)
    court.pass_s(3_700)
    told += court.hear(WILD, 2)

    assert lengths == [3, 6, 12]
    assert ["came back" in one.reason for one in told] == [False, True, True, False]
    assert "It came back 2 times" in told[2].reason


def test_a_finding_opens_once_is_updated_and_resolved() -> None:
    """A change that lasts is one finding: opened, told again at most once a minute, resolved after calm windows."""
    court = Court()

    opened = court.hear(WILD, 2)
    lasting = court.hear(WILD, 12)
    resolved = court.hear(CALM, 5)

    assert states(opened) == [State.OPENED]
    assert states(lasting)[-1:] == [State.UPDATED]
    assert len(lasting) <= 3
    assert states(resolved) == [State.RESOLVED]
    assert len({change.id for change in (*opened, *lasting, *resolved)}) == 1
    assert court.judge.open_findings == ()


def test_two_calm_windows_do_not_resolve() -> None:
    """A finding stays open until three windows in a row looked as usual."""
    court = Court()
    court.hear(WILD, 2)

    assert court.hear(CALM, 2) + court.hear(ODD) + court.hear(CALM, 2) == []
    assert len(court.judge.open_findings) == 1


def test_a_resolved_finding_may_open_anew_with_another_id() -> None:
    """The same claim at another time is another finding, and its evidence starts anew."""
    court = Court()
    first = court.hear(WILD, 2)[0]
    court.hear(CALM, 3)

    assert court.hear(WILD) == []
    assert court.hear(WILD)[0].id != first.id


def test_ids_are_deterministic() -> None:
    """The same claim in the same window has the same id in every process."""
    one, two = (Court().hear(WILD, 2)[0] for _ in range(2))

    assert one.id == two.id == "d436983e6519d52ecb95f2abbcfe4e8f"


def test_the_budget_is_stated_and_sets_the_bar() -> None:
    """A finding names the budget it was judged by; a smaller budget takes more evidence."""
    strict, loose = Court(budget=1e-6), Court(budget=100.0)
    windows = [len(court.hear(1e-4, 3)) for court in (strict, loose)]

    assert windows == [0, 1]
    assert loose.judge.open_findings[0].budget_per_day == 100.0


def test_severity_grows_with_evidence_and_never_falls() -> None:
    """Overwhelming evidence makes a warning critical, which is told at once, and it stays so."""
    court = Court()
    (opened,) = court.hear(1e-5, 2)
    rose = court.hear(WILD, 3)
    court.hear(ODD, 3)

    assert opened.severity is Severity.WARNING
    assert rose[0].severity is Severity.CRITICAL
    assert court.judge.open_findings[0].severity is Severity.CRITICAL


def test_a_slice_and_its_series_are_one_finding() -> None:
    """A claim that begins in one slice widens to the series once that alarms; no second finding opens."""
    court = Court()
    part = slice_stream(court.traffic, "web")
    (opened,) = court.hear({part: WILD, LATENCY: CALM}, 2)
    changes = court.hear({part: WILD, LATENCY: WILD}, 8)

    assert opened.series.slice is not None
    assert State.OPENED not in states(changes)
    assert court.judge.open_findings[0].series.slice is None
    assert [share.value for share in court.judge.open_findings[0].slices] == ["web"]


def test_the_deviating_slice_is_blamed() -> None:
    """When one of several judged slices deviates, the finding names it alone, and its rows carry the finding."""
    court = Court()
    parts = {slice_stream(court.traffic, channel): CALM for channel in CHANNELS}
    guilty = slice_stream(court.traffic, "partner-feed")

    (finding,) = court.hear({**parts, guilty: WILD, LATENCY: WILD}, 2)

    assert [share.value for share in finding.slices] == ["partner-feed"]
    assert "Only spanward.channel=partner-feed deviates" in finding.reason
    assert set(court.judge.carriers()) == {(guilty, 1)}


def test_a_change_everywhere_blames_nobody() -> None:
    """When every slice deviates, the reason says so."""
    court = Court()
    parts = {slice_stream(court.traffic, channel): WILD for channel in CHANNELS}

    (finding,) = court.hear({**parts, LATENCY: WILD}, 2)

    assert finding.reason.endswith("Every slice deviates.")
    assert len(finding.slices) == len(CHANNELS)


def test_slices_with_too_few_rows_are_not_said_to_deviate() -> None:
    """One slice deviates and nobody can tell of the others: the reason says so, and the rows of all carry the finding."""
    court = Court(judged=["web"])
    part = slice_stream(court.traffic, "web")

    (finding,) = court.hear({part: WILD, LATENCY: WILD}, 2)

    assert "channel=web deviates" in finding.reason
    assert finding.reason.endswith(f" {len(CHANNELS) - 1} more had too few rows to tell.")
    assert "Only" not in finding.reason
    assert {stream for stream, _ in court.judge.carriers()} == {LATENCY}


def test_a_slice_that_was_not_tested_is_not_blamed() -> None:
    """A slice whose evidence is old and which has no rows now is neither named nor put into words."""
    court = Court()
    part = slice_stream(court.traffic, "web")
    court.hear({part: WILD, LATENCY: CALM})

    (finding,) = court.hear({LATENCY: WILD}, 2)

    assert finding.slices == ()
    assert part not in court.detector.explained


def test_what_is_under_alarm_is_not_learned() -> None:
    """While a finding about a series is open its feature is held, in all slices too; afterwards it is learned again."""
    court = Court()
    court.hear(WILD, 2)
    keys = {stream >> 4 for stream in court.detector.held if stream & 15 == LATENCY & 15}

    assert keys == {SERIES, *(slice_stream(court.traffic, channel) >> 4 for channel in CHANNELS)}
    court.hear(CALM, 4)
    assert court.detector.held == []


def test_what_lasts_is_learned_and_ends_once_it_is_usual() -> None:
    """After its time a finding holds nothing, anchors begin anew once, and its sentences say so; it is open until all is calm."""
    court = Court(learned_after_s=600.0)
    slices = {slice_stream(court.traffic, channel) for channel in CHANNELS}

    court.hear(WILD, 61)  # it opens with the second
    assert {LATENCY, *slices} <= set(court.detector.held)
    assert court.detector.begun == []
    lasting = court.hear(WILD, 20)
    assert court.detector.held == []
    assert court.detector.begun == [sorted({LATENCY, *slices})]
    assert {change.state for change in lasting} == {State.UPDATED}
    assert lasting[-1].reason.endswith("it is learned from now on, and ends once it is usual.")
    (ended,) = court.hear(CALM, 10)
    assert ended.state is State.RESOLVED
    assert ended.reason.endswith("It lasted, was learned, and is usual now.")


def test_what_may_be_an_attack_is_not_learned_however_long_it_lasts() -> None:
    """Without a time for its kind a finding holds what it speaks of until it ends."""
    court = Court(learned_after_s=None)
    court.hear(WILD, 2_000)

    assert LATENCY in court.detector.held
    assert court.detector.begun == []
    assert [LearnedAfter().of(kind) for kind in ("operational", "performance", "quality", "security")] == [
        86_400.0,
        86_400.0,
        math.inf,
        math.inf,
    ]


def test_how_long_findings_hold_can_be_changed_while_one_is_open() -> None:
    """A reload that gives another time holds for what is open."""
    court = Court()
    court.hear(WILD, 10)
    court.judge.adopt(1.0, LearnedAfter(performance=60.0))
    court.hear(WILD)

    assert court.detector.held == []


def test_streams_turn_when_a_finding_begins_to_speak_of_them_and_when_it_ends() -> None:
    """Who remembers turns is told of each stream once as it turns, and once as it turns back."""
    court = Court()
    web, email = (slice_stream(court.traffic, channel) for channel in ("web", "email"))

    court.hear({LATENCY: CALM, web: WILD, email: CALM}, 3)
    assert court.detector.turned == [[web]]
    court.hear({LATENCY: CALM, web: WILD, email: WILD}, 3)
    assert court.detector.turned == [[web], [email]]
    assert court.detector.spoken_of == sorted((web, email))
    court.hear({LATENCY: CALM, web: CALM, email: CALM}, 5)

    assert court.detector.turned == [[web], [email], sorted((web, email))]
    assert court.detector.spoken_of == []


def test_what_was_learned_does_not_turn_back() -> None:
    """Where a finding ends since what it speaks of is usual now, its streams are where they were."""
    court = Court(learned_after_s=60.0)
    court.hear(WILD, 10)
    changes = court.hear(CALM, 5)

    assert "was learned" in changes[-1].reason
    assert court.detector.turned == [[LATENCY]]


def test_a_restart_is_no_turn() -> None:
    """Streams of a finding that was open before turn only as it ends."""
    before, after = Court(), Court()
    before.hear(WILD, 3)
    after.judge.restore(before.judge.arrays())
    after.pass_s(30)

    after.hear(WILD, 3)
    assert after.detector.turned == []
    after.hear(CALM, 5)
    assert after.detector.turned == [[LATENCY]]


def test_where_a_series_turns_again_who_reads_several_features_holds_nothing_against_it() -> None:
    """What goes with the features of a weekend is no finding of its own; other detectors judge on, and later this one does too."""
    excused, other = Court(joint=True), Court(two=True)
    for court in (excused, other):
        court.detector.again = [SERIES]
        court.other.p = {LATENCY: 9.0}
    assert excused.hear(CALM, 5) == []
    assert states(other.hear(CALM, 5))[:1] == [State.OPENED]

    excused.detector.again = []

    assert states(excused.hear(CALM, 5))[:1] == [State.OPENED]


def test_a_finding_that_was_open_lasts_while_its_series_turns_again() -> None:
    """What was told before the weekend is not over because of it."""
    court = Court(joint=True)
    court.other.p = {LATENCY: 9.0}
    opened = court.hear(CALM, 5)
    court.detector.again = [SERIES]

    lasting = court.hear(CALM, 12)

    assert states(opened)[:1] == [State.OPENED]
    assert set(states(lasting)) == {State.UPDATED}


def test_what_is_beside_a_finding_goes_on_being_learned() -> None:
    """Of a series with a finding about one feature, nothing else is held but what reads several features."""
    court = Court()
    court.hear(WILD, 2)

    assert {stream & 15 for stream in court.detector.held} == {LATENCY & 15, *range(len(FEATURES), 16)}


def test_a_finding_about_a_slice_holds_that_slice() -> None:
    """The series and the other slices go on being learned: what is suspicious among them is held by itself."""
    court = Court()
    part = slice_stream(court.traffic, "web")
    court.hear({part: WILD}, 2)

    assert court.detector.held == [part]


def test_a_suspicious_window_is_not_learned() -> None:
    """A single wild window is held back even though it is no finding."""
    court = Court()
    court.hear(WILD)

    assert court.detector.held == [LATENCY]


def test_two_detectors_of_one_stream_make_one_finding_by_the_stronger() -> None:
    """What two detectors see in one stream is one claim; the one with the stronger evidence speaks for it."""
    court = Court(two=True)
    court.other.p = {LATENCY: 9.0}

    changes = court.hear(WILD, 4)

    assert [(change.state, change.detector) for change in changes] == [(State.OPENED, "accumulating")]
    assert court.detector.explained == []


def test_evidence_of_one_detector_must_outweigh_that_of_the_silent_one() -> None:
    """The mean of two detectors decides: just enough for one alone is not enough for both."""
    court = Court(two=True)
    threshold = np.log10(len(CHANNELS) + 1) + np.log10(8640)

    court.other.p = {LATENCY: threshold + 0.2}
    assert court.hear(CALM, 3) == []

    court.other.p = {LATENCY: threshold + 0.4}
    assert states(court.hear(CALM)) == [State.OPENED]


def test_a_finding_lasts_until_every_detector_is_calm() -> None:
    """Windows that look as usual to one detector do not resolve what the other still holds."""
    court = Court(two=True)
    court.other.p = {LATENCY: 9.0}
    court.hear(CALM)
    assert State.RESOLVED not in states(court.hear(CALM, 10))

    court.other.p = {LATENCY: 1.0}
    assert states(court.hear(CALM, 3)) == [State.RESOLVED]


SIZE, SCORE = stream_of(SERIES, Aspect.INPUT_SIZE), stream_of(SERIES, Aspect.SCORE)


def test_findings_of_one_series_that_open_together_are_one_incident() -> None:
    """What has the strongest evidence leads; what opens some windows later joins, and each sentence names the others."""
    court = Court(two=True)
    court.other.p = {LATENCY: 7.0, SIZE: 8.0}

    size, latency = court.hear(CALM)
    court.other.p = {LATENCY: 7.0, SIZE: 8.0, SCORE: 9.0}
    (score,) = court.hear(CALM)

    assert [one.aspect for one in (size, latency, score)] == ["input_size", "latency", "score"]
    assert {one.incident for one in (size, latency, score)} == {size.id}
    assert size.reason.endswith(" Same incident: latency.")
    assert latency.reason.endswith(" Same incident as 'input size', which opened first.")
    assert score.reason.endswith(" Same incident as 'input size', which opened first.")


def test_security_leads_among_findings_of_one_window() -> None:
    """A flood moves scores more than it moves repeats; what a person should read first is the flood."""
    court, repeat = Court(two=True), stream_of(SERIES, Aspect.REPEAT)
    court.other.p = {SCORE: 9.0, repeat: 7.0}

    first, second = court.hear(CALM)

    assert [first.aspect, second.aspect] == ["repeat", "score"]
    assert second.incident == first.incident == first.id


def test_a_finding_much_later_is_an_incident_of_its_own() -> None:
    """What opens long after the newest finding of its series is another incident, even while that one lasts."""
    court = Court()
    court.hear({LATENCY: CALM, SIZE: CALM})
    (latency,) = court.hear({LATENCY: WILD, SIZE: CALM}, 2)
    court.hear({LATENCY: WILD, SIZE: CALM}, TOGETHER_WINDOWS)

    changes = court.hear({LATENCY: WILD, SIZE: WILD}, 2)

    (size,) = [change for change in changes if change.state is State.OPENED]
    assert latency.incident == latency.id
    assert size.incident == size.id
    assert "incident" not in size.reason


def test_an_incident_is_that_of_one_series() -> None:
    """Two models that go wrong at once are two incidents."""
    court = Court(models=2)
    other = next(
        stream_of(key, Aspect.LATENCY)
        for key in range(SERIES + 1, len(court.traffic.directory))
        if court.traffic.directory[key].slice is None
    )
    court.hear({LATENCY: CALM, other: CALM})

    one, two = court.hear({LATENCY: WILD, other: WILD}, 2)

    assert one.incident == one.id != two.id == two.incident


def test_an_incident_outlives_a_restart() -> None:
    """What opens after a restart joins the incident that was going on before it."""
    court = Court()
    court.hear({LATENCY: CALM, SIZE: CALM})
    (latency,) = court.hear({LATENCY: WILD, SIZE: CALM}, 2)
    again = Court()
    again.judge.restore(court.judge.arrays())

    changes = again.hear({LATENCY: WILD, SIZE: WILD}, 2)

    (size,) = [change for change in changes if change.state is State.OPENED]
    assert size.incident == latency.id


# --- with the real detectors -----------------------------------------------------------------------------------------


def judged(behaviour: Callable[[int], Behaviour], windows: int, *, warm_up: int = 60) -> list[tuple[int, Finding]]:
    """Let quiet traffic be learned, then let it behave by window number; return what changed, and when."""
    print(f"seed {SEED}")
    traffic = Traffic(SEED, window_s=10.0)
    judge = Judge(
        panel(Learning(), 0.5 ** (10.0 / 3600)),
        traffic.directory,
        traffic.text,
        window_s=10.0,
        false_alarms_per_day=1.0,
    )
    for window in traffic.windows(QUIET, warm_up):
        assert judge.hear(window) == ()
    return [
        (number, change)
        for number in range(windows)
        for change in judge.hear(next(traffic.windows(behaviour(number), 1)))
    ]


def opened(changes: list[tuple[int, Finding]]) -> list[tuple[str, str]]:
    """Return aspect and slice value of findings that opened."""
    return [
        (change.aspect, (change.series.slice or ("", ""))[1]) for _, change in changes if change.state is State.OPENED
    ]


def test_what_comes_each_night_says_so() -> None:
    """On its third night a finding says that it was so at this time on two days before, as long as it lasts."""
    court = Court()
    nights: list[list[Finding]] = []
    for _ in range(3):
        nights.append(court.hear({LATENCY: 1e-30}, 12))
        court.hear({LATENCY: CALM}, 10)
        court.pass_s(86_400 - 220)

    assert [one.recurrences for night in nights for one in night if one.state is State.OPENED] == [0, 1, 2]
    assert ["on 2 of the 28 days before" in one.reason for one in nights[2]] == [True] * len(nights[2])
    assert not any("days before" in one.reason for one in nights[1])
    assert len(nights[2]) > 1


def test_keys_that_made_room_are_not_under_test_any_more() -> None:
    """What was held against them is gone with them, detectors are told, and they spend nothing of the budget."""
    court = Court(models=2)
    gone = court.traffic.keys_of(0)
    before = court.judge.tested
    court.hear({LATENCY: 1e-30})
    court.judge.evict(gone)
    after = court.judge.tested

    assert court.detector.evicted == np.flatnonzero(gone).tolist()
    assert before - after == len(CHANNELS) + 1
    assert court.hear({LATENCY: 1e-30}) == []  # one window alone opens nothing: the one before is forgotten


def test_keys_of_open_findings_are_spoken_of() -> None:
    """A finding speaks of its series, and of the slices that alarmed."""
    court = Court()
    web = slice_stream(court.traffic, CHANNELS[0])
    assert court.judge.spoken_of().size == 0
    court.hear({LATENCY: CALM, web: 1e-30}, 4)

    assert court.judge.spoken_of().tolist() == [SERIES, web >> 4]


def test_a_poisoned_channel_is_found_and_blamed() -> None:
    """Decisions flipped in one channel are a finding about decisions that names the channel."""
    changes = judged(lambda _: replace(QUIET, flipped=1.0), 6)

    assert {aspect for aspect, _ in opened(changes)} == {"decision"}
    _, finding = changes[0]
    blamed = {share.value for share in finding.slices} or {(finding.series.slice or ("", ""))[1]}
    assert blamed == {"partner-feed"}


@pytest.mark.parametrize(
    ("aspect", "ramp"),
    [
        ("input_size", lambda number: replace(QUIET, longer=2.0 ** (number / 360))),
        ("error", lambda number: replace(QUIET, error_ratio=0.01 * 2.0 ** (number / 180))),
        ("decision", lambda number: replace(QUIET, flipped=min(1.0, number / 360))),
    ],
    ids=["inputs double in an hour", "errors double in half an hour", "a channel is poisoned within an hour"],
)
def test_a_ramp_of_small_steps_raises_a_finding(aspect: str, ramp: Callable[[int], Behaviour]) -> None:
    """Steps of less than half a percent a window do not teach the baseline the new state."""
    assert aspect in {what for what, _ in opened(judged(ramp, 360))}


def test_a_ramp_of_the_rate_raises_a_finding() -> None:
    """A rate that doubles every five minutes is not taught to the baseline."""
    assert "rate" in {what for what, _ in opened(judged(lambda n: replace(QUIET, rate_per_s=50 * 2 ** (n / 30)), 120))}


def test_what_was_under_alarm_does_not_become_usual() -> None:
    """After an hour of longer inputs the baseline still holds the old lengths, so going back resolves."""
    changes = judged(lambda number: replace(QUIET, longer=3.0 if number < 360 else 1.0), 380)
    ends = {change.aspect: number for number, change in changes if change.state is State.RESOLVED}

    assert {"input_size", "latency"} <= set(ends)
    assert all(360 <= ends[aspect] < 375 for aspect in ("input_size", "latency"))


def test_the_baseline_is_asked_first() -> None:
    """The registry's order is the order of findings within a window."""
    assert DETECTORS[0] is Baseline


def test_who_reads_several_features_at_once_says_so() -> None:
    """Those detectors would find the features of a weekend unlike each other; one alone remembers when streams turn."""
    asked = panel(Learning(), 0.99)
    joint = {"association", "correlation", "mahalanobis", "isolation_forest", "one_class_svm"}

    assert {one.name for one in asked if isinstance(one, Joint)} == joint & {one.name for one in asked}
    assert [one.name for one in asked if isinstance(one, RememberingDetector)] == ["baseline"]
