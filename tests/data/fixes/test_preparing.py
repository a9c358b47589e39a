"""From data to a plan and back: what is proposed, asked, written, and repeated."""

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftops.data.check_runner import run_checks
from ftops.data.checks.check import DataTarget
from ftops.data.plans.planner import Proposal, check_codes, open_for_plan, write_prepared
from ftops.data.plans.runner import FixStats
from ftops.data.reading.options import ReadOptions
from ftops.data.reading.source import open_source
from ftops.errors import DatasetError, UsageError
from ftops.records import DataPlan, PlanStep, RowFormat
from tests.data.data_files import chat, pair, write_rows
from tests.data.fixes.trials import read_lines, try_all, try_file

MARK = "\n\n###\n\n"
CHAT = DataTarget(row_format=RowFormat.CHAT)


def questions(count: int = 300) -> list[object]:
    """Free answers without any marks."""
    return [pair(f"{n}, what is it?", f"{chr(97 + n % 26)} is {n}") for n in range(count)]


def test_rows_without_any_marks_get_separator_stop_and_blank(tmp_path: Path) -> None:
    trial = try_all(tmp_path, questions())
    assert trial.codes == ["add-separator", "add-stop", "add-leading-space"]
    assert trial.pairs[0] == (f"0, what is it?{MARK}", " a is 0\n")
    assert trial.found.list_unresolved(trial.outcome.rows) == []


def test_what_was_prepared_needs_nothing_more(tmp_path: Path) -> None:
    try_all(tmp_path, questions())
    again = try_file((tmp_path / "out.jsonl").rename(tmp_path / "ready.jsonl"))
    assert again.codes == []
    assert again.rows == read_lines(tmp_path / "ready.jsonl")
    # yet the plan knows the marks, for the rows of tomorrow
    assert [step.code for step in again.found.plan.steps] == ["add-separator", "add-stop"]


def test_a_chat_model_gets_no_leading_blank_and_no_label_map(tmp_path: Path) -> None:
    assert "add-leading-space" not in try_all(tmp_path, questions(), target=CHAT).codes
    rows = [pair(f"{n}?{MARK}", ("in order", "part of it")[n % 2]) for n in range(400)]
    assert try_all(tmp_path, rows, target=CHAT).codes == []


def test_labels_of_several_tokens_are_numbered_and_the_map_is_in_the_plan(tmp_path: Path) -> None:
    labels = ("in order", "part of it", "mother")
    rows = [pair(f"{n}?{MARK}", labels[n % 3]) for n in range(600)]
    trial = try_all(tmp_path, rows)
    assert trial.codes == ["encode-labels"]
    assert [completion for _, completion in trial.pairs[:4]] == [" 1", " 3", " 2", " 1"]
    step = trial.found.plan.steps[0]
    assert step.values == {"labels": {"in order": " 1", "mother": " 2", "part of it": " 3"}}
    assert "no-leading-space" not in {
        left.code for left in trial.found.list_unresolved(trial.outcome.rows)
    }


def test_labels_of_one_token_stay_words(tmp_path: Path) -> None:
    rows = [pair(f"{n}?{MARK}", (" positive", " negative")[n % 2]) for n in range(400)]
    assert try_all(tmp_path, rows).codes == []


def test_labels_that_differ_by_case_become_the_most_frequent(tmp_path: Path) -> None:
    rows = [
        pair(f"{n}?{MARK}", " Yes" if n % 7 == 0 else (" yes", " no")[n % 2]) for n in range(400)
    ]
    trial = try_all(tmp_path, rows)
    assert trial.codes == ["normalize-labels"]
    assert {completion for _, completion in trial.pairs} == {" yes", " no"}


def test_a_label_that_people_disagree_on_is_voted_for_and_free_answers_are_not(
    tmp_path: Path,
) -> None:
    rows = [pair(f"{n}?{MARK}", (" a", " b")[n % 2]) for n in range(400)]
    votes = [pair(f"v?{MARK}", " a"), pair(f"v?{MARK}", " b"), pair(f"v?{MARK}", " b")]
    trial = try_all(tmp_path, [*rows, *votes])
    assert trial.codes == ["majority-vote", "drop-duplicates"]
    assert trial.pairs[400:] == [(f"v?{MARK}", " b")]
    free = [pair(f"{n // 2}?{MARK}", f" {chr(97 + n % 26)} is {n} END") for n in range(300)]
    assert try_all(tmp_path, free).codes == []


