"""Which tools are told of a run: the list `export` of the job file.

An item is the name of a tool, or a mapping of that name to its settings.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from ftops.spec.section import Expected, Section

MAX_EXPORTS = 8
_LONGEST_NAME = 256
_PATH = Expected("a path")


def _without_user(uri: str) -> str:
    """The address, if no name and no password stands in it; ValueError otherwise."""
    parts = urlsplit(uri)
    if parts.username is not None or parts.password is not None:
        raise ValueError("names a user")
    return uri


class MlflowSpec(Section):
    """Where MLflow keeps its runs."""

    LABEL: ClassVar[str] = "mlflow"

    tracking_uri: Annotated[
        Annotated[str, Field(min_length=1, max_length=2048), AfterValidator(_without_user)] | None,
        Expected(
            "an address such as sqlite:///mlflow.db or https://host, without user or password"
        ),
    ] = Field(
        None,
        description="Where its runs are kept; `MLFLOW_TRACKING_URI` when left out, else"
        " `sqlite:///mlflow.db`.",
    )
    experiment: Annotated[str | None, Expected("text of 1 to 256 characters")] = Field(
        None,
        min_length=1,
        max_length=_LONGEST_NAME,
        description="Which experiment the run belongs to; `MLFLOW_EXPERIMENT_NAME`, else the job's"
        " name.",
    )


class TensorboardSpec(Section):
    """Where TensorBoard looks for its files."""

    LABEL: ClassVar[str] = "tensorboard"

    folder: Annotated[str | None, _PATH] = Field(
        None,
        min_length=1,
        max_length=4096,
        description="Folder that gets one folder a run; `tensorboard` when left out.",
    )


class WandbSpec(Section):
    """Which project of Weights & Biases a run belongs to."""

    LABEL: ClassVar[str] = "wandb"

    project: Annotated[
        str | None, Expected("text of 1 to 128 characters, none of them / \\ # ? % or :")
    ] = Field(
        None,
        pattern=r"^[^/\\#?%:]+$",
        max_length=128,
        description="Project; `WANDB_PROJECT` when left out, else the job's name.",
    )
    entity: Annotated[str | None, Expected("text of 1 to 128 characters, no slash")] = Field(
        None, pattern=r"^[^/\s]+$", max_length=128, description="Team or user that owns it."
    )
    mode: Annotated[
        Literal["offline", "online"] | None,
        Expected("offline or online", choices=("offline", "online")),
    ] = Field(
        None,
        description="`offline` sends nothing, whatever `WANDB_MODE` says; `online` needs"
        " `WANDB_MODE=online` in the environment, too. `WANDB_MODE` when left out, else `offline`.",
    )
    folder: Annotated[str | None, _PATH] = Field(
        None,
        min_length=1,
        max_length=4096,
        description="Folder of its files; `WANDB_DIR` when left out, else the job file's.",
    )


class JsonSpec(Section):
    """Where the run is written as JSON."""

    LABEL: ClassVar[str] = "json"

    file: Annotated[str | None, _PATH] = Field(
        None,
        min_length=1,
        max_length=4096,
        description="File, or a folder that gets one file a run (it ends with `/`); `exports/` when"
        " left out.",
    )


EXPORT_SECTIONS: Mapping[str, type[Section]] = {
    "mlflow": MlflowSpec,
    "tensorboard": TensorboardSpec,
    "wandb": WandbSpec,
    "json": JsonSpec,
}


def read_export(value: object) -> dict[str, dict[str, str]]:
    """An item of the list in its one shape, `{tool: settings}`; ValueError when it is none."""
    item = {value: None} if isinstance(value, str) else value
    if not isinstance(item, dict) or len(item) != 1 or not set(item) <= set(EXPORT_SECTIONS):
        raise ValueError("no tool that is known")
    ((name, settings),) = item.items()
    section = EXPORT_SECTIONS[name].model_validate({} if settings is None else settings)
    return {name: section.model_dump(exclude_none=True)}


def _make_schema() -> dict[str, Any]:
    sections: dict[str, Any] = {}
    for name, section in EXPORT_SECTIONS.items():
        schema = section.model_json_schema()
        schema.pop("title", None)
        for field in schema["properties"].values():
            field.pop("title", None)
        schema.pop("description", None)
        sections[name] = {"anyOf": [schema, {"type": "null"}], "description": section.__doc__}
    return {
        "anyOf": [
            {"type": "string", "enum": list(EXPORT_SECTIONS)},
            {
                "type": "object",
                "properties": sections,
                "additionalProperties": False,
                "minProperties": 1,
                "maxProperties": 1,
            },
        ]
    }


ExportSpec: TypeAlias = Annotated[
    dict[str, dict[str, str]], BeforeValidator(read_export), WithJsonSchema(_make_schema())
]
