"""Near duplicates in one file and in two files."""

import os
from collections.abc import Sequence
from pathlib import Path

from ftops.data.check_runner import run_checks
from ftops.data.check_set import CheckSet
from ftops.data.checks.check import DataTarget
from ftops.data.findings import Finding
from ftops.data.leakage import check_leaks
from ftops.data.reading.source import open_source
from tests.data.data_files import chat, pair, preference, write_rows

OPTIONAL = ("near-duplicates", "validation")
TEXTS = [
    f"{subject} {verb} {thing} {place}."
    for subject in ("The old captain", "A young engineer", "My neighbour's daughter")
    for verb in ("painted", "sold", "borrowed", "remembered")
    for thing in ("a yellow bicycle", "seven wooden chairs", "an expensive telescope")
    for place in ("in the village by the sea", "during the long winter of that year")
]
LONG = "The committee met on Thursday to talk about the new library and its opening hours"


def run_file_checks(
    path: Path, *, processes: int = 1, reference: CheckSet | None = None
) -> CheckSet:
    profile = reference.profile if reference else None
    return run_checks(
        open_source(path),
        asked=OPTIONAL,
        like=profile,
        processes=processes,
        environ=dict(os.environ),
    )


def find_near_duplicates(check_set: CheckSet) -> Finding | None:
    result = check_set.get_result(DataTarget(min_rows=1))
    return next((finding for finding in result.findings if finding.code == "near-duplicates"), None)


def get_leaks(
    folder: Path, training: Sequence[object], held_out: Sequence[object]
) -> dict[str, Finding]:
    training_checks = run_file_checks(write_rows(folder / "train.jsonl", training))
    held_out_checks = run_file_checks(
        write_rows(folder / "validation.jsonl", held_out), reference=training_checks
    )
    findings = check_leaks(training_checks, held_out_checks, name="train.jsonl", unit="line")
    return {finding.code: finding for finding in findings}


def test_a_near_duplicate_is_reported_with_both_lines(tmp_path: Path) -> None:
    rows = [pair("x"), pair(LONG), pair("y"), pair(LONG.upper() + "!", "d"), pair(LONG, "e")]
    finding = find_near_duplicates(run_file_checks(write_rows(tmp_path / "rows.jsonl", rows)))
    assert finding is not None
    assert finding.message == "1 row is nearly equal to an earlier one: line 4 and 2"
    assert (finding.count, finding.places) == (1, (4,))


def test_equal_and_different_rows_are_not_near_duplicates(tmp_path: Path) -> None:
    rows = [pair(LONG), pair(LONG, "d"), pair(TEXTS[0]), pair(TEXTS[-1]), pair("a"), pair("b")]
    assert find_near_duplicates(run_file_checks(write_rows(tmp_path / "rows.jsonl", rows))) is None


def test_a_common_system_message_does_not_make_near_duplicates(tmp_path: Path) -> None:
    system = "You are a very helpful assistant of a large library. Answer politely. " * 3
    rows = [chat(system, text, "Yes.", role="system") for text in TEXTS[::5]]
    rows += [chat(system, f"{number} {LONG}", "No.", role="system") for number in (1, 2)]
    assert len(rows) < 20
    rows += [chat(system, f"{text} {LONG[::-1]}", "Yes.", role="system") for text in TEXTS[1::9]]
    finding = find_near_duplicates(run_file_checks(write_rows(tmp_path / "rows.jsonl", rows)))
    assert finding is not None
    assert finding.places[0] == 17


def test_rows_without_prompts_are_compared_by_their_completions(tmp_path: Path) -> None:
    rows = [pair("", f"{LONG} {end}") for end in ("now", "then")]
    assert (
        find_near_duplicates(run_file_checks(write_rows(tmp_path / "rows.jsonl", rows))) is not None
    )


def test_preferences_are_compared_with_their_answers(tmp_path: Path) -> None:
    rows = [preference(TEXTS[n], TEXTS[n + 30]) for n in (0, 20)]
    assert find_near_duplicates(run_file_checks(write_rows(tmp_path / "rows.jsonl", rows))) is None


def test_several_processes_find_the_same(tmp_path: Path) -> None:
    rows = [pair(f"{TEXTS[n % 72]} {TEXTS[n * 7 % 72]} {n // 200}") for n in range(800)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    single, two, three = (
        find_near_duplicates(run_file_checks(path, processes=count)) for count in (1, 2, 3)
    )
    assert single is not None
    assert single == two == three


def test_leaked_rows_are_reported_by_kind_of_leak(tmp_path: Path) -> None:
    training = [pair(LONG, "a"), pair(TEXTS[0], "a"), pair(TEXTS[-1], "b")]
    held_out = [
        pair(TEXTS[36], "b"), pair(LONG, "a"), pair(TEXTS[0], "b"), pair(TEXTS[-1] + "?!", "b")
    ]  # fmt: skip
    leaks = get_leaks(tmp_path, training, held_out)
    assert {code: finding.places for code, finding in leaks.items()} == {
        "leaked-rows": (2,), "leaked-prompts": (3,), "leaked-near-duplicates": (4,)
    }  # fmt: skip
    assert leaks["leaked-rows"].message == (
        "1 row is the same as one of train.jsonl, as line 2 here and 1 there"
    )
    assert get_leaks(tmp_path, training, [pair(TEXTS[36], "b")]) == {}


def test_leaks_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    rows = [pair(f"row {n}", str(n % 3)) for n in range(400)]
    training = write_rows(tmp_path / "train.jsonl", rows)
    held_out = write_rows(tmp_path / "held.jsonl", rows[390:])
    leaks = [
        list(
            check_leaks(
                run_file_checks(training, processes=training_processes),
                run_file_checks(held_out, processes=held_out_processes),
                name="t",
                unit="line",
            )
        )
        for training_processes, held_out_processes in ((1, 1), (2, 1), (3, 2))
    ]
    assert leaks[0][0].count == 10
    assert leaks[0] == leaks[1] == leaks[2]


def test_equal_empty_prompts_are_not_a_leak(tmp_path: Path) -> None:
    leaks = get_leaks(tmp_path, [pair("", TEXTS[0])], [pair("", TEXTS[40])])
    assert leaks == {}


def test_swapped_answers_of_a_preference_leak(tmp_path: Path) -> None:
    leaks = get_leaks(tmp_path, [preference("One.", "Two.")], [preference("Two.", "One.")])
    assert set(leaks) == {"leaked-prompts"}
    assert get_leaks(tmp_path, [preference("One.", "Two.")], [preference("Three.", "One.")]) == {}
