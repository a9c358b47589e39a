"""Each rule with data that breaks it and data that follows it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from ftops.data.check_runner import run_checks
from ftops.data.check_set import CheckResult
from ftops.data.checks.check import DataTarget
from ftops.data.checks.classes import compare_classes
from ftops.data.checks.registry import list_rules, render_checks
from ftops.data.findings import Finding
from ftops.data.reading.source import open_source
from ftops.records import RowFormat
from tests.data.data_files import (
    call,
    call_row,
    chat,
    chat_with_calls,
    message_list,
    pair,
    preference,
    tool,
    write_rows,
)

SEPARATOR = "\n\n###\n\n"
LABELS = (" red", " green", " blue")


def make_rows(count: int = 400) -> list[object]:
    """Rows without findings: three classes, separators, leading spaces."""
    return [
        pair(f"{number} is like what?{SEPARATOR}", LABELS[number % 3]) for number in range(count)
    ]


def make_free_rows(count: int = 400) -> list[object]:
    """The same with free answers."""
    return [
        pair(f"{number}, please{SEPARATOR}", f" {chr(97 + number % 26)} is {number} END")
        for number in range(count)
    ]


def check_rows(
    folder: Path, rows: Sequence[object], target: DataTarget | None = None, **more: str
) -> CheckResult:
    source = open_source(write_rows(folder / "rows.jsonl", rows))
    return run_checks(source).get_result(target or DataTarget(), task=more.get("task"))


def get_findings(result: CheckResult) -> dict[str, Finding]:
    return {finding.code: finding for finding in result.findings}


@pytest.mark.parametrize("rows", [make_rows(), make_free_rows()])
def test_good_rows_have_no_findings(tmp_path: Path, rows: list[object]) -> None:
    assert check_rows(tmp_path, rows).findings == ()


def make_unanswered_call() -> dict[str, object]:
    """A tool call in the middle of a chat that no tool answers."""
    row = call_row({})
    assert isinstance(row["messages"], list)
    del row["messages"][2]
    return row


BAD_ROWS: dict[str, object] = {
    "not-json": "{prompt: 'a', completion: 'b'}",
    "blank-line": "",
    "duplicate-key": '{"prompt": "a", "completion": "b", "prompt": "c"}',
    "not-an-object": [1],
    "missing-key": {"prompt": "a"},
    "extra-key": pair() | {"id": 1},
    "null-value": pair("a", None),
    "not-text": pair("a", 3),
    "empty-completion": pair("a", ""),
    "nul-character": pair("a", "b\0"),
    "mixed-formats": chat("a", "b"),
    "bad-role": {"messages": [{"role": "boss", "content": "a"}]},
    "bad-weight": {"messages": [{"role": "user", "content": "a", "weight": 3}]},
    "no-answer": {"messages": [{"role": "user", "content": "a"}]},
    "bad-chat": {"messages": []},
    "bad-preference": preference(input={"messages": []}),
    "equal-answers": preference("Here.", " Here."),
    "too-deep": chat("a", "b"),
    "bad-tools": chat("a", "b") | {"tools": [[]]},
    "bad-call": chat_with_calls(call("no JSON")),
    "unknown-tool": chat_with_calls(call({}), tools=[tool("other")]),
    "unanswered-call": make_unanswered_call(),
    "stray-answer": {
        "messages": [*message_list("42", "tool", tool_call_id="a"), *message_list("Done.")]
    },
}


@pytest.mark.parametrize("code", BAD_ROWS)
def test_a_row_that_cannot_be_used_is_reported_with_its_line(tmp_path: Path, code: str) -> None:
    row = BAD_ROWS[code]
    if code == "too-deep":
        deep: object = []
        for _ in range(70):
            deep = [deep]
        row = chat("a", "b") | {"tools": [tool(a=deep)]}
    result = check_rows(tmp_path, [*make_rows(6), row, *make_rows(394)])
    finding = get_findings(result)[code]
    assert (finding.count, finding.places) == (1, (7,))
    assert finding.severity == "error"
    assert result.rows == 400


def test_null_and_missing_keys_never_become_the_words_none_or_nan(tmp_path: Path) -> None:
    result = check_rows(tmp_path, [*make_rows(), pair("a", None), {"prompt": "b"}])
    assert result.rows == 400
    assert {"null-value", "missing-key"} <= set(get_findings(result))


def test_bad_rows_are_counted_and_the_first_ten_listed(tmp_path: Path) -> None:
    finding = get_findings(check_rows(tmp_path, [*make_rows(20), *["nonsense"] * 50]))["not-json"]
    assert finding.count == 50
    assert finding.places == tuple(range(21, 31))


def test_garbled_letters_are_found_and_correct_ones_are_not(tmp_path: Path) -> None:
    rows = [*make_free_rows(), pair("SÃO PAULO, Âge, naïve «â» " + SEPARATOR, " good END")]
    assert "mojibake" not in get_findings(check_rows(tmp_path, rows))
    bad = pair(f"the cafÃ© isnâ€™t{SEPARATOR}", " open END")
    assert get_findings(check_rows(tmp_path, [*rows, bad]))["mojibake"].places == (402,)


def test_the_minimum_of_rows_depends_on_the_provider(tmp_path: Path) -> None:
    assert get_findings(check_rows(tmp_path, make_rows(9)))["too-few-rows"].severity == "error"
    local = DataTarget(min_rows=1, provider="local")
    assert "few-rows" in get_findings(check_rows(tmp_path, make_rows(9), local))
    assert set(get_findings(check_rows(tmp_path, []))) == {"no-rows"}
    chats = DataTarget(row_format=RowFormat.CHAT, model="m")
    assert (
        "m takes chat rows"
        in get_findings(check_rows(tmp_path, make_rows(), chats))["wrong-format"].message
    )


def test_a_full_stop_or_a_letter_is_not_a_separator(tmp_path: Path) -> None:
    for ending in (".", "?", " a", "e", "\nAnswer:", "</p>", " 7", "?)", "\nSolution:"):
        rows = [pair(f"{number} is it{ending}", LABELS[number % 3]) for number in range(400)]
        finding = get_findings(check_rows(tmp_path, rows))["no-separator"]
        assert repr(SEPARATOR) in finding.advice
    for ending in (" ->", "\n\n", "=>", " ###", " -> "):
        rows = [pair(f"{number} is it{ending}", LABELS[number % 3]) for number in range(400)]
        assert "no-separator" not in get_findings(check_rows(tmp_path, rows))


def test_a_separator_that_occurs_in_a_text_is_not_proposed(tmp_path: Path) -> None:
    rows = [pair(f"a{SEPARATOR}b {number}", LABELS[number % 3]) for number in range(400)]
    advice = get_findings(check_rows(tmp_path, rows))["no-separator"].advice
    assert repr(SEPARATOR) not in advice
    assert "===" in advice


def test_prompts_unlike_the_others_are_reported(tmp_path: Path) -> None:
    rows = [*make_rows(), pair("no mark", " red"), pair(f"a{SEPARATOR}b{SEPARATOR}", " red")]
    findings = get_findings(check_rows(tmp_path, rows))
    assert findings["separator-missing"].places == (401,)
    assert findings["separator-inside"].places == (402,)


def test_several_separators_are_reported(tmp_path: Path) -> None:
    rows = [
        pair(f"{number}{SEPARATOR if number % 2 else ' ->'}", LABELS[number % 3])
        for number in range(400)
    ]
    assert "' ->' (200)" in get_findings(check_rows(tmp_path, rows))["several-separators"].message


def test_trailing_spaces_prefixes_capitals_and_equal_prompts_are_reported(tmp_path: Path) -> None:
    rows = [pair(f"SORT THIS NOW PLEASE: {number} ", LABELS[number % 3]) for number in range(400)]
    findings = get_findings(check_rows(tmp_path, rows))
    assert findings["trailing-space"].count == 400
    assert "SORT THIS NOW" in findings["common-prompt-prefix"].message
    assert "uppercase-prompts" in findings
    same = [pair("Say something", f" {number} END") for number in range(400)]
    assert set(get_findings(check_rows(tmp_path, same))) == {
        "equal-prompts",
        "conflicting-completions",
    }


def test_capitals_at_the_start_of_short_sentences_are_not_reported(tmp_path: Path) -> None:
    rows = [pair(f"What, is {n} plus one?", f"It is {n}") for n in range(30)]
    assert not {
        code for code in get_findings(check_rows(tmp_path, rows)) if code.startswith("upper-case")
    }


def test_completions_without_leading_space_or_stop_are_reported(tmp_path: Path) -> None:
    rows = [pair(f"{number}{SEPARATOR}", f"well {number} {number * 7}") for number in range(400)]
    findings = get_findings(check_rows(tmp_path, rows))
    assert {"no-leading-space", "no-stop", "common-completion-prefix"} <= set(findings)
    mixed = [*make_free_rows(), pair(f"a{SEPARATOR}", "bare END"), pair(f"b{SEPARATOR}", " no end")]
    findings = get_findings(
        check_rows(tmp_path, [*mixed, pair(f"c{SEPARATOR}", " the END is END")])
    )
    assert findings["mixed-leading-space"].places == (401,)
    assert findings["stop-missing"].places == (402,)
    assert findings["stop-inside"].places == (403,)


@pytest.mark.parametrize(
    "labels", [("positive", "positive_strong"), (" class_1", " class_2", " class_3")]
)
def test_the_common_prefix_of_labels_is_part_of_them(
    tmp_path: Path, labels: tuple[str, ...]
) -> None:
    rows = [pair(f"{number}{SEPARATOR}", labels[number % len(labels)]) for number in range(400)]
    result = check_rows(tmp_path, rows)
    assert result.classes is not None
    assert set(result.classes) == set(labels)
    assert "common-completion-prefix" not in get_findings(result)


def test_a_common_prefix_that_is_a_whole_completion_is_not_reported(tmp_path: Path) -> None:
    rows = [*[pair(f"{number}{SEPARATOR}", f" always {number} END") for number in range(400)]]
    assert "common-completion-prefix" in get_findings(check_rows(tmp_path, rows))
    rows.append(pair(f"x{SEPARATOR}", " always"))
    assert "common-completion-prefix" not in get_findings(check_rows(tmp_path, rows))


def test_repeated_long_answers_are_not_classes_unless_the_user_sets_the_task(
    tmp_path: Path,
) -> None:
    answer = " You will find it in the settings, under the heading that is called account {} END"
    rows = [
        pair(f"question {number}{SEPARATOR}", answer.format(number % 15)) for number in range(60)
    ]
    result = check_rows(tmp_path, rows)
    assert (result.task, result.classes) == ("generation", None)
    with_task = check_rows(tmp_path, rows, task="classification")
    assert with_task.classes is not None
    assert len(with_task.classes) == 15
    assert check_rows(tmp_path, make_rows(), task="generation").classes is None


def test_classes_are_counted_and_compared(tmp_path: Path) -> None:
    rows = [*make_rows(), *[pair(f"r{number}{SEPARATOR}", " Red") for number in range(5)]]
    result = check_rows(tmp_path, rows)
    findings = get_findings(result)
    assert "' Red' 5" in findings["small-class"].message
    assert findings["label-variants"].places == (401,)
    one_class = [pair(f"{number}{SEPARATOR}", " yes") for number in range(400)]
    assert "one-class" in get_findings(check_rows(tmp_path, one_class))
    missing, unknown = compare_classes(result.classes, {" red": 1, " violet": 2})
    assert (missing.code, missing.count) == ("class-not-in-validation", 3)
    assert (unknown.code, unknown.count) == ("class-not-in-training", 1)


def test_duplicate_rows_are_reported_by_line_also_after_bad_ones(tmp_path: Path) -> None:
    rows = [
        *make_rows(),
        "nonsense",
        "",
        make_rows()[2],
        pair(f"7 is like what?{SEPARATOR}", " blue"),
    ]
    findings = get_findings(check_rows(tmp_path, rows))
    assert findings["duplicate-rows"].places == (403,)
    assert "line 403 repeats 3" in findings["duplicate-rows"].message
    assert (
        findings["conflicting-completions"].count,
        findings["conflicting-completions"].places,
    ) == (1, (404,))


def test_duplicate_chats_are_reported_in_any_order_of_keys(tmp_path: Path) -> None:
    rows: list[object] = [chat(f"q {number}", f"a {number}") for number in range(300)]
    reordered = {
        "messages": [
            {"content": "q 5", "role": "user"},
            {"content": "a 5", "role": "assistant"},
        ]
    }
    findings = get_findings(check_rows(tmp_path, [*rows, reordered]))
    assert findings["duplicate-rows"].places == (301,)


def test_preferences_are_checked_like_other_rows(tmp_path: Path) -> None:
    rows: list[object] = [preference(f"Yes, {number}", f"No, {number}") for number in range(300)]
    chats = DataTarget(row_format=RowFormat.CHAT, model="m")
    result = check_rows(tmp_path, rows, chats)
    assert (result.format, result.findings) == (RowFormat.PREFERENCE, ())
    swapped = [preference("No, 7", "Yes, 7"), preference("Yes, 8", "No, 8"), preference("é", "Ã©")]
    findings = get_findings(check_rows(tmp_path, [*rows, *swapped]))
    assert findings["conflicting-completions"].places == (301,)
    assert "preferred in reverse" in findings["conflicting-completions"].message
    assert findings["duplicate-rows"].places == (302,)
    assert findings["mojibake"].places == (303,)


def test_every_rule_has_a_unique_code_and_a_section_in_the_docs() -> None:
    codes = [rule.code for rule in list_rules()]
    assert len(codes) == len(set(codes))
    page = render_checks()
    assert all(f"### {code}\n" in page for code in codes)
