"""The JSON Schema, the reference and the starter that are generated from the model."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftops.providers.registry import PROVIDERS
from ftops.spec.job_file import load_job
from ftops.spec.schema import render_reference, render_schema, render_starter
from tests.spec.job_files import load_text

ROOT = Path(__file__).parents[2]
LOCAL: dict[str, Any] = {"provider": "local", "note": "trains here", "models": ("ada",)}
SCHEMA: dict[str, Any] = json.loads(render_schema(PROVIDERS))


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether `value` is valid by the keywords of JSON Schema that ours uses."""
    if "$ref" in schema:
        return fits(value, SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")])
    branches = schema.get("anyOf", schema.get("oneOf"))
    if branches is not None and not any(fits(value, branch) for branch in branches):
        return False
    kinds: dict[str, Any] = {
        "string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None),
        "object": dict, "array": list,
    }  # fmt: skip
    kind = schema.get("type")
    if kind and not isinstance(value, kinds[kind]):
        return False
    if isinstance(value, bool) and kind in ("integer", "number"):
        return False
    if isinstance(value, dict):
        return fits_object(value, schema)
    if isinstance(value, list):
        return all(fits(item, schema.get("items", {})) for item in value)
    return fits_bounds(value, schema)


def fits_object(value: dict[str, Any], schema: dict[str, Any]) -> bool:
    known = schema.get("properties", {})
    rest = schema.get("additionalProperties", {})
    for key, item in value.items():
        if key not in known and rest is False:
            return False
        if not fits(item, known.get(key, rest)):
            return False
    return all(key in value for key in schema.get("required", ()))


def fits_bounds(value: Any, schema: dict[str, Any]) -> bool:
    if "const" in schema and value != schema["const"]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if isinstance(value, str):
        length = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**9)
        return length and bool(re.search(schema.get("pattern", ""), value))
    if isinstance(value, int | float) and "type" in schema:
        low, high = schema.get("minimum", -(10**18)), schema.get("maximum", 10**18)
        return bool(low <= value <= high and value > schema.get("exclusiveMinimum", -(10**18)))
    return True


def list_objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for value in schema.values():
            yield from list_objects(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from list_objects(value)


BASE: dict[str, Any] = {"name": "a", "provider": "local", "model": "ada", "training_file": "t"}


def test_the_committed_schema_is_up_to_date() -> None:
    assert (ROOT / "job.schema.json").read_text() == render_schema(PROVIDERS)


def test_every_object_is_closed_and_every_field_has_a_description() -> None:
    schemas = list(list_objects(SCHEMA))
    assert len(schemas) == 36  # fourteen of them are items of the lists of `evaluate`
    for item in schemas:
        assert item["additionalProperties"] is False
        for name, field in item["properties"].items():
            assert field.get("description"), name


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"provider": {"type": "openai", "base_url": "https://host/v1"}},
        {"hyperparameters": {"n_epochs": 3, "batch_size": "auto"}, "seed": 1},
        {"hyperparameters": None, "metadata": None, "limits": None},
        {"hyperparameters": {"n_epochs": "${N:-3}"}, "limits": {"max_wait": "${WAIT}"}},
        {"metadata": {"a": "b"}, "limits": {"max_wait": "1h30m", "max_cost_usd": 0.5}},
        {"prepare": {"format": "chat", "stop": None}, "evaluate": {"max_rows": 3}},
        {"evaluate": {"against": ["base", {"few-shot": 5}, {"model": {"name": "m"}}]}},
        {"evaluate": {"against": [{"few-shot": {"examples": 5, "selection": "nearest"}}]}},
        {"evaluate": {"metrics": ["f1", {"regex": "a+"}, {"judge": {"model": "m"}}]}},
        {"evaluate": {"require": {"accuracy": ">= 0.85"}}},
        {"notify": {"on": ["stall"], "command": ["tell", "me"]}},
        {"export": ["mlflow", {"json": None}, {"wandb": {"mode": "offline", "project": "x"}}]},
        {"notify": {"webhook_url": "http://[::1]:9/x", "webhook_secret_env": "HOOK"}},
    ],
)
def test_the_schema_accepts_what_the_reader_accepts(tmp_path: Path, fields: dict[str, Any]) -> None:
    job = BASE | fields
    assert fits(job, SCHEMA)
    text = re.sub(r'"(\$\{[^}]*\})"', r"\1", json.dumps(job)).replace("{N", "{N")
    environ = {"N": "3", "WAIT": "6h"}
    if "${" in text:  # unquoted in block style, so that the variable may become a number
        text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in BASE.items())
        text += "hyperparameters:\n  n_epochs: ${N:-3}\nlimits:\n  max_wait: ${WAIT}\n"
    assert load_text(tmp_path, text, environ=environ).spec.name == "a"


