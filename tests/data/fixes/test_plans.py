"""Plans for data: proposed, confirmed, written and applied again."""

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
from tests.data.fixes.preparation import prepare_path, prepare_rows, read_lines

SEPARATOR = "\n\n###\n\n"
CHAT_TARGET = DataTarget(row_format=RowFormat.CHAT)


def make_rows(count: int = 300) -> list[object]:
    """Rows with free answers and without separator and stop."""
    return [pair(f"{n}, what is it?", f"{chr(97 + n % 26)} is {n}") for n in range(count)]


def test_rows_get_separator_stop_and_leading_space(tmp_path: Path) -> None:
    preparation = prepare_rows(tmp_path, make_rows())
    assert preparation.codes == ["add-separator", "add-stop", "add-leading-space"]
    assert preparation.pairs[0] == (f"0, what is it?{SEPARATOR}", " a is 0\n")
    assert preparation.draft.list_unresolved(preparation.result.rows) == []


def test_a_prepared_file_needs_no_more_fixes(tmp_path: Path) -> None:
    prepare_rows(tmp_path, make_rows())
    second = prepare_path((tmp_path / "out.jsonl").rename(tmp_path / "ready.jsonl"))
    assert second.codes == []
    assert second.rows == read_lines(tmp_path / "ready.jsonl")
    # the plan still has separator and stop, for rows that are added later
    assert [step.code for step in second.draft.plan.steps] == ["add-separator", "add-stop"]


def test_a_chat_model_gets_no_leading_space_and_no_label_map(tmp_path: Path) -> None:
    assert "add-leading-space" not in prepare_rows(tmp_path, make_rows(), target=CHAT_TARGET).codes
    rows = [pair(f"{n}?{SEPARATOR}", ("in order", "part of it")[n % 2]) for n in range(400)]
    assert prepare_rows(tmp_path, rows, target=CHAT_TARGET).codes == []


def test_labels_of_several_tokens_are_numbered_and_the_map_is_in_the_plan(tmp_path: Path) -> None:
    labels = ("in order", "part of it", "mother")
    rows = [pair(f"{n}?{SEPARATOR}", labels[n % 3]) for n in range(600)]
    preparation = prepare_rows(tmp_path, rows)
    assert preparation.codes == ["encode-labels"]
    assert [completion for _, completion in preparation.pairs[:4]] == [" 1", " 3", " 2", " 1"]
    step = preparation.draft.plan.steps[0]
    assert step.values == {"labels": {"in order": " 1", "mother": " 2", "part of it": " 3"}}
    assert "no-leading-space" not in {
        finding.code for finding in preparation.draft.list_unresolved(preparation.result.rows)
    }


def test_labels_of_one_token_are_unchanged(tmp_path: Path) -> None:
    rows = [pair(f"{n}?{SEPARATOR}", (" positive", " negative")[n % 2]) for n in range(400)]
    assert prepare_rows(tmp_path, rows).codes == []


def test_labels_that_differ_by_case_become_the_most_frequent_one(tmp_path: Path) -> None:
    rows = [
        pair(f"{n}?{SEPARATOR}", " Yes" if n % 7 == 0 else (" yes", " no")[n % 2])
        for n in range(400)
    ]
    preparation = prepare_rows(tmp_path, rows)
    assert preparation.codes == ["normalize-labels"]
    assert {completion for _, completion in preparation.pairs} == {" yes", " no"}


def test_conflicting_labels_get_the_majority_and_free_answers_do_not(
    tmp_path: Path,
) -> None:
    rows = [pair(f"{n}?{SEPARATOR}", (" a", " b")[n % 2]) for n in range(400)]
    votes = [
        pair(f"v?{SEPARATOR}", " a"),
        pair(f"v?{SEPARATOR}", " b"),
        pair(f"v?{SEPARATOR}", " b"),
    ]
    preparation = prepare_rows(tmp_path, [*rows, *votes])
    assert preparation.codes == ["majority-vote", "drop-duplicates"]
    assert preparation.pairs[400:] == [(f"v?{SEPARATOR}", " b")]
    free = [pair(f"{n // 2}?{SEPARATOR}", f" {chr(97 + n % 26)} is {n} END") for n in range(300)]
    assert prepare_rows(tmp_path, free).codes == []


