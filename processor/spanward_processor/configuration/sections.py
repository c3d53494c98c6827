"""What all sections of the configuration have in common: unknown keys are refused, numbers are bounded, files are there."""

from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

_LONGEST_S: Final = 1e9  # some thirty years; in nanoseconds it still fits 64 bits


def number(value: object) -> object:
    """Refuse what YAML calls true or false, where a number is asked for."""
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic takes ValueErrors
    return value


def _readable(path: Path) -> Path:
    try:
        path.open("rb").close()
    except OSError as error:
        raise ValueError(f"must be a readable file ({error.strerror})") from error
    return path


ReadableFile = Annotated[Path, AfterValidator(_readable)]
Number = Annotated[float, BeforeValidator(number), Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0, le=_LONGEST_S)]
NotNegative = Annotated[Number, Field(ge=0, le=_LONGEST_S)]
Count = Annotated[int, BeforeValidator(number), Field(ge=1)]


class Section(BaseModel):
    """A section: its keys are known, and it does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)
