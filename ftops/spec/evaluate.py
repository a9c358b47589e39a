"""What the tuned model is measured on, and what it is compared with: the section `evaluate`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field, JsonValue

from ftops.errors import UsageError
from ftops.metrics.registry import JUDGE, METRICS
from ftops.metrics.requirement import REQUEST_METRICS, Requirement, make_slug, parse_requirement
from ftops.records import Json, ProviderSettings
from ftops.spec.metrics import METRIC_KINDS, WANTED_REQUIREMENT
from ftops.spec.problem import ProblemReport, Source, quoted
from ftops.spec.provider import Provider, to_provider_settings
from ftops.spec.section import (
    Entry,
    EntryError,
    EntryType,
    Expected,
    Path,
    Section,
    list_entry_errors,
    read_entries,
)
from ftops.spec.values import read_values
from ftops.spec.yaml_reader import parse_yaml
from ftops.text import suggest_name

MOST_ENTRIES = 32
# The setting of each metric that names a file.
_FILES = {
    metric.name: setting.name
    for metric in METRICS.values()
    for setting in metric.settings
    if setting.names_file
}


class EvaluateSpec(Section):
    """What the tuned model is measured on, and what it is compared with."""

    LABEL: ClassVar[str] = "evaluate"

    file: Annotated[str | None, Expected("the path of a data file, or null")] = Field(
        None,
        min_length=1,
        max_length=4096,
        description="Rows that must be answered; the validation file when left out.",
    )
    against: Annotated[
        tuple[JsonValue, ...],
        Field(strict=False),
        Expected(f"a list of at most {MOST_ENTRIES} candidates", "group"),
    ] = Field(
        ("baseline",),
        max_length=MOST_ENTRIES,
        description="Who answers the same rows. `baseline` costs nothing; the others are asked.",
    )
    metrics: Annotated[
        tuple[JsonValue, ...],
        Field(strict=False),
        Expected(f"a list of at most {MOST_ENTRIES} metrics", "group"),
    ] = Field(
        (),
        max_length=MOST_ENTRIES,
        description="How answers are measured, the most important first; chosen by what the rows"
        " expect when left out.",
    )
    require: Annotated[
        dict[str, JsonValue],
        Expected('a mapping of figures, such as {accuracy: ">= 0.85"}', "group"),
    ] = Field(
        {},
        max_length=MOST_ENTRIES,
        description="Figures that must be reached: a metric of the tuned model, or"
        " METRIC_over_CANDIDATE for how much more it has. The command ends with 4 when one is"
        " missed; the model is there all the same.",
    )
    max_rows: Annotated[int, Expected("a whole number from 1 to 1000000", "number")] = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="At most so many rows are asked; of more, so many by lot (`seed`).",
    )
    max_tokens: Annotated[int | None, Expected("a whole number from 1 to 100000", "number")] = (
        Field(
            None,
            ge=1,
            le=100_000,
            description="Longest answer; taken from the longest expected one when left out.",
        )
    )
    concurrency: Annotated[int | None, Expected("a whole number from 1 to 200", "number")] = Field(
        None,
        ge=1,
        le=200,
        description="Requests under way at the same time; what the provider takes when left out.",
    )
    seed: Annotated[int, Expected("a whole number from 0 to 2147483647", "number")] = Field(
        42,
        ge=0,
        le=2_147_483_647,
        description="Draws the examples and the bootstrap's samples.",
    )
    overlap: Annotated[
        Literal["refuse", "allow"] | None,
        Expected("refuse or allow", choices=("refuse", "allow")),
    ] = Field(
        None,
        description="What becomes of rows that are training rows too (a leak), exactly or nearly."
        " When left out, an `evaluate.file` with such rows is refused before anything is sent, and"
        " those of a validation file are told.",
    )
    max_cost_usd: Annotated[
        float | None, Expected("a number of US dollars from 0 to 1000000", "number")
    ] = Field(
        None,
        ge=0,
        le=1_000_000,
        description="Highest price of all that is asked, judges included. Nothing is asked that may"
        " exceed it; what was answered before costs nothing.",
    )

    @property
    def refuses_overlap(self) -> bool:
        """Whether nothing is evaluated on rows that are training rows."""
        if self.overlap is None:
            return self.file is not None
        return self.overlap == "refuse"

    @property
    def candidates(self) -> tuple[Entry, ...]:
        """`against`, as it is understood."""
        return read_entries(self.against, CANDIDATES)

    @property
    def metric_entries(self) -> tuple[Entry, ...]:
        """`metrics`, as they are understood."""
        return read_entries(self.metrics, METRIC_KINDS)

    @property
    def requirements(self) -> dict[str, str]:
        """`require`, by the figure's name."""
        return {name: str(text) for name, text in self.require.items()}


