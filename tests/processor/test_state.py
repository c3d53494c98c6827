"""What was learned outlives a restart: a stream that was interrupted is judged as one that was not."""

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from otlp import Attributes, encoded
from spanward import semconv
from spanward_processor.configuration.assemble import pipeline_of, snapshots_of
from spanward_processor.configuration.config import Config
from spanward_processor.configuration.settings import Detection, Learning, Limits
from spanward_processor.detectors import Baseline, DominantClient
from spanward_processor.findings import Finding, State
from spanward_processor.kept import Arrays, copies
from spanward_processor.pipeline import Pipeline
from spanward_processor.snapshots import NAME, SnapshotError, Snapshots

SEED = 20_261_125
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
DETECTION = Detection(window_s=2.0, lateness_s=2.0, learning=Learning(windows=20, rows=200))
LEARNED_S = 100
MARK = {"window_s": 2.0}


class World:
    """A pipeline in a time that a test moves, sent a request a second; it can be stopped, killed and started again.

    Args:
        folder: Where snapshots are kept.
        seed: Of the traffic.
        kept: What it begins with.
    """

    def __init__(self, folder: Path, seed: int, kept: Arrays | None = None) -> None:
        print(f"seed {seed}")
        self.snapshots = Snapshots(folder, MARK)
        self.now_ns = START
        self.findings: list[Finding] = []
        self._rng = np.random.default_rng(seed)
        self.pipeline = self._new(kept)

    def _new(self, kept: Arrays | None) -> Pipeline:
        return Pipeline(
            DETECTION, Limits(), clock_ns=lambda: self.now_ns, monotonic_ns=lambda: self.now_ns - START, kept=kept
        )

    def run(self, seconds: int, *, longer: float = 1.0) -> None:
        """Send ordinary traffic, or some whose inputs are longer."""
        for _ in range(seconds):
            self.pipeline.acknowledge(self.pipeline.process(encoded(*self.spans(longer), end_ns=self.now_ns)))
            for _ in range(4):
                self.now_ns += SECOND // 4
                self.findings += self.pipeline.tick()

    def spans(self, longer: float) -> list[Attributes]:
        """Return the attributes of a request's spans."""
        lengths = np.round(self._rng.lognormal(3.5, 0.4, 30) * longer)
        clients = self._rng.integers(8, size=30)
        return [
            {
                semconv.MODEL_NAME: "router",
                semconv.FEATURES_COUNT: int(length),
                semconv.DECISION: f"d{int(length) % 3}",
                semconv.CLIENT_ID: f"c{client}",
                semconv.CHANNEL: f"channel-{client % 2}",
                semconv.FEATURES_HASH: f"{int(length):032x}",
            }
            for length, client in zip(lengths, clients, strict=True)
        ]

    def stop(self) -> None:
        """Keep everything, as after SIGTERM."""
        self.snapshots.write(self.pipeline.arrays(complete=True))

    def keep(self) -> None:
        """Keep what there is by now, as at intervals."""
        self.snapshots.write(self.pipeline.arrays(complete=False))

    def start(self, away_s: float = 0.0) -> None:
        """Start again after a while, with what was kept."""
        self.now_ns += int(away_s * SECOND)
        self.pipeline = self._new(self.snapshots.read())

    def opened(self) -> list[str]:
        """Return the aspects of the findings that were opened."""
        return [finding.aspect for finding in self.findings if finding.state is State.OPENED]


def same(left: Pipeline, right: Pipeline) -> None:
    """See that two pipelines hold the same, to the last bit."""
    ours, theirs = left.arrays(complete=True), right.arrays(complete=True)
    assert ours.keys() == theirs.keys()
    differing = [
        name for name in ours if not np.array_equal(ours[name], theirs[name], equal_nan=ours[name].dtype.kind == "f")
    ]
    assert [name for name in differing if not name.startswith("naming.texts.")] == []


