"""Things never seen before."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors.base import Account
from spanward_processor.detectors.novelty import Novelty
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.testing.traffic import QUIET, Behaviour, Traffic

SEED = 20_261_126
WARM_UP = 150  # windows
EVER_NEW = replace(QUIET, strangers_per_s=3.0)


def news_of(
    behave: Callable[[int], Behaviour], windows: int, *, held: bool = False
) -> Iterator[tuple[int, float, Account]]:
    """Yield window number, p-value and account of the most surprising stream of each window in which there is news.

    Args:
        behave: How the world behaves, by number of the window; negative ones are for learning.
        windows: How many follow those.
        held: Whether those are under alarm.
    """
    print(f"seed {SEED}")
    traffic, novelty = Traffic(SEED), Novelty(Learning(), 0.998)
    for number in range(-WARM_UP, windows):
        (window,) = traffic.windows(behave(number), 1)
        surprise = novelty.test(window, traffic.directory)
        if number >= 0 and surprise.p.min() < 1:
            stream = int(surprise.streams[np.argmin(surprise.p)])
            account = novelty.explain(stream, window, traffic.directory, traffic.text)
            yield number, float(surprise.p.min()), account
        novelty.learn(window, np.full(len(traffic.directory) << FEATURE_BITS, held and number >= 0))


def test_a_crowd_of_strangers_is_news() -> None:
    """Clients that were never seen, many at once, where there were none before."""
    _, p, account = next(news_of(lambda number: QUIET if number < 0 else EVER_NEW, 1))

    assert p < 1e-4
    assert (account.aspect, account.kind) == ("client", "security")
    assert "never seen before at support / router-0 1.0: " in account.reason
    assert account.baseline.startswith("one new client in ")


def test_where_there_is_always_news_it_says_nothing() -> None:
    """A service to which new clients come all the time is quiet about them."""
    p = np.array([p for _, p, _ in news_of(lambda _: EVER_NEW, 200)])

    assert (p < 0.01).sum() <= 4
    assert p.min() > 1e-4


def test_one_stranger_is_hardly_news() -> None:
    """One new client in an hour's rows is one event, and new once only, even while it is held."""
    flood = replace(QUIET, flood_per_s=20.0)  # of one client
    news = list(news_of(lambda number: QUIET if number < 0 else flood, 5, held=True))

    assert [number for number, _, _ in news] == [0]
    assert news[0][1] > 1e-4
    assert news[0][2].observed == "1 new client"
