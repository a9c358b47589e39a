"""Writes an evaluation as a promptfoo configuration and a file of tests.

Texts of the data never become templates, paths or code there: they are shielded, and a row whose
text cannot be is left out by its line.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ftops.metrics.registry import METRICS
from ftops.records import Json, Prompt
from ftops.spec.promptfoo_file import names, render_value, shield

CONFIG = "promptfooconfig.yaml"
TESTS = "tests.jsonl"
_VARIABLE = "row_prompt"  # in its place comes the prompt of each test
_HEAD = "# Written by `ftops promptfoo export`. To run it: promptfoo eval -c promptfooconfig.yaml\n"
_PYTHON_ONLY = re.compile(r"\(\?P|\(\?[aiLmsux-]+[:)]|\(\?\(|\\[AZ]|[*+?}]\+|\(\?>")


@dataclass(frozen=True, slots=True)
class ExportedModel:
    """A model that is asked; `base_url` None is the provider's own address."""

    label: str
    model: str
    base_url: str | None = None
    key_env: str | None = None
    organization: str | None = None


@dataclass(frozen=True, slots=True)
class ExportedRow:
    """A row with its place in the file, and the answer that is expected word for word."""

    line: int
    prompt: Prompt
    expected: str


@dataclass(frozen=True, slots=True)
class EvaluationExport:
    """All that a configuration is made of. `metrics` are as a job file has them; relative paths in
    them are relative to `folder`. `left_out` is what could not be carried so far, in words."""

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
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportedConfig:
    """The two files, and what could not be carried over, in words."""

    config: str
    tests: str
    tests_count: int
    left_out: tuple[str, ...]


def render_promptfoo(what: EvaluationExport) -> ExportedConfig:
    """Both files as text. A separator that cannot be shielded stays a part of each prompt."""
    left = list(what.left_out)
    separator = "" if what.is_chat else what.separator
    ending = _shield_ending(separator)
    asserts = list(_list_asserts(what, left))
    tests = []
    for row in what.rows:
        text = _write_prompt(row.prompt, separator if ending is not None else "")
        try:
            tests.append(_make_test(row, text, asserts, by_words=_asks_for_words(what.metrics)))
        except ValueError as error:
            left.append(f"{what.file}:{row.line}: the row: {error}")
    config: dict[str, Json] = {
        "description": what.description,
        "prompts": [{"label": "rows", "raw": f"{{{{{_VARIABLE}}}}}{ending or ''}"}],
        "providers": [_make_provider(one, what) for one in what.candidates],
        "defaultTest": {"options": {"transform": "output.trim()"}},
        "tests": f"file://{TESTS}",
    }
    return ExportedConfig(_HEAD + _render(config), "".join(tests), len(tests), tuple(left))


def _render(config: Mapping[str, Json]) -> str:
    """YAML whose values are JSON, so that no text can become anything else."""
    lines = []
    for name, value in config.items():
        if isinstance(value, list):
            lines += [f"{name}:", *(f"  - {render_value(item)}" for item in value)]
        else:
            lines.append(f"{name}: {render_value(value)}")
    return "\n".join(lines) + "\n"


def _shield_ending(separator: str) -> str | None:
    try:
        return shield(separator) if separator else ""
    except ValueError:
        return None


def _write_prompt(prompt: Prompt, separator: str) -> str:
    """The value of the variable: a text without its separator, or messages as JSON."""
    if isinstance(prompt, str):
        return prompt.removesuffix(separator)
    messages = [{"role": one.role, "content": one.content} for one in prompt]
    return json.dumps(messages, ensure_ascii=False)


def _make_test(row: ExportedRow, text: str, asserts: Sequence[Json], *, by_words: bool) -> str:
    if names(text, _VARIABLE) or names(row.expected, _VARIABLE):
        raise ValueError(f"it holds the variable {_VARIABLE!r} in double braces")
    own: list[Json] = []
    if by_words:
        own.append({"type": "equals", "value": shield(row.expected)})
    test: dict[str, Json] = {
        "description": f"line {row.line}",
        "vars": {_VARIABLE: shield(text)},
        "assert": [*own, *asserts],
    }
    return json.dumps(test, ensure_ascii=False) + "\n"


