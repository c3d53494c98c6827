"""Which of a call's arguments are the model's input, in one order however the call is written."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

_INSTANCE: Final = frozenset({"self", "cls"})


@dataclass(frozen=True, slots=True)
class Parameters:
    """What is known of a function's parameters before any call.

    Args:
        names: Names of the parameters that have a place, in order, without the instance.
        skip_first: Whether the first argument is the instance or class, which is no input.
    """

    names: tuple[str, ...]
    skip_first: bool

    @classmethod
    def of(cls, function: Callable[..., object]) -> Self:
        """Read a function's signature; of one that has none nothing is known.

        That a first parameter is the instance or class is told by its name, as Python's custom has it: when a method is
        decorated its class does not exist yet.
        """
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):
            return cls((), skip_first=False)
        names: list[str] = []
        for parameter in parameters:
            if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
                break
            names.append(parameter.name)
        skip_first = bool(names) and names[0] in _INSTANCE
        return cls(tuple(names[1:] if skip_first else names), skip_first)

    def inputs(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the arguments of a call in the order of the parameters.

        A keyword argument takes the place it would have by position. From the first place on that is left to its default,
        the others follow as one mapping.

        Args:
            args: Positional arguments.
            kwargs: Keyword arguments.
        """
        given = args[1:] if self.skip_first else args
        if not kwargs:
            return given
        others, placed = dict(kwargs), list(given)
        for name in self.names[len(given) :]:
            if name not in others:
                break
            placed.append(others.pop(name))
        return (*placed, others) if others else tuple(placed)


NO_PARAMETERS: Final = Parameters((), skip_first=False)
"""Of what is no function."""
