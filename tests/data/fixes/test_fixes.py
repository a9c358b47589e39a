"""Each fix with rows that need it and rows that do not."""

from array import array
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftops.data.checks.registry import list_rules
from ftops.data.fixes.filters import DropDuplicates, MajorityVote
from ftops.data.fixes.fix import DROPPED, RowHashes
from ftops.data.fixes.records import StringifyArguments, repair_json
from ftops.data.fixes.registry import EARLY, FIXES, list_resolved_rules, render_fixes
from ftops.data.fixes.texts import FixMojibake, end_with, invert_labels
from ftops.errors import DatasetError
from ftops.records import Json, PlanStep
from tests.data.data_files import call, chat, chat_with_calls, pair, preference, tool
from tests.data.fixes.preparation import run_steps

NEARLY_JSON = {
    '{prompt: "a", completion: "b"}': {"prompt": "a", "completion": "b"},
    '{prompt:"a",completion:" 2"},': {"prompt": "a", "completion": " 2"},
    "{'prompt': 'it\\'s \"so\"', 'completion': 'b'}": {"prompt": 'it\'s "so"', "completion": "b"},
    "{“prompt”: “a”, “completion”: “b”}": {"prompt": "a", "completion": "b"},
    '{"prompt": "a", "completion": "b",}': {"prompt": "a", "completion": "b"},
    '{messages: [{role: "user", content: "{a: 1}",},]}': {
        "messages": [{"role": "user", "content": "{a: 1}"}]
    },
}


@pytest.mark.parametrize("text", NEARLY_JSON)
def test_nearly_valid_json_is_repaired(text: str) -> None:
    assert repair_json(text) == NEARLY_JSON[text]


@pytest.mark.parametrize(
    "text",
    [
        '{"prompt": "a", "completion": "b',
        '{"prompt": "a", "completion": "b"',
        '{"prompt": a, "completion": "b"}',
        "{'prompt': 'it's', 'completion': 'b'}",
        "prompt: a, completion: b",
        '{"prompt": "a" "completion": "b"}',
        "",
    ],
)
def test_ambiguous_text_is_not_repaired(text: str) -> None:
    assert repair_json(text) is None


@given(st.text(max_size=60))
def test_repairing_never_fails(text: str) -> None:
    repair_json(text)
    repair_json("{" + text + "}")


Values = Mapping[str, Json]
STEPS: dict[str, tuple[Values, object, object]] = {
    "repair-json": ({}, "{prompt: 'a', completion: 'b'}", pair("a", "b")),
    "rename-keys": ({}, {"Prompt": "a", " COMPLETION ": "b"}, pair("a", "b")),
    "stringify-numbers": ({}, pair("a", 12), pair("a", "12")),
    "stringify-arguments": (
        {}, chat_with_calls({**call({}), "function": {"name": "f", "arguments": {"a": ["é", {}]}}}),
        chat_with_calls({**call({}), "function": {"name": "f", "arguments": '{"a":["é",{}]}'}}),
    ),
    "drop-extra-keys": ({}, pair("a", "b") | {"id": 3}, pair("a", "b")),
    "remove-nul": ({}, pair("a\0", "b"), pair("a", "b")),
    "fix-mojibake": ({}, pair("cafÃ© isnâ€™t", "b"), pair("café isn’t", "b")),
    "normalize-newlines": ({}, pair("a\r\nb\rc", "d\r\n"), pair("a\nb\nc", "d\n")),
    "redact": (
        {"codes": ["email-address", "phone-number"]}, pair("jo@firma.de?", "+49 170 1234567"),
        pair("[EMAIL]?", "[PHONE]"),
    ),
    "strip-prompts": ({}, pair("a \t ", " b "), pair("a", " b ")),
    "remove-prompt-prefix": ({"prefix": "Tell: "}, pair("Tell: a", "b"), pair("a", "b")),
    "lowercase-prompts": ({"keep": " END"}, pair("ÄB END", "C"), pair("äb END", "C")),
    "remove-completion-prefix": ({"prefix": " It is "}, pair("a", " It is b"), pair("a", " b")),
    "lowercase-completions": ({"keep": ""}, pair("A", " BC"), pair("A", " bc")),
    "normalize-labels": ({"labels": {"Yes": "yes"}}, pair("a", "Yes"), pair("a", "yes")),
    "encode-labels": ({"labels": {"in order": " 1"}}, pair("a", "in order"), pair("a", " 1")),
    "replace-separator": (
        {"separator": " ->", "instead_of": ["\n"]}, pair("a\nb\n", "c"), pair("a\nb ->", "c"),
    ),
    "add-separator": ({"separator": " ->"}, pair("a", "b"), pair("a ->", "b")),
    "replace-stop": ({"stop": " END", "instead_of": ["\n"]}, pair("a", "b\n"), pair("a", "b END")),
    "add-stop": ({"stop": "\n"}, pair("a", "b"), pair("a", "b\n")),
    "add-leading-space": ({}, pair("a", "b"), pair("a", " b")),
}  # fmt: skip


