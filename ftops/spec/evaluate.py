"""The section `evaluate` of the job file, and the equivalent options of `ftops eval`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field, JsonValue

from ftops.errors import UsageError
from ftops.lora_options import Precision
from ftops.metrics.registry import JUDGE, METRICS
from ftops.metrics.requirement import REQUEST_METRICS, Requirement, make_slug, parse_requirement
from ftops.records import Json, ProviderSettings
from ftops.spec.located_values import Values, read_values
from ftops.spec.metrics import EXPECTED_REQUIREMENT, METRIC_TYPES
from ftops.spec.problem import KeyPath, ProblemReport, SourceText, quoted
from ftops.spec.provider import Provider, to_provider_settings
from ftops.spec.section import (
    EntryType,
    Expected,
    FieldError,
    ListEntry,
    Section,
    list_entry_errors,
    read_entries,
    read_entry,
)
from ftops.spec.yaml_reader import parse_yaml
from ftops.text import suggest_name

MAX_ENTRIES = 32
MAX_SLICES = 8
# The settings of metrics that name a file.
_FILES = {
    metric.name: setting.name
    for metric in METRICS.values()
    for setting in metric.settings
    if setting.names_file
}
_COMPACT = re.compile(r"([a-z][a-z0-9_-]*)[:=](?=\S)")  # few-shot:5, convenient in a shell
_REQUIREMENT = re.compile(r"\s*([^<>=\s]+)\s*([<>=].*)")
_OPTIONS = {"against": "--against", "metrics": "--metric", "require": "--require"}
_UNTRAINED = "Evaluate it even when the base is a built-in size, which has random weights."
_INSTRUCTIONS = (
    "Instructions before each prompt, such as the labels to choose from: a system message before a"
    " chat, a line before a text. The tuned model gets none."
)
_Instructions = Annotated[str | None, Field(min_length=1, max_length=20_000)]


class BaseCandidate(Section):
    """The base model before fine-tuning."""

    LABEL: ClassVar[str] = "base"

    allow_untrained: bool = Field(False, description=_UNTRAINED)
    instructions: _Instructions = Field(None, description=_INSTRUCTIONS)


class FewShotCandidate(Section):
    """The base model with examples in the prompt."""

    LABEL: ClassVar[str] = "few-shot"

    examples: int = Field(ge=1, le=100, description="Training rows in each prompt.")
    selection: Literal["random", "balanced", "nearest"] = Field(
        "balanced",
        description="How examples are selected: a random sample, a stratified random sample (by"
        " class), or the rows that are most similar to the prompt (TF-IDF).",
    )
    seed: int | None = Field(
        None,
        ge=0,
        le=2_147_483_647,
        description="Random seed of the selection; `evaluate.seed` by default.",
    )
    allow_untrained: bool = Field(False, description=_UNTRAINED)
    instructions: _Instructions = Field(None, description=_INSTRUCTIONS)


class OtherModel(Section):
    """Any model, at any provider."""

    LABEL: ClassVar[str] = "model"

    name: Annotated[str, Expected("the name of a model")] = Field(
        min_length=1, max_length=256, description="Name of the model."
    )
    provider: Annotated[
        Provider | None, Expected("the name of a provider, or a mapping with its type", "group")
    ] = Field(None, description="Where the model is; the job's own provider by default.")
    instructions: _Instructions = Field(None, description=_INSTRUCTIONS)

    @property
    def settings(self) -> ProviderSettings | None:
        """The settings of the provider; None for that of the job."""
        return None if self.provider is None else to_provider_settings(self.provider)


CANDIDATES: Mapping[str, EntryType] = {
    "base": EntryType("The base model before fine-tuning.", BaseCandidate),
    "few-shot": EntryType(
        "The base model with training rows as examples in the prompt: a number, or a mapping.",
        FewShotCandidate,
        short="examples",
        alone=False,
    ),
    "baseline": EntryType(
        "Free baselines: naive Bayes (for classes), the answer of the nearest neighbour, a template"
        " filled in by regular expressions (for JSON objects), and the most frequent answer."
    ),
    "previous": EntryType("The model of the previous run of the same name."),
    "checkpoints": EntryType("The checkpoints that the job kept."),
    "model": EntryType(
        "Any other model: its name, or a mapping.", OtherModel, short="name", alone=False
    ),
}


_KEEP_METRICS = tuple(
    metric.name
    for metric in METRICS.values()
    if not metric.needs_settings and not metric.needs_probabilities
)


class KeepSpec(Section):
    """Rows of other tasks, on which the model must not become worse by tuning."""

    LABEL: ClassVar[str] = "keep"

    file: Annotated[str, Expected("the path of a data file")] = Field(
        min_length=1,
        max_length=4096,
        description="Rows that are answered by the model before tuning and by the tuned model.",
    )
    max_drop: float = Field(
        ge=0,
        le=1_000_000,
        description="Largest drop of the metric, such as 0.02 for two points of a share. A larger"
        " one is a missed requirement.",
    )
    metric: Annotated[
        Literal[_KEEP_METRICS] | None,  # type: ignore[valid-type]
        Expected("the name of a metric without settings", choices=_KEEP_METRICS),
    ] = Field(None, description="Metric that must not drop; chosen by the kind of rows by default.")


class EvaluateSpec(Section):
    """How the fine-tuned model is evaluated, and what it is compared with."""

    LABEL: ClassVar[str] = "evaluate"

    file: Annotated[str | None, Expected("the path of a data file, or null")] = Field(
        None,
        min_length=1,
        max_length=4096,
        description="Evaluation data; the validation file by default.",
    )
    against: Annotated[
        tuple[JsonValue, ...],
        Field(strict=False),
        Expected(f"a list of at most {MAX_ENTRIES} candidates", "group"),
    ] = Field(
        ("baseline",),
        max_length=MAX_ENTRIES,
        description="Candidates that predict the same rows. `baseline` costs nothing; the others"
        " send requests.",
    )
    metrics: Annotated[
        tuple[JsonValue, ...],
        Field(strict=False),
        Expected(f"a list of at most {MAX_ENTRIES} metrics", "group"),
    ] = Field(
        (),
        max_length=MAX_ENTRIES,
        description="Metrics, the primary one first; chosen by the kind of rows by default.",
    )
    require: Annotated[
        dict[str, JsonValue],
        Expected('a mapping of metrics, such as {accuracy: ">= 0.85"}', "group"),
    ] = Field(
        {},
        max_length=MAX_ENTRIES,
        description="Required values: of a metric of the tuned model, or of"
        " METRIC_over_CANDIDATE, its lead over a candidate. A missed requirement exits with code"
        " 4; the model is kept.",
    )
    keep: Annotated[KeepSpec | None, Expected("a mapping with file and max_drop", "group")] = Field(
        None,
        description="Rows of other tasks, on which the tuned model is compared with the model"
        " before tuning.",
    )
    slices: Annotated[
        tuple[str, ...],
        Field(strict=False),
        Expected(f"a list of at most {MAX_SLICES} fields of the rows", "group"),
    ] = Field(
        (),
        max_length=MAX_SLICES,
        description="Fields of the rows of `evaluate.file` (JSON lines), such as `language` or"
        " `metadata.source`, which are not sent. The rows of each value are evaluated apart, too;"
        " METRIC_in_FIELD in `require` holds for each value.",
    )
    max_rows: int = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="Most rows to evaluate on; of more rows, a random sample (`seed`).",
    )
    max_tokens: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Longest prediction in tokens; derived from the longest expected completion by"
        " default.",
    )
    concurrency: int | None = Field(
        None,
        ge=1,
        le=200,
        description="Concurrent requests; what the provider allows by default.",
    )
    precision: Precision = Field(
        "auto",
        description="Precision of the weights of pre-trained models that the built-in engine"
        " serves; `auto` is fp32, or bf16 on a GPU.",
    )
    seed: int = Field(
        42,
        ge=0,
        le=2_147_483_647,
        description="Random seed of the row sample, the examples and the bootstrap.",
    )
    overlap: Literal["refuse", "allow"] | None = Field(
        None,
        description="Rows that are also training rows (a leak), exactly or nearly. By default, an"
        " `evaluate.file` with such rows is refused before anything is sent, and those of a"
        " validation file are reported.",
    )
    max_cost_usd: float | None = Field(
        None,
        ge=0,
        le=1_000_000,
        description="Highest cost of the evaluation in US dollars, judges included. No request is"
        " sent that may exceed it; cached predictions cost nothing.",
    )

    @property
    def files(self) -> dict[str, str]:
        """The data files that the section names, by their field in the job file."""
        keep = None if self.keep is None else self.keep.file
        files = {"evaluate.file": self.file, "evaluate.keep.file": keep}
        return {field: name for field, name in files.items() if name is not None}

    @property
    def refuses_overlap(self) -> bool:
        """Whether it is an error if evaluation rows are also training rows."""
        if self.overlap is None:
            return self.file is not None
        return self.overlap == "refuse"

    @property
    def candidates(self) -> tuple[ListEntry, ...]:
        """The entries of `against`."""
        return read_entries(self.against, CANDIDATES)

    @property
    def metric_entries(self) -> tuple[ListEntry, ...]:
        """The entries of `metrics`."""
        return read_entries(self.metrics, METRIC_TYPES)

    @property
    def requirements(self) -> dict[str, str]:
        """`require` as text, by metric."""
        return {name: str(text) for name, text in self.require.items()}


def list_evaluation_errors(section: Json) -> Iterator[FieldError]:
    """The errors in the lists and requirements of the section; paths are relative to it."""
    if not isinstance(section, dict):
        return
    for key, types in (("against", CANDIDATES), ("metrics", METRIC_TYPES)):
        for error in list_entry_errors(section.get(key), types):
            yield error.under(key)
    if section.get("keep") is not None:
        keep = read_entry({"keep": section["keep"]}, {"keep": EntryType("", KeepSpec, alone=False)})
        yield from keep if isinstance(keep, list) else ()
    slices = section.get("slices") or []
    if slices and section.get("file") is None:
        message = "slices needs evaluate.file: only its rows may have other fields"
        yield FieldError(("slices",), message, "name a file", at_key=True)
    fields = (
        [field for field in slices if isinstance(field, str)] if isinstance(slices, list) else []
    )
    require = section.get("require")
    for name, text in require.items() if isinstance(require, dict) else ():
        try:
            requirement = parse_requirement(name, text, fields)
        except ValueError:
            is_number = isinstance(text, int | float) and not isinstance(text, bool)
            yield FieldError(
                ("require", name),
                f"{name} must be {EXPECTED_REQUIREMENT.text}",
                f'write ">= {text}"' if is_number else "",
            )
        else:
            yield from _list_requirement_errors(("require", name), requirement, section)


def _list_requirement_errors(
    path: KeyPath, requirement: Requirement, section: dict[str, Json]
) -> Iterator[FieldError]:
    """Metrics and candidates in a requirement that the section does not define."""
    against, metrics = section.get("against", ["baseline"]), section.get("metrics", [])
    if any(list_entry_errors(against, CANDIDATES)) or any(list_entry_errors(metrics, METRIC_TYPES)):
        return  # the errors of these lists are reported first
    if not isinstance(against, list) or not isinstance(metrics, list):
        return
    names = [
        *_list_metric_names(read_entries(tuple(metrics), METRIC_TYPES)),
        *(metric.name for metric in METRICS.values() if not metric.needs_settings),
        *REQUEST_METRICS,
    ]
    if requirement.name not in names:
        known = f"known here: {', '.join(dict.fromkeys(names))}"
        suggestion = suggest_name(requirement.name, names, known)
        message = f"unknown metric {quoted(requirement.name)}"
        yield FieldError(path, message, suggestion, at_key=True)
    elif requirement.over is not None:
        entries = read_entries(tuple(against), CANDIDATES)
        slugs = [slug for entry in entries for slug in _list_candidate_slugs(entry)]
        if not any(_may_match(requirement.over, slug) for slug in slugs):
            known = f"`against` lists: {', '.join(slugs) or 'no candidates'}"
            suggestion = suggest_name(requirement.over, slugs, known)
            message = f"unknown candidate {quoted(requirement.over)}"
            yield FieldError(path, message, suggestion, at_key=True)


def _list_metric_names(metrics: tuple[ListEntry, ...]) -> list[str]:
    """The names of the results of these metrics; that of a second judge is `judge_2`."""
    names, judges = [], 0
    for entry in metrics:
        judges += entry.word == JUDGE.name
        numbered = f"judge_{judges}" if entry.word == JUDGE.name and judges > 1 else entry.word
        names.append(str(getattr(entry.settings, "name", None) or numbered))
    return names


def _list_candidate_slugs(entry: ListEntry) -> tuple[str, ...]:
    """The names by which requirements can refer to the candidates of an entry."""
    if isinstance(entry.settings, OtherModel):
        return (make_slug(entry.settings.name), "model")
    if entry.word == "baseline":
        return ("naive_bayes", "nearest_neighbour", "regex_template", "majority")
    return ("step", "checkpoint") if entry.word == "checkpoints" else (make_slug(entry.word),)


def _may_match(name: str, slug: str) -> bool:
    other = make_slug(name)
    return other == slug or other.startswith(f"{slug}_") or slug.startswith(f"{other}_")


def list_provider_paths(section: Json) -> Iterator[KeyPath]:
    """The paths of candidates and judges that name a provider, relative to the section."""
    for path, item in _list_mappings(section):
        for name, settings in item.items():
            if isinstance(settings, dict) and settings.get("provider") is not None:
                yield (*path, name, "provider")


def list_named_files(section: Json) -> Iterator[tuple[KeyPath, str]]:
    """The paths of metrics that name a file, and the file; `checks.py:score` names checks.py."""
    for path, item in _list_mappings(section):
        for name, key in _FILES.items():
            value, value_path = item.get(name), (*path, name)
            if isinstance(value, dict):
                value, value_path = value.get(key), (*value_path, key)
            if isinstance(value, str):
                yield value_path, value.rpartition(":")[0] if name == "python" else value


def _list_mappings(section: Json) -> Iterator[tuple[KeyPath, dict[str, Json]]]:
    for key in ("against", "metrics"):
        items = section.get(key) if isinstance(section, dict) else None
        for number, item in enumerate(items if isinstance(items, list) else ()):
            if isinstance(item, dict):
                yield (key, number), item


def read_evaluation_options(
    against: Sequence[str],
    metrics: Sequence[str],
    require: Sequence[str],
    *,
    environ: Mapping[str, str],
    more: Mapping[str, Json] | None = None,
) -> EvaluateSpec:
    """The section that is equivalent to the options; UsageError names an invalid option.

    `more` holds further fields, whose values are valid.
    """
    section: dict[str, Json] = dict(more or {})
    texts = {"against": against, "metrics": metrics, "require": require}
    read: dict[str, list[Values]] = {}
    for key in ("against", "metrics"):
        if texts[key]:
            read[key] = [_read_option(_OPTIONS[key], text, environ) for text in texts[key]]
            section[key] = [values.value for values in read[key]]
    if require:
        section["require"] = dict(_split_requirement(text) for text in require)
    for error in list_evaluation_errors(section):
        if isinstance(number := error.path[1], int):
            values = read[str(error.path[0])][number]
            error = values.hide_variables(error, error.path[2:])
        message = _format_option_error(error, texts)
        raise UsageError(message, hint=error.suggestion or "Correct the option.")
    return EvaluateSpec.model_validate(section)


def _read_option(option: str, text: str, environ: Mapping[str, str]) -> Values:
    """The text as in the job file; the space after a colon is optional."""
    compact = _COMPACT.match(text)
    spaced = f"{compact[1]}: {text[compact.end() :]}" if compact else text
    source = SourceText(f"{option} {quoted(text)}", spaced, override=True)
    report = ProblemReport()
    root = parse_yaml(source, report)
    values = read_values(root, environ, report) if root is not None else Values()
    if report.problems:
        raise report.error()
    return values


def _split_requirement(text: str) -> tuple[str, Json]:
    """Split `accuracy >= 0.85` into the name of a metric and a comparison."""
    match = _REQUIREMENT.fullmatch(text)
    if match is None:
        raise UsageError(
            f"--require {quoted(text)}: a requirement compares a metric with a number",
            hint='Write --require "accuracy >= 0.85".',
        )
    return match[1], match[2]


def _format_option_error(error: FieldError, texts: Mapping[str, Sequence[str]]) -> str:
    key, position = str(error.path[0]), error.path[1] if len(error.path) > 1 else 0
    options = texts[key]
    shown = str(position)
    if isinstance(position, int) and position < len(options):
        shown = quoted(options[position])
    return f"{_OPTIONS[key]} {shown}: {error.message}"
