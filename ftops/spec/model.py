"""The model of the job file: every field, its bounds, and its description.

The models check each field alone; `validation.py` checks fields against each other, and
`job_file.py` checks what a provider supports. Field names are those of the API; descriptions and
bounds are used in the reference (docs/job-file.md), the JSON Schema, and the messages about wrong
values.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, JsonValue

from ftops.lora_options import EarlyStoppingOptions
from ftops.records import Auto, Hyperparameters, Json, ProviderSettings, RowFormat
from ftops.spec.evaluate import EvaluateSpec
from ftops.spec.export import MAX_EXPORTS, ExportSpec
from ftops.spec.notify import NotifySpec
from ftops.spec.provider import Provider, to_provider_settings
from ftops.spec.section import Expected, Section

_READ_OPTIONS = ("prompt", "completion", "layout", "sheet", "encoding", "delimiter")


class PrepareSpec(Section):
    """How the data is prepared before it is sent; the files themselves stay unchanged."""

    LABEL: ClassVar[str] = "prepare"

    format: Literal["auto", "completion", "chat"] = Field(
        "auto",
        description="Format of the rows that are sent; `auto` follows the model.",
    )
    separator: str | None = Field(
        None,
        min_length=1,
        max_length=256,
        description="Text appended to every prompt that does not end with it.",
    )
    stop: str | None = Field(
        None,
        min_length=1,
        max_length=256,
        description="Stop sequence, appended to every completion that does not end with it.",
    )
    system: str | None = Field(
        None,
        min_length=1,
        max_length=65_536,
        description="System message for every chat that has none (chat rows only).",
    )
    plan: Annotated[str | None, Expected("the path of a plan, or null")] = Field(
        None,
        min_length=1,
        max_length=4096,
        description="Plan that `ftops data prepare` wrote; its fixes are applied to the data.",
    )
    prompt: Annotated[str | None, Expected("a column, a template such as '{text}', or null")] = (
        Field(
            None,
            min_length=1,
            max_length=4096,
            description="Prompt of a table's rows: a column, or a template with columns in braces.",
        )
    )
    completion: Annotated[
        str | None, Expected("a column, a template such as '{label}', or null")
    ] = Field(
        None,
        min_length=1,
        max_length=4096,
        description="Completion of a table's rows: a column, or a template.",
    )
    layout: Annotated[str | None, Expected("a layout such as alpaca or sharegpt, or null")] = Field(
        None,
        min_length=1,
        max_length=64,
        description="Layout of the rows (docs/data-formats.md) when they are not prompt and"
        " completion, chats or preferences; `ftops init` detects it.",
    )
    sheet: str | None = Field(
        None,
        min_length=1,
        max_length=256,
        description="Sheet of a workbook, or split of a data set; the first by default.",
    )
    encoding: Annotated[str | None, Expected("an encoding such as cp1252, or null")] = Field(
        None,
        min_length=1,
        max_length=64,
        description="Encoding of text that is not UTF-8 or UTF-16.",
    )
    delimiter: Annotated[str | None, Expected("one character, or null")] = Field(
        None,
        min_length=1,
        max_length=2,
        description="Delimiter of a CSV file; detected by default.",
    )

    @property
    def row_format(self) -> RowFormat | None:
        """The format of the rows; None for `auto`."""
        return None if self.format == "auto" else RowFormat(self.format)

    @property
    def reading(self) -> dict[str, str]:
        """The options for reading data that have a value."""
        options = {name: getattr(self, name) for name in _READ_OPTIONS}
        return {name: value for name, value in options.items() if value is not None}


MAX_SUFFIX = 64  # the longest suffix that any provider accepts
MAX_METADATA = 14  # the API accepts 16 pairs, and ftops adds two
OWN_METADATA = "ftops_"
_DURATION_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = r"^([0-9]{1,6}[smhd])+$"
_MAX_DURATION_S = 366 * 86_400
_NAME = r"^[^\s/\\.-][^\s/\\]*$"


def _empty_for_null(value: object) -> object:
    """An empty section for null: all its lines may be commented out."""
    return {} if value is None else value


def _none_for_null(value: object) -> object:
    return () if value is None else value


def _check_duration(text: str) -> str:
    if not 0 < _to_seconds(text) <= _MAX_DURATION_S:
        raise ValueError("out of range")
    return text


def _to_seconds(duration: str) -> float:
    parts = re.findall(r"([0-9]+)([smhd])", duration)
    return float(sum(int(number) * _DURATION_UNITS_S[unit] for number, unit in parts))


DataPath: TypeAlias = Annotated[str, Field(min_length=1, max_length=4096)]
Duration: TypeAlias = Annotated[str, Field(pattern=_DURATION), AfterValidator(_check_duration)]
_DURATION_EXPECTED = Expected("a time such as 90s, 30m, 6h, 2d or 1h30m, up to a year")


class HyperparameterSpec(Section):
    """How the model is trained."""

    LABEL: ClassVar[str] = "hyperparameters"

    n_epochs: Annotated[int, Field(ge=1, le=1000)] | Auto = Field(
        "auto", description="Number of passes over the data."
    )
    batch_size: Annotated[int, Field(ge=1, le=256)] | Auto = Field(
        "auto", description="Rows per training step."
    )
    learning_rate_multiplier: Annotated[float, Field(gt=0, le=100)] | Auto = Field(
        "auto", description="Factor on the learning rate that the trainer would choose."
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Absolute learning rate, at providers without `learning_rate_multiplier` and"
        " for pre-trained models of `local`.",
    )
    beta: Annotated[float, Field(gt=0, le=2)] | Auto | None = Field(
        None,
        description="How closely the model stays to its starting point (`method: dpo` only).",
    )
    prompt_loss_weight: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Weight of the prompt's tokens in the loss (legacy protocol, local).",
    )
    compute_classification_metrics: bool | None = Field(
        None,
        description="Evaluate the model as a classifier on the validation file (legacy, local).",
    )
    classification_n_classes: int | None = Field(
        None,
        ge=2,
        le=10_000,
        description="Number of classes; required for more than two.",
    )
    classification_positive_class: Annotated[
        str | None, Expected("text: the completion of the positive class")
    ] = Field(
        None,
        min_length=1,
        max_length=256,
        description="Completion of the positive class, of two classes.",
    )
    classification_betas: Annotated[
        tuple[Annotated[float, Field(gt=0, le=100)], ...] | None,
        Field(strict=False),
        Expected("a list of 1 to 16 numbers above 0, at most 100", "group"),
    ] = Field(
        None,
        min_length=1,
        max_length=16,
        description="F-beta scores to compute for two classes.",
    )
    eval_every: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Steps between two evaluations on the validation file; after each epoch by"
        " default (pre-trained models of `local`).",
    )
    early_stopping: Annotated[
        EarlyStoppingOptions | None,
        Expected(
            "a mapping of metric (valid_loss or valid_mean_token_accuracy) and patience (1 to"
            " 1000)",
            "group",
        ),
    ] = Field(
        None,
        description="Stop when `metric` has not improved for `patience` evaluations, and keep the"
        " best weights (pre-trained models of `local`).",
    )

    def to_record(self) -> Hyperparameters:
        """The values in the type that the rest of ftops uses."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        if self.early_stopping is not None:
            values["early_stopping"] = self.early_stopping.model_dump()
        return Hyperparameters(**values)


