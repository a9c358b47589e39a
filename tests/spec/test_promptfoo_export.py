"""Export of an evaluation as a promptfoo configuration; data is never parsed as a template."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ftops.records import Chat, Message
from ftops.spec.promptfoo_export import (
    CONFIG,
    TESTS,
    EvaluationExport,
    ExportedConfig,
    ExportedModel,
    ExportedRow,
    render_promptfoo,
)
from ftops.spec.promptfoo_file import render_template
from ftops.spec.promptfoo_import import read_promptfoo

BITS = st.sampled_from(
    ["{{", "}}", "{%", "{# #}", "file://a", "\n", "'", '"', "\\", "${A}", "\x85"]
)
TEXTS = st.lists(BITS | st.text(max_size=4), min_size=1, max_size=5).map("".join)
EVALUATION = EvaluationExport(
    description="small",
    file="rows.jsonl",
    rows=(ExportedRow(1, "What? ->", "x"),),
    candidates=(ExportedModel("tuned", "ft:ada:local:x:y", "http://127.0.0.1:1/v1"),),
    is_chat=False,
    separator=" ->",
    stop="\n",
    max_tokens=8,
)


def load(exported: ExportedConfig) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    config = yaml.safe_load(exported.config)
    return config, [json.loads(line) for line in exported.tests.split("\n") if line]


def test_the_tuned_model_gets_prompts_in_its_training_format() -> None:
    config, (test,) = load(render_promptfoo(EVALUATION))
    assert config["providers"] == [
        {
            "id": "openai:completion:ft:ada:local:x:y",
            "label": "tuned",
            "config": {
                "temperature": 0,
                "apiBaseUrl": "http://127.0.0.1:1/v1",
                "max_tokens": 8,
                "stop": ["\n"],
            },
        }
    ]
    assert config["prompts"] == [{"label": "rows", "raw": "{{row_prompt}} ->"}]
    assert config["tests"] == "file://tests.jsonl"
    assert test["vars"] == {"row_prompt": "What?"}
    assert test["assert"] == [{"type": "equals", "value": "x"}]


@given(TEXTS, TEXTS, TEXTS)
def test_prompt_separator_and_answer_are_unchanged(
    prompt: str, separator: str, answer: str
) -> None:
    row = ExportedRow(1, prompt + separator, answer)
    exported = render_promptfoo(
        replace(EVALUATION, rows=(row,), separator=separator, description=prompt)
    )
    config, tests = load(exported)
    assert config["description"] == prompt
    if not tests:
        assert exported.skipped
        return
    template = config["prompts"][0]["raw"]
    assert render_template(template, tests[0]["vars"]) == prompt + separator
    assert render_template(tests[0]["assert"][0]["value"], {}) == answer


def test_a_chat_is_exported_as_its_messages() -> None:
    messages = (Message("system", "s"), Message("user", "{{ hello }}"))
    exported = render_promptfoo(
        replace(EVALUATION, rows=(ExportedRow(1, Chat(messages), "x"),), is_chat=True, separator="")
    )
    config, (test,) = load(exported)
    assert config["providers"][0]["id"] == "openai:chat:ft:ada:local:x:y"
    assert "stop" not in config["providers"][0]["config"]
    rendered = render_template(config["prompts"][0]["raw"], test["vars"])
    assert json.loads(rendered) == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "{{ hello }}"},
    ]


@pytest.mark.parametrize("text", ["{% raw %} a {% endraw %}", "a {{ row_prompt }}"])
def test_a_row_that_cannot_be_exported_is_skipped_with_its_line(text: str) -> None:
    rows = (ExportedRow(1, "a", "x"), ExportedRow(7, text, "y"))
    exported = render_promptfoo(replace(EVALUATION, rows=rows))
    assert exported.tests_count == 1
    assert exported.skipped[0].startswith("rows.jsonl:7: the row: it contains")


@pytest.mark.parametrize(
    ("metric", "assertion"),
    [
        ("json_valid", {"type": "is-json"}),
        ("stop_reached", {"type": "finish-reason", "value": "stop"}),
        ({"regex": "[ab]+"}, {"type": "regex", "value": "^(?:[ab]+)$"}),
        ({"regex": {"pattern": "a", "name": "n"}}, {"type": "regex", "value": "^(?:a)$"}),
        ({"json_schema": "s.json"}, {"type": "is-json", "value": "file:///jobs/s.json"}),
        ({"max_chars": 9}, {"type": "javascript", "value": "output.length <= 9"}),
        (
            {"judge": {"model": "gpt-4.1", "question": "Kind?", "mode": "grade"}},
            {"type": "llm-rubric", "value": "Kind?", "provider": "openai:chat:gpt-4.1"},
        ),
    ],
)
def test_metrics_become_assertions(metric: Any, assertion: dict[str, str]) -> None:
    exported = render_promptfoo(replace(EVALUATION, metrics=(metric,), folder=Path("/jobs")))
    _, (test,) = load(exported)
    assert test["assert"] == [assertion]
    assert exported.skipped == ()


@pytest.mark.parametrize(
    "metric",
    [
        "f1",
        {"exact_match": {"normalize": "squad"}},
        {"regex": "(?P<a>b)"},
        {"regex": "(?i:a)"},
        {"python": "a.py:score"},
        {"judge": {"model": "m", "question": "q", "mode": "pairwise"}},
    ],
)
def test_a_metric_without_a_counterpart_is_reported(metric: Any) -> None:
    exported = render_promptfoo(replace(EVALUATION, metrics=("accuracy", metric)))
    word = metric if isinstance(metric, str) else next(iter(metric))
    assert exported.skipped[0].startswith(f"evaluate.metrics: {word}: ")
    _, (test,) = load(exported)
    assert [assertion["type"] for assertion in test["assert"]] == ["equals"]


def test_an_export_is_imported_as_the_same_rows(tmp_path: Path) -> None:
    rows = (ExportedRow(1, "a {{b}} ->", "x"), ExportedRow(2, "file://c ->", "y\ny"))
    exported = render_promptfoo(replace(EVALUATION, rows=rows))
    (tmp_path / CONFIG).write_text(exported.config, encoding="utf-8")
    (tmp_path / TESTS).write_text(exported.tests, encoding="utf-8")
    imported = read_promptfoo(tmp_path / CONFIG)
    assert list(imported.rows) == [
        {"prompt": row.prompt, "completion": row.expected} for row in rows
    ]
    assert imported.section["metrics"] == ["accuracy"]
