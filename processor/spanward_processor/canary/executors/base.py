"""What rolls a canary back, and what it is told."""

import json
from dataclasses import asdict, dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RollBack:
    """A canary that is to get no traffic any more.

    Args:
        id: Of the verdict; the same however often it is tried.
        service: Name of the service.
        model: Name of the model.
        stable: Version to go back to.
        canary: Version that goes.
        guard: What it is worse in.
        reason: The sentence for a person.
        decided_ns: When it was decided, Unix nanoseconds of event time.
    """

    id: str
    service: str
    model: str
    stable: str
    canary: str
    guard: str
    reason: str
    decided_ns: int

    def as_json(self) -> bytes:
        """Return it as those outside are told."""
        return json.dumps({"action": "roll_back", **asdict(self)}, separators=(",", ":")).encode()


class ExecutorError(Exception):
    """A roll-back did not come about; says why."""


class Executor(Protocol):
    """Rolls back, in one way."""

    @property
    def name(self) -> str:
        """What it acts on, in a few words without a secret."""
        ...

    async def execute(self, roll_back: RollBack) -> str:
        """Roll back; done twice it is as done once.

        Args:
            roll_back: What goes.

        Returns:
            What was done, in a few words.

        Raises:
            ExecutorError: It was not.
        """
        ...