class DeploySpec(Section):
    """The deployment of the trained model, at providers whose models answer only then."""

    LABEL: ClassVar[str] = "deploy"

    keep: bool = Field(
        False,
        description="Keep the deployment after the evaluation if the requirements of"
        " `evaluate.require` are met. It ends after `limits.max_deployment_time` all the same.",
    )


class LimitSpec(Section):
    """Limits of the training; estimates are checked against them before anything is sent."""

    LABEL: ClassVar[str] = "limits"

    max_cost_usd: float | None = Field(
        None,
        ge=0,
        le=1_000_000,
        description="Highest estimated cost of the training in US dollars (docs/prices.md).",
    )
    max_month_usd: float | None = Field(
        None,
        ge=0,
        le=10_000_000,
        description="Highest cost in US dollars of all runs of the account in this calendar month"
        " (UTC) with this one: what they have cost where that is known, else their estimates.",
    )
    max_training_tokens: int | None = Field(
        None,
        ge=1,
        le=1_000_000_000_000,
        description="Most tokens to train on, times the number of epochs.",
    )
    max_wait: Annotated[Duration | None, _DURATION_EXPECTED] = Field(
        None,
        description="Longest time that one command works and waits, from the upload to the"
        " evaluation. After that the job continues at the provider, and the next command resumes.",
    )
    max_deployment_time: Annotated[Duration, _DURATION_EXPECTED] = Field(
        "2h",
        description="Longest time that a deployment of the trained model exists. The provider ends"
        " it where it can (after this time without requests, or in total), else ftops does when it"
        " runs.",
    )
    stall: Annotated[Duration | None, _DURATION_EXPECTED] = Field(
        None,
        description="Longest time without a new event or status while the job is in progress; then"
        " the command reports a stall and exits. The job continues. Time in a queue does not"
        " count.",
    )

    @property
    def max_wait_s(self) -> float | None:
        """`max_wait` in seconds."""
        return None if self.max_wait is None else _to_seconds(self.max_wait)

    @property
    def max_deployment_time_s(self) -> float:
        """`max_deployment_time` in seconds."""
        return _to_seconds(self.max_deployment_time)

    @property
    def stall_s(self) -> float | None:
        """`stall` in seconds."""
        return None if self.stall is None else _to_seconds(self.stall)