def test_the_proposed_separator_does_not_occur_in_the_data(tmp_path: Path) -> None:
    rows = [
        pair(f"{n} ### is\n\n###\n\nthis?", f" {chr(97 + n % 26)} === {n} END") for n in range(300)
    ]
    preparation = prepare_rows(tmp_path, rows)
    (step,) = [item for item in preparation.draft.plan.steps if item.code == "add-separator"]
    separator = str(step.values["separator"])
    assert separator != SEPARATOR
    assert all(str(prompt).count(separator) == 1 for prompt, _ in preparation.pairs)
    assert not any(separator in str(completion) for _, completion in preparation.pairs)


def test_a_separator_that_occurs_inside_prompts_is_replaced(tmp_path: Path) -> None:
    rows = [pair(f"a -> {n} ->", f" {chr(97 + n % 26)} is {n} END") for n in range(300)]
    preparation = prepare_rows(tmp_path, rows)
    assert preparation.codes == ["replace-separator"]
    assert preparation.pairs[0][0] == f"a -> 0{SEPARATOR}"


def test_several_separators_become_one(tmp_path: Path) -> None:
    rows = [
        pair(f"{n} is{(' ->', SEPARATOR)[n % 2]}", f" {chr(97 + n % 26)} is {n} END")
        for n in range(300)
    ]
    preparation = prepare_rows(tmp_path, rows)
    ends = {str(prompt).partition("is")[2] for prompt, _ in preparation.pairs}
    assert len(ends) == 1
    assert not ends & {" ->", SEPARATOR}


def test_spaces_after_the_separator_are_removed(tmp_path: Path) -> None:
    rows = [pair(f"is {n} -> ", f" {chr(97 + n % 26)} is {n} END") for n in range(300)]
    preparation = prepare_rows(tmp_path, [*rows, pair("x", " y END")])
    assert set(preparation.codes) == {"strip-prompts", "add-separator"}
    assert [prompt for prompt, _ in preparation.pairs][-2:] == ["is 299 ->", "x ->"]


def test_a_common_prefix_is_removed_on_request_without_cutting_a_word(
    tmp_path: Path,
) -> None:
    fruits = ("apple", "avocado", "apricot")
    rows = [
        pair(
            f"Describe the fruit: {fruits[n % 3]} {n}{SEPARATOR}",
            f" Sure: {chr(97 + n % 26)}{n} END",
        )
        for n in range(300)
    ]
    assert prepare_rows(tmp_path, rows).codes == []
    codes = ["remove-prompt-prefix", "remove-completion-prefix"]
    preparation = prepare_rows(tmp_path, rows, only=codes)
    assert preparation.codes == codes
    assert preparation.pairs[0] == (f"apple 0{SEPARATOR}", " a0 END")


def test_a_common_field_is_removed_only_on_request(tmp_path: Path) -> None:
    rows = [
        pair(f"Item: laptop, Price: {n}{SEPARATOR}", f' {{"kind": "{chr(97 + n % 26)}{n}"}} END')
        for n in range(300)
    ]
    preparation = prepare_rows(tmp_path, rows, target=CHAT_TARGET)
    assert preparation.codes == []
    assert [proposal.step.code for proposal in preparation.draft.refused] == [
        "remove-prompt-prefix", "remove-completion-prefix"
    ]  # fmt: skip
    unresolved = {finding.code for finding in preparation.draft.list_unresolved(300)}
    assert unresolved >= {"common-prompt-prefix", "common-completion-prefix"}
    assert prepare_rows(tmp_path, rows, only=["remove-prompt-prefix"]).codes == [
        "remove-prompt-prefix"
    ]
    confirmed = prepare_rows(
        tmp_path, rows, lambda proposal, _: "prompt" in proposal.step.code, target=CHAT_TARGET
    )
    assert confirmed.codes == ["remove-prompt-prefix"]


