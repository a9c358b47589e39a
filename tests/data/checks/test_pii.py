"""Findings about private data in rows."""

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


def check_file(path: Path, processes: int = 1) -> CheckResult:
    environ = dict(os.environ)
    check_set = run_checks(open_source(path), asked=["pii"], processes=processes, environ=environ)
    return check_set.get_result(DataTarget(min_rows=1))


def get_pii_findings(result: CheckResult) -> dict[str, Finding]:
    codes = ("email-address", "payment-card", "api-key", "phone-number")
    return {finding.code: finding for finding in result.findings if finding.code in codes}


def test_rows_are_counted_once_and_listed_by_line(tmp_path: Path) -> None:
    rows = [
        pair("nothing"), pair(f"ask {MAIL} or x@{MAIL[7:]}", f"{CARD}"), pair(MAIL[:6], MAIL),
        pair("é" * 30, MAIL),
    ]  # fmt: skip
    findings = get_pii_findings(check_file(write_rows(tmp_path / "rows.jsonl", rows)))
    assert set(findings) == {"email-address", "payment-card"}
    assert findings["email-address"].count == 3
    assert findings["email-address"].places == (2, 3, 4)
    assert findings["payment-card"].places == (2,)
    for finding in findings.values():
        assert MAIL not in finding.message
        assert CARD not in finding.message


def test_chats_and_both_answers_of_a_preference_are_searched(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "chats.jsonl", [chat("hi", "there"), chat(MAIL, "yes")])
    assert get_pii_findings(check_file(path))["email-address"].places == (2,)
    rows = [preference(), preference(other=f"Ask {MAIL}.")]
    path = write_rows(tmp_path / "preferences.jsonl", rows)
    assert get_pii_findings(check_file(path))["email-address"].places == (2,)


def test_the_arguments_of_tool_calls_are_searched(tmp_path: Path) -> None:
    rows = [chat("a", "b"), call_row({"to": MAIL}), call_row({"text": f"Hi.\n{CARD}"})]
    findings = get_pii_findings(check_file(write_rows(tmp_path / "calls.jsonl", rows)))
    assert findings["email-address"].places == (2,)
    assert findings["payment-card"].places == (3,)


def test_private_data_is_searched_only_on_request(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [pair(MAIL)])
    assert get_pii_findings(run_checks(open_source(path)).get_result(DataTarget())) == {}


def test_several_processes_find_the_same(tmp_path: Path) -> None:
    rows = [pair(f"row {n}", MAIL if n % 7 == 3 else f"{n}") for n in range(500)]
    path = write_rows(tmp_path / "rows.jsonl", [*rows, pair(CARD)])
    single, two, three = (check_file(path, processes) for processes in (1, 2, 3))
    assert get_pii_findings(single)["email-address"].count == 71
    assert single == two == three
