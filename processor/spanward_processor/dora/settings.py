"""What the counting of deployments is told; `section.py` says how an operator writes it."""

from dataclasses import dataclass
from typing import Final

_SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Dora:
    """When a version is deployed, and when a deployment has failed.

    Args:
        settle_s: Time over which a version's share of the requests is taken, seconds.
        min_requests: Requests over which it is taken at least.
        fails_within_s: Time after a deployment within which it can fail, and after a failure within which another deployment
            is taken for its repair, seconds.
        deployments: Deployments that are kept; then the oldest is forgotten.
    """

    settle_s: float = 60.0
    min_requests: int = 100
    fails_within_s: float = 86_400.0
    deployments: int = 10_000

    @property
    def settle_ns(self) -> int:
        """`settle_s`, nanoseconds."""
        return int(self.settle_s * _SECOND_NS)

    @property
    def fails_within_ns(self) -> int:
        """`fails_within_s`, nanoseconds."""
        return int(self.fails_within_s * _SECOND_NS)
