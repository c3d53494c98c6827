"""Names and versions that the user gives to single models, where the model itself has none worth telling."""

from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary


class ModelName(NamedTuple):
    """What a model is called.

    Args:
        name: Its name.
        version: Its version, where there is one.
    """

    name: str
    version: str | None = None


NAMES: Final[WeakKeyDictionary[Any, ModelName]] = WeakKeyDictionary()
"""Names by the model object; it alone is meant, not a copy of it."""


def name_model(model: object, name: str, *, version: str | None = None) -> None:
    """Say what a model is called in the spans that integrations make of its calls, from its next call on.

    Args:
        model: A fitted estimator, or an ONNX Runtime session.
        name: Its name.
        version: Its version.

    Raises:
        TypeError: It cannot be told from other objects, since it cannot be weakly referenced or hashed.
    """
    NAMES[model] = ModelName(name, version)