def test_only_texts_of_mostly_capitals_become_lower_case(tmp_path: Path) -> None:
    rows = [
        pair(f"WHAT IS {chr(65 + n % 26)}{n}{SEPARATOR}", f" IT IS {n} OK END") for n in range(300)
    ]
    rows = [pair(f"{n} IS WHAT{SEPARATOR}", f" {chr(65 + n % 26)} IS {n} END") for n in range(300)]
    preparation = prepare_rows(tmp_path, rows)
    assert preparation.codes == ["lowercase-prompts", "lowercase-completions"]
    assert preparation.pairs[0] == (f"0 is what{SEPARATOR}", " a is 0 END")
    half = [
        pair(f"{n} WHAT is it{SEPARATOR}", f" {chr(65 + n % 26)}B of {n} END") for n in range(300)
    ]
    assert prepare_rows(tmp_path, half).codes == []


def test_repaired_rows_are_checked_again(tmp_path: Path) -> None:
    rows = [f"{{prompt: 'news {n}', completion: {n % 4}}}" for n in range(400)]
    preparation = prepare_rows(tmp_path, rows)
    assert preparation.codes == [
        "repair-json",
        "stringify-numbers",
        "add-separator",
        "add-leading-space",
    ]
    assert preparation.pairs[5] == (f"news 5{SEPARATOR}", " 1")


def test_bad_rows_are_dropped_by_kind_and_a_truncated_line_is_not_repaired(tmp_path: Path) -> None:
    rows = [*make_rows(), pair("a", None), {"prompt": "b"}, '{"prompt": "c", "comple']
    preparation = prepare_rows(tmp_path, rows)
    assert preparation.codes[:3] == ["not-json", "missing-key", "null-value"]
    assert len(preparation.rows) == 300
    with pytest.raises(DatasetError, match=r"rows\.jsonl:301: completion is null"):
        prepare_rows(tmp_path, rows, skip=["null-value"])


def test_mixed_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="a chat row"):
        prepare_rows(tmp_path, [*make_rows(), chat("a", "b")])


def test_bad_rows_keys_and_duplicates_of_chats_are_dropped(tmp_path: Path) -> None:
    rows = [chat(f"question {n}", f"answer {n}") for n in range(300)]
    more = [rows[0], chat("a", "b") | {"id": 1}, {"messages": [{"role": "boss", "content": "a"}]}]
    preparation = prepare_rows(tmp_path, [*rows, *more])
    assert preparation.codes == ["drop-extra-keys", "bad-role", "drop-duplicates"]
    assert preparation.rows == [*rows, chat("a", "b")]


def test_rows_that_become_equal_by_other_fixes_are_deduplicated(tmp_path: Path) -> None:
    preparation = prepare_rows(
        tmp_path, [*make_rows(), pair(f"0, what is it?{SEPARATOR}", " a is 0")]
    )
    assert preparation.codes[-1] == "drop-duplicates"
    assert len(preparation.rows) == 300


def test_one_row_is_prepared_once(tmp_path: Path) -> None:
    assert prepare_rows(tmp_path, [pair("a", "b")]).pairs == [(f"a{SEPARATOR}", " b\n")]
    ready = (tmp_path / "out.jsonl").rename(tmp_path / "ready.jsonl")
    assert prepare_path(ready).codes == []


def test_only_and_skip_accept_codes_of_fixes_and_of_checks(tmp_path: Path) -> None:
    assert prepare_rows(tmp_path, make_rows(), only=["add-stop"]).codes == ["add-stop"]
    assert prepare_rows(tmp_path, make_rows(), skip=["no-separator", "add-stop"]).codes == [
        "add-leading-space"
    ]
    with pytest.raises(UsageError, match="--only add-stopp") as caught:
        check_codes(["add-stopp"], ["not-json"], "--only")
    assert "'add-stop'" in caught.value.hint


