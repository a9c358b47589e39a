"""Exports an evaluation as a promptfoo configuration and a file of tests.

Texts of the data are escaped, so that promptfoo does not use them as templates, paths or code. A
row whose text cannot be escaped is skipped and reported with its line.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ftops.metrics.registry import METRICS
from ftops.records import Json, Prompt
from ftops.spec.promptfoo_file import escape_template, uses_variable
from ftops.spec.yaml_reader import render_value

CONFIG = "promptfooconfig.yaml"
TESTS = "tests.jsonl"
_VARIABLE = "row_prompt"  # replaced by the prompt of each test
_HEAD = "# Written by `ftops promptfoo export`. To run it: promptfoo eval -c promptfooconfig.yaml\n"
_PYTHON_ONLY = re.compile(r"\(\?P|\(\?[aiLmsux-]+[:)]|\(\?\(|\\[AZ]|[*+?}]\+|\(\?>")


@dataclass(frozen=True, slots=True)
class ExportedModel:
    """A model to evaluate; a `base_url` of None is the provider's default address."""

    label: str
    model: str
    base_url: str | None = None
    key_env: str | None = None
    organization: str | None = None


@dataclass(frozen=True, slots=True)
class ExportedRow:
    """A row with its line in the file and its expected completion."""

    line: int
    prompt: Prompt
    expected: str


@dataclass(frozen=True, slots=True)
class EvaluationExport:
    """The input of an export.

    `metrics` are those of a job file, with paths relative to `folder`. `skipped` describes what
    cannot be exported.
    """

    description: str
    file: str
    rows: Iterable[ExportedRow]
    candidates: Sequence[ExportedModel]
    is_chat: bool
    separator: str = ""
    stop: str | None = None
    max_tokens: int | None = None
    metrics: Sequence[Json] = ()
    folder: Path = Path()
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportedConfig:
    """The two files, and a description of what is not exported."""

    config: str
    tests: str
    tests_count: int
    skipped: tuple[str, ...]


def render_promptfoo(export: EvaluationExport) -> ExportedConfig:
    """Both files as text. A separator that cannot be escaped remains in each prompt."""
    skipped = list(export.skipped)
    separator = "" if export.is_chat else export.separator
    escaped = _escape_separator(separator)
    asserts = list(_list_asserts(export, skipped))
    tests = []
    for row in export.rows:
        text = _write_prompt(row.prompt, separator if escaped is not None else "")
        try:
            tests.append(
                _make_test(row, text, asserts, with_expected=_compares_completions(export.metrics))
            )
        except ValueError as error:
            skipped.append(f"{export.file}:{row.line}: the row: {error}")
    config: dict[str, Json] = {
        "description": export.description,
        "prompts": [{"label": "rows", "raw": f"{{{{{_VARIABLE}}}}}{escaped or ''}"}],
        "providers": [_make_provider(model, export) for model in export.candidates],
        "defaultTest": {"options": {"transform": "output.trim()"}},
        "tests": f"file://{TESTS}",
    }
    return ExportedConfig(_HEAD + _render(config), "".join(tests), len(tests), tuple(skipped))


def _render(config: Mapping[str, Json]) -> str:
    """YAML whose values are JSON, so that texts remain texts."""
    lines = []
    for name, value in config.items():
        if isinstance(value, list):
            lines += [f"{name}:", *(f"  - {render_value(item)}" for item in value)]
        else:
            lines.append(f"{name}: {render_value(value)}")
    return "\n".join(lines) + "\n"


def _escape_separator(separator: str) -> str | None:
    try:
        return escape_template(separator) if separator else ""
    except ValueError:
        return None


def _write_prompt(prompt: Prompt, separator: str) -> str:
    """The value of the variable: a text without its separator, or messages as JSON."""
    if isinstance(prompt, str):
        return prompt.removesuffix(separator)
    return json.dumps(prompt.to_json()["messages"], ensure_ascii=False)


def _make_test(row: ExportedRow, text: str, asserts: Sequence[Json], *, with_expected: bool) -> str:
    if uses_variable(text, _VARIABLE) or uses_variable(row.expected, _VARIABLE):
        raise ValueError(f"it contains the variable {_VARIABLE!r} in double braces")
    own: list[Json] = []
    if with_expected:
        own.append({"type": "equals", "value": escape_template(row.expected)})
    test: dict[str, Json] = {
        "description": f"line {row.line}",
        "vars": {_VARIABLE: escape_template(text)},
        "assert": [*own, *asserts],
    }
    return json.dumps(test, ensure_ascii=False) + "\n"