def list_evaluation_errors(section: Json) -> Iterator[EntryError]:
    """What is wrong with the lists and requirements of the section; paths begin below it."""
    if not isinstance(section, dict):
        return
    for name, kinds in (("against", CANDIDATES), ("metrics", METRIC_KINDS)):
        for flaw in list_entry_errors(section.get(name), kinds):
            yield EntryError((name, *flaw.path), flaw.message, flaw.suggestion, flaw.at_key)
    require = section.get("require")
    for name, text in require.items() if isinstance(require, dict) else ():
        try:
            wanted = parse_requirement(name, text)
        except ValueError:
            pass
        else:
            yield from _find_unknown(("require", name), wanted, section)
            continue
        number = isinstance(text, int | float) and not isinstance(text, bool)
        yield EntryError(
            ("require", name),
            f"{name} must be {WANTED_REQUIREMENT.text}",
            f'write ">= {text}"' if number else "",
        )


def list_provider_paths(section: Json) -> Iterator[Path]:
    """Where candidates and judges name a provider; paths begin below the section."""
    for path, entry in _list_mappings(section):
        for word, said in entry.items():
            if isinstance(said, dict) and said.get("provider") is not None:
                yield (*path, word, "provider")


def list_named_files(section: Json) -> Iterator[tuple[Path, str]]:
    """Where metrics name a file, and which; `checks.py:score` names checks.py."""
    for path, entry in _list_mappings(section):
        for word, field in _FILES.items():
            said = entry.get(word)
            place = (*path, word)
            if isinstance(said, dict):
                said, place = said.get(field), (*place, field)
            if isinstance(said, str):
                yield place, said.rpartition(":")[0] if word == "python" else said


def _list_mappings(section: Json) -> Iterator[tuple[Path, dict[str, Json]]]:
    for name in ("against", "metrics"):
        items = section.get(name) if isinstance(section, dict) else None
        for number, item in enumerate(items if isinstance(items, list) else ()):
            if isinstance(item, dict):
                yield (name, number), item


def _find_unknown(
    path: tuple[str, str], wanted: Requirement, section: dict[str, Json]
) -> Iterator[EntryError]:
    """A figure that nothing measures, or a candidate that nobody names, can never be reached."""
    against, measured = section.get("against", ["baseline"]), section.get("metrics", [])
    if any(list_entry_errors(against, CANDIDATES)) or any(
        list_entry_errors(measured, METRIC_KINDS)
    ):
        return  # told already; what was meant is not known
    if not isinstance(against, list) or not isinstance(measured, list):
        return
    metrics = read_entries(tuple(measured), METRIC_KINDS)
    figures = [
        *_name_metrics(metrics),
        *(metric.name for metric in METRICS.values() if not metric.needs_settings),
        *REQUEST_METRICS,
    ]
    if wanted.name not in figures:
        known = f"known here: {', '.join(dict.fromkeys(figures))}"
        suggestion = suggest_name(wanted.name, figures, known)
        yield EntryError(path, f"nothing measures {quoted(wanted.name)}", suggestion, at_key=True)
    elif wanted.over is not None:
        named = read_entries(tuple(against), CANDIDATES)
        slugs = [slug for one in named for slug in _name_candidate(one)]
        if not any(_may_be(wanted.over, slug) for slug in slugs):
            known = f"`against` lists: {', '.join(slugs) or 'no candidates'}"
            suggestion = suggest_name(wanted.over, slugs, known)
            message = f"no candidate is called {quoted(wanted.over)}"
            yield EntryError(path, message, suggestion, at_key=True)


def _name_metrics(metrics: tuple[Entry, ...]) -> list[str]:
    """What figures of these metrics are called; further judges carry their number."""
    names, judges = [], 0
    for one in metrics:
        judges += one.word == JUDGE.name
        plain = f"judge_{judges}" if one.word == JUDGE.name and judges > 1 else one.word
        names.append(str(getattr(one.settings, "name", None) or plain))
    return names


def _name_candidate(entry: Entry) -> tuple[str, ...]:
    """How requirements may call the candidates of an entry."""
    if isinstance(entry.settings, OtherModel):
        return (make_slug(entry.settings.name), "model")
    if entry.word == "baseline":
        return ("naive_bayes", "nearest_neighbour", "majority")
    return ("step", "checkpoint") if entry.word == "checkpoints" else (make_slug(entry.word),)


def _may_be(given: str, slug: str) -> bool:
    wanted = make_slug(given)
    return wanted == slug or wanted.startswith(f"{slug}_") or slug.startswith(f"{wanted}_")


_UNTRAINED = (
    "Ask it also where the base is a built-in size, which knows nothing before it is trained."
)
_Instructions = Annotated[str | None, Expected("text of 1 to 20000 characters", "text")]
_INSTRUCTIONS = (
    "What it is told before each question, such as the labels to choose from: a system message"
    " before a chat, a line before a text. The tuned model is not told."
)


class BaseCandidate(Section):
    """The base model, as it is asked."""

    LABEL: ClassVar[str] = "base"

    allow_untrained: Annotated[bool, Expected("true or false", "flag")] = Field(
        False, description=_UNTRAINED
    )
    instructions: _Instructions = Field(
        None, min_length=1, max_length=20_000, description=_INSTRUCTIONS
    )


