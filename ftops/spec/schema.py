"""The JSON Schema of the job file and the table of its fields, generated from the model.

Editors complete and check with the schema; the table is in docs/job-file.md. Both are stable: the
same model gives the same text.
"""

import json
from collections.abc import Iterator, Mapping

from pydantic.fields import FieldInfo

from ftops.records import Json
from ftops.spec.evaluate import CANDIDATES, EvaluateSpec
from ftops.spec.export import EXPORT_TYPES
from ftops.spec.metrics import METRIC_TYPES
from ftops.spec.model import JobSpec
from ftops.spec.section import EntryType, Section, get_expected
from ftops.spec.validation import SECTIONS

_FROM_ENVIRONMENT = "FromEnvironment"
_LISTS: Mapping[str, Mapping[str, EntryType]] = {"against": CANDIDATES, "metrics": METRIC_TYPES}


def render_schema() -> str:
    """The JSON Schema of a job file, with a newline at the end."""
    schema = JobSpec.model_json_schema()
    sections: dict[str, Json] = schema["$defs"]
    _complete(schema, JobSpec)
    for section in SECTIONS.values():
        _complete(sections[section.__name__], section)
    _describe_entries(sections)
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


def render_reference() -> str:
    """A Markdown table of every field: its values, default and description."""
    lines = ["| field | value | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in JobSpec.model_fields.items():
        if name in SECTIONS and name != "provider":
            lines.append(_row(f"`{name}`", "a mapping", "", field.description))
            lines.extend(_rows(name, SECTIONS[name]))
            if name == "evaluate":
                lines.extend(_entry_rows())
            continue
        lines.append(
            _row(f"`{name}`", get_expected(field).text, _default(field), field.description)
        )
        if name == "provider":
            lines.extend(_rows(name, SECTIONS[name]))
        if name == "export":
            lines.extend(_list_export_rows())
    return "\n".join(lines) + "\n"


def _describe_entries(sections: dict[str, Json]) -> None:
    """Describe the items of the lists in `evaluate`: names, or mappings of one name."""
    evaluate = sections[EvaluateSpec.__name__]
    assert isinstance(evaluate, dict)
    fields = evaluate["properties"]
    assert isinstance(fields, dict)
    for name, kinds in _LISTS.items():
        field = fields[name]
        assert isinstance(field, dict)
        branches = field.get("anyOf", [field])
        assert isinstance(branches, list)
        array = next(
            item for item in branches if isinstance(item, dict) and item["type"] == "array"
        )
        alone: list[Json] = [word for word, kind in kinds.items() if kind.alone]
        properties: dict[str, Json] = {}
        for word, kind in kinds.items():
            if kind.section is not None:
                properties[word] = _describe_entry(kind, sections)
        mapping: Json = {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
        }
        array["items"] = {"anyOf": [{"type": "string", "enum": alone}, mapping]}


def _describe_entry(kind: EntryType, sections: dict[str, Json]) -> Json:
    """The schema of the settings of a name; adds its section to `sections`."""
    section = kind.section
    assert section is not None
    schema = section.model_json_schema(ref_template="#/$defs/{model}")
    schema.pop("$defs", None)  # a provider, which is defined already
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


def _entry_rows() -> list[str]:
    """The rows of the table for the lists in `evaluate`."""
    lines = []
    for name, kinds in _LISTS.items():
        for word, kind in kinds.items():
            wanted = "no settings" if kind.section is None else "a mapping"
            if kind.section is not None and kind.short:
                wanted = get_expected(kind.section.model_fields[kind.short]).text + ", or a mapping"
            lines.append(_row(f"`evaluate.{name}[].{word}`", wanted, "", kind.description))
            if kind.section is not None:
                lines.extend(_rows(f"evaluate.{name}[].{word}", kind.section))
    return lines


def _list_export_rows() -> Iterator[str]:
    for name, entry_type in EXPORT_TYPES.items():
        assert entry_type.section is not None
        yield _row(f"`export.{name}`", "a mapping", "", entry_type.description)
        yield from _rows(f"export.{name}", entry_type.section)


def _complete(schema: Json, section: type[Section]) -> None:
    """Complete pydantic's schema of a section with what the reader accepts."""
    assert isinstance(schema, dict)
    fields = schema["properties"]
    assert isinstance(fields, dict)
    for name, field in section.model_fields.items():
        fields[name] = _widen(fields[name], field.description or "")
    schema.pop("title", None)


def _widen(field: Json, description: str) -> Json:
    """A field's schema with what the reader also accepts: null sections, variables."""
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


def _rows(name: str, section: type[Section]) -> list[str]:
    return [
        _row(f"`{name}.{key}`", get_expected(field).text, _default(field), field.description)
        for key, field in section.model_fields.items()
    ]


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
