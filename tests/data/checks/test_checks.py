"""Each rule with data that breaks it and data that does not."""

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
    calling,
    chat,
    pair,
    preference,
    said,
    tool,
    write_rows,
)

MARK = "\n\n###\n\n"
LABELS = (" red", " green", " blue")


def good(count: int = 400) -> list[object]:
    """Rows that nothing is wrong with: three classes, separators, leading blanks."""
    return [pair(f"{number} is like what?{MARK}", LABELS[number % 3]) for number in range(count)]


def answers(count: int = 400) -> list[object]:
    """The same for free answers."""
    return [
        pair(f"{number}, please{MARK}", f" {chr(97 + number % 26)} is {number} END")
        for number in range(count)
    ]


def judge(
    folder: Path, rows: Sequence[object], target: DataTarget | None = None, **more: str
) -> CheckResult:
    source = open_source(write_rows(folder / "rows.jsonl", rows))
    return run_checks(source).get_result(target or DataTarget(), task=more.get("task"))


def found(verdict: CheckResult) -> dict[str, Finding]:
    return {finding.code: finding for finding in verdict.findings}


@pytest.mark.parametrize("rows", [good(), answers()])
def test_good_rows_are_not_complained_about(tmp_path: Path, rows: list[object]) -> None:
    assert judge(tmp_path, rows).findings == ()


def unanswered() -> dict[str, object]:
    """A call that is not at the end, and no tool answers it."""
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
    "bad-call": calling(call("no JSON")),
    "unknown-tool": calling(call({}), tools=[tool("other")]),
    "unanswered-call": unanswered(),
    "stray-answer": {"messages": [*said("42", "tool", tool_call_id="a"), *said("Done.")]},
}


@pytest.mark.parametrize("code", BAD_ROWS)
def test_a_row_that_cannot_be_used_is_told_with_its_line(tmp_path: Path, code: str) -> None:
    row = BAD_ROWS[code]
    if code == "too-deep":
        deep: object = []
        for _ in range(70):
            deep = [deep]
        row = chat("a", "b") | {"tools": [tool(a=deep)]}
    verdict = judge(tmp_path, [*good(6), row, *good(394)])
    finding = found(verdict)[code]
    assert (finding.count, finding.places) == (1, (7,))
    assert finding.severity == "error"
    assert verdict.rows == 400


def test_null_and_missing_keys_never_become_the_words_none_or_nan(tmp_path: Path) -> None:
    verdict = judge(tmp_path, [*good(), pair("a", None), {"prompt": "b"}])
    assert verdict.rows == 400
    assert {"null-value", "missing-key"} <= set(found(verdict))


def test_faults_are_counted_and_the_first_ten_named(tmp_path: Path) -> None:
    finding = found(judge(tmp_path, [*good(20), *["nonsense"] * 50]))["not-json"]
    assert finding.count == 50
    assert finding.places == tuple(range(21, 31))


def test_garbled_letters_are_found_and_true_ones_are_not(tmp_path: Path) -> None:
    rows = [*answers(), pair("SÃO PAULO, Âge, naïve «â» " + MARK, " good END")]
    assert "mojibake" not in found(judge(tmp_path, rows))
    bad = pair(f"the cafÃ© isnâ€™t{MARK}", " open END")
    assert found(judge(tmp_path, [*rows, bad]))["mojibake"].places == (402,)


def test_the_amount_is_judged_by_what_the_provider_takes(tmp_path: Path) -> None:
    assert found(judge(tmp_path, good(9)))["too-few-rows"].severity == "error"
    local = DataTarget(min_rows=1, provider="local")
    assert "few-rows" in found(judge(tmp_path, good(9), local))
    assert set(found(judge(tmp_path, []))) == {"no-rows"}
    chats = DataTarget(row_format=RowFormat.CHAT, model="m")
    assert "m takes chat rows" in found(judge(tmp_path, good(), chats))["wrong-format"].message


def test_a_full_stop_or_a_letter_is_no_separator(tmp_path: Path) -> None:
    for ending in (".", "?", " a", "e", "\nAnswer:", "</p>", " 7", "?)", "\nSolution:"):
        rows = [pair(f"{number} is it{ending}", LABELS[number % 3]) for number in range(400)]
        finding = found(judge(tmp_path, rows))["no-separator"]
        assert repr(MARK) in finding.advice
    for ending in (" ->", "\n\n", "=>", " ###", " -> "):
        rows = [pair(f"{number} is it{ending}", LABELS[number % 3]) for number in range(400)]
        assert "no-separator" not in found(judge(tmp_path, rows))


def test_a_separator_that_stands_in_a_text_is_not_proposed(tmp_path: Path) -> None:
    rows = [pair(f"a{MARK}b {number}", LABELS[number % 3]) for number in range(400)]
    advice = found(judge(tmp_path, rows))["no-separator"].advice
    assert repr(MARK) not in advice
    assert "===" in advice


def test_prompts_unlike_the_others_are_named(tmp_path: Path) -> None:
    rows = [*good(), pair("no mark", " red"), pair(f"a{MARK}b{MARK}", " red")]
    findings = found(judge(tmp_path, rows))
    assert findings["separator-missing"].places == (401,)
    assert findings["separator-inside"].places == (402,)


def test_several_separators_are_told(tmp_path: Path) -> None:
    rows = [
        pair(f"{number}{MARK if number % 2 else ' ->'}", LABELS[number % 3])
        for number in range(400)
    ]
    assert "' ->' (200)" in found(judge(tmp_path, rows))["several-separators"].message


