"""The text of a configuration into a tree: YAML read strictly, secrets filled in from the environment or from files."""

import os
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import yaml

_REFERENCE: Final = re.compile(r"\$\{(?:(env|file):([^}]+)\}|[^}]*\}?)")


class UnreadableError(ValueError):
    """The text is no YAML mapping; the message says where and why."""


class _UniqueKeys(yaml.SafeLoader):
    """A safe loader that refuses a key that stands twice, which YAML forbids and PyYAML allows."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = cast("Any", self).construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, "a key that is no text", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_tree(text: str) -> dict[object, object]:
    """Return the mapping a YAML text holds; empty text is an empty mapping.

    Raises:
        UnreadableError: It is not valid YAML, or something else than a mapping.
    """
    try:
        tree: object = yaml.load(text, _UniqueKeys)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UnreadableError(f"must be valid YAML, got {error.problem}{place}") from error
    except yaml.YAMLError as error:
        raise UnreadableError(f"must be valid YAML, got {' '.join(str(error).split())}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise UnreadableError(f"must be a mapping, got {type(tree).__name__}")
    return cast("dict[object, object]", tree)


@dataclass(slots=True)
class Filling:
    """Fills `${env:NAME}` and `${file:PATH}` in, and remembers where: what came from there is never shown.

    Args:
        environment: Where names are looked up.
        filled: Paths of the values that were filled in.
        errors: What could not be filled in, as `path: rule, got value`.
    """

    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    filled: set[str] = field(default_factory=set[str])
    errors: list[str] = field(default_factory=list[str])

    def fill(self, value: object, path: str = "") -> object:
        """Return a tree with every reference in it replaced."""
        if isinstance(value, dict):
            items = cast("dict[object, object]", value).items()
            return {key: self.fill(item, f"{path}.{key}".lstrip(".")) for key, item in items}
        if isinstance(value, list):
            return [self.fill(item, f"{path}[{place}]") for place, item in enumerate(cast("list[object]", value))]
        if not isinstance(value, str):
            return value
        return _REFERENCE.sub(lambda match: self._look_up(match, path), value)

    def _look_up(self, match: re.Match[str], path: str) -> str:
        kind, name = match.groups()
        self.filled.add(path)
        try:
            if kind is None:
                self.errors.append(f"{path}: must refer to ${{env:NAME}} or ${{file:PATH}}, got {match[0]}")
                return ""
            return self.environment[name] if kind == "env" else Path(name).read_text(encoding="utf-8").strip()
        except KeyError:
            self.errors.append(f"{path}: must name a set environment variable, got {name}")
        except OSError as error:
            self.errors.append(f"{path}: must name a readable file, got {name} ({error.strerror})")
        except UnicodeDecodeError:
            self.errors.append(f"{path}: must name a UTF-8 text file, got {name}")
        return ""
