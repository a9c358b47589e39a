"""Import of a promptfoo configuration: rows, metrics, and reports of what is skipped."""

import re
from pathlib import Path

import pytest

from ftops.errors import SpecError
from ftops.records import Json
from ftops.spec.problem import ProblemReport, SourceText
from ftops.spec.promptfoo_file import to_value
from ftops.spec.promptfoo_import import ANY_ANSWER, ImportedEvaluation, read_promptfoo
from ftops.spec.yaml_reader import parse_yaml

TESTS = """
tests:
  - vars: {country: France}
    assert: [{type: equals, value: Paris}]
  - vars: {country: Peru}
    assert: [{type: equals, value: '{{city}}'}]
defaultTest:
  vars: {city: Lima}
"""


def read(folder: Path, text: str, **files: str) -> ImportedEvaluation:
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content, encoding="utf-8")
    path = folder / "promptfooconfig.yaml"
    path.write_text(text, encoding="utf-8")
    return read_promptfoo(path)


def notes(imported: ImportedEvaluation) -> list[str]:
    """What is skipped, as file, line, name and reason."""
    return [
        f"{Path(item.file).name}:{item.line}: {item.what}: {item.reason}"
        for item in imported.skipped
    ]


def metric(imported: ImportedEvaluation, name: str) -> Json:
    """The settings of that metric."""
    metrics = imported.section["metrics"]
    assert isinstance(metrics, list)
    return next(item[name] for item in metrics if isinstance(item, dict) and name in item)


def test_every_prompt_is_combined_with_every_test(tmp_path: Path) -> None:
    imported = read(tmp_path, "prompts: ['Capital of {{country}}?', '{{country}} ->']" + TESTS)
    assert list(imported.rows) == [
        {"prompt": "Capital of France?", "completion": "Paris"},
        {"prompt": "Capital of Peru?", "completion": "Lima"},
        {"prompt": "France ->", "completion": "Paris"},
        {"prompt": "Peru ->", "completion": "Lima"},
    ]
    assert imported.section == {"file": "rows.jsonl", "metrics": ["accuracy"]}
    assert (imported.skipped, imported.unanswered) == ((), 0)


@pytest.mark.parametrize("name", ["../note.txt", "{parent}/note.txt", "link.txt"])
def test_files_outside_the_folder_are_read_only_if_allowed(tmp_path: Path, name: str) -> None:
    (tmp_path / "note.txt").write_text("a secret of {{country}}")
    (tmp_path / "tests.jsonl").write_text(
        '{"vars": {"country": "Chad"}, "assert": [{"type": "equals", "value": "yes"}]}\n'
    )
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "link.txt").symlink_to("../note.txt")
    reference = name.format(parent=tmp_path)
    text = f"prompts: ['{{{{country}}}}?', 'file://{reference}']{TESTS}  - ../tests.jsonl\n"
    text = text.replace("defaultTest:\n  vars: {city: Lima}\n", "").replace("{{city}}", "Lima")
    imported = read(folder, text)
    assert "secret" not in str(imported.rows)
    reason = "it is outside the configuration's folder (--allow-outside reads it)"
    assert [note.endswith(reason) for note in notes(imported)] == [True, True]
    assert f"tests '../tests.jsonl': {reason}" in notes(imported)[1]
    allowed = read_promptfoo(folder / "promptfooconfig.yaml", allow_outside=True)
    assert "a secret of France" in str(allowed.rows)
    assert len(allowed.rows) == 6


def test_prompts_from_files_and_chats_become_messages(tmp_path: Path) -> None:
    chat = '[{"role": "system", "content": "In {{country}}"}, {"role": "user", "content": "?"}]'
    text = (
        "prompts:\n  - file://chat.json\n  - {raw: 'Hi {{country}}', label: x}\n  - p.txt" + TESTS
    )
    imported = read(tmp_path, text, chat_json=chat, p_txt="One {{country}}\n---\nTwo\n")
    prompts = [row["messages"] for row in imported.rows[::2]]
    assert [messages[:-1] for messages in prompts if isinstance(messages, list)] == [
        [{"role": "system", "content": "In France"}, {"role": "user", "content": "?"}],
        [{"role": "user", "content": "Hi France"}],
        [{"role": "user", "content": "One France"}],
        [{"role": "user", "content": "Two"}],
    ]