class FewShotCandidate(Section):
    """The base model with examples in the prompt."""

    LABEL: ClassVar[str] = "few-shot"

    examples: Annotated[int, Expected("a whole number from 1 to 100", "number")] = Field(
        ge=1, le=100, description="How many training rows stand in each prompt."
    )
    selection: Annotated[
        Literal["random", "balanced", "nearest"],
        Expected("random, balanced or nearest", choices=("random", "balanced", "nearest")),
    ] = Field(
        "balanced",
        description="Which rows: drawn by lot, drawn by lot from each class in turn, or those most"
        " like the question (TF-IDF).",
    )
    seed: Annotated[int | None, Expected("a whole number from 0 to 2147483647", "number")] = Field(
        None, ge=0, le=2_147_483_647, description="Draws other rows; `evaluate.seed` if left out."
    )
    allow_untrained: Annotated[bool, Expected("true or false", "flag")] = Field(
        False, description=_UNTRAINED
    )
    instructions: _Instructions = Field(
        None, min_length=1, max_length=20_000, description=_INSTRUCTIONS
    )


class OtherModel(Section):
    """Any model, at any provider."""

    LABEL: ClassVar[str] = "model"

    name: Annotated[str, Expected("the name of a model")] = Field(
        min_length=1, max_length=256, description="Name of the model."
    )
    provider: Annotated[
        Provider | None, Expected("the name of a provider, or a mapping with its type", "group")
    ] = Field(None, description="Where it is asked; at the job's own provider if left out.")
    instructions: _Instructions = Field(
        None, min_length=1, max_length=20_000, description=_INSTRUCTIONS
    )

    @property
    def settings(self) -> ProviderSettings | None:
        """The provider as the other rooms know it; None for the job's own."""
        return None if self.provider is None else to_provider_settings(self.provider)


CANDIDATES: Mapping[str, EntryType] = {
    "base": EntryType("The model that was tuned, as it was before.", BaseCandidate),
    "few-shot": EntryType(
        "The same, with training rows as examples in the prompt: a number, or a mapping.",
        FewShotCandidate,
        short="examples",
        alone=False,
    ),
    "baseline": EntryType("What costs nothing: naive Bayes, nearest neighbour, the majority."),
    "previous": EntryType("What the run of the same name before this one made."),
    "checkpoints": EntryType("The models that the job kept on its way."),
    "model": EntryType(
        "Any other model: its name, or a mapping.", OtherModel, short="name", alone=False
    ),
}


_TIGHT = re.compile(r"([a-z][a-z0-9_-]*)[:=](?=\S)")  # few-shot:5, as one types it in a shell
_REQUIREMENT = re.compile(r"\s*([^<>=\s]+)\s*([<>=].*)")


def read_evaluation_options(
    against: Sequence[str],
    metrics: Sequence[str],
    require: Sequence[str],
    *,
    environ: Mapping[str, str],
    more: Mapping[str, Json] | None = None,
) -> EvaluateSpec:
    """The section that the options amount to; UsageError that names the option.

    `more` holds fields whose values are known to be right.
    """
    section: dict[str, Json] = dict(more or {})
    if against:
        section["against"] = [_read("--against", text, environ) for text in against]
    if metrics:
        section["metrics"] = [_read("--metric", text, environ) for text in metrics]
    if require:
        section["require"] = dict(_split(text) for text in require)
    texts = {"against": against, "metrics": metrics, "require": require}
    for flaw in list_evaluation_errors(section):
        raise UsageError(_say(flaw, texts), hint=flaw.suggestion or "Correct the option.")
    return EvaluateSpec.model_validate(section)


def _read(option: str, text: str, environ: Mapping[str, str]) -> Json:
    """The text as the job file would be read, but that the blank after a colon may be missing."""
    tight = _TIGHT.match(text)
    spaced = f"{tight[1]}: {text[tight.end() :]}" if tight else text
    source = Source(f"{option} {quoted(text)}", spaced, override=True)
    report = ProblemReport()
    root = parse_yaml(source, report)
    value = read_values(root, environ, report).value if root is not None else None
    if report.problems:
        raise report.error()
    return value


def _split(text: str) -> tuple[str, Json]:
    """`accuracy >= 0.85` as the name of a figure, and what is wanted of it."""
    found = _REQUIREMENT.fullmatch(text)
    if found is None:
        raise UsageError(
            f"--require {quoted(text)}: a requirement compares a figure with a number",
            hint='Write --require "accuracy >= 0.85".',
        )
    return found[1], found[2]


def _say(flaw: EntryError, texts: Mapping[str, Sequence[str]]) -> str:
    option = {"against": "--against", "metrics": "--metric", "require": "--require"}
    name, place = str(flaw.path[0]), flaw.path[1] if len(flaw.path) > 1 else 0
    given = texts[name]
    shown = quoted(given[place]) if isinstance(place, int) and place < len(given) else str(place)
    return f"{option[name]} {shown}: {flaw.message}"
