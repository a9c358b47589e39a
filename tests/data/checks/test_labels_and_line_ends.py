"""Labels of several tokens, and Windows line ends."""

from pathlib import Path

from ftops.data.check_runner import run_checks
from ftops.data.check_set import CheckResult
from ftops.data.checks.check import DataTarget
from ftops.data.checks.classes import number_labels
from ftops.data.findings import Finding
from ftops.data.reading.source import open_source
from ftops.records import RowFormat
from tests.data.data_files import chat, pair, write_rows


def check_rows(folder: Path, rows: list[object], target: DataTarget | None = None) -> CheckResult:
    return run_checks(open_source(write_rows(folder / "rows.jsonl", rows))).get_result(
        target or DataTarget()
    )


def find_finding(result: CheckResult, code: str) -> Finding | None:
    return next((finding for finding in result.findings if finding.code == code), None)


def make_rows(*labels: str) -> list[object]:
    return [pair(f"{n}?\n\n###\n\n", labels[n % len(labels)]) for n in range(400)]


def test_labels_of_several_words_are_reported_and_those_of_one_are_not(tmp_path: Path) -> None:
    finding = find_finding(check_rows(tmp_path, make_rows(" part of", " mother")), "label-tokens")
    assert finding is not None
    assert finding.message == "1 of 2 labels: ' part of'"
    assert finding.fix_params == {"labels": {" mother": " 1", " part of": " 2"}}
    for labels in ((" yes", " no"), (" 1", " 2"), (" Sport\n", " Politics\n")):
        assert find_finding(check_rows(tmp_path, make_rows(*labels)), "label-tokens") is None


def test_chats_may_have_labels_of_any_length(tmp_path: Path) -> None:
    chats: list[object] = [chat(f"{n}?", ("part of", "mother")[n % 2]) for n in range(400)]
    assert find_finding(check_rows(tmp_path, chats), "label-tokens") is None
    target = DataTarget(row_format=RowFormat.CHAT)
    assert (
        find_finding(check_rows(tmp_path, make_rows(" part of", " mother"), target), "label-tokens")
        is None
    )


def test_labels_that_differ_only_by_case_share_a_number() -> None:
    numbers = number_labels({"Part of": 3, "part of": 9, "mother": 5})
    assert numbers == {"part of": " 2", "Part of": " 2", "mother": " 1"}
    assert list(numbers).index("part of") < list(numbers).index("Part of")


def test_each_row_with_carriage_returns_is_counted_once(tmp_path: Path) -> None:
    rows = [*make_rows(" a", " b"), pair("a\r\n?\n\n###\n\n", " a\r"), pair("b\n\n###\n\n", " a\r")]
    finding = find_finding(check_rows(tmp_path, rows), "carriage-return")
    assert finding is not None
    assert (finding.count, finding.places) == (2, (401, 402))
    assert find_finding(check_rows(tmp_path, make_rows(" a", " b")), "carriage-return") is None