@pytest.mark.parametrize("code", STEPS)
def test_a_fix_changes_the_row_once_and_nothing_the_second_time(tmp_path: Path, code: str) -> None:
    values, before, after = STEPS[code]
    step = PlanStep(code, values)
    assert run_steps(tmp_path, [before], step) == [after]
    assert run_steps(tmp_path, [after], step) == [after]


def test_every_fix_has_a_test() -> None:
    other_tests = {
        "drop-annotated",
        "drop-invalid-rows",
        "drop-long-rows",
        "majority-vote",
        "drop-duplicates",
    }
    assert set(STEPS) | other_tests == set(FIXES)


def test_the_fix_of_every_rule_exists_and_resolves_a_rule() -> None:
    assert {rule.fix for rule in list_rules() if rule.fix} <= set(FIXES)
    assert set(EARLY) <= set(FIXES)
    without_rules = [code for code, fix in FIXES.items() if not list_resolved_rules(fix)]
    assert without_rules == ["drop-annotated", "drop-long-rows"]
    for code in FIXES:
        assert f"## {code}\n" in render_fixes()


BAD_ROWS: dict[str, object] = {
    "not-json": "nonsense",
    "missing-key": {"prompt": "a"},
    "null-value": pair("a", None),
    "not-text": pair("a", [1]),
    "empty-completion": pair("a", ""),
}


@pytest.mark.parametrize("code", BAD_ROWS)
def test_each_kind_of_bad_row_is_dropped_separately(tmp_path: Path, code: str) -> None:
    rows = [pair("a", "b"), *BAD_ROWS.values()]
    step_values: dict[str, Json] = {"codes": [other for other in BAD_ROWS if other != code]}
    with pytest.raises(DatasetError) as caught:
        run_steps(tmp_path, rows, PlanStep("drop-invalid-rows", step_values))
    line = 2 + list(BAD_ROWS).index(code)
    assert f"rows.jsonl:{line}: " in caught.value.message
    assert "1 of 2 rows are bad" in caught.value.message
    assert not (tmp_path / "out.jsonl").exists()
    assert (
        run_steps(tmp_path, rows, PlanStep("drop-invalid-rows", {"codes": [*BAD_ROWS]})) == rows[:1]
    )


def test_repaired_rows_keep_their_order(tmp_path: Path) -> None:
    rows: list[object] = [pair("a", "1"), "{prompt: 'b', completion: '2', id: 7}", pair("c", "3")]
    steps = [PlanStep("repair-json"), PlanStep("drop-extra-keys")]
    assert run_steps(tmp_path, rows, *steps) == [pair("a", "1"), pair("b", "2"), pair("c", "3")]


def test_a_text_that_is_not_clearly_garbled_is_unchanged() -> None:
    repair = FixMojibake({}).change
    for text in ("SÃO PAULO, Âge, naïve «â»", "plain", "Ã© and â»", "€ â€", "Â"):
        assert repair(text) == text
    assert repair("Ã¤ÃŸ â€œHalloâ€\u009d") == "äß “Hallo”"


@given(st.text(max_size=40), st.sampled_from([" ->", "\n\n###\n\n", "\n", " END", "%%%"]))
def test_a_missing_separator_is_added_only_at_the_end(text: str, separator: str) -> None:
    (ended,) = end_with([text], separator, ())
    assert ended.endswith(separator)
    if separator not in text:
        assert ended.count(separator) == 1
        assert ended.startswith(text.rstrip())


def test_a_prefix_that_is_the_whole_text_is_not_removed(tmp_path: Path) -> None:
    rows = [pair("Tell: ", "Tell: "), pair("a", "b")]
    steps = [
        PlanStep(f"remove-{column}-prefix", {"prefix": "Tell: "})
        for column in ("prompt", "completion")
    ]
    assert run_steps(tmp_path, rows, *steps) == rows


