"""Composed and decomposed Unicode characters are equal wherever rows are compared."""

import random
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from ftops.data.baselines import score_baselines
from ftops.data.check_runner import run_checks
from ftops.data.check_set import CheckResult
from ftops.data.checks.check import DataTarget
from ftops.data.diff import diff_files
from ftops.data.leakage import LeakIndex, detect_leaked_rows
from ftops.data.plans.runner import PlanResult, apply_plan
from ftops.data.reading.options import ReadOptions
from ftops.data.reading.source import open_source
from ftops.data.split import SplitOptions, SplitSize, assign_rows, write_splits
from ftops.data.summary import check_file, count_overlap
from ftops.records import DataPlan, PlanStep
from tests.data.data_files import chat, pair, preference, write_rows

PLACES = ["Málaga", "Zürich", "Gdańsk", "Hà Nội", "Țăndărei", "Ōsaka", "Brașov", "Łódź"]


def decompose(value: Any) -> Any:
    return orjson.loads(unicodedata.normalize("NFD", orjson.dumps(value).decode()))


def question(number: int) -> str:
    """A place and words that no other question has."""
    rng = random.Random(number)
    words = ["".join(rng.choices("aeéiklmnorsšt", k=7)) for _ in range(8)]
    return f"{PLACES[number % len(PLACES)]}: {' '.join(words)}?"


def make_pairs(count: int, *, answer: str = "") -> list[Any]:
    return [pair(question(n), answer or f"the {n}. é") for n in range(count)]


def run_file_checks(path: Path, extra_checks: Sequence[str] = ()) -> CheckResult:
    return run_checks(open_source(path), asked=extra_checks).get_result(DataTarget())


def count_findings(result: CheckResult, code: str) -> int:
    return sum(finding.count for finding in result.findings if finding.code == code)


@pytest.mark.parametrize(
    "rows",
    [
        make_pairs(12),
        [chat(question(n), f"é {n}") for n in range(12)],
        [preference(f"né {n}", f"ñé {n}") for n in range(12)],
    ],
    ids=["pairs", "chats", "preferences"],
)
def test_rows_that_look_the_same_are_duplicates(tmp_path: Path, rows: list[Any]) -> None:
    path = write_rows(tmp_path / "a.jsonl", [*rows, *map(decompose, rows)])
    assert rows != list(map(decompose, rows))
    assert count_findings(run_file_checks(path), "duplicate-rows") == 12
    assert (
        count_findings(run_file_checks(path, ["near-duplicates"]), "near-duplicates") == 0
    )  # equal rows are not near duplicates
    assert check_file(path).duplicate_rows == 12
    plan_result = run_step(path, PlanStep("drop-duplicates"), tmp_path)
    assert plan_result.rows == 12


def run_step(path: Path, step: PlanStep, folder: Path) -> PlanResult:
    with (folder / "out.jsonl").open("w+b") as stream:
        return apply_plan(open_source(path), DataPlan((step,), {}), stream)


def test_rows_are_written_unchanged(tmp_path: Path) -> None:
    rows = list(map(decompose, make_pairs(3)))
    path = write_rows(tmp_path / "a.jsonl", [*rows, *make_pairs(3)])
    run_step(path, PlanStep("drop-duplicates"), tmp_path)
    kept = (tmp_path / "out.jsonl").read_bytes().splitlines()
    assert [orjson.loads(line) for line in kept] == rows


def test_near_duplicates_are_found_in_any_spelling(tmp_path: Path) -> None:
    rows = [pair(f"{question(n)} Please answer in one word. {n}", "é") for n in range(8)]
    other = [pair(f"{question(n)} Please answer in one word! ({n})", "é") for n in range(8)]
    path = write_rows(tmp_path / "a.jsonl", [*rows, *map(decompose, other)])
    assert count_findings(run_file_checks(path, ["near-duplicates"]), "near-duplicates") == 8


def test_leaked_validation_rows_are_found_in_any_spelling(tmp_path: Path) -> None:
    training = write_rows(tmp_path / "a.jsonl", make_pairs(12))
    held_out = write_rows(tmp_path / "b.jsonl", list(map(decompose, make_pairs(16)[8:])))
    assert detect_leaked_rows(LeakIndex.read(training), held_out).lines == {1, 2, 3, 4}
    assert count_overlap(check_file(training), check_file(held_out)) == 4


@pytest.mark.parametrize("near", [False, True])
def test_a_split_keeps_all_spellings_of_a_question_in_one_part(tmp_path: Path, near: bool) -> None:
    rows = make_pairs(40)
    path = write_rows(tmp_path / "a.jsonl", [*rows, *map(decompose, rows)])
    targets = {part: tmp_path / f"{part}.jsonl" for part in ("train", "validation")}
    division = assign_rows(path, ReadOptions(), SplitOptions(SplitSize(share=0.25), near=near))
    write_splits(path, ReadOptions(), division, targets)
    prompts = [
        {
            unicodedata.normalize("NFC", orjson.loads(line)["prompt"])
            for line in target.read_bytes().splitlines()
        }
        for target in targets.values()
    ]
    assert prompts[1]
    assert not prompts[0] & prompts[1]


def test_a_label_is_one_class_in_any_spelling(tmp_path: Path) -> None:
    rows = [pair(f"q{n}", ("né", "là")[n % 2]) for n in range(40)]
    path = write_rows(tmp_path / "a.jsonl", [*rows[:20], *map(decompose, rows[20:])])
    assert run_file_checks(path).classes == {"né": 20, "là": 20}
    assert check_file(path).classes == {"né": 20, "là": 20}
    division = assign_rows(path, ReadOptions(), SplitOptions(SplitSize(share=0.5)))
    assert set(division.classes or {}) == {"né", "là"}
    step = PlanStep("encode-labels", {"labels": {decompose("né"): " 1", "là": " 2"}})
    assert run_step(path, step, tmp_path).rows == 40
    lines = (tmp_path / "out.jsonl").read_bytes().splitlines()
    assert {orjson.loads(line)["completion"] for line in lines} == {" 1", " 2"}


def test_answers_of_a_preference_that_differ_only_in_spelling_are_equal(tmp_path: Path) -> None:
    row = preference("é") | {"non_preferred_output": decompose(preference("é"))["preferred_output"]}
    path = write_rows(tmp_path / "a.jsonl", [row])
    assert count_findings(run_file_checks(path), "equal-answers") == 1


def test_a_baseline_answers_in_any_spelling(tmp_path: Path) -> None:
    rows = [pair(f"Où est {PLACES[n % 4]}?", f"né {n % 4}") for n in range(40)]
    training = write_rows(tmp_path / "a.jsonl", rows)
    held_out = write_rows(tmp_path / "b.jsonl", list(map(decompose, rows)))
    baseline = score_baselines(training, held_out, ReadOptions())
    assert (baseline.unknown, baseline.leaked) == (0, 1)
    assert baseline.scores[0].accuracy == 1


def test_versions_that_differ_only_in_spelling_are_equal(tmp_path: Path) -> None:
    old = write_rows(tmp_path / "a.jsonl", make_pairs(5))
    new = write_rows(tmp_path / "b.jsonl", list(map(decompose, make_pairs(5))))
    diff = diff_files(old, new, ReadOptions())
    assert (diff.same, diff.added, diff.removed, diff.answered) == (5, 0, 0, 0)
