"""The JSON Schema of the job file, the table of its fields, and the file that `ftops init` writes.

Schema and table are generated from the model: the same model gives the same text. Editors use the
schema for completion and checks; the table is in docs/job-file.md.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ftops.records import Json
from ftops.spec.evaluate import CANDIDATES, KeepSpec
from ftops.spec.export import EXPORT_TYPES
from ftops.spec.metrics import METRIC_TYPES
from ftops.spec.model import JobSpec
from ftops.spec.provider import KnownProvider
from ftops.spec.section import EntryType, get_expected
from ftops.spec.validation import SECTIONS

_FROM_ENVIRONMENT = "FromEnvironment"
# Lists of names, each alone or with settings, by section and field.
_LISTS: Mapping[tuple[str, str], Mapping[str, EntryType]] = {
    ("evaluate", "against"): CANDIDATES,
    ("evaluate", "metrics"): METRIC_TYPES,
    ("", "export"): EXPORT_TYPES,
}
_TEMPLATE = """\
# A fine-tuning job: `ftops check` checks it, `ftops run` starts it.
name: {name}
provider: {provider:<16} # {note}
model: {model:<19} # {models}
suffix: {suffix}
training_file: {data_file}

# Rows in the same format that are not trained on, to evaluate the model.
{validation}
{method}
# {rows}
hyperparameters:
  n_epochs: auto           # or a number
  batch_size: auto
  learning_rate_multiplier: auto
{classification}
seed: 42                   # the same seed repeats the job

{prepare}
limits:
  max_cost_usd: 5          # a higher estimate stops the run before anything is sent
  max_wait: 6h             # then the command exits; the job continues
"""
_NO_PREPARE = """\
# prepare:
#   separator: " ->"       # appended to every prompt that does not end with it
#   stop: "\\n"             # appended to every completion that does not end with it
"""
_TWO_CLASSES = """\
  # With a validation_file, a classifier can be evaluated as one:
  # compute_classification_metrics: true
  # classification_positive_class: " yes"
"""
_MORE_CLASSES = """\
  # With a validation_file, a classifier can be evaluated as one:
  # compute_classification_metrics: true
  # classification_n_classes: {classes}
"""


def render_schema(providers: Mapping[str, KnownProvider]) -> str:
    """The JSON Schema of a job file at these providers, with a newline at the end."""
    schema = JobSpec.model_json_schema() | {"additionalProperties": False}
    sections: dict[str, Any] = schema["$defs"]
    _complete(schema, JobSpec)
    for name, entry_type in _list_provider_sections(providers):
        schema["properties"][name] = _describe_entry(entry_type, sections)
    for section in SECTIONS.values():
        _complete(sections[section.__name__], section)
    for (section_name, field_name), kinds in _LISTS.items():
        owner = sections[SECTIONS[section_name].__name__] if section_name else schema
        _describe_entries(owner["properties"][field_name], kinds, sections)
    sections[_FROM_ENVIRONMENT] = {
        "type": "string",
        "pattern": r"\$\{[A-Za-z_]",
        "description": "A value with ${VAR} or ${VAR:-default}, filled in from the environment.",
    }
    head: dict[str, Json] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ftops job file",
    }
    return json.dumps(head | schema, indent=2, ensure_ascii=False) + "\n"


def _list_provider_sections(
    providers: Mapping[str, KnownProvider],
) -> Iterator[tuple[str, EntryType]]:
    for provider, entry in providers.items():
        for name, load_section in entry.sections.items():
            yield name, EntryType(f"Settings of the provider {provider}.", load_section())


def render_reference(providers: Mapping[str, KnownProvider]) -> str:
    """A Markdown table of every field: its values, default and description."""
    lines = ["| field | value | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in JobSpec.model_fields.items():
        if name in SECTIONS and name != "provider":
            lines.append(_row(f"`{name}`", "a mapping", "", field.description))
            lines.extend(_rows(name, SECTIONS[name]))
            lines.extend(_list_entry_rows(name))
            continue
        lines.append(
            _row(f"`{name}`", get_expected(field).text, _default(field), field.description)
        )
        if name == "provider":
            lines.extend(_rows(name, SECTIONS[name]))
    lines.extend(_list_entry_rows(""))
    for name, entry_type in _list_provider_sections(providers):
        assert entry_type.section is not None
        lines.append(_row(f"`{name}`", "a mapping", "", entry_type.description))
        lines.extend(_rows(name, entry_type.section))
    return "\n".join(lines) + "\n"


def _describe_entries(
    field: dict[str, Any], kinds: Mapping[str, EntryType], sections: dict[str, Any]
) -> None:
    """Describe the items of a list: names, or mappings with one name."""
    array = next(item for item in field.get("anyOf", [field]) if item.get("type") == "array")
    mapping = {
        "type": "object",
        "properties": {
            word: _describe_entry(kind, sections)
            for word, kind in kinds.items()
            if kind.section is not None
        },
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    alone = [word for word, kind in kinds.items() if kind.alone]
    array["items"] = {"anyOf": [{"type": "string", "enum": alone}, mapping]}


def _describe_entry(kind: EntryType, sections: dict[str, Any]) -> Json:
    """The schema of the settings of a name; adds its section to `sections`."""
    section = kind.section
    assert section is not None
    schema = section.model_json_schema(ref_template="#/$defs/{model}")
    schema.pop("$defs", None)  # a provider, which is already defined
    _complete(schema, section)
    sections[section.__name__] = schema
    branches: list[Json] = [{"$ref": f"#/$defs/{section.__name__}"}]
    if kind.short:
        branches.append(
            {k: v for k, v in schema["properties"][kind.short].items() if k != "description"}
        )
    if kind.alone:
        branches.append({"type": "null"})
    return {"anyOf": branches, "description": kind.description}


def _list_entry_rows(section: str) -> Iterator[str]:
    """The rows of the table for what is inside a section; an empty name is the top level."""
    if section == "evaluate":
        yield from _rows("evaluate.keep", KeepSpec)
    for (owner, field), kinds in _LISTS.items():
        for word, kind in kinds.items() if owner == section else ():
            name = f"{section}.{field}[].{word}".lstrip(".")
            wanted = "no settings" if kind.section is None else "a mapping"
            if kind.section is not None and kind.short:
                wanted = get_expected(kind.section.model_fields[kind.short]).text + ", or a mapping"
            yield _row(f"`{name}`", wanted, "", kind.description)
            if kind.section is not None:
                yield from _rows(name, kind.section)


def _complete(schema: Json, section: type[BaseModel]) -> None:
    """Extend pydantic's schema of a section with other forms that the reader accepts."""
    assert isinstance(schema, dict)
    fields = schema["properties"]
    assert isinstance(fields, dict)
    for name, field in section.model_fields.items():
        fields[name] = _widen(fields[name], field.description or "")
    schema.pop("title", None)


