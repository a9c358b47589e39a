"""A promptfoo configuration becomes rows and metrics, and nothing of it is dropped in silence."""

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


def notes(found: ImportedEvaluation) -> list[str]:
    """What was not carried over, as line, name and reason."""
    return [f"{Path(one.file).name}:{one.line}: {one.what}: {one.reason}" for one in found.skipped]


def metric(found: ImportedEvaluation, name: str) -> Json:
    """What is said of that metric."""
    metrics = found.section["metrics"]
    assert isinstance(metrics, list)
    return next(one[name] for one in metrics if isinstance(one, dict) and name in one)


def test_every_prompt_meets_every_test(tmp_path: Path) -> None:
    found = read(tmp_path, "prompts: ['Capital of {{country}}?', '{{country}} ->']" + TESTS)
    assert list(found.rows) == [
        {"prompt": "Capital of France?", "completion": "Paris"},
        {"prompt": "Capital of Peru?", "completion": "Lima"},
        {"prompt": "France ->", "completion": "Paris"},
        {"prompt": "Peru ->", "completion": "Lima"},
    ]
    assert found.section == {"file": "rows.jsonl", "metrics": ["accuracy"]}
    assert (found.skipped, found.unanswered) == ((), 0)


@pytest.mark.parametrize("name", ["../note.txt", "{parent}/note.txt", "link.txt"])
def test_files_outside_the_folder_are_read_only_when_that_is_allowed(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "note.txt").write_text("a secret of {{country}}")
    (tmp_path / "tests.jsonl").write_text(
        '{"vars": {"country": "Chad"}, "assert": [{"type": "equals", "value": "yes"}]}\n'
    )
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "link.txt").symlink_to("../note.txt")
    named = name.format(parent=tmp_path)
    text = f"prompts: ['{{{{country}}}}?', 'file://{named}']{TESTS}  - ../tests.jsonl\n"
    text = text.replace("defaultTest:\n  vars: {city: Lima}\n", "").replace("{{city}}", "Lima")
    found = read(folder, text)
    assert "secret" not in str(found.rows)
    reason = "it is outside the configuration's folder (--allow-outside reads it)"
    assert [one.endswith(reason) for one in notes(found)] == [True, True]
    assert f"tests '../tests.jsonl': {reason}" in notes(found)[1]
    allowed = read_promptfoo(folder / "promptfooconfig.yaml", allow_outside=True)
    assert "a secret of France" in str(allowed.rows)
    assert len(allowed.rows) == 6


def test_prompts_of_files_and_chats_are_read_and_made_alike(tmp_path: Path) -> None:
    chat = '[{"role": "system", "content": "In {{country}}"}, {"role": "user", "content": "?"}]'
    text = (
        "prompts:\n  - file://chat.json\n  - {raw: 'Hi {{country}}', label: x}\n  - p.txt" + TESTS
    )
    found = read(tmp_path, text, chat_json=chat, p_txt="One {{country}}\n---\nTwo\n")
    asked = [row["messages"] for row in found.rows[::2]]
    assert [one[:-1] for one in asked if isinstance(one, list)] == [
        [{"role": "system", "content": "In France"}, {"role": "user", "content": "?"}],
        [{"role": "user", "content": "Hi France"}],
        [{"role": "user", "content": "One France"}],
        [{"role": "user", "content": "Two"}],
    ]


def test_a_list_of_values_is_a_test_each(tmp_path: Path) -> None:
    text = "prompts: ['{{a}}{{b}}']\ntests:\n  - vars: {a: [1, 2], b: [x, y]}\n"
    found = read(tmp_path, text + "    assert: [{type: equals, value: '{{b}}{{a}}'}]\n")
    assert [row["prompt"] for row in found.rows] == ["1x", "1y", "2x", "2y"]
    assert [row["completion"] for row in found.rows] == ["x1", "y1", "x2", "y2"]


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
def test_tests_lie_in_files_of_several_kinds(tmp_path: Path, name: str, content: str) -> None:
    text = f"prompts: ['{{{{country}}}}']\ntests: file://{name.replace('_', '.')}\n"
    found = read(tmp_path, text, **{name: content})
    assert list(found.rows) == [
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
def test_what_all_tests_assert_becomes_one_pattern(
    tmp_path: Path, assertion: str, good: str, bad: str
) -> None:
    text = "prompts: [a]\ntests: [{vars: {}}, {vars: {}}]\ndefaultTest:\n"
    found = read(tmp_path, f"{text}  assert: [{assertion}]\n")
    pattern = str(metric(found, "regex"))
    assert re.fullmatch(pattern, good)
    assert not re.fullmatch(pattern, bad)
    assert found.skipped == ()
    assert (found.unanswered, found.rows[0]["completion"]) == (2, ANY_ANSWER)


def test_several_patterns_must_all_hold(tmp_path: Path) -> None:
    text = "prompts: [a]\ntests: [{vars: {}}]\ndefaultTest:\n  assert:\n"
    text += "    - {type: contains, value: b}\n    - {type: not-contains, value: c}\n"
    pattern = str(metric(read(tmp_path, text), "regex"))
    assert [bool(re.fullmatch(pattern, one)) for one in ("ab", "abc", "ac")] == [True, False, False]


def test_a_rubric_becomes_a_judge_where_its_model_is_known(tmp_path: Path) -> None:
    rubric = "assert: [{type: llm-rubric, value: Be kind}, {type: is-json}]"
    known = "options: {provider: 'openai:chat:gpt-4.1'}"
    text = f"prompts: [a]\ntests: [{{vars: {{}}}}]\ndefaultTest:\n  {rubric}\n"
    found = read(tmp_path, text + f"  {known}\n")
    assert metric(found, "judge") == {"model": "gpt-4.1", "question": "Be kind", "mode": "grade"}
    assert "json_valid" in str(found.section["metrics"])
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
    found = read(tmp_path, text + TESTS)
    assert found.section["against"] == [
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
    assert found.section["max_tokens"] == 9
    told = notes(found)
    assert [one.split(": ")[1] for one in told] == [
        "the provider 'anthropic:messages:claude'",
        "apiKey",
        "a provider's 'temperature'",
    ]
    assert "hidden-1234" not in str(found)


def test_what_has_no_counterpart_is_named_with_its_line(tmp_path: Path) -> None:
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
    found = read(tmp_path, text)
    lines = {int(note.split(":")[1]): note for note in notes(found)}
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
    assert [row["completion"] for row in found.rows] == ["Paris", "Lima"]


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
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(SpecError) as caught:
        read(tmp_path, text)
    assert reason in str(caught.value)


def test_a_line_of_tests_that_is_broken_is_reported_by_its_number(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        read(tmp_path, "prompts: [a]\ntests: t.jsonl\n", t_jsonl='{"vars": {}}\n{"vars": [\n')
    assert "t.jsonl:2:" in str(caught.value)


def test_the_section_is_yaml_that_reads_back_as_what_it_says(tmp_path: Path) -> None:
    text = "prompts: [a]\ntests: [{vars: {}}]\ndefaultTest:\n  assert:\n"
    text += '    - {type: contains, value: "${HOME}: \'x\' # \\"\\n"}\n'
    found = read(tmp_path, text)
    report = ProblemReport()
    root = parse_yaml(SourceText("evaluate.yaml", found.render_section()), report)
    assert root is not None
    assert report.problems == []
    again = to_value(root)
    assert isinstance(again, dict)
    assert str(again["evaluate"]).replace("$$", "$") == str(dict(found.section))
