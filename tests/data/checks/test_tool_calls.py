"""Calls that are well formed and not what a model should learn; what counts of calls elsewhere."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from ftops.data.check_runner import run_checks
from ftops.data.checks.check import DataTarget
from ftops.data.findings import Finding
from ftops.data.reading.source import open_source
from tests.data.data_files import call, calling, chat, said, tool, write_rows

SEND = tool("send", to={"type": "string"}, how={"type": ["string", "null"], "enum": ["fast", None]})
GOOD = {"to": "me", "how": "fast"}


def judge(folder: Path, rows: Sequence[object]) -> dict[str, Finding]:
    path = write_rows(folder / "rows.jsonl", rows)
    verdict = run_checks(open_source(path)).get_result(DataTarget(min_rows=1))
    return {finding.code: finding for finding in verdict.findings}


def row(arguments: object, number: int = 0, **more: object) -> dict[str, object]:
    question = f"Send number {number}, please."
    return calling(call(arguments), question=question, **{"tools": [SEND], **more})


def test_good_calls_are_not_complained_about(tmp_path: Path) -> None:
    rows = [row(GOOD | {"to": f"me{number}"}, number) for number in range(400)]
    rows.append(row({"to": "you", "how": None}, 400))
    assert set(judge(tmp_path, rows)) == set()


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
def test_arguments_that_the_tool_does_not_take_are_told(
    tmp_path: Path, arguments: object, reason: str
) -> None:
    finding = judge(tmp_path, [row(GOOD), row(arguments, 1)])["invalid-arguments"]
    assert (finding.severity, finding.places) == ("warning", (2,))
    assert reason in finding.message


@pytest.mark.parametrize(
    "parameters",
    [None, {}, {"type": "object"}, {"type": "object", "properties": {}, "required": []}],
)
def test_a_tool_without_parameters_takes_no_arguments(tmp_path: Path, parameters: object) -> None:
    now = {"type": "function", "function": {"name": "now", "parameters": parameters}}
    rows = [calling(call(one, "now"), tools=[now]) for one in ({}, {"zone": "UTC"})]
    assert judge(tmp_path, rows)["invalid-arguments"].places == (2,)


@pytest.mark.parametrize(
    "schema", [{"additionalProperties": True}, {"anyOf": [{}]}, {"$ref": "#/$defs/a"}]
)
def test_a_schema_that_is_open_or_says_it_otherwise_takes_more(
    tmp_path: Path, schema: dict[str, object]
) -> None:
    now = {"type": "function", "function": {"name": "now", "parameters": schema}}
    found = judge(tmp_path, [calling(call({"zone": "UTC"}, "now"), tools=[now])])
    assert "invalid-arguments" not in found


def test_a_whole_number_may_have_a_point_and_true_is_no_number(tmp_path: Path) -> None:
    count = tool("count", to={"type": "integer"})
    rows = [calling(call({"to": to}, "count"), tools=[count]) for to in (3, 3.0, 3.5, True)]
    assert judge(tmp_path, rows)["invalid-arguments"].places == (3, 4)


def test_several_calls_where_one_is_wanted_are_told(tmp_path: Path) -> None:
    calls = [call(GOOD, id=name) for name in ("a", "b")]
    rows = [calling(*calls, tools=[SEND], parallel_tool_calls=may) for may in (True, False)]
    assert judge(tmp_path, rows)["parallel-calls"].places == (2,)


def test_names_that_openai_refuses_and_calls_without_tools_are_told(tmp_path: Path) -> None:
    rows = [calling(call({}, "mail.send"), tools=[tool("mail.send")]), calling(call({}))]
    found = judge(tmp_path, rows)
    assert found["tool-name"].places == (1,)
    assert found["calls-without-tools"].places == (2,)
    assert found["calls-without-tools"].severity == "advice"


def test_calls_that_are_not_learned_may_be_wrong(tmp_path: Path) -> None:
    wrong = calling(call({"x": 1}), tools=[SEND])
    messages = wrong["messages"]
    assert isinstance(messages, list)
    messages[-1]["weight"] = 0
    messages += [*said("no", "tool", tool_call_id="call_1"), *said("Sorry.")]
    assert "invalid-arguments" not in judge(tmp_path, [wrong])


def test_another_call_for_the_same_question_contradicts_but_for_other_tools(tmp_path: Path) -> None:
    twice = [row(GOOD), row(GOOD | {"to": "you"})]
    assert judge(tmp_path, twice)["conflicting-completions"].count == 1
    other = calling(call({}, "post"), question="Send number 0, please.", tools=[tool("post")])
    assert "conflicting-completions" not in judge(tmp_path, [row(GOOD), other])
    again = [calling(call(GOOD, id=name), tools=[SEND]) for name in ("a", "b")]
    found = judge(tmp_path, again)
    assert "duplicate-rows" in found
    assert "conflicting-completions" not in found


def test_a_provider_that_trains_no_tools_is_named_with_the_rows(tmp_path: Path) -> None:
    rows = [chat("a", "b"), row(GOOD)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    target = DataTarget(min_rows=1, provider="local", tools=False)
    findings = {one.code: one for one in run_checks(open_source(path)).get_result(target).findings}
    found = findings["no-tool-use"]
    assert (found.severity, found.places) == ("error", (2,))
    assert found.message == "1 row with tool use, and local does not train tool use"
    assert "no-tool-use" not in judge(tmp_path, rows)