def test_the_separator_that_is_proposed_occurs_nowhere(tmp_path: Path) -> None:
    rows = [
        pair(f"{n} ### is\n\n###\n\nthis?", f" {chr(97 + n % 26)} === {n} END") for n in range(300)
    ]
    trial = try_all(tmp_path, rows)
    (step,) = [one for one in trial.found.plan.steps if one.code == "add-separator"]
    mark = str(step.values["separator"])
    assert mark != MARK
    assert all(str(prompt).count(mark) == 1 for prompt, _ in trial.pairs)
    assert not any(mark in str(completion) for _, completion in trial.pairs)


def test_a_separator_that_stands_inside_of_prompts_is_replaced(tmp_path: Path) -> None:
    rows = [pair(f"a -> {n} ->", f" {chr(97 + n % 26)} is {n} END") for n in range(300)]
    trial = try_all(tmp_path, rows)
    assert trial.codes == ["replace-separator"]
    assert trial.pairs[0][0] == f"a -> 0{MARK}"


def test_several_separators_become_one(tmp_path: Path) -> None:
    rows = [
        pair(f"{n} is{(' ->', MARK)[n % 2]}", f" {chr(97 + n % 26)} is {n} END") for n in range(300)
    ]
    trial = try_all(tmp_path, rows)
    ends = {str(prompt).partition("is")[2] for prompt, _ in trial.pairs}
    assert len(ends) == 1
    assert not ends & {" ->", MARK}


def test_blanks_behind_the_separator_go_and_it_stays(tmp_path: Path) -> None:
    rows = [pair(f"is {n} -> ", f" {chr(97 + n % 26)} is {n} END") for n in range(300)]
    trial = try_all(tmp_path, [*rows, pair("x", " y END")])
    assert set(trial.codes) == {"strip-prompts", "add-separator"}
    assert [prompt for prompt, _ in trial.pairs][-2:] == ["is 299 ->", "x ->"]


def test_a_common_beginning_is_taken_away_when_named_without_cutting_a_word(
    tmp_path: Path,
) -> None:
    fruits = ("apple", "avocado", "apricot")
    rows = [
        pair(f"Describe the fruit: {fruits[n % 3]} {n}{MARK}", f" Sure: {chr(97 + n % 26)}{n} END")
        for n in range(300)
    ]
    assert try_all(tmp_path, rows).codes == []
    named = ["remove-prompt-prefix", "remove-completion-prefix"]
    trial = try_all(tmp_path, rows, only=named)
    assert trial.codes == named
    assert trial.pairs[0] == (f"apple 0{MARK}", " a0 END")


def test_a_field_that_all_rows_share_is_left_until_the_user_says_so(tmp_path: Path) -> None:
    rows = [
        pair(f"Item: laptop, Price: {n}{MARK}", f' {{"kind": "{chr(97 + n % 26)}{n}"}} END')
        for n in range(300)
    ]
    trial = try_all(tmp_path, rows, target=CHAT)
    assert trial.codes == []
    assert [one.step.code for one in trial.found.refused] == [
        "remove-prompt-prefix", "remove-completion-prefix"
    ]  # fmt: skip
    left = {finding.code for finding in trial.found.list_unresolved(300)}
    assert left >= {"common-prompt-prefix", "common-completion-prefix"}
    assert try_all(tmp_path, rows, only=["remove-prompt-prefix"]).codes == ["remove-prompt-prefix"]
    asked = try_all(tmp_path, rows, lambda proposal, _: "prompt" in proposal.step.code, target=CHAT)
    assert asked.codes == ["remove-prompt-prefix"]


