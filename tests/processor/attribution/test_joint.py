"""Several attributes at once: which combination explains a finding, from sampled rows, in the whole pipeline."""

from collections.abc import Callable

import numpy as np

from otlp import Attributes, encoded
from spanward import semconv
from spanward_processor.attribution.joint import MOST_ROWS, MOST_SERIES, JointRows
from spanward_processor.configuration.settings import Detection, Learning, Limits
from spanward_processor.features import FEATURES, Aspect
from spanward_processor.findings import Finding, State
from spanward_processor.kernels.sampling import SAMPLED
from spanward_processor.pipeline import Pipeline
from spanward_processor.windows.sample import Sample

SEED = 20_261_126
WINDOW_NS = 10_000_000_000
REGION, TIER = f"{semconv.DIMENSION_PREFIX}region", f"{semconv.DIMENSION_PREFIX}tier"
CHANNELS, REGIONS, TIERS = ("web", "mobile", "partner"), ("north", "south"), ("free", "paid", "trial")
DECISIONS = ("billing", "delivery", "technical")
ROWS_PER_WINDOW = 240
LEARNED = 70  # windows
Row = dict[str, str | int | float | bool | bytes]
Spoil = Callable[[Row, float], None]


def told(spoil: Spoil, windows: int = 26) -> list[Finding]:
    """Let quiet traffic be learned, then spoil its rows; return the findings that opened, as they were told last.

    Args:
        spoil: Changes the attributes of a row, given a random number of 0 to 1.
        windows: How many follow.
    """
    print(f"seed {SEED}")
    rng, now_ns = np.random.default_rng(SEED), 170_000_000 * WINDOW_NS
    detection = Detection(slices=(semconv.CHANNEL, REGION, TIER), learning=Learning(windows=30, rows=300))
    pipeline = Pipeline(detection, Limits(), clock_ns=lambda: now_ns, monotonic_ns=lambda: now_ns)
    findings: dict[str, Finding] = {}
    for number in range(LEARNED + windows):
        spans: list[Attributes] = []
        for _ in range(ROWS_PER_WINDOW):
            row: Row = {
                semconv.MODEL_NAME: "router",
                semconv.FEATURES_COUNT: int(rng.lognormal(3.5, 0.4)),
                semconv.SCORE: float(rng.beta(8, 2)),
                semconv.CHANNEL: str(rng.choice(CHANNELS)),
                REGION: str(rng.choice(REGIONS)),
                TIER: str(rng.choice(TIERS)),
                semconv.DECISION: str(rng.choice(DECISIONS, p=(0.5, 0.3, 0.2))),
            }
            if number >= LEARNED:
                spoil(row, float(rng.random()))
            spans.append(row)
        pipeline.acknowledge(pipeline.process(encoded(*spans, end_ns=now_ns)))
        now_ns += WINDOW_NS
        findings |= {finding.id: finding for finding in pipeline.tick() if finding.state is not State.RESOLVED}
    return list(findings.values())


def is_spoilt(row: Row) -> bool:
    """Return whether a row is of the combination that goes wrong here."""
    return row[semconv.CHANNEL] == "partner" and row[REGION] == "north"


def test_a_combination_of_two_attributes_is_named() -> None:
    """Decisions of one channel in one region are flipped: the finding names both, and no third attribute."""

    def flip(row: Row, chance: float) -> None:
        if is_spoilt(row) and chance < 0.8:
            row[semconv.DECISION] = "technical"

    (finding,) = [finding for finding in told(flip) if finding.aspect == "decision"]

    (share,) = finding.slices
    assert {(share.name, share.value), *share.also} == {(semconv.CHANNEL, "partner"), (REGION, "north")}
    assert "channel 'partner' and region 'north' (" in finding.reason
    assert str(share) == f"{semconv.CHANNEL}=partner and {REGION}=north"


def test_a_combination_is_named_for_a_number_too() -> None:
    """Scores of one channel in one region fall: both are named."""

    def lower(row: Row, chance: float) -> None:
        del chance
        if is_spoilt(row):
            row[semconv.SCORE] = float(row[semconv.SCORE]) * 0.6

    (finding,) = [finding for finding in told(lower) if finding.aspect == "score"]

    assert {(share.name, share.value, share.also) for share in finding.slices} == {
        (semconv.CHANNEL, "partner", ((REGION, "north"),))
    }


def test_one_attribute_alone_is_named_alone() -> None:
    """A whole channel is flipped: that is told from all rows, without a combination."""

    def flip(row: Row, chance: float) -> None:
        if row[semconv.CHANNEL] == "partner" and chance < 0.5:
            row[semconv.DECISION] = "technical"

    (finding,) = [finding for finding in told(flip) if finding.aspect == "decision"]

    assert [(share.value, share.also) for share in finding.slices] == [("partner", ())]


# --- rows that are kept ----------------------------------------------------------------------------------------------


def sample_of(*keys: int) -> Sample:
    """Return a full sample of some series, rows of two slices each."""
    size = len(keys) * SAMPLED
    marks = np.tile(np.array([100, 200, 0, 7, 0], np.int64), (size, 1))
    marks[::2, :2] += 1
    sample = Sample.of(size, marks.shape[1])
    sample.keys[:], sample.ranks[:] = np.repeat(np.array(keys, np.int64), SAMPLED), np.arange(size)
    sample.values[:], sample.marks[:], sample.measured[:], sample.routes[:] = 0, marks, 0, 0
    return sample


def test_rows_of_series_under_alarm_do_not_become_usual() -> None:
    """What grows old while its series is held is dropped."""
    held, free = JointRows(2), JointRows(2)
    for _ in range(40):
        held.keep(sample_of(3), np.array([3]))
        free.keep(sample_of(3), np.empty(0, np.int64))

    decision = FEATURES[Aspect.DECISION]
    assert held.sides(sample_of(3), 3, decision, 3) is None
    sides = free.sides(sample_of(3), 3, decision, 3)
    assert sides
    assert sides.now.sums.sum() == 3 * SAMPLED
    assert sides.usual.sums.sum() == 38 * SAMPLED


def test_kept_rows_are_bounded() -> None:
    """Of a series so many rows are kept, and of so many series."""
    rows = JointRows(1)
    for _ in range(MOST_ROWS // SAMPLED + 10):
        rows.keep(sample_of(*range(1, MOST_SERIES + 3)), np.empty(0, np.int64))

    error = FEATURES[Aspect.ERROR]
    sides = rows.sides(sample_of(MOST_SERIES), MOST_SERIES, error, 2)
    assert sides
    assert sides.usual.sums[:, 0].sum() == MOST_ROWS
    assert rows.sides(sample_of(MOST_SERIES + 1), MOST_SERIES + 1, error, 2) is None


def test_within_a_slice_only_its_rows_count() -> None:
    """Asked about one slice, the others' rows are left out, and its own attribute is no cause."""
    rows = JointRows(5)
    for _ in range(50):
        rows.keep(sample_of(3), np.empty(0, np.int64))
    mixed, error = sample_of(3), FEATURES[Aspect.ERROR]
    mixed.marks[1::4, 1] = 205

    inside = rows.sides(mixed, 3, error, 6, within=100)

    assert rows.sides(sample_of(3), 3, error, 6, within=100) is None
    assert inside
    assert inside.attributes.tolist() == [1]
    assert inside.now.sums[:, 0].sum() == 6 * SAMPLED / 2