def _asks_for_words(metrics: Sequence[Json]) -> bool:
    """Whether answers are compared word for word; they are when nothing else is asked for."""
    return not metrics or any(_compares_words(*_split(one)) for one in metrics)


def _compares_words(word: str, settings: Json) -> bool:
    """Whether the metric is equality with the expected answer, as promptfoo's `equals` is."""
    is_equality = word in METRICS and METRICS[word].promptfoo == "equals"
    return is_equality and _find_setting(settings, "normalize") in (None, "none")


def _make_provider(one: ExportedModel, what: EvaluationExport) -> Json:
    config: dict[str, Json] = {"temperature": 0}
    if one.base_url:
        config["apiBaseUrl"] = one.base_url
    if one.key_env:
        config["apiKeyEnvar"] = one.key_env
    if one.organization:
        config["organization"] = one.organization
    if what.max_tokens:
        config["max_tokens"] = what.max_tokens
    if what.stop and not what.is_chat:
        config["stop"] = [what.stop]
    kind = "chat" if what.is_chat else "completion"
    return {"id": f"openai:{kind}:{one.model}", "label": one.label, "config": config}


def _list_asserts(what: EvaluationExport, left: list[str]) -> Iterator[Json]:
    """An assertion for each metric that has one; the others are noted."""
    for metric in what.metrics:
        word, settings = _split(metric)
        make = _ASSERTS.get(word)
        if _compares_words(word, settings):
            continue
        try:
            if make is None:
                raise ValueError("promptfoo asserts nothing like it of a single answer")
            yield make(settings, what.folder)
        except ValueError as error:
            left.append(f"evaluate.metrics: {word}: {error}")


def _split(metric: Json) -> tuple[str, Json]:
    if isinstance(metric, dict) and len(metric) == 1:
        ((word, settings),) = metric.items()
        return word, settings
    return str(metric), None


def _find_setting(settings: Json, name: str) -> Json:
    """The setting of that name, which may stand alone."""
    return settings.get(name) if isinstance(settings, dict) else settings


def _assert_json(_settings: Json, _folder: Path) -> Json:
    return {"type": "is-json"}


def _assert_schema(settings: Json, folder: Path) -> Json:
    file = _find_setting(settings, "file")
    if not isinstance(file, str):
        raise ValueError("it names no file")
    return {"type": "is-json", "value": f"file://{(folder / file).absolute()}"}


def _assert_pattern(settings: Json, _folder: Path) -> Json:
    pattern = _find_setting(settings, "pattern")
    if not isinstance(pattern, str):
        raise ValueError("it has no pattern")
    if found := _PYTHON_ONLY.search(pattern):
        raise ValueError(f"JavaScript does not know {found.group()!r}")
    return {"type": "regex", "value": shield(f"^(?:{pattern})$")}


def _assert_stop(_settings: Json, _folder: Path) -> Json:
    return {"type": "finish-reason", "value": "stop"}


def _assert_length(settings: Json, _folder: Path) -> Json:
    most = _find_setting(settings, "max")
    if not isinstance(most, int):
        raise ValueError("it has no number")
    return {"type": "javascript", "value": f"output.length <= {most}"}


def _assert_judge(settings: Json, _folder: Path) -> Json:
    model, question = _find_setting(settings, "model"), _find_setting(settings, "question")
    if not isinstance(settings, dict) or settings.get("mode") != "grade":
        raise ValueError("a judge that compares two answers has no counterpart for one of them")
    if settings.get("provider") is not None:
        raise ValueError("its provider has to be written by hand")
    if not isinstance(model, str) or not isinstance(question, str):
        raise ValueError("it names no model, or asks nothing")
    return {"type": "llm-rubric", "value": shield(question), "provider": f"openai:chat:{model}"}


_ASSERTS: Mapping[str, Callable[[Json, Path], Json]] = {
    "json_valid": _assert_json,
    "json_schema": _assert_schema,
    "regex": _assert_pattern,
    "stop_reached": _assert_stop,
    "max_chars": _assert_length,
    "judge": _assert_judge,
}
