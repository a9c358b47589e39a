"""Rows that are nearly the same, in one file and in two."""

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


def look(path: Path, *, processes: int = 1, like: CheckSet | None = None) -> CheckSet:
    profile = like.profile if like else None
    return run_checks(
        open_source(path),
        asked=OPTIONAL,
        like=profile,
        processes=processes,
        environ=dict(os.environ),
    )


def near(examination: CheckSet) -> Finding | None:
    verdict = examination.get_result(DataTarget(min_rows=1))
    return next((one for one in verdict.findings if one.code == "near-duplicates"), None)


def leaks(folder: Path, training: Sequence[object], held: Sequence[object]) -> dict[str, Finding]:
    known = look(write_rows(folder / "train.jsonl", training))
    other = look(write_rows(folder / "validation.jsonl", held), like=known)
    found = check_leaks(known, other, name="train.jsonl", unit="line")
    return {one.code: one for one in found}


def test_a_row_nearly_like_an_earlier_one_is_told_with_both_lines(tmp_path: Path) -> None:
    rows = [pair("x"), pair(LONG), pair("y"), pair(LONG.upper() + "!", "d"), pair(LONG, "e")]
    finding = near(look(write_rows(tmp_path / "rows.jsonl", rows)))
    assert finding is not None
    assert finding.message == "1 row is nearly equal to an earlier one: line 4 and 2"
    assert (finding.count, finding.places) == (1, (4,))


def test_rows_that_are_the_same_or_unlike_are_not_told(tmp_path: Path) -> None:
    rows = [pair(LONG), pair(LONG, "d"), pair(TEXTS[0]), pair(TEXTS[-1]), pair("a"), pair("b")]
    assert near(look(write_rows(tmp_path / "rows.jsonl", rows))) is None


def test_chats_with_one_system_message_are_not_alike_for_it(tmp_path: Path) -> None:
    system = "You are a very helpful assistant of a large library. Answer politely. " * 3
    rows = [chat(system, text, "Yes.", role="system") for text in TEXTS[::5]]
    rows += [chat(system, f"{number} {LONG}", "No.", role="system") for number in (1, 2)]
    assert len(rows) < 20
    rows += [chat(system, f"{text} {LONG[::-1]}", "Yes.", role="system") for text in TEXTS[1::9]]
    finding = near(look(write_rows(tmp_path / "rows.jsonl", rows)))
    assert finding is not None
    assert finding.places[0] == 17


def test_open_ended_rows_are_compared_by_what_they_say(tmp_path: Path) -> None:
    rows = [pair("", f"{LONG} {end}") for end in ("now", "then")]
    assert near(look(write_rows(tmp_path / "rows.jsonl", rows))) is not None


def test_answers_count_in_preferences(tmp_path: Path) -> None:
    rows = [preference(TEXTS[n], TEXTS[n + 30]) for n in (0, 20)]
    assert near(look(write_rows(tmp_path / "rows.jsonl", rows))) is None


def test_several_processes_find_the_same(tmp_path: Path) -> None:
    rows = [pair(f"{TEXTS[n % 72]} {TEXTS[n * 7 % 72]} {n // 200}") for n in range(800)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    one, two, three = (near(look(path, processes=count)) for count in (1, 2, 3))
    assert one is not None
    assert one == two == three


def test_rows_that_leaked_are_told_by_how_they_leaked(tmp_path: Path) -> None:
    training = [pair(LONG, "a"), pair(TEXTS[0], "a"), pair(TEXTS[-1], "b")]
    held = [
        pair(TEXTS[36], "b"), pair(LONG, "a"), pair(TEXTS[0], "b"), pair(TEXTS[-1] + "?!", "b")
    ]  # fmt: skip
    found = leaks(tmp_path, training, held)
    assert {code: one.places for code, one in found.items()} == {
        "leaked-rows": (2,), "leaked-prompts": (3,), "leaked-near-duplicates": (4,)
    }  # fmt: skip
    assert found["leaked-rows"].message == (
        "1 row is the same as one of train.jsonl, as line 2 here and 1 there"
    )
    assert leaks(tmp_path, training, [pair(TEXTS[36], "b")]) == {}


def test_leaks_are_found_whatever_read_either_file(tmp_path: Path) -> None:
    rows = [pair(f"row {n}", str(n % 3)) for n in range(400)]
    training = write_rows(tmp_path / "train.jsonl", rows)
    held = write_rows(tmp_path / "held.jsonl", rows[390:])
    found = [
        list(check_leaks(look(training, processes=one), look(held, processes=other), name="t",
                        unit="line"))
        for one, other in ((1, 1), (2, 1), (3, 2))
    ]  # fmt: skip
    assert found[0][0].count == 10
    assert found[0] == found[1] == found[2]


def test_the_same_prompt_of_open_ended_rows_is_no_leak(tmp_path: Path) -> None:
    found = leaks(tmp_path, [pair("", TEXTS[0])], [pair("", TEXTS[40])])
    assert found == {}


def test_the_same_two_answers_turned_round_leak(tmp_path: Path) -> None:
    found = leaks(tmp_path, [preference("One.", "Two.")], [preference("Two.", "One.")])
    assert set(found) == {"leaked-prompts"}
    assert leaks(tmp_path, [preference("One.", "Two.")], [preference("Three.", "One.")]) == {}
