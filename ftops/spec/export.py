"""The list `export` of the job file: the tools to which a finished run is exported.

An item is the name of a tool, or a mapping from the name to settings.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from ftops.records import Json
from ftops.spec.section import EntryType, Expected, Section, read_entries

MAX_EXPORTS = 8
_PATH = Expected("a path")


def _without_user(uri: str) -> str:
    """The address; ValueError if it contains a user or password."""
    parts = urlsplit(uri)
    if parts.username is not None or parts.password is not None:
        raise ValueError("names a user")
    return uri


class MlflowSpec(Section):
    """Settings of MLflow."""

    LABEL: ClassVar[str] = "mlflow"

    tracking_uri: Annotated[
        Annotated[str, Field(min_length=1, max_length=2048), AfterValidator(_without_user)] | None,
        Expected(
            "an address such as sqlite:///mlflow.db or https://host, without user or password"
        ),
    ] = Field(
        None,
        description="Address of the store; by default `MLFLOW_TRACKING_URI`, else"
        " `sqlite:///mlflow.db`.",
    )
    experiment: str | None = Field(
        None,
        min_length=1,
        max_length=256,
        description="Experiment of the run; by default `MLFLOW_EXPERIMENT_NAME`, else the job's"
        " name.",
    )


class TensorboardSpec(Section):
    """Settings of TensorBoard."""

    LABEL: ClassVar[str] = "tensorboard"

    folder: Annotated[str | None, _PATH] = Field(
        None,
        min_length=1,
        max_length=4096,
        description="Folder with one folder per run; `tensorboard` by default.",
    )


class WandbSpec(Section):
    """Settings of Weights & Biases."""

    LABEL: ClassVar[str] = "wandb"

    project: Annotated[
        str | None, Expected("text of 1 to 128 characters, none of them / \\ # ? % or :")
    ] = Field(
        None,
        pattern=r"^[^/\\#?%:]+$",
        max_length=128,
        description="Project; by default `WANDB_PROJECT`, else the job's name.",
    )
    entity: Annotated[str | None, Expected("text of 1 to 128 characters, no slash")] = Field(
        None,
        pattern=r"^[^/\s]+$",
        max_length=128,
        description="Team or user that owns the project.",
    )
    mode: Literal["offline", "online"] | None = Field(
        None,
        description="`offline` sends nothing, whatever `WANDB_MODE` is; `online` also needs"
        " `WANDB_MODE=online` in the environment. By default `WANDB_MODE`, else `offline`.",
    )
    folder: Annotated[str | None, _PATH] = Field(
        None,
        min_length=1,
        max_length=4096,
        description="Folder of its files; by default `WANDB_DIR`, else the job file's folder.",
    )


class JsonSpec(Section):
    """Settings of JSON files."""

    LABEL: ClassVar[str] = "json"

    file: Annotated[str | None, _PATH] = Field(
        None,
        min_length=1,
        max_length=4096,
        description="File, or a folder (ending with `/`) with one file per run; `exports/` by"
        " default.",
    )


EXPORT_TYPES: Mapping[str, EntryType] = {
    section.LABEL: EntryType(section.__doc__ or "", section)
    for section in (MlflowSpec, TensorboardSpec, WandbSpec, JsonSpec)
}


def normalize_export(value: Json) -> dict[str, dict[str, str]]:
    """An item of the list as `{tool: settings}`; ValueError if it is invalid."""
    (entry,) = read_entries((value,), EXPORT_TYPES)
    return {entry.word: entry.settings.model_dump(exclude_none=True) if entry.settings else {}}


ExportSpec: TypeAlias = Annotated[dict[str, dict[str, str]], BeforeValidator(normalize_export)]