def test_each_fix_is_confirmed_with_examples_and_refused_fixes_are_not_applied(
    tmp_path: Path,
) -> None:
    confirmations: list[tuple[str, int, str | None]] = []

    def confirm(proposal: Proposal, stats: FixStats) -> bool:
        confirmations.append((proposal.step.code, stats.count, stats.examples[0].after))
        return proposal.step.code != "add-stop"

    preparation = prepare_rows(tmp_path, make_rows(), confirm)
    assert confirmations == [
        ("add-separator", 300, f"0, what is it?{SEPARATOR}"),
        ("add-stop", 300, "a is 0\n"),
        ("add-leading-space", 300, " a is 0"),
    ]
    assert preparation.codes == ["add-separator", "add-leading-space"]
    assert [proposal.step.code for proposal in preparation.draft.refused] == ["add-stop"]


def test_a_refused_label_map_is_followed_by_a_proposal_of_leading_spaces(tmp_path: Path) -> None:
    rows = [pair(f"{n}?{SEPARATOR}", ("in order", "part of it")[n % 2]) for n in range(400)]
    preparation = prepare_rows(
        tmp_path, rows, lambda proposal, _: proposal.step.code != "encode-labels"
    )
    assert preparation.codes == ["add-leading-space"]


def test_a_plan_is_applied_to_other_data_without_inference(tmp_path: Path) -> None:
    plan = prepare_rows(tmp_path, make_rows()).draft.plan
    other = write_rows(tmp_path / "other.jsonl", [pair("x\n\n###\n\ny", "A\n"), pair("z", " b")])
    result = write_prepared(open_source(other), plan, tmp_path / "second.jsonl")
    assert result.rows == 2
    assert read_lines(tmp_path / "second.jsonl") == [
        pair(f"x{SEPARATOR}y{SEPARATOR}", " A\n"),
        pair(f"z{SEPARATOR}", " b\n"),
    ]


def test_a_plan_is_deterministic(tmp_path: Path) -> None:
    rows = [*make_rows(), *make_rows(20), pair("ä\r\n", "é")]
    first = prepare_rows(tmp_path, rows)
    data = (tmp_path / "out.jsonl").read_bytes()
    source = open_source(tmp_path / "rows.jsonl")
    write_prepared(source, first.draft.plan, tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == data


def test_a_failure_leaves_the_input_unchanged_and_no_output(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [*make_rows(), {"messages": 3}, "{"])
    before = path.read_bytes()
    with pytest.raises(DatasetError):
        write_prepared(open_source(path), DataPlan(), tmp_path / "out.jsonl")
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.jsonl"]
    assert path.read_bytes() == before


def test_a_plan_that_drops_every_row_is_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", make_rows(3))
    plan = DataPlan((PlanStep("drop-long-rows", {"characters": 1}),))
    with pytest.raises(DatasetError, match="no row is left"):
        write_prepared(open_source(path), plan, tmp_path / "out.jsonl")


def test_many_duplicates_are_dropped_from_a_large_file(tmp_path: Path) -> None:
    rng = random.Random(3)
    rows = [pair(f"{n} {'x' * rng.randrange(300)}", "y" * 40) for n in range(3000)]
    repeated = [row for row in rows for _ in range(rng.randrange(1, 4))]
    rng.shuffle(repeated)
    path = write_rows(tmp_path / "rows.jsonl", repeated)
    write_prepared(
        open_source(path), DataPlan((PlanStep("drop-duplicates"),)), tmp_path / "out.jsonl"
    )
    assert read_lines(tmp_path / "out.jsonl") == [
        dict(entry) for entry in dict.fromkeys(tuple(row.items()) for row in repeated)
    ]


def test_a_plan_with_columns_reads_the_table_and_its_prepared_file(tmp_path: Path) -> None:
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
def test_any_pairs_can_be_prepared_without_remaining_errors(
    tmp_path: Path, pairs: list[tuple[str, str]]
) -> None:
    rows = [*make_rows(6), *(pair(prompt, completion) for prompt, completion in pairs)]
    preparation = prepare_rows(tmp_path, rows)
    source = open_source(tmp_path / "out.jsonl")
    result = run_checks(source).get_result(DataTarget(min_rows=1))
    assert not [finding for finding in result.findings if finding.severity == "error"]
    assert result.rows == len(preparation.rows)
