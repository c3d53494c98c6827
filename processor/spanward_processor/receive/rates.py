"""How often one peer may ask: a bucket of requests per address that fills at a steady rate.

Source: ITU-T I.371, annex A (generic cell rate algorithm, virtual scheduling).
"""

from collections import OrderedDict
from collections.abc import Callable


class PeerRates:
    """Remembers, for each peer, when its next request is due.

    Args:
        per_s: Requests per second and peer.
        burst: Requests a peer may send at once after a pause.
        most_peers: Peers remembered; the one that was silent longest is forgotten first.
        monotonic_s: Returns a clock that never steps, seconds.
    """

    def __init__(self, per_s: float, burst: int, most_peers: int, monotonic_s: Callable[[], float]) -> None:
        self._interval_s = 1.0 / per_s
        self._slack_s = (burst - 1) / per_s
        self._most = most_peers
        self._monotonic_s = monotonic_s
        self._due: OrderedDict[str, float] = OrderedDict()

    def wait_s(self, peer: str) -> float:
        """Return 0 and count a request that may come now, else in how many seconds it may.

        Args:
            peer: Address without port.
        """
        now = self._monotonic_s()
        due = max(self._due.get(peer, now), now)
        if due - now > self._slack_s:
            return due - now - self._slack_s
        self._due[peer] = due + self._interval_s
        self._due.move_to_end(peer)
        if len(self._due) > self._most:
            self._due.popitem(last=False)
        return 0.0

    def __len__(self) -> int:
        """Return the number of peers remembered."""
        return len(self._due)
