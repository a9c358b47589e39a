"""What options say in the words of the section `evaluate`: `--against "few-shot: 5"`."""

import re
from collections.abc import Mapping, Sequence

from ftops.errors import SpecError
from ftops.records import Json
from ftops.spec.entries import Flaw
from ftops.spec.evaluate import EvaluateSpec, find_evaluation_flaws
from ftops.spec.problems import Report, Source, quoted
from ftops.spec.reader import read_tree
from ftops.spec.values import read_values

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
    """The section that the options amount to; SpecError that names the option.

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
    for flaw in find_evaluation_flaws(section):
        raise SpecError(_say(flaw, texts), hint=flaw.suggestion or "Correct the option.")
    return EvaluateSpec.model_validate(section)


def _read(option: str, text: str, environ: Mapping[str, str]) -> Json:
    """The text as the job file would be read, but that the blank after a colon may be missing."""
    tight = _TIGHT.match(text)
    spaced = f"{tight[1]}: {text[tight.end() :]}" if tight else text
    source = Source(f"{option} {quoted(text)}", spaced, override=True)
    report = Report()
    root = read_tree(source, report)
    value = read_values(root, environ, report).value if root is not None else None
    if report.problems:
        raise report.error()
    return value


def _split(text: str) -> tuple[str, Json]:
    """`accuracy >= 0.85` as the name of a figure, and what is wanted of it."""
    found = _REQUIREMENT.fullmatch(text)
    if found is None:
        raise SpecError(
            f"--require {quoted(text)}: a requirement compares a figure with a number",
            hint='Write --require "accuracy >= 0.85".',
        )
    return found[1], found[2]


def _say(flaw: Flaw, texts: Mapping[str, Sequence[str]]) -> str:
    option = {"against": "--against", "metrics": "--metric", "require": "--require"}
    name, place = str(flaw.path[0]), flaw.path[1] if len(flaw.path) > 1 else 0
    given = texts[name]
    shown = quoted(given[place]) if isinstance(place, int) and place < len(given) else str(place)
    return f"{option[name]} {shown}: {flaw.message}"
