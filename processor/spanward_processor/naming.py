"""Whose rows are, and what they repeat: all that requests on their way learn and share."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from numpy.typing import NDArray

from spanward_processor.columns import SpanBatch
from spanward_processor.configuration.settings import Detection, Limits
from spanward_processor.features import Rows, empty_memory, rows_of
from spanward_processor.kept import Arrays, copies, part, scattered, under
from spanward_processor.kernels.repeats import Memory
from spanward_processor.keys import KeyDirectory
from spanward_processor.roles import role_table
from spanward_processor.texts import Texts

_REMEMBERED_HASHES: Final = 1 << 18  # of recent inputs: 4 MB, some 16,000 rows with fingerprints


class Naming:
    """Gives rows their keys; remembers the texts of codes and recent inputs. One caller at a time.

    Args:
        settings: How spans are judged.
        limits: What is kept at most.
        kept: What an earlier one of the same settings has kept; None begins anew.
    """

    def __init__(self, settings: Detection, limits: Limits, kept: Mapping[str, NDArray[Any]] | None = None) -> None:
        key = kept["key"].tobytes() if kept else None  # codes of texts mean the same again only by the same key
        self.roles = role_table(settings.slices, settings.roles, key)
        # a key is named once and for all, so what names keys comes first: one request teaches only so many texts
        named = ("service", "model", "version", *settings.slices, "decision", "client")
        self.texts = Texts([self.roles.text(role) for role in named], limits.texts)
        self.directory = KeyDirectory(
            self.roles, self.texts, most_keys=limits.keys, most_slices=limits.slices_per_series
        )
        self._recent = empty_memory(_REMEMBERED_HASHES)
        if kept:
            scattered({"directory": self.directory, "texts": self.texts}, kept)
            self._recent = Memory(**part("recent", kept))

    def rows(self, batch: SpanBatch) -> Rows:
        """Return the rows of a batch, each with its keys and what it repeats."""
        self.texts.learn(batch)
        return rows_of(batch, self.directory.assign(batch), self.roles, self._recent)

    def held(self) -> Callable[[], Arrays]:
        """Return what gives the arrays of this moment; making it is quick, calling it may take longer."""
        directory, texts, recent = self.directory.held(), self.texts.held(), copies(self._recent._asdict())
        key = self.roles.names.key.copy()
        return lambda: (
            under("directory", directory()) | under("texts", texts()) | under("recent", recent) | {"key": key}
        )