@pytest.mark.parametrize("at_s", [61, 62, 75])
def test_a_stopped_and_started_stream_learns_exactly_the_same(at_s: int, tmp_path: Path) -> None:
    """Interrupted in the middle of a window or at its end: baselines, evidence, histories and open windows are equal."""
    begin = Pipeline(DETECTION, Limits()).arrays(complete=True)  # both know the same key
    through, broken = World(tmp_path / "a", SEED, copies(begin)), World(tmp_path / "b", SEED, copies(begin))
    through.run(120)
    broken.run(at_s)
    broken.stop()
    broken.start()
    broken.run(120 - at_s)

    same(through.pipeline, broken.pipeline)
    assert broken.findings == through.findings == []


def test_a_restart_needs_no_new_learning(tmp_path: Path) -> None:
    """Ready before, ready after, with history and decisions."""
    world = World(tmp_path, SEED)
    world.run(LEARNED_S)
    before = world.pipeline.panorama.standings()
    world.stop()
    world.start(5)

    assert all(standing.ready for standing in before)
    assert world.pipeline.panorama.standings() == before


AWAY: dict[str, tuple[Callable[[World], None], float]] = {
    "stopped": (World.stop, 7.0),
    "stopped for an hour": (World.stop, 3600.0),
    "killed": (World.keep, 7.0),
}


@pytest.mark.parametrize("seed", range(SEED, SEED + 8))
@pytest.mark.parametrize("way", list(AWAY))
def test_a_restart_raises_no_finding(way: str, seed: int, tmp_path: Path) -> None:
    """Nothing was counted while it was away, and, killed, for some windows before: that is no silence."""
    keep, away_s = AWAY[way]
    world = World(tmp_path, seed)
    world.run(LEARNED_S)
    keep(world)
    if way == "killed":
        world.run(9)  # acknowledged, in the journal, and not in the snapshot
    world.start(away_s)
    world.run(40)

    assert world.opened() == []


@pytest.mark.parametrize("way", list(AWAY))
def test_an_incident_after_a_restart_is_found(way: str, tmp_path: Path) -> None:
    """Inputs that are twice as long from the first request on are found, without learning first."""
    keep, away_s = AWAY[way]
    world = World(tmp_path, SEED)
    world.run(LEARNED_S)
    keep(world)
    world.start(away_s)
    world.run(20, longer=2.0)

    assert "input_size" in world.opened()


def test_a_finding_that_is_open_over_a_restart_stays_one(tmp_path: Path) -> None:
    """It is not opened again, its rows carry it at once, and it is resolved under the id it was opened with."""
    world = World(tmp_path, SEED)
    world.run(LEARNED_S)
    world.run(20, longer=2.0)
    (before,) = world.pipeline.panorama.findings()
    world.stop()
    world.start(5)
    (after,) = world.pipeline.panorama.findings()
    annotated = world.pipeline.process(encoded(*world.spans(2.0), end_ns=world.now_ns)).annotated
    world.run(20, longer=2.0)
    world.run(60)

    assert after == before
    assert annotated > 0
    assert world.opened() == ["input_size"]
    assert {finding.id for finding in world.findings} == {before.id}
    assert world.findings[-1].state is State.RESOLVED


# --- the file ------------------------------------------------------------------------------------------------------


ARRAYS: Arrays = {
    "a": np.arange(6, dtype=np.float64).reshape(2, 3),
    "none": np.empty((0, 2), np.uint64),
    "scalar": np.array(5, np.int32),
}


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    """Types, shapes and values; each is writable and holds its own memory. Only its owner may read the file."""
    snapshots = Snapshots(tmp_path / "new", {"x": (1, 2)})
    snapshots.write(ARRAYS)
    read = snapshots.read()

    assert read.keys() == ARRAYS.keys()
    for name, array in read.items():
        np.testing.assert_array_equal(array, ARRAYS[name], strict=True)
        assert array.flags.writeable
        assert array.flags.owndata
    assert stat.S_IMODE(snapshots.path.stat().st_mode) == 0o600
    assert [path.name for path in snapshots.folder.iterdir()] == [NAME]


