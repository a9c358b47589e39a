"""The job file as an object: every field, its bounds, and what it means.

The models hold the shape alone. What one field says about another is in `rules.py`, what a
provider takes is in `load.py`. Field names are the API's own; the descriptions are the reference
and the JSON Schema. Each field carries a `Wanted`: what a value must be, in words for a message.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from ftops.records import Auto, Hyperparameters, Json, ProviderSettings
from ftops.spec.evaluate import EvaluateSpec
from ftops.spec.export import MAX_EXPORTS, ExportSpec
from ftops.spec.notify import NotifySpec
from ftops.spec.prepare import PrepareSpec
from ftops.spec.provider import Provider, to_provider_settings
from ftops.spec.section import Expected, Section

MAX_SUFFIX = 64  # the longest that any provider takes
MAX_METADATA = 14  # the API takes 16 pairs, and ftops adds two of its own
OWN_METADATA = "ftops_"
_DURATION_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = r"^([0-9]{1,6}[smhd])+$"
_NAME = r"^[^\s/\\.-][^\s/\\]*$"


def _empty_for_null(value: object) -> object:
    """A section whose lines are all commented out reads as null: it says nothing."""
    return {} if value is None else value


def _none_for_null(value: object) -> object:
    """Likewise for a list."""
    return () if value is None else value


def _unit_sums(text: str) -> str:
    if not 0 < _duration_s(text) <= 366 * 86_400:
        raise ValueError("out of range")
    return text


def _duration_s(text: str) -> float:
    parts = re.findall(r"([0-9]+)([smhd])", text)
    return float(sum(int(number) * _DURATION_UNITS_S[unit] for number, unit in parts))


Text: TypeAlias = Annotated[str, Field(min_length=1, max_length=4096)]
Whole: TypeAlias = Annotated[int, Field(ge=1, le=1_000_000_000_000)]


class HyperparameterSpec(Section):
    """How the model is trained."""

    LABEL: ClassVar[str] = "hyperparameters"

    n_epochs: Annotated[
        Annotated[int, Field(ge=1, le=1000)] | Auto,
        Expected('"auto" or a whole number from 1 to 1000', "number", ("auto",)),
    ] = Field("auto", description="How often training goes through the data.")
    batch_size: Annotated[
        Annotated[int, Field(ge=1, le=256)] | Auto,
        Expected('"auto" or a whole number from 1 to 256', "number", ("auto",)),
    ] = Field("auto", description="How many rows make one step.")
    learning_rate_multiplier: Annotated[
        Annotated[float, Field(gt=0, le=100)] | Auto,
        Expected('"auto" or a number above 0, at most 100', "number", ("auto",)),
    ] = Field("auto", description="Scales the learning rate that the trainer would choose.")
    learning_rate: Annotated[float | None, Expected("a number above 0, at most 1", "number")] = (
        Field(
            None,
            gt=0,
            le=1,
            description="Absolute learning rate, at providers without `learning_rate_multiplier`.",
        )
    )
    beta: Annotated[
        Annotated[float, Field(gt=0, le=2)] | Auto | None,
        Expected('"auto" or a number above 0, at most 2', "number", ("auto",)),
    ] = Field(
        None,
        description="How closely the model is held to where it started (`method: dpo` only).",
    )
    prompt_loss_weight: Annotated[float | None, Expected("a number from 0 to 1", "number")] = Field(
        None,
        ge=0,
        le=1,
        description="How much the tokens of the prompt count in the loss (legacy protocol, local).",
    )
    compute_classification_metrics: Annotated[bool | None, Expected("true or false", "flag")] = (
        Field(
            None,
            description="Measure the model as a classifier on the validation file (legacy, local).",
        )
    )
    classification_n_classes: Annotated[
        int | None, Expected("a whole number from 2 to 10000", "number")
    ] = Field(None, ge=2, le=10_000, description="Number of classes; needed for more than two.")
    classification_positive_class: Annotated[
        str | None, Expected("text: the completion of the positive class")
    ] = Field(
        None,
        min_length=1,
        max_length=256,
        description="Completion that counts as positive when there are two classes.",
    )
    classification_betas: Annotated[
        tuple[Annotated[float, Field(gt=0, le=100)], ...] | None,
        Field(strict=False),
        Expected("a list of 1 to 16 numbers above 0, at most 100", "group"),
    ] = Field(
        None,
        min_length=1,
        max_length=16,
        description="F-beta scores to compute when there are two classes.",
    )

    def to_record(self) -> Hyperparameters:
        """The same figures as the other rooms know them."""
        return Hyperparameters(**{name: getattr(self, name) for name in type(self).model_fields})


class LimitSpec(Section):
    """Figures that must not be exceeded; what is known beforehand is checked before sending."""

    LABEL: ClassVar[str] = "limits"

    max_cost_usd: Annotated[
        float | None, Expected("a number of US dollars from 0 to 1000000", "number")
    ] = Field(
        None,
        ge=0,
        le=1_000_000,
        description="Highest estimated price of the training (`docs/prices.md`).",
    )
    max_training_tokens: Annotated[Whole | None, Expected("a whole number above 0", "number")] = (
        Field(None, description="Most tokens to train on, epochs counted.")
    )
    max_wait: Annotated[
        Annotated[str, Field(pattern=_DURATION), AfterValidator(_unit_sums)] | None,
        Expected("a time such as 90s, 30m, 6h, 2d or 1h30m, up to a year"),
    ] = Field(
        None,
        description="Longest time that one command waits and works, from the upload to the"
        " evaluation; a job that was created goes on, and so does the next command.",
    )
    stall: Annotated[
        Annotated[str, Field(pattern=_DURATION), AfterValidator(_unit_sums)] | None,
        Expected("a time such as 90s, 30m, 6h, 2d or 1h30m, up to a year"),
    ] = Field(
        None,
        description="Longest time without an event or another status while the job is being worked"
        " on; then the command says so and ends. The job is left as it is. Time in a queue does"
        " not count.",
    )

    @property
    def max_wait_s(self) -> float | None:
        """`max_wait` in seconds."""
        return None if self.max_wait is None else _duration_s(self.max_wait)

    @property
    def stall_s(self) -> float | None:
        """`stall` in seconds."""
        return None if self.stall is None else _duration_s(self.stall)


class JobSpec(Section):
    """One fine-tuning job: what is trained, on what, how, and within which limits."""

    name: Annotated[
        str,
        Expected("text of 1 to 64 characters without spaces or slashes, a letter or digit first"),
    ] = Field(
        pattern=_NAME,
        max_length=64,
        description="What the job is called in `ftops runs`; no spaces, no slashes.",
    )
    provider: Annotated[
        Provider, Expected("the name of a provider, or a mapping with its type", "group")
    ] = Field(description="Who trains: a name such as `local` or `openai`, or a mapping.")
    model: Annotated[str, Expected("the name of a model")] = Field(
        min_length=1, max_length=256, description="Base model, or an earlier fine-tuned model."
    )
    suffix: Annotated[str | None, Expected("text of 1 to 64 characters")] = Field(
        None,
        min_length=1,
        max_length=MAX_SUFFIX,
        description="Part of the fine-tuned model's name. The provider may allow fewer than 64.",
    )
    training_file: Annotated[Text, Expected("a path or a file id")] = Field(
        description="Data to train on: a path, relative to the job file, or an uploaded file's id."
        " Files outside the job file's folder need `--allow-outside`."
    )
    validation_file: Annotated[Text | None, Expected("a path or a file id")] = Field(
        None, description="Data that is never trained on: a path or an uploaded file's id."
    )
    method: Annotated[
        Literal["supervised", "dpo"],
        Expected(
            "supervised or dpo (reinforcement needs a grader, which a job file cannot name)",
            choices=("supervised", "dpo"),
        ),
    ] = Field(
        "supervised",
        description="What is learned of the rows: to say what they say, or (`dpo`, rows of `input`,"
        " `preferred_output` and `non_preferred_output`) to prefer one answer to another.",
    )
    hyperparameters: Annotated[
        HyperparameterSpec, BeforeValidator(_empty_for_null), Expected("a mapping", "group")
    ] = Field(HyperparameterSpec(), description="How the model is trained.")
    seed: Annotated[int | None, Expected("a whole number from 0 to 2147483647", "number")] = Field(
        None, ge=0, le=2_147_483_647, description="The same seed gives the same job again."
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
        description="Texts kept with the job: keys of up to 64 characters, values of up to 512.",
    )
    prepare: Annotated[
        PrepareSpec, BeforeValidator(_empty_for_null), Expected("a mapping", "group")
    ] = Field(PrepareSpec(), description="What is done to the data before it is sent.")
    evaluate: Annotated[
        EvaluateSpec, BeforeValidator(_empty_for_null), Expected("a mapping", "group")
    ] = Field(EvaluateSpec(), description="What the fine-tuned model is measured on.")
    limits: Annotated[
        LimitSpec, BeforeValidator(_empty_for_null), Expected("a mapping", "group")
    ] = Field(LimitSpec(), description="Figures that must not be exceeded.")
    notify: Annotated[
        NotifySpec, BeforeValidator(_empty_for_null), Expected("a mapping", "group")
    ] = Field(NotifySpec(), description="Who is told when the run has ended or stalls.")
    export: Annotated[
        tuple[ExportSpec, ...],
        Field(strict=False, max_length=MAX_EXPORTS),
        BeforeValidator(_none_for_null),
        Expected("a list of mlflow, tensorboard, wandb and json, each alone or with settings"),
    ] = Field(
        (),
        description="Tools that get parameters, curves and figures of the run (`docs/exports.md`).",
    )

    def provider_settings(self) -> ProviderSettings:
        """The provider as the other rooms know it, whichever way it was written."""
        return to_provider_settings(self.provider)

    def canonical(self) -> dict[str, Json]:
        """What makes two jobs the same, as stable JSON: the fields that differ from their default.

        A new field with a default therefore changes nothing here. Left out: `evaluate`, `limits`,
        `notify`, `export`, the name of the key's variable and that of the plan, whose content
        counts. It is itself the value of a valid job file.
        """
        job: dict[str, Json] = self.model_dump(
            mode="json",
            exclude={
                "provider": True, "evaluate": True, "limits": True, "notify": True, "export": True,
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
        """Every field, defaults filled in; `JobSpec.from_json` makes the same object of it."""
        dumped: dict[str, Json] = self.model_dump(mode="json")
        return dumped

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> "JobSpec":
        """The object that `to_json` (or `canonical`) was taken of."""
        return cls.model_validate(dict(value))


def _sorted(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return value