@pytest.mark.parametrize(
    "fields",
    [
        {"nonsense": 1},
        {"provider": {"base_url": "https://host/v1"}},
        {"provider": {"type": "openai", "base_url": "host"}},
        {"hyperparameters": {"n_epochs": 0}},
        {"hyperparameters": {"n_epochs": "three"}},
        {"hyperparameters": {"n_epoch": 3}},
        {"metadata": {"a": 3}},
        {"limits": {"max_wait": "6 h"}},
        {"prepare": {"format": "chats"}},
        {"notify": {"command": "tell me"}},
        {"notify": {"webhook_url": "http://hooks.example/x", "webhook_secret_env": "HOOK"}},
        {"evaluate": {"against": ["bas"]}},
        {"evaluate": {"against": ["few-shot"]}},
        {"evaluate": {"against": [{"few-shot": 0}]}},
        {"evaluate": {"against": [{"few-shot": {"example": 1}}]}},
        {"evaluate": {"metrics": ["acuracy"]}},
        {"suffix": "x" * 65},
        {"name": "two words"},
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(fields: dict[str, Any]) -> None:
    assert not fits(BASE | fields, SCHEMA)


@pytest.mark.parametrize("field", sorted(BASE))
def test_the_schema_has_the_required_fields(field: str) -> None:
    assert not fits({key: value for key, value in BASE.items() if key != field}, SCHEMA)


def test_the_configs_are_valid() -> None:
    configs = sorted((ROOT / "configs").glob("*.yaml"))
    assert configs
    for path in configs:
        assert load_job(path, environ={}).spec.name


def test_the_reference_has_a_row_for_every_field() -> None:
    reference = render_reference(PROVIDERS)
    for item in list_objects(SCHEMA):
        for name, field in item["properties"].items():
            assert f"{name}` |" in reference
            assert field["description"] in reference
    assert all(line.count(" | ") == 3 for line in reference.splitlines())


@pytest.mark.parametrize(
    "data_file", ["data/train.jsonl", "ä b.jsonl", "12", "${HOME}/x", 'a"b: c']
)
@pytest.mark.parametrize("name", ["news", "News topics!", "../..", "2024", "yes", "x" * 99, "世界"])
def test_a_starter_is_a_valid_job_file(tmp_path: Path, data_file: str, name: str) -> None:
    for classes in (None, 1, 2, 12):
        text = render_starter(data_file, name=name, classes=classes, rows=3, **LOCAL)
        assert load_text(tmp_path, text).spec.training_file == data_file


def test_a_starter_has_the_settings_of_its_classes(tmp_path: Path) -> None:
    text = render_starter("t.jsonl", name="a", classes=3, rows=450, **LOCAL)
    text = text.replace("# validation_file", "validation_file")
    text = text.replace("# compute_", "compute_").replace("# classification_", "classification_")
    spec = load_text(tmp_path, text).spec
    assert spec.hyperparameters.classification_n_classes == 3
    assert "450 rows" in text


def test_reading_a_job_file_imports_no_heavy_package() -> None:
    code = (
        "import sys, ftops.spec.job_file, ftops.spec.schema, ftops.spec.schema\n"
        "heavy = {'openai', 'httpx', 'httpx2', 'numpy', 'fastapi', 'rich', 'typer', 'orjson'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (process.stdout.strip(), process.stderr) == (b"[]", b"")
