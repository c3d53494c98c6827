"""Rows scored by a snapshot of the baseline."""

import numpy as np
import pytest

from arrays import model_of
from spanward_processor.features import FEATURES, Aspect, Rows
from spanward_processor.kernels.tables import MISSING
from spanward_processor.rowmodel import RowModel
from spanward_processor.windows.cells import stream_of


def row(**bins: int) -> Rows:
    """Return one row of key 1 that says only what is given."""
    columns = np.full((len(FEATURES), 1), MISSING)
    for name, cell_bin in bins.items():
        columns[Aspect[name.upper()], 0] = cell_bin
    return Rows(np.ones((1, 1), np.int64), columns, np.zeros(1, np.int64), np.zeros((1, 2), np.uint64))


def model(*, ready: bool = True) -> RowModel:
    """Return the model of a thousand rows: latencies in bins 0 to 9, three decisions, one of them rare."""
    latency, decision = stream_of(1, Aspect.LATENCY), stream_of(1, Aspect.DECISION)
    cells = [(latency, cell_bin, 100.0) for cell_bin in range(10)]
    cells += [(decision, -5, 600.0), (decision, 3, 390.0), (decision, 9, 10.0)]
    return model_of(cells, ready=ready)


def test_an_ordinary_row_is_not_surprising() -> None:
    """A row in the middle has a p-value near 1."""
    assert model().score(row(latency=5, decision=-5))[0] == 1.0


def test_both_tails_are_surprising() -> None:
    """Values outside of all that was seen have the smallest p-value the rows allow, below and above."""
    below, above = (model().score(row(latency=cell_bin))[0] for cell_bin in (-40, 40))

    assert below == above == 1 / 1001


def test_a_rare_category_is_as_surprising_as_it_is_rare() -> None:
    """A decision's p-value is the share of rows in decisions no more frequent."""
    assert model().score(row(decision=9))[0] == pytest.approx(0.01, rel=1e-6)


def test_equally_rare_categories_are_equally_surprising() -> None:
    """Of ten decisions with one row each none is rarer than another, in whatever order they are kept."""
    decision = stream_of(1, Aspect.DECISION)
    scorer = model_of([(decision, 0, 990.0), *((decision, number, 1.0) for number in range(1, 11))])

    assert [scorer.score(row(decision=number))[0] for number in (1, 5, 10)] == pytest.approx([0.01] * 3, rel=1e-6)


def test_categories_rank_as_counted_one_by_one() -> None:
    """The share of rows in decisions no more frequent is the sum over them, with ties and with faded counts."""
    counts = np.array([5, 1, 0.25, 3, 1, 0.25, 0.7], np.float32)
    decision = stream_of(1, Aspect.DECISION)
    scorer = model_of([(decision, number, count * 100) for number, count in enumerate(counts.tolist())])
    expected = [counts[counts <= count].sum() / counts.sum() for count in counts]

    found = [scorer.score(row(decision=number))[0] for number in range(counts.size)]

    assert found == pytest.approx(expected, rel=1e-5)


def test_several_features_pay_for_being_looked_at() -> None:
    """The smallest p-value counts times the number of features tested."""
    assert model().score(row(latency=5, decision=9))[0] == pytest.approx(0.02, rel=1e-6)


def test_streams_that_are_not_ready_say_nothing() -> None:
    """Before it has learned, the model has no opinion, however strange the row."""
    assert model(ready=False).score(row(latency=40))[0] == 1.0
    assert RowModel.empty().score(row(latency=40))[0] == 1.0
