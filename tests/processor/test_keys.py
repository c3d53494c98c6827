"""The keys in use: one per series and slice, bounded, with names."""

from otlp import encoded
from spanward import semconv
from spanward_processor.decode import decode
from spanward_processor.findings import Series
from spanward_processor.kernels.jit import Ints
from spanward_processor.keys import KeyDirectory
from spanward_processor.roles import RoleTable, role_table
from spanward_processor.texts import Texts


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
