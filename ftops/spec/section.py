"""What every section of the job file is made of."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a value must be: `text` completes "n_epochs must be …".

    `kind` tells quotes to add from quotes to drop; the value of a `private` field is never shown.
    """

    text: str
    kind: Literal["text", "number", "flag", "group"] = "text"
    choices: tuple[str, ...] = ()
    private: bool = False


class Section(BaseModel):
    """A mapping of the job file: strict, closed, unchangeable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    LABEL: ClassVar[str] = "the job file"


def find_wanted(field: FieldInfo) -> Wanted:
    """What the field says its values must be."""
    return next(item for item in field.metadata if isinstance(item, Wanted))
