"""Tool calls that are well formed and should not be trained, and duplicates of tool calls."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from ftops.data.check_runner import run_checks
from ftops.data.checks.check import DataTarget
from ftops.data.findings import Finding
from ftops.data.reading.source import open_source
from tests.data.data_files import call, chat, chat_with_calls, message_list, tool, write_rows

SEND = tool("send", to={"type": "string"}, how={"type": ["string", "null"], "enum": ["fast", None]})
GOOD = {"to": "me", "how": "fast"}


def get_findings(folder: Path, rows: Sequence[object]) -> dict[str, Finding]:
    path = write_rows(folder / "rows.jsonl", rows)
    result = run_checks(open_source(path)).get_result(DataTarget(min_rows=1))
    return {finding.code: finding for finding in result.findings}


def make_row(arguments: object, number: int = 0, **more: object) -> dict[str, object]:
    question = f"Send number {number}, please."
    return chat_with_calls(call(arguments), question=question, **{"tools": [SEND], **more})


def test_good_calls_have_no_findings(tmp_path: Path) -> None:
    rows = [make_row(GOOD | {"to": f"me{number}"}, number) for number in range(400)]
    rows.append(make_row({"to": "you", "how": None}, 400))
    assert set(get_findings(tmp_path, rows)) == set()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"to": "me"}, "send: 'how' is missing"),
        (GOOD | {"cc": "you"}, "send: 'cc' is not one of its parameters"),
        (GOOD | {"to": 3}, "send: 'to' is not of type string"),
        (GOOD | {"to": True}, "send: 'to' is not of type string"),
        (GOOD | {"how": "slow"}, "send: 'how' is not one of the allowed values"),
    ],
)
def test_arguments_that_do_not_match_the_schema_are_reported(
    tmp_path: Path, arguments: object, reason: str
) -> None:
    finding = get_findings(tmp_path, [make_row(GOOD), make_row(arguments, 1)])["invalid-arguments"]
    assert (finding.severity, finding.places) == ("warning", (2,))
    assert reason in finding.message


@pytest.mark.parametrize(
    "parameters",
    [None, {}, {"type": "object"}, {"type": "object", "properties": {}, "required": []}],
)
def test_a_tool_without_parameters_takes_no_arguments(tmp_path: Path, parameters: object) -> None:
    now = {"type": "function", "function": {"name": "now", "parameters": parameters}}
    rows = [
        chat_with_calls(call(arguments, "now"), tools=[now]) for arguments in ({}, {"zone": "UTC"})
    ]
    assert get_findings(tmp_path, rows)["invalid-arguments"].places == (2,)


@pytest.mark.parametrize(
    "schema", [{"additionalProperties": True}, {"anyOf": [{}]}, {"$ref": "#/$defs/a"}]
)
def test_an_open_schema_accepts_more_arguments(tmp_path: Path, schema: dict[str, object]) -> None:
    now = {"type": "function", "function": {"name": "now", "parameters": schema}}
    findings = get_findings(tmp_path, [chat_with_calls(call({"zone": "UTC"}, "now"), tools=[now])])
    assert "invalid-arguments" not in findings


def test_an_integer_may_have_a_decimal_point_and_true_is_not_a_number(tmp_path: Path) -> None:
    count = tool("count", to={"type": "integer"})
    rows = [chat_with_calls(call({"to": to}, "count"), tools=[count]) for to in (3, 3.0, 3.5, True)]
    assert get_findings(tmp_path, rows)["invalid-arguments"].places == (3, 4)


def test_several_calls_without_parallel_tool_calls_are_reported(tmp_path: Path) -> None:
    calls = [call(GOOD, id=name) for name in ("a", "b")]
    rows = [
        chat_with_calls(*calls, tools=[SEND], parallel_tool_calls=allowed)
        for allowed in (True, False)
    ]
    assert get_findings(tmp_path, rows)["parallel-calls"].places == (2,)


def test_names_that_openai_refuses_and_calls_without_tools_are_reported(tmp_path: Path) -> None:
    rows = [
        chat_with_calls(call({}, "mail.send"), tools=[tool("mail.send")]),
        chat_with_calls(call({})),
    ]
    findings = get_findings(tmp_path, rows)
    assert findings["tool-name"].places == (1,)
    assert findings["calls-without-tools"].places == (2,)
    assert findings["calls-without-tools"].severity == "advice"


def test_calls_that_are_not_trained_are_not_checked(tmp_path: Path) -> None:
    invalid = chat_with_calls(call({"x": 1}), tools=[SEND])
    messages = invalid["messages"]
    assert isinstance(messages, list)
    messages[-1]["weight"] = 0
    messages += [*message_list("no", "tool", tool_call_id="call_1"), *message_list("Sorry.")]
    assert "invalid-arguments" not in get_findings(tmp_path, [invalid])


def test_different_calls_for_a_question_conflict_unless_the_tools_differ(tmp_path: Path) -> None:
    conflicting = [make_row(GOOD), make_row(GOOD | {"to": "you"})]
    assert get_findings(tmp_path, conflicting)["conflicting-completions"].count == 1
    other = chat_with_calls(
        call({}, "post"), question="Send number 0, please.", tools=[tool("post")]
    )
    assert "conflicting-completions" not in get_findings(tmp_path, [make_row(GOOD), other])
    equal = [chat_with_calls(call(GOOD, id=name), tools=[SEND]) for name in ("a", "b")]
    findings = get_findings(tmp_path, equal)
    assert "duplicate-rows" in findings
    assert "conflicting-completions" not in findings


def test_rows_with_tools_are_reported_for_a_provider_that_does_not_train_them(
    tmp_path: Path,
) -> None:
    rows = [chat("a", "b"), make_row(GOOD)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    target = DataTarget(min_rows=1, provider="local", tools=False)
    by_code = {
        finding.code: finding
        for finding in run_checks(open_source(path)).get_result(target).findings
    }
    finding = by_code["no-tool-use"]
    assert (finding.severity, finding.places) == ("error", (2,))
    assert finding.message == "1 row with tool use, and local does not train tool use"
    assert "no-tool-use" not in get_findings(tmp_path, rows)
