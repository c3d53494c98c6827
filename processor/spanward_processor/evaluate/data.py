"""Where the public data lies. Nothing of it is in the wheel; what is missing is said, not made up."""

import os
from pathlib import Path

from spanward_processor.evaluate.base import Evaluation


def public_data() -> Path:
    """Return the folder that `SPANWARD_DATA` names, else the one beside a checkout of the repository."""
    named = os.environ.get("SPANWARD_DATA")
    return Path(named) if named else Path(__file__).parents[4] / "shared" / "data"


def missing(evaluation: Evaluation, data: Path) -> list[str]:
    """Return the folders that an evaluation cannot do without and that are not there."""
    return [folder for folder in evaluation.needs if not (data / folder).is_dir()]