def test_only_what_is_nearly_all_capitals_is_written_small(tmp_path: Path) -> None:
    rows = [pair(f"WHAT IS {chr(65 + n % 26)}{n}{MARK}", f" IT IS {n} OK END") for n in range(300)]
    rows = [pair(f"{n} IS WHAT{MARK}", f" {chr(65 + n % 26)} IS {n} END") for n in range(300)]
    trial = try_all(tmp_path, rows)
    assert trial.codes == ["lowercase-prompts", "lowercase-completions"]
    assert trial.pairs[0] == (f"0 is what{MARK}", " a is 0 END")
    half = [pair(f"{n} WHAT is it{MARK}", f" {chr(65 + n % 26)}B of {n} END") for n in range(300)]
    assert try_all(tmp_path, half).codes == []


def test_what_is_mended_is_looked_at_again(tmp_path: Path) -> None:
    rows = [f"{{prompt: 'news {n}', completion: {n % 4}}}" for n in range(400)]
    trial = try_all(tmp_path, rows)
    assert trial.codes == ["repair-json", "stringify-numbers", "add-separator", "add-leading-space"]
    assert trial.pairs[5] == (f"news 5{MARK}", " 1")


def test_bad_rows_are_dropped_by_kind_and_a_cut_line_is_not_mended(tmp_path: Path) -> None:
    rows = [*questions(), pair("a", None), {"prompt": "b"}, '{"prompt": "c", "comple']
    trial = try_all(tmp_path, rows)
    assert trial.codes[:3] == ["not-json", "missing-key", "null-value"]
    assert len(trial.rows) == 300
    with pytest.raises(DatasetError, match=r"rows\.jsonl:301: completion is null"):
        try_all(tmp_path, rows, skip=["null-value"])


def test_shapes_that_are_mixed_are_left_to_the_user(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="a chat row"):
        try_all(tmp_path, [*questions(), chat("a", "b")])


def test_chats_lose_bad_rows_keys_and_duplicates(tmp_path: Path) -> None:
    rows = [chat(f"question {n}", f"answer {n}") for n in range(300)]
    more = [rows[0], chat("a", "b") | {"id": 1}, {"messages": [{"role": "boss", "content": "a"}]}]
    trial = try_all(tmp_path, [*rows, *more])
    assert trial.codes == ["drop-extra-keys", "bad-role", "drop-duplicates"]
    assert trial.rows == [*rows, chat("a", "b")]


def test_rows_that_become_equal_by_other_fixes_are_dropped_too(tmp_path: Path) -> None:
    trial = try_all(tmp_path, [*questions(), pair(f"0, what is it?{MARK}", " a is 0")])
    assert trial.codes[-1] == "drop-duplicates"
    assert len(trial.rows) == 300


def test_one_row_is_prepared_once(tmp_path: Path) -> None:
    assert try_all(tmp_path, [pair("a", "b")]).pairs == [(f"a{MARK}", " b\n")]
    ready = (tmp_path / "out.jsonl").rename(tmp_path / "ready.jsonl")
    assert try_file(ready).codes == []


def test_only_and_skip_take_codes_of_fixes_and_of_checks(tmp_path: Path) -> None:
    assert try_all(tmp_path, questions(), only=["add-stop"]).codes == ["add-stop"]
    assert try_all(tmp_path, questions(), skip=["no-separator", "add-stop"]).codes == [
        "add-leading-space"
    ]
    with pytest.raises(UsageError, match="--only add-stopp") as caught:
        check_codes(["add-stopp"], ["not-json"], "--only")
    assert "'add-stop'" in caught.value.hint


def test_each_fix_is_asked_about_with_real_rows_and_refused_ones_are_not_done(
    tmp_path: Path,
) -> None:
    asked: list[tuple[str, int, str | None]] = []

    def ask(proposal: Proposal, stats: FixStats) -> bool:
        asked.append((proposal.step.code, stats.count, stats.examples[0].after))
        return proposal.step.code != "add-stop"

    trial = try_all(tmp_path, questions(), ask)
    assert asked == [
        ("add-separator", 300, f"0, what is it?{MARK}"),
        ("add-stop", 300, "a is 0\n"),
        ("add-leading-space", 300, " a is 0"),
    ]
    assert trial.codes == ["add-separator", "add-leading-space"]
    assert [one.step.code for one in trial.found.refused] == ["add-stop"]