def test_each_combination_of_listed_values_is_a_test(tmp_path: Path) -> None:
    text = "prompts: ['{{a}}{{b}}']\ntests:\n  - vars: {a: [1, 2], b: [x, y]}\n"
    imported = read(tmp_path, text + "    assert: [{type: equals, value: '{{b}}{{a}}'}]\n")
    assert [row["prompt"] for row in imported.rows] == ["1x", "1y", "2x", "2y"]
    assert [row["completion"] for row in imported.rows] == ["x1", "y1", "x2", "y2"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t_csv", "country,__expected\nFrance,Paris\nPeru,equals: Lima\n"),
        (
            "t_yaml",
            TESTS.replace("tests:\n", "").split("defaultTest")[0].replace("{{city}}", "Lima"),
        ),
        (
            "t_jsonl",
            '{"vars": {"country": "France"}, "assert": [{"type": "equals", "value": "Paris"}]}\n\n'
            '{"vars": {"country": "Peru"}, "assert": [{"type": "equals", "value": "Lima"}]}\n',
        ),
    ],
)
def test_tests_are_read_from_csv_yaml_and_json_lines(
    tmp_path: Path, name: str, content: str
) -> None:
    text = f"prompts: ['{{{{country}}}}']\ntests: file://{name.replace('_', '.')}\n"
    imported = read(tmp_path, text, **{name: content})
    assert list(imported.rows) == [
        {"prompt": "France", "completion": "Paris"},
        {"prompt": "Peru", "completion": "Lima"},
    ]


@pytest.mark.parametrize(
    ("assertion", "good", "bad"),
    [
        ("{type: contains, value: 'a.b'}", "x\na.b", "axb"),
        ("{type: icontains, value: Ab}", "xAB", "a b"),
        ("{type: not-contains, value: a}", "xyz", "xay"),
        ("{type: contains-any, value: [a, b]}", "xb", "xc"),
        ("{type: contains-all, value: 'a, b'}", "b\na", "aa"),
        ("{type: starts-with, value: '{\"'}", '{"a"', ' {"'),
        ("{type: regex, value: '^a[0-9]+'}", "a12 x", "ba1"),
        ("{type: not-regex, value: '[0-9]'}", "abc", "a1"),
    ],
)
def test_an_assertion_of_all_tests_becomes_a_pattern(
    tmp_path: Path, assertion: str, good: str, bad: str
) -> None:
    text = "prompts: [a]\ntests: [{vars: {}}, {vars: {}}]\ndefaultTest:\n"
    imported = read(tmp_path, f"{text}  assert: [{assertion}]\n")
    pattern = str(metric(imported, "regex"))
    assert re.fullmatch(pattern, good)
    assert not re.fullmatch(pattern, bad)
    assert imported.skipped == ()
    assert (imported.unanswered, imported.rows[0]["completion"]) == (2, ANY_ANSWER)


def test_several_assertions_must_all_match(tmp_path: Path) -> None:
    text = "prompts: [a]\ntests: [{vars: {}}]\ndefaultTest:\n  assert:\n"
    text += "    - {type: contains, value: b}\n    - {type: not-contains, value: c}\n"
    pattern = str(metric(read(tmp_path, text), "regex"))
    assert [bool(re.fullmatch(pattern, output)) for output in ("ab", "abc", "ac")] == [
        True,
        False,
        False,
    ]


def test_a_rubric_becomes_a_judge_if_its_model_is_known(tmp_path: Path) -> None:
    rubric = "assert: [{type: llm-rubric, value: Be kind}, {type: is-json}]"
    known = "options: {provider: 'openai:chat:gpt-4.1'}"
    text = f"prompts: [a]\ntests: [{{vars: {{}}}}]\ndefaultTest:\n  {rubric}\n"
    imported = read(tmp_path, text + f"  {known}\n")
    assert metric(imported, "judge") == {"model": "gpt-4.1", "question": "Be kind", "mode": "grade"}
    assert "json_valid" in str(imported.section["metrics"])
    (note,) = notes(read(tmp_path, text))
    assert "4: an assertion 'llm-rubric': it names no provider; write `judge:" in note


