"""Private data in rows: which are told, and how."""

import os
from pathlib import Path

from ftops.data.check_runner import run_checks
from ftops.data.check_set import CheckResult
from ftops.data.checks.check import DataTarget
from ftops.data.findings import Finding
from ftops.data.reading.source import open_source
from tests.data.data_files import call_row, chat, pair, preference, write_rows

MAIL = "jo.doe@firma.de"
CARD = "4111 1111 1111 1111"


def judge(path: Path, processes: int = 1) -> CheckResult:
    environ = dict(os.environ)
    examination = run_checks(open_source(path), asked=["pii"], processes=processes, environ=environ)
    return examination.get_result(DataTarget(min_rows=1))


def private(verdict: CheckResult) -> dict[str, Finding]:
    codes = ("email-address", "payment-card", "api-key", "phone-number")
    return {one.code: one for one in verdict.findings if one.code in codes}


def test_rows_are_counted_once_and_named_by_line(tmp_path: Path) -> None:
    rows = [
        pair("nothing"), pair(f"ask {MAIL} or x@{MAIL[7:]}", f"{CARD}"), pair(MAIL[:6], MAIL),
        pair("é" * 30, MAIL),
    ]  # fmt: skip
    found = private(judge(write_rows(tmp_path / "rows.jsonl", rows)))
    assert set(found) == {"email-address", "payment-card"}
    assert found["email-address"].count == 3
    assert found["email-address"].places == (2, 3, 4)
    assert found["payment-card"].places == (2,)
    for finding in found.values():
        assert MAIL not in finding.message
        assert CARD not in finding.message


def test_chats_and_both_answers_of_a_preference_are_looked_through(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "chats.jsonl", [chat("hi", "there"), chat(MAIL, "yes")])
    assert private(judge(path))["email-address"].places == (2,)
    rows = [preference(), preference(other=f"Ask {MAIL}.")]
    path = write_rows(tmp_path / "preferences.jsonl", rows)
    assert private(judge(path))["email-address"].places == (2,)


def test_the_arguments_of_tool_calls_are_looked_through(tmp_path: Path) -> None:
    rows = [chat("a", "b"), call_row({"to": MAIL}), call_row({"text": f"Hi.\n{CARD}"})]
    found = private(judge(write_rows(tmp_path / "calls.jsonl", rows)))
    assert found["email-address"].places == (2,)
    assert found["payment-card"].places == (3,)


def test_nobody_looks_for_it_unless_asked(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair(MAIL)])
    assert private(run_checks(open_source(path)).get_result(DataTarget())) == {}


def test_several_processes_find_the_same(tmp_path: Path) -> None:
    rows = [pair(f"row {n}", MAIL if n % 7 == 3 else f"{n}") for n in range(500)]
    path = write_rows(tmp_path / "rows.jsonl", [*rows, pair(CARD)])
    one, two, three = (judge(path, processes) for processes in (1, 2, 3))
    assert private(one)["email-address"].count == 71
    assert one == two == three
