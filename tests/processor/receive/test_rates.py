"""Requests per peer: a steady rate with a burst, and a bounded memory of peers."""

import pytest

from spanward_processor.receive.rates import PeerRates


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def rates(clock: Clock, *, most_peers: int = 100) -> PeerRates:
    """Two requests a second, four at once."""
    return PeerRates(2.0, 4, most_peers, clock)


def test_a_burst_is_let_in_and_the_next_is_told_when_to_come() -> None:
    """After four requests at once the fifth may come half a second later."""
    bound = rates(Clock())

    assert [bound.wait_s("a") for _ in range(4)] == [0.0] * 4
    assert bound.wait_s("a") == pytest.approx(0.5)


def test_who_comes_when_it_was_told_is_let_in() -> None:
    """The wait that is answered is enough, and no more than needed."""
    clock = Clock()
    bound = rates(clock)
    for _ in range(4):
        bound.wait_s("a")
    clock.now += bound.wait_s("a")

    assert bound.wait_s("a") == pytest.approx(0.0)
    assert bound.wait_s("a") == pytest.approx(0.5)


def test_a_refused_request_costs_nothing() -> None:
    """Asking too often does not push the next turn away."""
    bound = rates(Clock())
    waits = [bound.wait_s("a") for _ in range(100)]

    assert waits[4:] == pytest.approx([0.5] * 96)


def test_over_time_the_rate_is_kept() -> None:
    """Whoever asks a hundred times a second for a minute gets two a second and the burst."""
    clock = Clock()
    bound = rates(clock)
    let_in = 0
    for _ in range(6000):
        let_in += bound.wait_s("a") == 0.0
        clock.now += 0.01

    assert 2 * 60 <= let_in <= 2 * 60 + 4


def test_peers_do_not_share_a_rate() -> None:
    """One that sends too much holds up no other."""
    bound = rates(Clock())
    for _ in range(10):
        bound.wait_s("greedy")

    assert bound.wait_s("modest") == 0.0


def test_the_peer_that_was_silent_longest_is_forgotten_first() -> None:
    """Memory is bounded, and an active peer cannot wash out its own account with few others."""
    bound = rates(Clock(), most_peers=3)
    for _ in range(4):
        bound.wait_s("greedy")
    for peer in ("a", "b"):
        bound.wait_s(peer)

    assert bound.wait_s("greedy") > 0
    bound.wait_s("c")
    assert len(bound) == 3
