"""Errors as text, as JSON and as exit codes."""

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


def test_a_known_error_has_a_message_and_a_next_step() -> None:
    code, out, err = fail(SpecError("job.yaml:1:1: wrong", hint="Fix it."))
    assert (code, out) == (1, "")
    assert err == "error: job.yaml:1:1: wrong\nnext: Fix it.\n"


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
def test_each_kind_of_error_has_its_exit_code(error: BaseException, code: int) -> None:
    assert fail(error)[0] == code
    assert code in dict(EXIT_CODES)


def test_the_help_documents_every_exit_code() -> None:
    text = ftops("--help").out
    for code, meaning in EXIT_CODES:
        assert f"{code:<4} {meaning}" in text


def test_a_closed_pipe_prints_nothing() -> None:
    assert fail(BrokenPipeError())[1:] == ("", "")


def test_an_error_as_json_has_the_fields_of_the_api() -> None:
    error = RateLimited("slow down", status=429, code="rate_limit_exceeded", request_id="req_1")
    code, out, err = fail(error, Mode.JSON)
    assert code == 1
    assert '"type": "RateLimited"' in out
    assert '"code": "rate_limit_exceeded"' in out
    assert '"status": 429' in out
    assert '"hint": "Wait' in out
    assert err.startswith("error: slow down")


def test_an_unknown_run_as_json_is_one_document() -> None:
    result = ftops("show", "run-none", "--json")
    assert result.code == 1
    assert result.error["type"] == UnknownRun.__name__
    assert "run-none" in str(result.error["message"])


def test_a_bug_writes_a_report_and_prints_no_traceback(
    temporary_home: Path,
) -> None:
    code, _, err = fail(ZeroDivisionError("a bug"))
    assert code == 70
    assert "Traceback" not in err
    (report,) = (temporary_home / "reports").iterdir()
    assert str(report) in err
    assert "ZeroDivisionError: a bug" in report.read_text()
    assert report.stat().st_mode & 0o777 == 0o600


def test_a_bug_is_printed_if_its_report_cannot_be_written(
    temporary_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    temporary_home.write_text("a file where the folder should be")
    code, _, err = fail(ZeroDivisionError("a bug"))
    assert code == 70
    assert "a bug" in err
    assert "Traceback" in capsys.readouterr().err


def test_a_home_that_is_a_file_is_a_known_error(temporary_home: Path) -> None:
    temporary_home.write_text("a file where the folder should be")
    result = ftops("runs", "--json")
    assert result.code == 1
    assert result.error["type"] == "StorageError"
    assert str(temporary_home) in result.err


def test_a_file_that_is_not_a_ledger_is_a_known_error_and_is_not_changed(
    temporary_home: Path,
) -> None:
    temporary_home.mkdir()
    ledger = temporary_home / "ledger.db"
    ledger.write_bytes(b"these are my memoirs, not a database\n" * 100)
    result = ftops("runs")
    assert result.code == 1
    assert "ledger.db" in result.err
    assert ledger.read_bytes().startswith(b"these are my memoirs")


def test_a_ledger_of_a_later_version_is_a_known_error(temporary_home: Path) -> None:
    assert ftops("runs").code == 0
    with contextlib.closing(sqlite3.connect(temporary_home / "ledger.db")) as connection:
        connection.execute("PRAGMA user_version = 999")
        connection.commit()
    result = ftops("runs", "--json")
    assert result.code == 1
    assert result.error["type"] == "LedgerTooNew"
    assert "Upgrade" in str(result.error["hint"])


def test_output_to_a_closed_pipe_ends_without_an_error(temporary_home: Path) -> None:
    script = f'"{sys.executable}" -m ftops schema | head -c 1 >/dev/null; echo "${{PIPESTATUS[0]}}"'
    process = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert process.stderr == ""
    assert process.stdout.strip() in {
        "0",
        "141",
    }  # 0: the pipe took all output before it was closed


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_on_stdout_is_a_known_error(temporary_home: Path) -> None:
    with Path("/dev/full").open("w") as device:
        process = subprocess.run(
            [sys.executable, "-m", "ftops", "schema"],
            stdout=device,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert process.returncode == 1
    assert "No space left" in process.stderr
    assert "Traceback" not in process.stderr


def test_a_hint_names_the_job_file_of_the_command(tmp_path: Path) -> None:
    path = tmp_path / "my job.yaml"
    path.write_text("nme: x\n")
    result = ftops("check", path)
    assert f"`ftops check '{path}'` checks it" in result.err
    result = ftops("run", path, "--json")
    assert f"'{path}'" in str(result.error["hint"])


def test_a_hint_without_a_job_file_is_general() -> None:
    _, _, err = fail(DatasetError("rows.jsonl:1: not JSON"))
    assert err == "error: rows.jsonl:1: not JSON\nnext: Fix these rows.\n"


def test_an_invalid_base_url_is_reported_with_the_valid_one() -> None:
    result = ftops("complete", "-m", "m", "-p", "x", "--base-url", "https://host/v1/v1")
    assert result.code == 1
    assert result.err.endswith("next: Write https://host/v1\n")
