"""What host, container and process said of themselves in both times, and whether that can slow a call down."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Resource(StrEnum):
    """What can run short."""

    CPU = "CPU"
    THROTTLING = "CPU throttling"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Gauge:
    """One measure of a machine in both times.

    Args:
        name: Name of the metric.
        resource: What runs short when it is high.
        before: Mean share in use before, 0 to 1; of throttling the share of time in which the process was held.
        now: The same now.
    """

    name: str
    resource: Resource
    before: float
    now: float

    @property
    def strained(self) -> bool:
        """Whether it rose to where calls become slower."""
        least, rise = _STRAINED[self.resource]
        return self.now >= least and self.now - self.before >= rise


_STRAINED: Final = {
    # From some 70 % on, waiting for a processor grows faster than its load (M/M/1: by 1 / (1 - load)).
    Resource.CPU: (0.7, 0.1),
    Resource.THROTTLING: (0.02, 0.02),
    # Memory that is merely in use slows nobody; short of its end the kernel takes it back and pages are read anew.
    Resource.MEMORY: (0.9, 0.05),
}
"""From which share on, and after what rise."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What is known of where a model runs; no gauges where nobody told.

    Args:
        gauges: Each of them.
    """

    gauges: tuple[Gauge, ...] = ()

    @property
    def strained(self) -> tuple[Gauge, ...]:
        """The gauges that rose to where calls become slower."""
        return tuple(gauge for gauge in self.gauges if gauge.strained)


NOTHING_KNOWN: Final = Machine()
"""Where nobody told anything."""