class JobSpec(Section):
    """One fine-tuning job: model, data, method, evaluation and limits."""

    model_config = ConfigDict(extra="allow")  # `validation.py` allows the provider's sections only
    __pydantic_extra__: dict[str, dict[str, JsonValue]]

    name: Annotated[
        str,
        Expected("text of 1 to 64 characters without spaces or slashes, a letter or digit first"),
    ] = Field(
        pattern=_NAME,
        max_length=64,
        description="Name of the job in `ftops runs`, without spaces and slashes.",
    )
    provider: Annotated[
        Provider, Expected("the name of a provider, or a mapping with its type", "group")
    ] = Field(
        description="Where the model is trained: a name such as `local`, or a mapping."
        " docs/providers.md compares the providers."
    )
    model: Annotated[str, Expected("the name of a model")] = Field(
        min_length=1, max_length=256, description="Base model, or an earlier fine-tuned model."
    )
    suffix: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_SUFFIX,
        description="Part of the fine-tuned model's name. The provider may allow fewer than 64"
        " characters.",
    )
    training_file: Annotated[DataPath, Expected("a path or a file id")] = Field(
        description="Training data: a path, relative to the job file, or the id of an uploaded"
        " file. Files outside the job file's folder need `--allow-outside`."
    )
    validation_file: Annotated[DataPath | None, Expected("a path or a file id")] = Field(
        None, description="Data that is not trained on: a path or the id of an uploaded file."
    )
    method: Annotated[
        Literal["supervised", "dpo"],
        Expected(
            "supervised or dpo (reinforcement needs a grader, which a job file cannot name)",
            choices=("supervised", "dpo"),
        ),
    ] = Field(
        "supervised",
        description="Training method: `supervised`, or `dpo` (preference optimization on rows of"
        " `input`, `preferred_output` and `non_preferred_output`).",
    )
    hyperparameters: Annotated[HyperparameterSpec, BeforeValidator(_empty_for_null)] = Field(
        HyperparameterSpec(), description="How the model is trained."
    )
    seed: int | None = Field(
        None,
        ge=0,
        le=2_147_483_647,
        description="Random seed: the same seed repeats the job. It stays in the ledger if the"
        " provider takes none; `ftops check` lists what is not sent.",
    )
    metadata: Annotated[
        dict[
            Annotated[str, Field(min_length=1, max_length=64)],
            Annotated[str, Field(max_length=512)],
        ],
        BeforeValidator(_empty_for_null),
        Expected(f"a mapping of at most {MAX_METADATA} texts", "group"),
    ] = Field(
        {},
        max_length=MAX_METADATA,
        description="Texts kept with the job, or only in the ledger if the provider keeps none:"
        " keys of up to 64 characters, values of up to 512.",
    )
    prepare: Annotated[PrepareSpec, BeforeValidator(_empty_for_null)] = Field(
        PrepareSpec(), description="How the data is prepared before it is sent."
    )
    evaluate: Annotated[EvaluateSpec, BeforeValidator(_empty_for_null)] = Field(
        EvaluateSpec(), description="How the fine-tuned model is evaluated."
    )
    deploy: Annotated[DeploySpec, BeforeValidator(_empty_for_null)] = Field(
        DeploySpec(), description="How the trained model is deployed, where that is required."
    )
    limits: Annotated[LimitSpec, BeforeValidator(_empty_for_null)] = Field(
        LimitSpec(), description="Limits on cost, tokens and time."
    )
    notify: Annotated[NotifySpec, BeforeValidator(_empty_for_null)] = Field(
        NotifySpec(),
        description="Notifications when the run ends or stalls (docs/notifications.md).",
    )
    export: Annotated[
        tuple[ExportSpec, ...],
        Field(strict=False, max_length=MAX_EXPORTS),
        BeforeValidator(_none_for_null),
        Expected("a list of mlflow, tensorboard, wandb and json, each alone or with settings"),
    ] = Field((), description="Tools to which the finished run is exported (docs/exports.md).")

    def provider_settings(self) -> ProviderSettings:
        """The provider, from its name or its mapping."""
        return to_provider_settings(self.provider)

    @property
    def sections(self) -> Mapping[str, Mapping[str, Json]]:
        """The sections that only the provider knows: what differs from their defaults."""
        return self.__pydantic_extra__

    def canonical(self) -> dict[str, Json]:
        """The fields that differ from their default, as stable JSON; equal for equal jobs.

        So a new field with a default does not change the result. It excludes `evaluate`, `deploy`,
        `limits`, `notify`, `export`, the name of the key's variable, and the path of the plan,
        whose content counts. The result is a valid job file.
        """
        job: dict[str, Json] = self.model_dump(
            mode="json",
            exclude={
                "provider": True, "evaluate": True, "deploy": True, "limits": True, "notify": True,
                "export": True,
                "prepare": {"plan"},
            },
            exclude_defaults=True,
        )  # fmt: skip
        settings = self.provider_settings()
        usual = asdict(ProviderSettings(settings.type))
        job["provider"] = {"type": settings.type} | {
            name: value
            for name, value in asdict(settings).items()
            if value != usual[name] and name != "api_key_env"
        }
        return {name: _sorted(job[name]) for name in sorted(job) if job[name] != {}}

    def to_json(self) -> Mapping[str, Json]:
        """Every field, with defaults; `JobSpec.from_json` restores the object."""
        dumped: dict[str, Json] = self.model_dump(mode="json")
        return dumped

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> "JobSpec":
        """The object from the result of `to_json` or `canonical`."""
        return cls.model_validate(dict(value))


def _sorted(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return value
