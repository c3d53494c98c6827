"""Which attribute plays which role."""

import pytest

from otlp import encoded
from spanward import semconv
from spanward_processor.decode import decode
from spanward_processor.roles import NUMBER_ROLES, TEXT_ROLES, role_table
from spanward_processor.texts import text_at


@pytest.mark.parametrize(("role", "name"), [(role, name) for role, names in TEXT_ROLES.items() for name in names])
def test_every_text_name_is_read(role: str, name: str) -> None:
    """Each attribute name of the table fills its role's column."""
    roles = role_table()
    batch = decode(encoded({name: "value"}, service=""), roles)

    assert text_at(batch, roles.text(role), 0) == "value"


@pytest.mark.parametrize(("role", "name"), [(role, name) for role, names in NUMBER_ROLES.items() for name in names])
def test_every_number_name_is_read(role: str, name: str) -> None:
    """Each attribute name of the table fills its role's column."""
    roles = role_table()

    assert decode(encoded({name: 7}), roles).numbers[roles.number(role)].tolist() == [7.0]


def test_an_override_takes_the_place_of_the_list() -> None:
    """An operator's names are read, and the built-in ones of that role no more."""
    roles = role_table(overrides={"decision": ("label",)})
    batch = decode(encoded({"label": "mine"}, {semconv.DECISION: "built in"}), roles)

    assert text_at(batch, roles.text("decision"), 0) == "mine"
    assert batch.codes[roles.text("decision"), 1] == 0


def test_every_slice_is_a_column() -> None:
    """Each attribute that slices a series is read."""
    roles = role_table(slices=("spanward.dimension.region", "tenant"))
    batch = decode(encoded({"spanward.dimension.region": "eu", "tenant": "t1"}), roles)

    assert [text_at(batch, roles.text(name), 0) for name in roles.slices] == ["eu", "t1"]


def test_codes_depend_on_the_key() -> None:
    """A sender cannot foresee codes: two processors give one text different codes."""
    one, two = (decode(encoded({semconv.MODEL_NAME: "m"}), role_table()).codes for _ in range(2))

    assert one.tolist() != two.tolist()


def test_the_processors_own_attributes_play_no_role() -> None:
    """What only the processor may write is removed on the way in, so it can neither be a role nor a slice."""
    with pytest.raises(ValueError, match=r"got 'spanward\.anomaly\.score'"):
        role_table(overrides={"score": (semconv.ANOMALY_SCORE,)})
    with pytest.raises(ValueError, match=r"got 'spanward\.anomaly\.x'"):
        role_table(slices=("spanward.anomaly.x",))
