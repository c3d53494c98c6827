"""The contract of a detector: test a window, then learn from it.

A detector says how surprising each stream of a window is. It does not decide: evidence is accumulated, combined with that
of other detectors, judged by the one budget and turned into findings by `Judge`, which also tells the detector what not to
learn from. All a detector sees are merged windows, so it works the same on one machine and behind many.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from numpy.typing import NDArray

from spanward_processor.configuration.settings import Learning
from spanward_processor.features import Aspect, Rows
from spanward_processor.findings import Finding, Technique
from spanward_processor.kept import Arrays
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.keys import KeyDirectory
from spanward_processor.surprise import Surprise
from spanward_processor.windows.window import Window


@dataclass(frozen=True, slots=True)
class Account:
    """A stream's deviation in words, and how its rows are known.

    Args:
        kind: `operational`, `performance`, `quality` or `security`.
        aspect: What moved, as in `Aspect`, in lower case.
        observed: Observed value in words.
        baseline: Usual value in words.
        reason: The sentence for a person.
        n: Rows of the stream in the window.
        carriers: Cells (stream, bin) whose rows carry the deviation; they are annotated with the finding.
        technique: MITRE ATLAS technique where one applies.
        client: Who is meant where it is one client, as its spans name it.
    """

    kind: str
    aspect: str
    observed: str
    baseline: str
    reason: str
    n: int
    carriers: tuple[tuple[int, int], ...] = ()
    technique: Technique | None = None
    client: str = ""


@dataclass(frozen=True, slots=True)
class Readiness:
    """How far a detector has learned a key.

    Args:
        ready: Whether it is judged.
        windows: Windows learned.
        rows: Rows learned.
    """

    ready: bool
    windows: int
    rows: int


class Detector(Protocol):
    """One method of finding anomalies, one class, one file."""

    name: ClassVar[str]
    """Name in findings and attributes, equal to the module's."""

    learning: Learning
    """What "ready" takes; may be exchanged between windows."""

    def arrays(self) -> Arrays:
        """Return what is kept over a restart; see `Kept`."""
        ...

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        ...

    def test(self, window: Window, directory: KeyDirectory) -> Surprise:
        """Judge a window by what was learned before it; the window is not learned yet."""
        ...

    def learn(self, window: Window, held: Flags) -> None:
        """Learn the window just tested, except for the held streams.

        Args:
            window: As given to `test`.
            held: (m,) bool by stream; a stream past its end is not held.
        """
        ...

    def evict(self, gone: Flags) -> None:
        """Let go of all that is known of keys whose place others need; they never come again.

        Args:
            gone: (k,) bool by key. No window is being judged meanwhile.
        """
        ...

    def explain(self, stream: int, window: Window, directory: KeyDirectory, text: Callable[[int], str]) -> Account:
        """Put one stream's deviation in the window just tested into words.

        Args:
            stream: The stream.
            window: As given to `test`.
            directory: Names of the keys.
            text: Code to text.
        """
        ...


@runtime_checkable
class RowDetector(Protocol):
    """A detector that judges single rows too; one that has no `score` is not asked."""

    name: ClassVar[str]
    """As of the detector."""

    def score(self, rows: Rows) -> Floats:
        """Return (n,) float64 p-values of single rows; 1 where the detector has no opinion."""
        ...


@runtime_checkable
class Herald(Protocol):
    """A detector that has something to tell that is no alarm; one that has no `news` is not asked."""

    name: ClassVar[str]
    """As of the detector."""

    def news(self, window: Window, directory: KeyDirectory) -> Sequence[Finding]:
        """Return findings that are over at once, each told once; asked after `test` of the same window."""
        ...


@runtime_checkable
class Accumulator(Protocol):
    """A detector that accumulates evidence by itself, see `Surprise.log10_e`; one that has no `forget` is not told to."""

    def forget(self, streams: Ints) -> None:
        """Begin anew with the evidence of streams, (s,) int64; what is usual of them stays known."""
        ...


@runtime_checkable
class Anchored(Protocol):
    """A detector that compares with what was usual at first; one that has no `begin_anew` does not."""

    def begin_anew(self, streams: Ints) -> None:
        """Forget what was usual at first of streams, (s,) int64, and take what comes now for it."""
        ...


@runtime_checkable
class Remembering(Protocol):
    """A detector that remembers what streams turned to, and when; one that has no `turn` does not."""

    def turn(self, turned: Ints, spoken_of: Ints, window: Window, directory: KeyDirectory) -> None:
        """Note what findings say of single features in the window just tested; asked before `learn`.

        Args:
            turned: (s,) int64 streams of which a finding began to speak, or ended since they turned back.
            spoken_of: (s,) int64 streams of which open findings speak.
            window: As given to `test`.
            directory: Names of the keys.
        """
        ...

    def turning(self, window: Window) -> Ints:
        """Return (s,) int64 the series that turned not long before the window just tested, as they have at this time before."""
        ...


@runtime_checkable
class Joint(Protocol):
    """A detector that reads several features at once: where one of them turns as it has before, it would find them unlike before."""

    joint: ClassVar[bool]
    """True."""


def aspect_name(aspect: Aspect) -> str:
    """Return an aspect's name in findings."""
    return aspect.name.lower()
