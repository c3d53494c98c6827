"""What a pipeline announces of a deployment: its commit's time, and whether it was planned."""

import json
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError, model_validator

from spanward_processor.configuration.sections import Section
from spanward_processor.dora.deployment import Deployment
from spanward_processor.dora.subjects import Part, Subject

MOST_BYTES: Final = 16 << 10
"""Largest announcement."""

MOST: Final = 1000
"""Announcements that are kept; then the oldest is forgotten."""

_RULES: Final = {"missing": "must be given", "extra_forbidden": "must be a known key", "string_type": "must be a text"}
Text = Annotated[str, Field(max_length=256)]


class AnnouncementError(ValueError):
    """An announcement cannot be used; `errors` holds path and rule of each mistake."""

    def __init__(self, errors: Iterable[tuple[str, str]]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(f"{path}: {rule}" for path, rule in self.errors))


@dataclass(frozen=True, slots=True)
class Announcement:
    """What is known of a deployment from elsewhere.

    Args:
        service: Name of the service.
        model: Name of the model; empty for any.
        part: What of it.
        version: The version; empty where only the commit is known.
        revision: The commit; empty where only the version is known.
        commit_ns: When the commit was made, Unix nanoseconds; 0 where nobody says.
        unplanned: Whether it repairs something; None where nobody says.
    """

    service: str
    model: str
    part: Part
    version: str
    revision: str
    commit_ns: int
    unplanned: bool | None

    def concerns(self, subject: Subject, version: str, revision: str) -> bool:
        """Return whether it speaks of a version."""
        named = self.version == version if self.version else self.revision == revision
        return (
            named and (self.service, self.part) == (subject.service, subject.part) and self.model in {"", subject.model}
        )

    def tell(self, deployment: Deployment) -> None:
        """Note in a deployment what it says."""
        deployment.commit_ns = self.commit_ns or deployment.commit_ns
        deployment.revision = self.revision or deployment.revision
        if self.unplanned is not None:
            deployment.rework = self.unplanned


class Announcements:
    """The newest announcements."""

    def __init__(self) -> None:
        self._kept: deque[Announcement] = deque(maxlen=MOST)

    def add(self, announcement: Announcement) -> None:
        """Keep one; a repeated one once."""
        if announcement not in self._kept:
            self._kept.append(announcement)

    def of(self, deployment: Deployment) -> tuple[Announcement, ...]:
        """Return those that speak of a deployment, oldest first."""
        one = deployment
        return tuple(said for said in self._kept if said.concerns(one.subject, one.version, one.revision))

    def as_plain(self) -> list[dict[str, Any]]:
        """Return them as JSON can hold them."""
        return [asdict(announcement) for announcement in self._kept]

    def restore(self, plain: list[dict[str, Any]]) -> None:
        """Take back what `as_plain` has told."""
        for one in plain:
            part: dict[str, Any] = {"part": Part(one["part"])}
            self._kept.append(Announcement(**(one | part)))


class _Body(Section):
    service: Annotated[Text, Field(min_length=1)]
    model: Text = ""
    part: Part = Part.MODEL
    version: Text = ""
    revision: Text = ""
    commit_time: AwareDatetime | None = None
    unplanned: Annotated[bool, Field(strict=True)] | None = None

    @model_validator(mode="after")
    def _named(self) -> "_Body":
        if not (self.version or self.revision):
            raise ValueError("must have a version or a revision")
        return self


def read_announcement(body: bytes) -> Announcement:
    """Return what a request's body says.

    Raises:
        AnnouncementError: Everything that is wrong with it.
    """
    try:
        told = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise AnnouncementError([("body", f"must be JSON, got {str(error)[:100]}")]) from error
    try:
        said = TypeAdapter(_Body).validate_python(told)
    except ValidationError as error:
        raise AnnouncementError(_mistakes(error)) from error
    moment = said.commit_time
    rest = said.model_dump(exclude={"commit_time"})
    return Announcement(**rest, commit_ns=nanoseconds(moment) if moment else 0)


def nanoseconds(moment: datetime) -> int:
    """Return Unix nanoseconds of a moment that has a time zone."""
    since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000


def _mistakes(error: ValidationError) -> Iterable[tuple[str, str]]:
    for one in error.errors():
        path = ".".join(map(str, one["loc"])) or "body"
        rule = one["msg"].removeprefix("Value error, ").replace("Input should", "must")
        rule = _RULES.get(one["type"], rule)
        value = one["input"]
        shown = "" if one["type"] in _RULES or isinstance(value, dict | list) else f", got {str(value)[:100]!r}"
        yield path, rule + shown