def _widen(field: Json, description: str) -> Json:
    """A field's schema with other forms that the reader accepts: null sections, variables."""
    assert isinstance(field, dict)
    widened: dict[str, Json] = {key: value for key, value in field.items() if key != "title"}
    if "$ref" in widened:
        kept: list[Json] = [{"$ref": widened["$ref"]}, {"type": "null"}]
        return {"anyOf": kept, "description": description}
    note: dict[str, Json] = {
        key: widened.pop(key) for key in ("description", "default") if key in widened
    }
    branches = widened.pop("anyOf", widened.pop("oneOf", None))
    kinds: list[Json] = list(branches) if isinstance(branches, list) else []
    kinds += [widened] if widened else []
    if widened.get("type") == "object":
        kinds.append({"type": "null"})
    elif {"type": "string"} not in kinds:
        kinds.append({"$ref": f"#/$defs/{_FROM_ENVIRONMENT}"})
    return {"anyOf": kinds, **note} if len(kinds) > 1 else {**widened, **note}


def _rows(name: str, section: type[BaseModel]) -> list[str]:
    rows = []
    for key, field in section.model_fields.items():
        expected = get_expected(field).text
        rows.append(_row(f"`{name}.{key}`", expected, _default(field), field.description))
        for inner in get_args(field.annotation):  # of a section that may be absent
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                rows += _rows(f"{name}.{key}", inner)
    return rows


def _row(*cells: str | None) -> str:
    return f"| {' | '.join((cell or '').replace('|', chr(92) + '|') for cell in cells)} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None or isinstance(value, Mapping):
        return ""
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value}`"


def render_starter(
    data_file: str,
    *,
    name: str,
    classes: int | None,
    rows: int,
    provider: str,
    note: str,
    models: Sequence[str],
    preference: bool = False,
    validation_file: str | None = None,
    prepare: Mapping[str, str] | None = None,
) -> str:
    """A job file for `data_file`, which has `rows` rows and `classes` labels, if any.

    `provider` is as in a job file, with a comment, and `models` are some of its base models.
    `preference` is for preference rows, which need `method: dpo`. `prepare` has the fields of that
    section. `name` may be any text: characters that are not allowed in a job's name are replaced.
    """
    printable = "".join(character if character.isprintable() else "-" for character in name)
    job_name = re.sub(r"[\s/\\]+", "-", printable).strip(".-")[:64] or "job"
    classification = ""
    if classes is not None and classes >= 2:
        template = _TWO_CLASSES if classes == 2 else _MORE_CLASSES
        classification = template.format(classes=classes)
    validation = "# validation_file: validation.jsonl"
    if validation_file is not None:
        validation = f"validation_file: {_scalar(validation_file)}"
    return _TEMPLATE.format(
        validation=validation,
        method="\nmethod: dpo                # the rows are preferences\n" if preference else "",
        name=_scalar(job_name),
        suffix=_scalar(job_name[:18].rstrip("-.")),
        data_file=_scalar(data_file),
        provider=provider,
        note=note,
        model=_scalar(models[0]) if models else '"MODEL"',
        models=f"or {', '.join(models[1:])}" if models[1:] else "the base model",
        rows=f"The data has {rows:,} row{'' if rows == 1 else 's'}.",
        classification=classification,
        prepare=_render_prepare(prepare or {}),
    )


def _render_prepare(fields: Mapping[str, str]) -> str:
    if not fields:
        return _NO_PREPARE
    lines = "".join(f"  {key}: {_scalar(text)}\n" for key, text in fields.items())
    return f"prepare:                   # how the data is prepared before it is sent\n{lines}"


def _scalar(text: str) -> str:
    if re.fullmatch(r"[a-z]+([-_./][a-z0-9]+)*", text) and text not in ("null", "true", "false"):
        return text
    return json.dumps(text, ensure_ascii=False).replace("${", "$${")
