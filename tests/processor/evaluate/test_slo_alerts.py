"""The evaluation of alerts about budgets sees what it is to see."""

from spanward_processor.evaluate.evaluations.slo_alerts import FASTEST, false_pages, fired
from spanward_processor.slo.objective import DAY_S, DEFAULT_BURNS

SEED = 1


def test_an_alert_opens_in_time_and_with_its_twin() -> None:
    """Every second request fails: the hour's rule is due after 104 seconds."""
    run = fired(DEFAULT_BURNS[0], 0.5, SEED)

    assert run.ours is not None
    assert run.twin is not None
    assert abs(run.ours - run.twin) <= 5.0
    assert 0.9 * run.due <= run.ours <= FASTEST * run.due + 1


def test_few_requests_page_by_the_plain_rule_and_hardly_by_ours() -> None:
    """A request every ten seconds, for ten days, of a service that keeps to its budget."""
    ours, plain = false_pages(0.1, SEED, 10 * DAY_S)

    assert plain > 0
    assert ours <= plain / 10
