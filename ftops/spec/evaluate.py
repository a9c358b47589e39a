"""What the tuned model is measured on, and what it is compared with: the section `evaluate`."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field, JsonValue

from ftops.metrics.choices import KNOWN
from ftops.metrics.requirement import REQUEST_METRICS, Requirement, make_slug, parse_requirement
from ftops.records import Json
from ftops.spec.candidates import CANDIDATES, OtherModel
from ftops.spec.entries import Entry, Flaw, Path, find_flaws, read_entries
from ftops.spec.measures import METRICS, WANTED_REQUIREMENT
from ftops.spec.problems import quoted
from ftops.spec.section import Section, Wanted
from ftops.text import suggest_name

MOST_ENTRIES = 32
_FILES = {"python": "function", "json_schema": "file"}  # metrics that name one, and where


class EvaluateSpec(Section):
    """What the tuned model is measured on, and what it is compared with."""

    LABEL: ClassVar[str] = "evaluate"

    file: Annotated[str | None, Wanted("the path of a data file, or null")] = Field(
        None,
        min_length=1,
        max_length=4096,
        description="Rows that must be answered; the validation file when left out.",
    )
    against: Annotated[
        tuple[JsonValue, ...],
        Field(strict=False),
        Wanted(f"a list of at most {MOST_ENTRIES} candidates", "group"),
    ] = Field(
        ("baseline",),
        max_length=MOST_ENTRIES,
        description="Who answers the same rows. `baseline` costs nothing; the others are asked.",
    )
    metrics: Annotated[
        tuple[JsonValue, ...],
        Field(strict=False),
        Wanted(f"a list of at most {MOST_ENTRIES} metrics", "group"),
    ] = Field(
        (),
        max_length=MOST_ENTRIES,
        description="How answers are measured, the most important first; chosen by what the rows"
        " expect when left out.",
    )
    require: Annotated[
        dict[str, JsonValue],
        Wanted('a mapping of figures, such as {accuracy: ">= 0.85"}', "group"),
    ] = Field(
        {},
        max_length=MOST_ENTRIES,
        description="Figures that must be reached: a metric of the tuned model, or"
        " METRIC_over_CANDIDATE for how much more it has. The command ends with 4 when one is"
        " missed; the model is there all the same.",
    )
    max_rows: Annotated[int, Wanted("a whole number from 1 to 1000000", "number")] = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="At most so many rows are asked; of more, so many by lot (`seed`).",
    )
    max_tokens: Annotated[int | None, Wanted("a whole number from 1 to 100000", "number")] = Field(
        None,
        ge=1,
        le=100_000,
        description="Longest answer; taken from the longest expected one when left out.",
    )
    concurrency: Annotated[int | None, Wanted("a whole number from 1 to 200", "number")] = Field(
        None,
        ge=1,
        le=200,
        description="Requests under way at the same time; what the provider takes when left out.",
    )
    seed: Annotated[int, Wanted("a whole number from 0 to 2147483647", "number")] = Field(
        42,
        ge=0,
        le=2_147_483_647,
        description="Draws the examples and the bootstrap's samples.",
    )
    overlap: Annotated[
        Literal["refuse", "allow"] | None,
        Wanted("refuse or allow", choices=("refuse", "allow")),
    ] = Field(
        None,
        description="What becomes of rows that are training rows too (a leak), exactly or nearly."
        " When left out, an `evaluate.file` with such rows is refused before anything is sent, and"
        " those of a validation file are told.",
    )
    max_cost_usd: Annotated[
        float | None, Wanted("a number of US dollars from 0 to 1000000", "number")
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
    def measures(self) -> tuple[Entry, ...]:
        """`metrics`, as they are understood."""
        return read_entries(self.metrics, METRICS)

    @property
    def requirements(self) -> dict[str, str]:
        """`require`, by the figure's name."""
        return {name: str(text) for name, text in self.require.items()}


def find_evaluation_flaws(section: Json) -> Iterator[Flaw]:
    """What is wrong with the lists and requirements of the section; paths begin below it."""
    if not isinstance(section, dict):
        return
    for name, kinds in (("against", CANDIDATES), ("metrics", METRICS)):
        for flaw in find_flaws(section.get(name), kinds):
            yield Flaw((name, *flaw.path), flaw.message, flaw.suggestion, flaw.at_key)
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
        yield Flaw(
            ("require", name),
            f"{name} must be {WANTED_REQUIREMENT.text}",
            f'write ">= {text}"' if number else "",
        )


def find_provider_paths(section: Json) -> Iterator[Path]:
    """Where candidates and judges name a provider; paths begin below the section."""
    for path, entry in _list_mappings(section):
        for word, said in entry.items():
            if isinstance(said, dict) and said.get("provider") is not None:
                yield (*path, word, "provider")


def find_named_files(section: Json) -> Iterator[tuple[Path, str]]:
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
) -> Iterator[Flaw]:
    """A figure that nothing measures, or a candidate that nobody names, can never be reached."""
    against, measured = section.get("against", ["baseline"]), section.get("metrics", [])
    if any(find_flaws(against, CANDIDATES)) or any(find_flaws(measured, METRICS)):
        return  # told already; what was meant is not known
    if not isinstance(against, list) or not isinstance(measured, list):
        return
    metrics = read_entries(tuple(measured), METRICS)
    figures = [
        *_name_metrics(metrics),
        *(name for name in KNOWN if _is_free(name)),
        *REQUEST_METRICS,
    ]
    if wanted.name not in figures:
        known = f"known here: {', '.join(dict.fromkeys(figures))}"
        suggestion = suggest_name(wanted.name, figures, known)
        yield Flaw(path, f"nothing measures {quoted(wanted.name)}", suggestion, at_key=True)
    elif wanted.over is not None:
        named = read_entries(tuple(against), CANDIDATES)
        slugs = [slug for one in named for slug in _name_candidate(one)]
        if not any(_may_be(wanted.over, slug) for slug in slugs):
            known = f"`against` lists: {', '.join(slugs) or 'no candidates'}"
            suggestion = suggest_name(wanted.over, slugs, known)
            message = f"no candidate is called {quoted(wanted.over)}"
            yield Flaw(path, message, suggestion, at_key=True)


def _name_metrics(metrics: tuple[Entry, ...]) -> list[str]:
    """What figures of these metrics are called; further judges carry their number."""
    names, judges = [], 0
    for one in metrics:
        judges += one.word == "judge"
        plain = f"judge_{judges}" if one.word == "judge" and judges > 1 else one.word
        names.append(str(getattr(one.settings, "name", None) or plain))
    return names


def _is_free(metric: str) -> bool:
    """Whether it is measured just because it is required."""
    return not any(setting.needed for setting in KNOWN[metric])


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
