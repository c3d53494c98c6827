"""One deployment, and what became of it."""

from dataclasses import asdict, dataclass, field
from typing import Any

from spanward_processor.dora.subjects import Part, Subject


@dataclass(slots=True)
class Deployment:
    """A version that took over.

    Args:
        number: Counted from 0, over all subjects.
        subject: Of what it is a version.
        version: The version.
        before: The version before it; empty for the first.
        at_ns: When it came to serve half of the requests, Unix nanoseconds.
        commit_ns: When its newest commit was made; 0 where nobody said.
        revision: The commit; empty where nobody said.
        failed_ns: When its failure was first seen; 0 while there was none.
        cause: What its failure was, in a sentence.
        recovered_ns: When that was over; 0 while it is not.
        rework: Whether it is taken for the repair of the one before it, or was announced as unplanned.
        open_findings: Ids of the findings by which it failed and which are open.
    """

    number: int
    subject: Subject
    version: str
    before: str
    at_ns: int
    commit_ns: int = 0
    revision: str = ""
    failed_ns: int = 0
    cause: str = ""
    recovered_ns: int = 0
    rework: bool = False
    open_findings: list[str] = field(default_factory=list[str])

    def fail(self, at_ns: int, cause: str) -> None:
        """Note that it has failed; the first reason counts."""
        if not self.failed_ns:
            self.failed_ns, self.cause = max(at_ns, self.at_ns), cause

    def recover(self, at_ns: int) -> None:
        """Note that its failure is over."""
        if self.failed_ns and not self.recovered_ns:
            self.recovered_ns = max(at_ns, self.failed_ns)
            self.open_findings.clear()

    @property
    def lead_ns(self) -> int | None:
        """Time from commit to deployment, nanoseconds; None where the commit's is unknown, or later than that."""
        return self.at_ns - self.commit_ns if 0 < self.commit_ns <= self.at_ns else None

    @property
    def recovery_ns(self) -> int | None:
        """Time from failure to recovery, nanoseconds; None while there is none."""
        return self.recovered_ns - self.failed_ns if self.recovered_ns else None

    def as_plain(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)

    @classmethod
    def of(cls, plain: dict[str, Any]) -> "Deployment":
        """Return the deployment that `as_plain` told of."""
        subject = plain["subject"]
        rest: dict[str, Any] = {"subject": Subject(subject["service"], subject["model"], Part(subject["part"]))}
        return cls(**(plain | rest))
