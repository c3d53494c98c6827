"""What a comparison of two versions is told; `section.py` says how an operator writes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Guarded:
    """How one guard counts.

    Args:
        weight: Its part of the evidence; 0 leaves it out.
        margin: How much worse nobody minds; only what is beyond it counts against the canary. Relative for latency, tail, errors
            and tokens; in the unit of the value for scores and shares.
        tolerance: How much worse it must surely not be, for the canary to be promoted. Likewise, but for errors a share.
    """

    weight: float
    margin: float
    tolerance: float


GUARDS: Final[Mapping[str, Guarded]] = MappingProxyType(
    {
        "latency": Guarded(0.5, 0.03, 0.1),
        "tail": Guarded(1.0, 0.2, 0.5),
        "errors": Guarded(2.0, 0.1, 0.005),
        "score": Guarded(0.25, 0.05, 0.05),
        "decision": Guarded(0.25, 0.05, 0.05),
        "input_tokens": Guarded(0.25, 0.2, 0.25),
        "output_tokens": Guarded(0.25, 0.2, 0.25),
    }
)
"""Every guard by its name, as it counts unless the operator says otherwise."""


@dataclass(frozen=True, slots=True)
class Named:
    """A pair of versions that the operator names.

    Args:
        service: Name of the service.
        model: Name of the model.
        stable: Version to go back to.
        canary: Version on trial; empty for any other.
    """

    service: str
    model: str
    stable: str
    canary: str = ""


@dataclass(frozen=True, slots=True)
class Canary:
    """How versions are compared.

    Args:
        enabled: Whether versions are compared.
        window_s: Length of a window, seconds; versions are compared inside one.
        lateness_s: How long a window waits for late rows, seconds.
        warmup_s: Time of a new version in which only its errors count, seconds.
        alpha: Chance, at most, that a version which is no worse is rolled back, in the whole of its trial.
        min_requests: Requests of the canary before anything is decided.
        promote_requests: Requests of the canary before it can be promoted.
        min_clients: Clients of the canary before anything is decided, where each client stays with one version.
        vanished_s: Time without a request after which a version has vanished, seconds.
        guards: How each guard counts.
        models: Pairs that the operator names; others are found.
    """

    enabled: bool = True
    window_s: float = 1.0
    lateness_s: float = 5.0
    warmup_s: float = 120.0
    alpha: float = 0.01
    min_requests: int = 30
    promote_requests: int = 1000
    min_clients: int = 3
    vanished_s: float = 60.0
    guards: Mapping[str, Guarded] = field(default_factory=lambda: GUARDS)
    models: tuple[Named, ...] = ()