def test_blanks_prefixes_capitals_and_equal_prompts(tmp_path: Path) -> None:
    rows = [pair(f"SORT THIS NOW PLEASE: {number} ", LABELS[number % 3]) for number in range(400)]
    findings = found(judge(tmp_path, rows))
    assert findings["trailing-space"].count == 400
    assert "SORT THIS NOW" in findings["common-prompt-prefix"].message
    assert "uppercase-prompts" in findings
    same = [pair("Say something", f" {number} END") for number in range(400)]
    assert set(found(judge(tmp_path, same))) == {"equal-prompts", "conflicting-completions"}


def test_the_first_letters_of_short_sentences_are_no_capitals_to_speak_of(tmp_path: Path) -> None:
    rows = [pair(f"What, is {n} plus one?", f"It is {n}") for n in range(30)]
    assert not {code for code in found(judge(tmp_path, rows)) if code.startswith("upper-case")}


def test_completions_without_blank_or_stop_are_told(tmp_path: Path) -> None:
    rows = [pair(f"{number}{MARK}", f"well {number} {number * 7}") for number in range(400)]
    findings = found(judge(tmp_path, rows))
    assert {"no-leading-space", "no-stop", "common-completion-prefix"} <= set(findings)
    mixed = [*answers(), pair(f"a{MARK}", "bare END"), pair(f"b{MARK}", " no end")]
    findings = found(judge(tmp_path, [*mixed, pair(f"c{MARK}", " the END is END")]))
    assert findings["mixed-leading-space"].places == (401,)
    assert findings["stop-missing"].places == (402,)
    assert findings["stop-inside"].places == (403,)


@pytest.mark.parametrize(
    "labels", [("positive", "positive_strong"), (" class_1", " class_2", " class_3")]
)
def test_the_common_beginning_of_labels_is_part_of_them(
    tmp_path: Path, labels: tuple[str, ...]
) -> None:
    rows = [pair(f"{number}{MARK}", labels[number % len(labels)]) for number in range(400)]
    verdict = judge(tmp_path, rows)
    assert verdict.classes is not None
    assert set(verdict.classes) == set(labels)
    assert "common-completion-prefix" not in found(verdict)


def test_a_completion_that_is_the_common_beginning_itself_is_left_alone(tmp_path: Path) -> None:
    rows = [*[pair(f"{number}{MARK}", f" always {number} END") for number in range(400)]]
    assert "common-completion-prefix" in found(judge(tmp_path, rows))
    rows.append(pair(f"x{MARK}", " always"))
    assert "common-completion-prefix" not in found(judge(tmp_path, rows))


def test_repeated_long_answers_are_no_classes_and_the_user_has_the_last_word(
    tmp_path: Path,
) -> None:
    answer = " You will find it in the settings, under the heading that is called account {} END"
    rows = [pair(f"question {number}{MARK}", answer.format(number % 15)) for number in range(60)]
    verdict = judge(tmp_path, rows)
    assert (verdict.task, verdict.classes) == ("generation", None)
    asked = judge(tmp_path, rows, task="classification")
    assert asked.classes is not None
    assert len(asked.classes) == 15
    assert judge(tmp_path, good(), task="generation").classes is None


def test_classes_are_counted_and_compared(tmp_path: Path) -> None:
    rows = [*good(), *[pair(f"r{number}{MARK}", " Red") for number in range(5)]]
    verdict = judge(tmp_path, rows)
    findings = found(verdict)
    assert "' Red' 5" in findings["small-class"].message
    assert findings["label-variants"].places == (401,)
    one = [pair(f"{number}{MARK}", " yes") for number in range(400)]
    assert "one-class" in found(judge(tmp_path, one))
    missing, unknown = compare_classes(verdict.classes, {" red": 1, " violet": 2})
    assert (missing.code, missing.count) == ("class-not-in-validation", 3)
    assert (unknown.code, unknown.count) == ("class-not-in-training", 1)


def test_rows_that_repeat_are_told_by_line_also_behind_bad_ones(tmp_path: Path) -> None:
    rows = [*good(), "nonsense", "", good()[2], pair(f"7 is like what?{MARK}", " blue")]
    findings = found(judge(tmp_path, rows))
    assert findings["duplicate-rows"].places == (403,)
    assert "line 403 repeats 3" in findings["duplicate-rows"].message
    assert (
        findings["conflicting-completions"].count,
        findings["conflicting-completions"].places,
    ) == (1, (404,))


def test_chats_that_repeat_are_told_whatever_the_order_of_their_keys(tmp_path: Path) -> None:
    rows: list[object] = [chat(f"q {number}", f"a {number}") for number in range(300)]
    turned = {
        "messages": [
            {"content": "q 5", "role": "user"},
            {"content": "a 5", "role": "assistant"},
        ]
    }
    findings = found(judge(tmp_path, [*rows, turned]))
    assert findings["duplicate-rows"].places == (301,)


def test_preferences_are_checked_like_other_rows(tmp_path: Path) -> None:
    rows: list[object] = [preference(f"Yes, {number}", f"No, {number}") for number in range(300)]
    chats = DataTarget(row_format=RowFormat.CHAT, model="m")
    verdict = judge(tmp_path, rows, chats)
    assert (verdict.format, verdict.findings) == (RowFormat.PREFERENCE, ())
    swapped = [preference("No, 7", "Yes, 7"), preference("Yes, 8", "No, 8"), preference("é", "Ã©")]
    findings = found(judge(tmp_path, [*rows, *swapped]))
    assert findings["conflicting-completions"].places == (301,)
    assert "preferred in reverse" in findings["conflicting-completions"].message
    assert findings["duplicate-rows"].places == (302,)
    assert findings["mojibake"].places == (303,)


def test_every_rule_has_a_code_of_its_own_and_an_entry_on_the_page() -> None:
    codes = [rule.code for rule in list_rules()]
    assert len(codes) == len(set(codes))
    page = render_checks()
    assert all(f"### {code}\n" in page for code in codes)
