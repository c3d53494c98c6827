"""The answers: a cause where there is one, and honestly none where there is not."""

import numpy as np
import pytest

from spanward_processor.attribution.answer import Answer, Attribution
from spanward_processor.attribution.attribute import attribute_mean, attribute_mix, attribute_rate
from spanward_processor.attribution.leaves import LeafCounts
from spanward_processor.attribution.table import LeafTable
from spanward_processor.attribution.words import sentence
from spanward_processor.features import show_share
from spanward_processor.kernels.jit import Floats
from spanward_processor.testing.poisoning import CHANNEL, Recommender, Story, poison_case


def told(story: Story, seed: int, moved: float, *, channels: int = 16, items: int = 1_000) -> tuple[Attribution, int]:
    """Return what is answered to a story, and the poisoned channel."""
    rng = np.random.default_rng(seed)
    world = Recommender.drawn(channels, items, rng)
    case = poison_case(story, world, lambda _: 100_000, 1_000_000, moved, rng)
    return attribute_mix(case.table), case.attack.channel if case.attack else -1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("story", "items"), [(Story.TARGETED, 20_000), (Story.TARGETED, 8), (Story.FLIP, 8)])
def test_the_poisoned_channel_is_named_alone(story: Story, items: int, seed: int) -> None:
    """A tenth of one channel's outputs moved, under 1 % of all: it is named, and nothing besides it."""
    found, channel = told(story, seed, 0.1, items=items)

    assert [cause.conditions for cause in found.causes] == [((CHANNEL, channel),)]
    assert found.rest_log10_e < 1


def classes(flipped: tuple[int, ...]) -> LeafTable:
    """Return 16 channels with 8 classes alike; in some of them two fifths of one class are told as another."""
    codes = np.array([(channel, category) for channel in range(16) for category in range(8)], np.int64)
    now = np.full((16, 8), 100.0)
    for channel in flipped:
        now[channel, :2] = 58, 142
    return LeafTable((CHANNEL, "decision"), codes, now.reshape(-1, 1), np.full((128, 1), 1250.0))


def test_a_trade_names_its_channel_where_one_class_alone_would_not() -> None:
    """Two fifths of one class of a channel are told as another: neither rate alone is worth its price, both together are."""
    found = attribute_mix(classes((3,)))

    assert [cause.conditions for cause in found.causes] == [((CHANNEL, 3),)]
    assert found.causes[0].log10_e >= 2


def test_trades_in_two_channels_name_both() -> None:
    """Two channels with the same flip are two causes, not one and a rest that moved as well."""
    found = attribute_mix(classes((3, 11)))

    assert {cause.conditions for cause in found.causes} == {((CHANNEL, 3),), ((CHANNEL, 11),)}


def test_trades_in_all_channels_are_nobodys() -> None:
    """Where every channel flips alike nobody in particular is to blame."""
    assert attribute_mix(classes(tuple(range(16)))).answer is Answer.NO_SINGLE_CAUSE


@pytest.mark.parametrize("seed", range(5))
def test_a_shift_of_all_channels_is_nobodys(seed: int) -> None:
    """When 2 % of every channel's outputs move to one item, no channel is blamed."""
    found, _ = told(Story.EXTERNAL, seed, 0.02)

    assert (found.answer, found.causes) == (Answer.NO_SINGLE_CAUSE, ())


@pytest.mark.parametrize("seed", range(5))
def test_moved_traffic_is_told_from_moved_decisions(seed: int) -> None:
    """When channels only send more or less than before, the answer is the mix, with the channels that changed."""
    found, _ = told(Story.SIMPSON, seed, 0.0)

    assert (found.answer, found.causes) == (Answer.MIX_CHANGED, ())
    assert found.traffic[0].attribute == CHANNEL


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_found_where_nothing_moved(seed: int) -> None:
    """Chance alone moves no decision."""
    assert told(Story.NOTHING, seed, 0.0)[0].answer is Answer.NOTHING


