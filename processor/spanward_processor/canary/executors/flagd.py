"""A flag in a file that flagd, or an OpenFeature provider, watches: everybody gets the stable variant.

Source: flagd, "Flag definitions": `state`, `variants`, `defaultVariant`, `targeting`, `metadata`; an empty `targeting` means that
the default variant is served.
"""

import asyncio
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Final, Self, cast

from spanward_processor.canary.executors.base import ExecutorError, RollBack
from spanward_processor.canary.section import FlagdConfig

_NAME: Final = "stable"
_MARK: Final = "rolledBackBy"


class FlagdExecutor:
    """Sets a flag's default variant to the stable one, and takes its targeting away.

    Args:
        file: JSON file of flag definitions.
        flag: Which flag.
    """

    def __init__(self, file: Path, flag: str) -> None:
        self._file = file
        self._flag = flag

    @classmethod
    def of(cls, config: FlagdConfig) -> Self:
        """Return what a section asks for."""
        return cls(config.file, config.flag)

    @property
    def name(self) -> str:
        """The flag and its file."""
        return f"flag {self._flag} in {self._file}"

    async def execute(self, roll_back: RollBack) -> str:
        """Rewrite the file; see `Executor`."""
        return await asyncio.to_thread(self._execute, roll_back)

    def _execute(self, roll_back: RollBack) -> str:
        try:
            tree = json.loads(self._file.read_text(encoding="utf-8"))
            flag = cast("dict[str, Any]", tree["flags"][self._flag])
            variants = cast("dict[str, object]", flag["variants"])
        except OSError as error:
            raise ExecutorError(f"cannot be read ({error.strerror})") from error
        except (KeyError, TypeError, ValueError) as error:
            raise ExecutorError(f"must be flagd's JSON with this flag and its variants ({error!r})") from error
        variant = _variant(variants, roll_back.stable)
        if flag.get("defaultVariant") == variant and not flag.get("targeting"):
            return f"everybody has variant {variant} already"
        metadata = {**flag.get("metadata", {}), _MARK: roll_back.id}
        flag |= {"defaultVariant": variant, "targeting": {}, "metadata": metadata}
        try:
            write_whole(self._file, json.dumps(tree, indent=2).encode() + b"\n")
        except OSError as error:
            raise ExecutorError(f"cannot be written ({error.strerror})") from error
        return f"everybody gets variant {variant}"


def _variant(variants: dict[str, object], version: str) -> str:
    """Return the variant of a version: the one that has it as its value or name, else the one that is called stable."""
    for name, value in variants.items():
        if version in (value, name):
            return name
    if _NAME in variants:
        return _NAME
    raise ExecutorError(
        f"must have a variant with the value {version!r}, or one called {_NAME!r}; has {', '.join(variants)}"
    )


def write_whole(file: Path, content: bytes) -> None:
    """Put a file in place of the one there, so that nobody ever reads half of it.

    Raises:
        OSError: It could not be written; the old one still stands.
    """
    mode = file.stat().st_mode & 0o777
    descriptor, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as new:
            os.fchmod(new.fileno(), mode)
            new.write(content)
            new.flush()
            os.fsync(new.fileno())
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