def test_providers_become_candidates(tmp_path: Path) -> None:
    text = """
providers:
  - openai:gpt-4.1-mini
  - openai:completion:ft:ada:local:x:y
  - id: openai:chat:other
    config:
      {apiBaseUrl: 'http://127.0.0.1:1/v1', apiKeyEnvar: MY_KEY, temperature: 0, max_tokens: 9}
  - anthropic:messages:claude
  - {id: openai:gpt-4.1, config: {apiKey: hidden-1234, temperature: 0.5}}
prompts: ['{{country}}']
"""
    imported = read(tmp_path, text + TESTS)
    assert imported.section["against"] == [
        {"model": "gpt-4.1-mini"},
        {"model": "ft:ada:local:x:y"},
        {
            "model": {
                "name": "other",
                "provider": {
                    "type": "openai",
                    "base_url": "http://127.0.0.1:1/v1",
                    "api_key_env": "MY_KEY",
                },
            }
        },
        {"model": "gpt-4.1"},
    ]
    assert imported.section["max_tokens"] == 9
    skipped = notes(imported)
    assert [note.split(": ")[1] for note in skipped] == [
        "the provider 'anthropic:messages:claude'",
        "apiKey",
        "a provider's 'temperature'",
    ]
    assert "hidden-1234" not in str(imported)


def test_settings_without_a_counterpart_are_reported_with_their_lines(tmp_path: Path) -> None:
    text = """prompts:
  - '{{country}}'
  - '{{country | upper}}'
  - file://prompt.js
scenarios: []
tests:
  - vars: {country: France}
    assert:
      - {type: equals, value: Paris, weight: 2}
      - {type: javascript, value: 'output.length < 3'}
      - {type: latency, threshold: 5}
      - {type: contains, value: P}
    threshold: 0.5
  - vars: {country: Peru}
    assert: [{type: equals, value: Lima}]
  - {vars: {country: Chad}}
  - file://gone.csv
"""
    imported = read(tmp_path, text)
    lines = {int(note.split(":")[1]): note for note in notes(imported)}
    for line, part in {
        3: "is not a variable",
        4: "the prompt 'file://prompt.js'",
        5: "'scenarios'",
        9: "weight of an assertion 'equals'",
        10: "an assertion 'javascript': foreign code is not run",
        11: "an assertion 'latency'",
        12: "an assertion 'contains': not every test has it",
        13: "a test's 'threshold'",
        16: "it has no expected output",
        17: "there is no such file",
    }.items():
        assert part in lines[line], lines
    assert [row["completion"] for row in imported.rows] == ["Paris", "Lima"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("- a\n", "is a mapping of prompts and tests"),
        ("prompts: [a]\n", "no prompt and test can be imported"),
        ("prompts: &x [a]\n", "anchors are not allowed in promptfoo configurations"),
        ("prompts: [a\n", "is never closed"),
        ("# nothing\n", "only comments"),
    ],
)
def test_a_file_that_is_not_a_configuration_is_refused(
    tmp_path: Path, text: str, reason: str
) -> None:
    with pytest.raises(SpecError) as caught:
        read(tmp_path, text)
    assert reason in str(caught.value)


def test_an_invalid_line_of_tests_is_reported_with_its_number(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        read(tmp_path, "prompts: [a]\ntests: t.jsonl\n", t_jsonl='{"vars": {}}\n{"vars": [\n')
    assert "t.jsonl:2:" in str(caught.value)


def test_the_section_round_trips_through_yaml(tmp_path: Path) -> None:
    text = "prompts: [a]\ntests: [{vars: {}}]\ndefaultTest:\n  assert:\n"
    text += '    - {type: contains, value: "${HOME}: \'x\' # \\"\\n"}\n'
    imported = read(tmp_path, text)
    report = ProblemReport()
    root = parse_yaml(SourceText("evaluate.yaml", imported.render_section()), report)
    assert root is not None
    assert report.problems == []
    loaded = to_value(root)
    assert isinstance(loaded, dict)
    assert str(loaded["evaluate"]).replace("$$", "$") == str(dict(imported.section))
