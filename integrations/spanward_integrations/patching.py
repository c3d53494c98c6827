"""Patches of a framework that are undone to the very object that was there.

A library that was patched once more on top of ours keeps working: what cannot be taken out is switched off where it is.
"""

from collections.abc import Callable
from inspect import getattr_static
from typing import Any, Final, cast

import wrapt

Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]
"""Called in place of a function, with the function, what it is bound to, and the arguments of the call."""

_INHERITED: Final = object()


class Patches:
    """The patches of one integration."""

    def __init__(self) -> None:
        self._made: list[tuple[Any, str, object, object]] = []
        self._on = False

    def wrap(self, owner: Any, name: str, wrapper: Wrapper) -> None:
        """Put a wrapper around a function of a class or module.

        Args:
            owner: The class or module.
            name: The function's name in it; it may be inherited, and be a class or static method.
            wrapper: What is called instead.
        """
        before = cast("dict[str, object]", vars(owner)).get(name, _INHERITED)
        # An inherited class method must not be bound to the owner: it is asked for classes that derive from it.
        original = getattr_static(owner, name) if before is _INHERITED else before
        self.put(owner, name, self.around(original, wrapper))

    def around(self, function: object, wrapper: Wrapper) -> Any:
        """Return a function with a wrapper around it, for whoever shall call it; `undo` switches the wrapper off.

        Args:
            function: What is called.
            wrapper: What is called instead.
        """
        return cast("Any", wrapt).FunctionWrapper(function, wrapper, enabled=lambda: self._on)

    def put(self, owner: Any, name: str, replacement: object) -> None:
        """Put something of ours in the place of what a class or module has.

        Args:
            owner: The class or module.
            name: Its attribute; it may be inherited.
            replacement: What stands there until `undo`.
        """
        before = cast("dict[str, object]", vars(owner)).get(name, _INHERITED)
        setattr(owner, name, replacement)
        self._made.append((owner, name, before, replacement))
        self._on = True

    def has(self, owner: Any, name: str) -> bool:
        """Return whether something of ours was put there."""
        return any(made[0] is owner and made[1] == name for made in self._made)

    def undo(self) -> None:
        """Take every patch out again; one that another library has patched since stays, switched off."""
        self._on = False
        for owner, name, before, wrapped in reversed(self._made):
            if cast("dict[str, object]", vars(owner)).get(name) is not wrapped:
                continue
            if before is _INHERITED:
                delattr(owner, name)
            else:
                setattr(owner, name, before)
        self._made.clear()