def test_a_folded_item_is_never_taken_for_a_new_one() -> None:
    """Where the baseline has folded what the short window still holds, quiet traffic stays quiet."""
    rng = np.random.default_rng(11)
    world = Recommender.drawn(32, 20_000, rng)
    case = poison_case(Story.NOTHING, world, lambda _: 20_000, 2_000_000, 0.0, rng)

    assert case.table.usual_floor > case.table.now_floor
    assert attribute_mix(case.table).answer is Answer.NOTHING


def rates(now: Floats, usual: Floats, rows: Floats, usual_rows: Floats) -> LeafTable:
    """Return a table of channel and region whose errors are exactly as expected at these rates."""
    codes = np.array([(channel, region) for channel in range(8) for region in range(3)], np.int64)
    return LeafTable(
        ("channel", "region"),
        codes,
        np.stack((rows, np.round(rows * now)), axis=1),
        np.stack((usual_rows, np.round(usual_rows * usual)), axis=1),
    )


def test_errors_of_one_channel_in_one_region_are_named_so() -> None:
    """A conjunction is the cause when neither the channel nor the region is on its own."""
    usual = np.full(24, 0.01)
    now = usual.copy()
    now[3 * 4 + 2] = 0.05
    found = attribute_rate(rates(now, usual, np.full(24, 4_000.0), np.full(24, 40_000.0)))

    (cause,) = found.causes
    assert cause.conditions == (("channel", 4), ("region", 2))
    assert (cause.n, round(cause.observed, 3), round(cause.expected, 3)) == (4_000, 0.05, 0.01)
    assert cause.share == pytest.approx(1.0, abs=0.05)


def test_an_error_rate_that_follows_the_traffic_has_no_cause() -> None:
    """Simpson's paradox: each channel keeps its own rate, the worst one sends more, and the whole gets worse."""
    usual = np.repeat(np.linspace(0.01, 0.08, 8), 3)
    rows = np.full(24, 4_000.0)
    rows[-3:] = 20_000.0
    found = attribute_rate(rates(usual, usual, rows, np.full(24, 40_000.0)))

    assert (found.answer, found.causes) == (Answer.MIX_CHANGED, ())
    assert found.mix_share == pytest.approx(1.0, abs=0.05)
    assert (found.traffic[0].attribute, found.traffic[0].value) == ("channel", 7)


def test_a_confidence_that_sinks_in_one_channel_is_found() -> None:
    """The overall mean falls by a sixteenth of it; the channel is named."""
    rng = np.random.default_rng(12)
    codes = np.arange(16, dtype=np.int64)[:, None]
    sides: list[Floats] = []
    for rows, sunk in ((2_000, 0.02), (20_000, 0.0)):
        scores = rng.normal(0.8, 0.1, (16, rows))
        scores[5] -= sunk
        sides.append(np.stack((np.full(16, float(rows)), scores.sum(axis=1), (scores**2).sum(axis=1)), axis=1))

    found = attribute_mean(LeafTable(("channel",), codes, sides[0], sides[1]))

    assert [cause.conditions for cause in found.causes] == [(("channel", 5),)]


def test_a_table_holds_every_leaf_of_either_side() -> None:
    """A leaf that one side has never seen counts zero there."""
    now = LeafCounts.of(np.array([[1, 2], [3, 4]]), np.array([[5.0], [6.0]]))
    usual = LeafCounts.of(np.array([[0, 9], [3, 4]]), np.array([[7.0], [8.0]]))

    table = LeafTable.of(("channel", "region"), now, usual)

    assert table.codes.tolist() == [[0, 9], [1, 2], [3, 4]]
    assert (table.now[:, 0].tolist(), table.usual[:, 0].tolist()) == ([0.0, 5.0, 6.0], [7.0, 0.0, 8.0])


def test_the_sentence_names_slice_share_and_rates() -> None:
    """A tired person reads who, how much of it, and what is usual."""
    usual = np.full(24, 0.02)
    now = usual.copy()
    now[12:15] = 0.05
    found = attribute_rate(rates(now, usual, np.full(24, 4_000.0), np.full(24, 40_000.0)))

    said = sentence(found, show_share, lambda code: f"c{code}")

    assert said == (
        "Explained by channel 'c4' (5.0 %, expected 2.0 %; 100 % of the shift, 12,000 rows). "
        "Without it the rest is as usual."
    )
