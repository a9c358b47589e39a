"""The metrics of a job file: the items of `evaluate.metrics`, generated from the registry."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, create_model

from ftops.metrics.registry import JUDGE, METRICS, MetricChoice, MetricType, Setting
from ftops.records import ProviderSettings
from ftops.spec.provider import Provider, to_provider_settings
from ftops.spec.section import EntryType, Expected, ListEntry, Section

EXPECTED_REQUIREMENT = Expected('a comparison such as ">= 0.85" or "< 0.1"')
_OwnName = Annotated[str | None, Expected("text of 1 to 64 characters")]
_OWN_NAME = "Name of the results, where the same metric is used twice."


class JudgeMetric(Section):
    """A model that compares two predictions or grades one."""

    LABEL: ClassVar[str] = JUDGE.name

    model: Annotated[str, Expected("the name of a model")] = Field(
        min_length=1, max_length=256, description="The judge model."
    )
    provider: Annotated[
        Provider | None, Expected("the name of a provider, or a mapping with its type", "group")
    ] = Field(None, description="Provider of the judge; the job's provider by default.")
    question: Annotated[str, Expected("text of 1 to 4096 characters")] = Field(
        "Which answer is better: more correct, more complete, closer to what was asked for?",
        min_length=1,
        max_length=4096,
        description="Question to the judge about the predictions.",
    )
    mode: Annotated[
        Literal["pairwise", "grade"], Expected("pairwise or grade", choices=("pairwise", "grade"))
    ] = Field(
        "pairwise",
        description="`pairwise`: the judge compares the tuned model's prediction with each"
        " candidate's, in both orders; a disagreement between the orders counts half. `grade`: it"
        " grades each prediction alone, from 1 to 5.",
    )
    name: _OwnName = Field(None, min_length=1, max_length=64, description=_OWN_NAME)

    @property
    def settings(self) -> ProviderSettings | None:
        """The settings of the provider; None for that of the job."""
        return None if self.provider is None else to_provider_settings(self.provider)


def _create_field(setting: Setting) -> tuple[Any, Any]:
    """The type and the field of a setting, for pydantic."""
    bounds: dict[str, Any] = {}
    kind: Any = setting.type
    if setting.choices:
        kind = Literal[setting.choices]
    elif setting.type is int:
        bounds = {"ge": setting.minimum, "le": setting.maximum}
    else:
        bounds = {"min_length": setting.minimum, "max_length": setting.maximum}
        bounds["pattern"] = setting.pattern
    expected = Expected(
        setting.expected, "number" if setting.type is int else "text", choices=setting.choices
    )
    validators: tuple[object, ...] = ()
    if setting.validate is not None:
        validators = (AfterValidator(_keep_valid(setting)),)
    if not setting.required:
        kind = kind | None
    default = ... if setting.required else None
    known = {name: bound for name, bound in bounds.items() if bound is not None}
    field = Field(default, description=setting.description, **known)
    return Annotated[(kind, *validators, expected)], field


def _keep_valid(setting: Setting) -> Any:
    def check(value: str) -> str:
        assert setting.validate is not None
        setting.validate(value)
        return value

    return check


def _create_entry_type(metric: MetricType) -> EntryType:
    """The settings that the job file accepts for a metric."""
    better = "" if metric.higher_is_better else " Lower is better."
    description = f"{metric.description}{better}"
    if not metric.settings:
        return EntryType(description)
    fields: dict[str, Any] = {setting.name: _create_field(setting) for setting in metric.settings}
    own_name = Field(None, min_length=1, max_length=64, description=_OWN_NAME)
    fields["name"] = (_OwnName, own_name)
    title = "".join(part.capitalize() for part in metric.name.split("_"))
    section = create_model(
        f"{title}Metric",
        __base__=Section,
        __doc__=metric.description,
        __module__=__name__,
        **fields,
    )
    section.LABEL = metric.name
    return EntryType(description, section, metric.settings[0].name, alone=not metric.needs_settings)


METRIC_TYPES: Mapping[str, EntryType] = {
    **{metric.name: _create_entry_type(metric) for metric in METRICS.values()},
    JUDGE.name: EntryType(JUDGE.description, JudgeMetric, alone=False),
}


def to_choice(entry: ListEntry) -> MetricChoice:
    """The metric of an entry, for `create_metrics`."""
    settings = entry.settings.model_dump(exclude_none=True) if entry.settings else {}
    return MetricChoice(entry.word, settings)