def test_a_label_that_is_not_in_the_plan_is_an_error_with_its_line(tmp_path: Path) -> None:
    step = PlanStep("encode-labels", {"labels": {"in order": " 1", "part of": " 2"}})
    rows = [pair("a", "in order"), pair("b", "mother"), pair("c", " 2")]
    with pytest.raises(DatasetError, match=r"rows\.jsonl:2: the label 'mother' is not in"):
        run_steps(tmp_path, rows, step)


def test_a_number_is_decoded_as_the_first_label_with_it() -> None:
    assert invert_labels({" Yes": " 1", "yes": " 1", "no": " 2"}) == {"1": "Yes", "2": "no"}


def test_texts_of_chats_and_preferences_are_fixed(tmp_path: Path) -> None:
    steps = [PlanStep("fix-mojibake"), PlanStep("normalize-newlines")]
    tools = {"tools": [tool(to={"description": "Ã©"})]}
    rows = run_steps(tmp_path, [chat("cafÃ©\r\n", "a") | tools], *steps)
    assert rows == [chat("café\n", "a") | tools]
    assert run_steps(tmp_path, [preference("Ã©", "b")], *steps) == [preference("é", "b")]


def test_texts_in_the_arguments_of_calls_are_fixed_and_others_unchanged(
    tmp_path: Path,
) -> None:
    steps = [PlanStep("fix-mojibake"), PlanStep("normalize-newlines")]
    good, bad = (
        chat_with_calls(call('{"a":  1}')),
        chat_with_calls(call({"place": "cafÃ©\r\n", "n": [1, "Ã©"]})),
    )
    expected = chat_with_calls(call('{"place":"café\\n","n":[1,"é"]}'))
    assert run_steps(tmp_path, [good, bad], *steps) == [good, expected]


def test_only_rows_that_are_too_long_are_dropped(tmp_path: Path) -> None:
    step = PlanStep("drop-long-rows", {"characters": 5})
    rows = [pair("abc", "de"), pair("abc", "def"), pair("", "abcde")]
    assert run_steps(tmp_path, rows, step) == [rows[0], rows[2]]
    chats = [chat("abc", "de"), chat("abc", "def")]
    assert run_steps(tmp_path, chats, step) == chats[:1]


def test_the_first_of_equal_rows_is_kept(tmp_path: Path) -> None:
    rows = [pair("a", "1"), pair("b", "2"), pair("a", "1"), pair("a", "3"), pair("b", "2")]
    assert run_steps(tmp_path, rows, PlanStep("drop-duplicates")) == [rows[0], rows[1], rows[3]]
    chats = [chat("a", "b"), chat("c", "b"), chat("a", "b")]
    assert run_steps(tmp_path, chats, PlanStep("drop-duplicates")) == chats[:2]


def test_the_majority_wins_and_the_first_of_a_tie(tmp_path: Path) -> None:
    rows = [
        pair("a", "no"), pair("a", "yes"), pair("a", "yes"), pair("b", "x"), pair("b", "y"),
        pair("c", "z"),
    ]  # fmt: skip
    steps = [PlanStep("majority-vote"), PlanStep("drop-duplicates")]
    assert run_steps(tmp_path, rows, *steps) == [rows[1], rows[3], rows[5]]
    chats = [chat("a", "no"), chat("a", "yes"), chat("a", "yes")]
    assert run_steps(tmp_path, chats, PlanStep("majority-vote")) == chats[1:]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=40))
def test_filters_agree_with_a_simple_implementation(pairs: list[tuple[int, int]]) -> None:
    questions = [question for question, _ in pairs]
    rows = [question * 10 + answer for question, answer in pairs]
    hashes = RowHashes(array("q", rows), array("q", questions))
    voted = MajorityVote({}).drop_rows(hashes)
    winners = {
        question: max(votes, key=votes.count)
        for question in set(questions)
        if (votes := [row for row, other in zip(rows, questions, strict=True) if other == question])
    }
    remaining = [
        row if row == winners[question] else DROPPED
        for row, question in zip(rows, questions, strict=True)
    ]
    assert list(hashes.rows) == remaining
    assert voted == remaining.count(DROPPED)
    DropDuplicates({}).drop_rows(hashes)
    kept = [row for row in hashes.rows if row != DROPPED]
    assert kept == list(dict.fromkeys(row for row in remaining if row != DROPPED))


def test_arguments_that_nest_too_deep_are_unchanged() -> None:
    deep: dict[str, object] = {}
    for _ in range(900):
        deep = {"a": deep}
    fix = StringifyArguments({})
    assert fix.repair({"name": "f", "arguments": deep}) is None
    assert fix.repair({"tools": [{"name": "f", "arguments": {}}]}) == {
        "tools": [{"name": "f", "arguments": {}}]
    }