def _compares_completions(metrics: Sequence[Json]) -> bool:
    """Whether tests have an expected output: if a metric is equality, or there are no metrics."""
    return not metrics or any(_is_equality(*_split(metric)) for metric in metrics)


def _is_equality(word: str, settings: Json) -> bool:
    """Whether the metric is equivalent to promptfoo's `equals`."""
    is_equality = word in METRICS and METRICS[word].promptfoo == "equals"
    return is_equality and _get_setting(settings, "normalize") in (None, "none")


def _make_provider(model: ExportedModel, export: EvaluationExport) -> Json:
    config: dict[str, Json] = {"temperature": 0}
    if model.base_url:
        config["apiBaseUrl"] = model.base_url
    if model.key_env:
        config["apiKeyEnvar"] = model.key_env
    if model.organization:
        config["organization"] = model.organization
    if export.max_tokens:
        config["max_tokens"] = export.max_tokens
    if export.stop and not export.is_chat:
        config["stop"] = [export.stop]
    kind = "chat" if export.is_chat else "completion"
    return {"id": f"openai:{kind}:{model.model}", "label": model.label, "config": config}


def _list_asserts(export: EvaluationExport, skipped: list[str]) -> Iterator[Json]:
    """An assertion for each metric that has an equivalent; skips other metrics."""
    for metric in export.metrics:
        word, settings = _split(metric)
        make = _ASSERTS.get(word)
        if _is_equality(word, settings):
            continue
        try:
            if make is None:
                raise ValueError("promptfoo has no such assertion")
            yield make(settings, export.folder)
        except ValueError as error:
            skipped.append(f"evaluate.metrics: {word}: {error}")


def _split(metric: Json) -> tuple[str, Json]:
    if isinstance(metric, dict) and len(metric) == 1:
        ((word, settings),) = metric.items()
        return word, settings
    return str(metric), None


def _get_setting(settings: Json, name: str) -> Json:
    """The setting `name`, also if the value is written without its name."""
    return settings.get(name) if isinstance(settings, dict) else settings


def _assert_json(_settings: Json, _folder: Path) -> Json:
    return {"type": "is-json"}


def _assert_schema(settings: Json, folder: Path) -> Json:
    file = _get_setting(settings, "file")
    if not isinstance(file, str):
        raise ValueError("it names no file")
    return {"type": "is-json", "value": f"file://{(folder / file).absolute()}"}


def _assert_pattern(settings: Json, _folder: Path) -> Json:
    pattern = _get_setting(settings, "pattern")
    if not isinstance(pattern, str):
        raise ValueError("it has no pattern")
    if match := _PYTHON_ONLY.search(pattern):
        raise ValueError(f"JavaScript does not support {match.group()!r}")
    return {"type": "regex", "value": escape_template(f"^(?:{pattern})$")}


def _assert_stop(_settings: Json, _folder: Path) -> Json:
    return {"type": "finish-reason", "value": "stop"}


def _assert_length(settings: Json, _folder: Path) -> Json:
    maximum = _get_setting(settings, "max")
    if not isinstance(maximum, int):
        raise ValueError("it has no number")
    return {"type": "javascript", "value": f"output.length <= {maximum}"}


def _assert_judge(settings: Json, _folder: Path) -> Json:
    model, question = _get_setting(settings, "model"), _get_setting(settings, "question")
    if not isinstance(settings, dict) or settings.get("mode") != "grade":
        raise ValueError("a pairwise judge has no counterpart")
    if settings.get("provider") is not None:
        raise ValueError("add its provider by hand")
    if not isinstance(model, str) or not isinstance(question, str):
        raise ValueError("it has no model or no question")
    return {
        "type": "llm-rubric",
        "value": escape_template(question),
        "provider": f"openai:chat:{model}",
    }


_ASSERTS: Mapping[str, Callable[[Json, Path], Json]] = {
    "json_valid": _assert_json,
    "json_schema": _assert_schema,
    "regex": _assert_pattern,
    "stop_reached": _assert_stop,
    "max_chars": _assert_length,
    "judge": _assert_judge,
}
