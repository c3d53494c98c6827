"""The keys in use: one per series and slice, bounded, with names."""

import numpy as np

from otlp import encoded
from spanward import semconv
from spanward_processor.decode import decode
from spanward_processor.findings import Series
from spanward_processor.kernels.jit import Ints
from spanward_processor.keys import IDLE_ROUNDS, KeyDirectory
from spanward_processor.roles import RoleTable, role_table
from spanward_processor.texts import Texts

HELD = IDLE_ROUNDS + 1
"""Rounds after which what was not seen may make room."""


class Directory:
    """A directory and its dictionary of texts, fed with encoded spans."""

    def __init__(self, *, most_keys: int = 100, most_slices: int = 10) -> None:
        self.roles: RoleTable = role_table(key=bytes(16))
        self._texts = Texts(list(range(len(self.roles.texts))), 1000)
        self.keys = KeyDirectory(self.roles, self._texts, most_keys=most_keys, most_slices=most_slices)

    def assign(self, *spans: dict[str, str]) -> Ints:
        """Return the keys of spans."""
        batch = decode(encoded(*spans), self.roles)
        self._texts.learn(batch)
        return self.keys.assign(batch)

    def pass_rounds(self, rounds: int, *spans: dict[str, str], spared: Ints | None = None) -> list[int]:
        """Let rounds pass in which these spans are seen; return the keys that made room."""
        gone: list[int] = []
        for _ in range(rounds):
            if spans:
                self.assign(*spans)
            gone += np.flatnonzero(self.keys.evict(np.empty(0, np.int64) if spared is None else spared)).tolist()
        return gone


def span(model: str = "router", channel: str = "", version: str = "1") -> dict[str, str]:
    """Return one span's attributes."""
    return {semconv.MODEL_NAME: model, semconv.MODEL_VERSION: version, semconv.CHANNEL: channel}


def test_each_version_of_each_model_is_a_series() -> None:
    """Spans share a key when service, model and version are equal, in any request."""
    directory = Directory()
    first = directory.assign(span(), span(version="2"), span("other"), span())[0].tolist()

    assert first == [1, 2, 3, 1]
    assert directory.assign(span("other"))[0].tolist() == [3]
    assert directory.keys[2] == Series("support", "router", "2")


def test_spans_without_a_model_have_no_key() -> None:
    """What is no inference span gets -1 and takes no room."""
    directory = Directory()

    assert directory.assign({}, {semconv.CHANNEL: "web"}).tolist() == [[-1, -1], [-1, -1]]
    assert len(directory.keys) == 1


def test_a_slice_knows_its_series() -> None:
    """A slice has a key of its own under its series, and its name."""
    directory = Directory()
    series, channel = directory.assign(span(channel="web"))[:, 0].tolist()

    assert directory.keys.parent(channel) == series
    assert directory.keys.parent(series) == series
    assert directory.keys.parents().tolist() == [0, series, series]
    assert directory.keys[channel] == Series("support", "router", "1", (semconv.CHANNEL, "web"))


def test_one_value_under_two_series_is_two_slices() -> None:
    """The same channel of two versions has two keys."""
    keys = Directory().assign(span(channel="web"), span(channel="web", version="2"))

    assert len(set(keys[1].tolist())) == 2


def test_series_past_the_limit_share_key_zero_and_are_counted() -> None:
    """With no key left, rows of new series are counted in the overflow series; known ones keep theirs."""
    directory = Directory(most_keys=2)
    directory.assign(span("a"), span("b"))

    keys = directory.assign(span("c"), span("d", channel="web"), span("a"), span("c"))

    assert keys.tolist() == [[0, 0, 1, 0], [-1, -1, -1, -1]]
    assert directory.keys.overflowed == 3
    assert len(directory.keys) == 3
    assert "limits.keys" in directory.keys[0].model


def test_slices_of_a_series_are_bounded() -> None:
    """A series that makes up slice values gets only so many; the rows stay in the series and are counted."""
    directory = Directory(most_slices=3)

    keys = directory.assign(*(span(channel=f"made-up-{number}") for number in range(10)))

    assert keys[0].tolist() == [1] * 10
    assert sum(key >= 0 for key in keys[1].tolist()) == 3
    assert directory.keys.overflowed == 7


def test_one_series_slices_do_not_take_another_ones() -> None:
    """The bound on slices is per series."""
    directory = Directory(most_slices=1)
    directory.assign(span(channel="a"), span(channel="b"))

    assert directory.assign(span("other", channel="b"))[1].tolist() != [-1]


def versions(count: int) -> list[dict[str, str]]:
    """Return spans of so many versions."""
    return [span(version=str(number)) for number in range(count)]


