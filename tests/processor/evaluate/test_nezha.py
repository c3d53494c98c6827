"""Ranking of services by their own time, on spans of which the culprit is known."""

import numpy as np

from spanward_processor.evaluate.evaluations.nezha import CPU, Fault, Samples, Spans, ranked
from spanward_processor.explain.parts import Part

FAULT = Fault("b", CPU, 1_000.0)
OTHER = Fault("a", CPU, 5_000.0)
CALLS = 100


def recorded(slower: float) -> Spans:
    """Return calls of three pods at both times; one of them is slower in the fault's."""
    rng = np.random.default_rng(3)
    pod = np.tile(np.repeat(np.arange(3), CALLS), 2)
    start_s = np.repeat([FAULT.at_s, OTHER.at_s], 3 * CALLS) + rng.uniform(0, 170, pod.size)
    own_s = rng.lognormal(np.log(0.01), 0.2, pod.size)
    own_s[(pod == 1) & (start_s < OTHER.at_s)] *= slower
    trace = np.tile(np.arange(CALLS), 6) + CALLS * (start_s >= OTHER.at_s)
    return Spans(("a", "b", "c"), pod, np.zeros(pod.size, np.int64), start_s, own_s, trace)


def busy(share: float) -> Samples:
    """Return samples of the culprit's CPU: one of each time."""
    return {"b": np.array([[FAULT.at_s + 100, share], [OTHER.at_s + 100, 0.05]])}


def test_a_pod_that_became_slower_on_a_busy_processor_comes_first() -> None:
    """What its CPU says makes it the machine's."""
    ranking = ranked(FAULT, [OTHER], recorded(2.0), busy(0.98), np.random.default_rng(4))

    assert ranking[0] == ("b", Part.MACHINE)


def test_a_pod_that_became_slower_for_no_known_reason_comes_first_unexplained() -> None:
    """Its CPU was idle."""
    ranking = ranked(FAULT, [OTHER], recorded(2.0), busy(0.06), np.random.default_rng(4))

    assert ranking[0] == ("b", Part.UNEXPLAINED)