def test_every_damaged_byte_is_noticed(tmp_path: Path) -> None:
    """Each byte of the file changed by itself, and each shorter file."""
    snapshots = Snapshots(tmp_path, {})
    snapshots.write(ARRAYS)
    whole = snapshots.path.read_bytes()
    damaged = [whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :] for at in range(len(whole))]
    for data in (*damaged, *(whole[:size] for size in range(len(whole)))):
        snapshots.path.write_bytes(data)
        with pytest.raises(SnapshotError):
            snapshots.read()


def test_a_snapshot_of_another_configuration_says_what_differs(tmp_path: Path) -> None:
    """Windows of another length were counted otherwise."""
    Snapshots(tmp_path, {"detection.window_s": 10.0, "limits.keys": 5}).write(ARRAYS)

    with pytest.raises(SnapshotError, match=r"^it was made with another detection\.window_s$"):
        Snapshots(tmp_path, {"detection.window_s": 5.0, "limits.keys": 5}).read()


def test_a_write_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    """The file is replaced once it is whole: a folder in the place of the temporary file stops the write."""
    snapshots = Snapshots(tmp_path, {})
    snapshots.write(ARRAYS)
    (tmp_path / NAME).with_suffix(".new").mkdir()
    with pytest.raises(OSError, match="directory"):
        snapshots.write({})

    assert snapshots.read().keys() == ARRAYS.keys()


# --- use -----------------------------------------------------------------------------------------------------------


def configured(folder: Path, **sections: Any) -> Config:
    """Return a configuration that keeps state in a folder."""
    return Config.model_validate({"state": {"folder": str(folder)}} | sections)


def test_a_damaged_snapshot_begins_anew_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Truncated, of another configuration, or undamaged and senseless: one line in the log, never a crash."""
    config = configured(tmp_path)
    snapshots = snapshots_of(config)
    assert snapshots is not None
    learned = pipeline_of(config, snapshots).arrays(complete=True)
    assert caplog.text == ""
    snapshots.write(learned)
    whole = snapshots.path.read_bytes()
    snapshots.path.write_bytes(whole[:-1])
    assert pipeline_of(config, snapshots).panorama.standings() == ()
    snapshots.write({"naming.key": learned["naming.key"]})
    assert pipeline_of(config, snapshots).panorama.standings() == ()
    snapshots.write(learned)
    other = configured(tmp_path, detection={"window_s": 5})
    assert pipeline_of(other, snapshots_of(other)).panorama.standings() == ()

    reasons = [record.getMessage().partition("reason=")[2] for record in caplog.records]
    assert reasons[0] == "'it is damaged'"
    assert "KeyError" in reasons[1]
    assert reasons[2] == "'it was made with another detection.window_s'"


def test_state_needs_a_folder_or_a_journal_in_use(tmp_path: Path) -> None:
    """By default it lies with the journal, which no other processor uses; without one nothing is kept."""
    backends = [{"name": "b", "endpoint": "http://127.0.0.1:1"}]
    journal = {"folder": str(tmp_path)}

    assert Config().state_folder is None
    assert Config.model_validate({"journal": journal, "backends": backends}).state_folder == tmp_path
    assert Config.model_validate({"journal": journal, "backends": backends, "state": None}).state_folder is None
    assert Config.model_validate({"journal": None, "backends": backends}).state_folder is None
    assert configured(tmp_path / "own").state_folder == tmp_path / "own"


def test_every_detector_keeps_something(tmp_path: Path) -> None:
    """What a snapshot holds of each detector is not empty once it has learned."""
    world = World(tmp_path, SEED)
    world.run(LEARNED_S)
    arrays = world.pipeline.arrays(complete=True)

    for name in (Baseline.name, DominantClient.name):
        assert sum(array.size for key, array in arrays.items() if key.startswith(f"judge.detectors.{name}.")) > 0
