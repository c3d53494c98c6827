"""How an operator writes it: the section `journal` of the configuration."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from spanward_processor.configuration.sections import Count, Positive, Section, number
from spanward_processor.journal.settings import Fsync, JournalSettings


def _state_folder() -> Path:
    """Return where a user's programs keep what must survive a restart (XDG Base Directory Specification 0.8)."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "spanward"


class JournalConfig(Section):
    """Where acknowledged requests lie until every backend took them."""

    folder: Path | None = None  # null: where the user's programs keep what must survive a restart
    most_bytes: Annotated[Count, Field(ge=1 << 16, le=1 << 44)] = 1 << 30
    recent_bytes: Annotated[int, BeforeValidator(number), Field(ge=0, le=1 << 40)] = 32 << 20
    fsync: Fsync = Fsync.INTERVAL
    fsync_interval_s: Positive = 1.0

    def as_settings(self) -> JournalSettings:
        """Return what the journal is told."""
        kept = self.model_dump(exclude={"folder", "fsync_interval_s"})
        return JournalSettings(folder=self.folder or _state_folder() / "journal", **kept)