def test_when_the_label_map_is_refused_the_blank_is_asked_about(tmp_path: Path) -> None:
    rows = [pair(f"{n}?{MARK}", ("in order", "part of it")[n % 2]) for n in range(400)]
    trial = try_all(tmp_path, rows, lambda proposal, _: proposal.step.code != "encode-labels")
    assert trial.codes == ["add-leading-space"]


def test_a_plan_does_the_same_to_other_data_and_infers_nothing(tmp_path: Path) -> None:
    plan = try_all(tmp_path, questions()).found.plan
    other = write_rows(tmp_path / "other.jsonl", [pair("x\n\n###\n\ny", "A\n"), pair("z", " b")])
    outcome = write_prepared(open_source(other), plan, tmp_path / "second.jsonl")
    assert outcome.rows == 2
    assert read_lines(tmp_path / "second.jsonl") == [
        pair(f"x{MARK}y{MARK}", " A\n"),
        pair(f"z{MARK}", " b\n"),
    ]


def test_the_same_plan_and_data_give_the_same_bytes(tmp_path: Path) -> None:
    rows = [*questions(), *questions(20), pair("ä\r\n", "é")]
    first = try_all(tmp_path, rows)
    data = (tmp_path / "out.jsonl").read_bytes()
    source = open_source(tmp_path / "rows.jsonl")
    write_prepared(source, first.found.plan, tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == data


def test_the_input_is_never_changed_and_a_failure_leaves_nothing(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [*questions(), {"messages": 3}, "{"])
    before = path.read_bytes()
    with pytest.raises(DatasetError):
        write_prepared(open_source(path), DataPlan(), tmp_path / "out.jsonl")
    assert [one.name for one in tmp_path.iterdir()] == ["rows.jsonl"]
    assert path.read_bytes() == before


def test_a_plan_that_leaves_no_row_is_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", questions(3))
    plan = DataPlan((PlanStep("drop-long-rows", {"characters": 1}),))
    with pytest.raises(DatasetError, match="no row is left"):
        write_prepared(open_source(path), plan, tmp_path / "out.jsonl")


def test_many_duplicates_are_taken_out_of_a_large_file(tmp_path: Path) -> None:
    draw = random.Random(3)
    rows = [pair(f"{n} {'x' * draw.randrange(300)}", "y" * 40) for n in range(3000)]
    doubled = [row for row in rows for _ in range(draw.randrange(1, 4))]
    draw.shuffle(doubled)
    path = write_rows(tmp_path / "rows.jsonl", doubled)
    write_prepared(
        open_source(path), DataPlan((PlanStep("drop-duplicates"),)), tmp_path / "out.jsonl"
    )
    assert read_lines(tmp_path / "out.jsonl") == [
        dict(one) for one in dict.fromkeys(tuple(row.items()) for row in doubled)
    ]


def test_a_plan_with_columns_reads_the_table_and_what_was_made_of_it(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("text,label\na,b\nc,d\n")
    plan = DataPlan((PlanStep("add-separator", {"separator": " ->"}),),
                    {"prompt": "Say {text}", "completion": "label"})  # fmt: skip
    ready = tmp_path / "ready.jsonl"
    write_prepared(open_for_plan(table, ReadOptions(), plan), plan, ready)
    assert read_lines(ready) == [pair("Say a ->", "b"), pair("Say c ->", "d")]
    again = tmp_path / "again.jsonl"
    write_prepared(open_for_plan(ready, ReadOptions(), plan), plan, again)
    assert again.read_bytes() == ready.read_bytes()


TEXTS = st.text("ab ->\n#END.é\r", max_size=12)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=30))
def test_any_pairs_can_be_prepared_and_then_no_error_is_left(
    tmp_path: Path, pairs: list[tuple[str, str]]
) -> None:
    rows = [*questions(6), *(pair(prompt, completion) for prompt, completion in pairs)]
    trial = try_all(tmp_path, rows)
    source = open_source(tmp_path / "out.jsonl")
    verdict = run_checks(source).get_result(DataTarget(min_rows=1))
    assert not [found for found in verdict.findings if found.severity == "error"]
    assert verdict.rows == len(trial.rows)
