"""A snapshot of the detectors' state in one file: whole or not there, and believed only if it is ours and undamaged.

The file: a line that names format and version; a line of JSON with facts, and name, type and shape of each array; the arrays,
little-endian, one after the other; a BLAKE2b-256 of all of it. Nothing in it is ever executed.
"""

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.kept import Arrays

_log = logging.getLogger(__name__)

NAME: Final = "detectors.state"
_MAGIC: Final = b"spanward-state 11\n"  # the number changes with the layout of what is kept
_DIGEST_BYTES: Final = 32
_TYPES: Final = frozenset({"|u1", "|i1", "<i2", "<i4", "<i8", "<u8", "<f4", "<f8"})
_LARGEST: Final = 8 << 30

Facts = Mapping[str, object]


class SnapshotError(Exception):
    """A snapshot cannot be used; says why."""


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Where snapshots are written and read; one file, replaced as a whole.

    Args:
        folder: Where it lies.
        facts: What a snapshot must have been made with to be of use, such as the length of a window.
    """

    folder: Path
    facts: Facts

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / NAME

    def write(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Put a snapshot in place of the one before; when this returns, it is on the medium.

        Raises:
            OSError: It could not be written; then the one before still stands.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
            for piece in _pieces(self.facts, arrays):
                digest.update(piece)
                file.write(piece)
            file.write(digest.digest())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)
        folder = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def read(self) -> Arrays:
        """Return the arrays of the newest snapshot, each writable and on its own.

        Raises:
            FileNotFoundError: There is none.
            SnapshotError: It is damaged, or of another version or configuration.
        """
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_size > _LARGEST:
                    raise SnapshotError(f"it is larger than {_LARGEST} bytes")
                data = file.read()
        except (FileNotFoundError, NotADirectoryError) as error:  # of the folder, whoever needs it says what is wrong
            raise FileNotFoundError(self.path) from error
        except OSError as error:
            raise SnapshotError(f"it cannot be read ({error.strerror})") from error
        return self._parsed(data)

    def _parsed(self, data: bytes) -> Arrays:
        if not data.startswith(_MAGIC):
            raise SnapshotError("it is none of ours, or of another version")
        content, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
        if hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest() != digest:
            raise SnapshotError("it is damaged")
        at = content.index(b"\n", len(_MAGIC)) + 1
        header = json.loads(content[len(_MAGIC) : at])
        differing = [name for name, value in self.facts.items() if header["facts"].get(name) != _plain(value)]
        if differing:
            raise SnapshotError(f"it was made with another {', '.join(differing)}")
        arrays: Arrays = {}
        for name, kind, shape in header["arrays"]:
            if kind not in _TYPES:
                raise SnapshotError(f"array {name} has the type {kind}")
            count = int(np.prod(shape, dtype=np.int64))
            array = np.frombuffer(content, np.dtype(kind), count, at).reshape(shape)
            arrays[name] = array.copy()
            at += array.nbytes
        return arrays


def _pieces(facts: Facts, arrays: Mapping[str, NDArray[Any]]) -> list[bytes | memoryview]:
    laid = {name: np.asarray(array, array.dtype.newbyteorder("<"), order="C") for name, array in arrays.items()}
    described = [(name, array.dtype.str, array.shape) for name, array in laid.items()]
    header = json.dumps({"facts": _plain(facts), "arrays": described}, separators=(",", ":")).encode()
    return [_MAGIC, header, b"\n", *(array.reshape(-1).view(np.uint8).data for array in laid.values())]


def _plain(value: object) -> Any:
    """Return a value as JSON gives it back."""
    return json.loads(json.dumps(value))