def test_what_was_not_seen_for_longest_makes_room() -> None:
    """Where keys are scarce the longest unseen go until a quarter is free, and new series get keys of their own again."""
    directory = Directory(most_keys=20)
    directory.assign(*versions(10))
    directory.pass_rounds(1)
    directory.assign(*versions(20)[10:])

    gone = directory.pass_rounds(HELD - 1, *versions(20)[15:])
    keys = directory.assign(span("new"))

    assert gone == list(range(1, 11))
    assert keys[0].tolist() == [21]
    assert directory.keys.live == 12
    assert directory.keys.overflowed == 0


def test_nobody_goes_while_there_is_room() -> None:
    """However long keys were not seen, they stay as long as nobody needs their place."""
    directory = Directory(most_keys=100)
    directory.assign(*versions(80))

    assert directory.pass_rounds(300) == []


def test_nobody_goes_who_was_seen_lately() -> None:
    """A flood of new series finds no room, and pushes out none that were seen within the time."""
    directory = Directory(most_keys=10)
    directory.assign(*versions(30))

    assert directory.pass_rounds(HELD - 1) == []
    assert directory.keys.overflowed == 20
    assert directory.pass_rounds(1) != []


def test_who_comes_back_is_somebody_new() -> None:
    """A number is never given again: what was let go of and comes back has another one; who stays away has no name any more."""
    directory = Directory(most_keys=4)
    directory.assign(*versions(4))
    directory.pass_rounds(HELD)

    again = int(directory.assign(span(version="0"))[0, 0])

    assert again == 5
    assert directory.keys[again] == Series("support", "router", "0")
    assert directory.keys.versions(again).tolist() == [again]
    assert directory.keys[2].version.startswith("#")


def test_a_series_goes_with_its_slices_and_never_before_them() -> None:
    """What is left are whole families: no slice without its series; the room for slices is given back too."""
    directory = Directory(most_keys=8, most_slices=2)
    directory.assign(*(span(version=version, channel=channel) for version in "12" for channel in "ab"))
    directory.assign(span(version="3"), span(version="4"))

    gone = directory.pass_rounds(HELD, span(version="2", channel="a"))

    assert {1, 2, 3} <= set(gone)
    assert 4 not in gone
    assert directory.keys.parent(int(directory.assign(span(version="2", channel="c"))[1, 0])) == 4


def test_slices_of_a_crowded_series_make_room_in_it() -> None:
    """A series that has all the slices it may have lets go of those that were not seen for long, whatever room there is elsewhere."""
    directory = Directory(most_keys=100, most_slices=3)
    directory.assign(*(span(channel=channel) for channel in "abc"))

    gone = directory.pass_rounds(HELD, span(channel="c"))
    keys = directory.assign(*(span(channel=channel) for channel in "cde"))[1]

    assert gone == [2, 3]
    assert keys.tolist() == [4, 5, 6]


def test_what_is_spoken_of_stays() -> None:
    """A key that somebody speaks of is spared, and so is its series."""
    directory = Directory(most_keys=6)
    directory.assign(span(channel="a"), *versions(6)[2:])

    gone = directory.pass_rounds(HELD, spared=np.array([2]))

    assert gone == [3, 4, 5, 6]


def test_versions_of_a_model_are_one_subject_and_so_are_their_slices() -> None:
    """A stream's subject is that of the first version; another model, service or slice is another."""
    directory = Directory()
    keys = directory.assign(
        span(channel="web"),
        span(channel="email"),
        span(channel="web", version="2"),
        span("other", channel="web"),
    )
    streams = keys.ravel() << 4 | 8

    subjects = directory.keys.by_subject(streams).reshape(keys.shape)

    assert subjects[0, 2] == streams.reshape(keys.shape)[0, 0]
    assert subjects[1, 2] == streams.reshape(keys.shape)[1, 0]
    assert np.unique(subjects).size == np.unique(streams).size - 2
    assert (subjects & 15 == 8).all()


def test_subjects_follow_the_keys_that_come() -> None:
    """One more version is known at once, and after a restart it is what it was."""
    before, after = Directory(), Directory()
    (first,) = before.assign(span())[0].tolist()
    assert before.keys.by_subject(np.array([first << 4])).tolist() == [first << 4]
    (second,) = before.assign(span(version="2"))[0].tolist()
    after.keys.by_subject(np.array([0]))
    after.keys.restore(before.keys.arrays())

    for directory in (before, after):
        assert directory.keys.by_subject(np.array([second << 4])).tolist() == [first << 4]


def test_eviction_survives_a_restart() -> None:
    """A directory that takes back what another kept knows who is gone, and since when others were not seen."""
    directory, other = Directory(most_keys=4), Directory(most_keys=4)
    directory.assign(*versions(4))
    directory.pass_rounds(HELD, span(version="3"))
    directory.pass_rounds(HELD - 2)
    other.keys.restore(directory.keys.arrays())

    assert other.keys.live == directory.keys.live
    assert other.assign(span(version="3"))[0].tolist() == [4]
    assert other.assign(span(version="0"))[0].tolist() == [5]
