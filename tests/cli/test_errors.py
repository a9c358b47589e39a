"""Errors as text, as documents and as exit codes."""

import contextlib
import io
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from ftops.cli.errors import EXIT_CODES, Interrupted, handle_errors
from ftops.cli.output import Mode, Output
from ftops.errors import DatasetError, FtopsError, JobFailed, RateLimited, SpecError, UnknownRun
from tests.cli.running import ftops


def fail(error: BaseException, mode: Mode = Mode.HUMAN) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command that raises `error`."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        pytest.raises(typer.Exit) as caught,
        handle_errors(Output(mode, stdout=stdout, stderr=stderr)),
    ):
        raise error
    return caught.value.exit_code, stdout.getvalue(), stderr.getvalue()


def test_a_known_error_says_what_happened_and_what_to_do_next() -> None:
    code, out, err = fail(SpecError("job.yaml:1:1: wrong", hint="Mend it."))
    assert (code, out) == (1, "")
    assert err == "error: job.yaml:1:1: wrong\nnext: Mend it.\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FtopsError("known"), 1),
        (JobFailed("the job failed"), 3),
        (Interrupted("stopped watching"), 130),
        (KeyboardInterrupt(), 130),
        (OSError(28, "No space left on device"), 1),
        (BrokenPipeError(), 141),
        (ZeroDivisionError("a bug"), 70),
    ],
)
def test_each_kind_of_ending_has_its_exit_code(error: BaseException, code: int) -> None:
    assert fail(error)[0] == code
    assert code in dict(EXIT_CODES)


def test_the_help_documents_every_exit_code() -> None:
    text = ftops("--help").out
    for code, meaning in EXIT_CODES:
        assert f"{code:<4} {meaning}" in text


def test_a_closed_pipe_is_no_news() -> None:
    assert fail(BrokenPipeError())[1:] == ("", "")


def test_an_error_as_json_carries_the_fields_of_the_api() -> None:
    error = RateLimited("slow down", status=429, code="rate_limit_exceeded", request_id="req_1")
    code, out, err = fail(error, Mode.JSON)
    assert code == 1
    assert '"type": "RateLimited"' in out
    assert '"code": "rate_limit_exceeded"' in out
    assert '"status": 429' in out
    assert '"hint": "Wait' in out
    assert err.startswith("error: slow down")


def test_an_unknown_run_as_json_is_one_document() -> None:
    answer = ftops("show", "run-none", "--json")
    assert answer.code == 1
    assert answer.error["type"] == UnknownRun.__name__
    assert "run-none" in str(answer.error["message"])


def test_a_bug_leaves_a_report_in_the_home_and_no_traceback_on_the_screen(
    temporary_home: Path,
) -> None:
    code, _, err = fail(ZeroDivisionError("a bug"))
    assert code == 70
    assert "Traceback" not in err
    (report,) = (temporary_home / "reports").iterdir()
    assert str(report) in err
    assert "ZeroDivisionError: a bug" in report.read_text()
    assert report.stat().st_mode & 0o777 == 0o600


def test_a_bug_whose_report_cannot_be_written_is_told_all_the_same(
    temporary_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    temporary_home.write_text("a file where the folder should be")
    code, _, err = fail(ZeroDivisionError("a bug"))
    assert code == 70
    assert "a bug" in err
    assert "Traceback" in capsys.readouterr().err


def test_a_home_that_is_a_file_is_a_known_error(temporary_home: Path) -> None:
    temporary_home.write_text("a file where the folder should be")
    answer = ftops("runs", "--json")
    assert answer.code == 1
    assert answer.error["type"] == "StorageError"
    assert str(temporary_home) in answer.err


def test_a_ledger_that_is_none_is_a_known_error_and_stays_as_it_is(temporary_home: Path) -> None:
    temporary_home.mkdir()
    ledger = temporary_home / "ledger.db"
    ledger.write_bytes(b"these are my memoirs, not a database\n" * 100)
    answer = ftops("runs")
    assert answer.code == 1
    assert "ledger.db" in answer.err
    assert ledger.read_bytes().startswith(b"these are my memoirs")


def test_a_ledger_of_a_later_version_is_a_known_error(temporary_home: Path) -> None:
    assert ftops("runs").code == 0
    with contextlib.closing(sqlite3.connect(temporary_home / "ledger.db")) as connection:
        connection.execute("PRAGMA user_version = 999")
        connection.commit()
    answer = ftops("runs", "--json")
    assert answer.code == 1
    assert answer.error["type"] == "LedgerTooNew"
    assert "Upgrade" in str(answer.error["hint"])


def test_output_to_a_closed_pipe_ends_quietly(temporary_home: Path) -> None:
    script = f'"{sys.executable}" -m ftops schema | head -c 1 >/dev/null; echo "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.strip() in {"0", "141"}  # 0: all fitted into the pipe before it was closed


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_behind_stdout_is_a_known_error(temporary_home: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ftops", "schema"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_hint_names_the_job_file_that_the_command_was_given(tmp_path: Path) -> None:
    path = tmp_path / "my job.yaml"
    path.write_text("nme: x\n")
    answer = ftops("check", path)
    assert f"`ftops check '{path}'` checks it" in answer.err
    answer = ftops("run", path, "--json")
    assert f"'{path}'" in str(answer.error["hint"])


def test_a_hint_without_a_job_file_names_none() -> None:
    _, _, err = fail(DatasetError("rows.jsonl:1: not JSON"))
    assert err == "error: rows.jsonl:1: not JSON\nnext: Fix these rows.\n"


def test_a_wrong_address_is_shown_with_the_right_one() -> None:
    answer = ftops("complete", "-m", "m", "-p", "x", "--base-url", "https://host/v1/v1")
    assert answer.code == 1
    assert answer.err.endswith("next: Write https://host/v1\n")
