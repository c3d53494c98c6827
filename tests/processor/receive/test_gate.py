"""The gate: rate first, then token, each with the status a sender understands."""

from pathlib import Path

from spanward_processor.receive.gate import Gate
from spanward_processor.receive.rates import PeerRates
from spanward_processor.receive.tokens import Tokens
from spanward_processor.status import Code

TOKEN = "a-token-of-16-letters"


def clock() -> float:
    """Return a time that stands still."""
    return 100.0


def with_token(folder: Path) -> Tokens:
    """Return tokens of a file."""
    file = folder / "tokens"
    file.write_text(TOKEN, encoding="utf-8")
    return Tokens(file, clock)


def test_an_open_gate_lets_everybody_in() -> None:
    """Without tokens and rates nobody is turned away."""
    assert Gate().turn_away({}, "peer") is None


def test_without_its_token_a_sender_is_unauthenticated_for_good(tmp_path: Path) -> None:
    """It is not asked to come back: that would be useless."""
    gate = Gate(tokens=with_token(tmp_path))

    for headers in ({}, {"authorization": "Bearer wrong-token-of-16"}):
        turned = gate.turn_away(headers, "peer")
        assert turned is not None
        assert (turned.code, turned.retry_s) == (Code.UNAUTHENTICATED, None)
        assert TOKEN not in turned.message
    assert gate.turn_away({"authorization": f"Bearer {TOKEN}"}, "peer") is None


def test_a_peer_above_its_rate_is_asked_to_come_back() -> None:
    """The answer is one that senders retry, with the wait."""
    gate = Gate(rates=PeerRates(2.0, 1, 10, clock))

    assert gate.turn_away({}, "peer") is None
    turned = gate.turn_away({}, "peer")
    assert turned is not None
    assert (turned.code, turned.retry_s) == (Code.UNAVAILABLE, 0.5)


def test_guessing_tokens_is_held_to_the_rate(tmp_path: Path) -> None:
    """Wrong tokens count, so that guesses are slow."""
    gate = Gate(with_token(tmp_path), PeerRates(2.0, 3, 10, clock))
    codes = [turned.code for _ in range(5) if (turned := gate.turn_away({}, "guesser"))]

    assert codes == [Code.UNAUTHENTICATED] * 3 + [Code.UNAVAILABLE] * 2
