"""Progress of a run on a terminal and in a pipe."""

import io
from datetime import UTC, datetime

import pytest

from ftops.cli.output import Mode, Output
from ftops.cli.progress import show_run_progress
from ftops.records import JobEvent, Json, Stage, StageRecord, StageStatus
from ftops.runs.observer import Observer

NOW = datetime(2026, 11, 22, 14, 7, tzinfo=UTC)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class ClosedPipe(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def event(message: str, level: str = "info", **data: Json) -> JobEvent:
    kind = "metrics" if "step" in data else "message"
    return JobEvent(message, NOW, level, message, kind, data)


def report_training(observer: Observer) -> None:
    """Report a training of a thousand steps with an event for each."""
    observer.on_stage_start(Stage.FOLLOW, 1)
    observer.on_job_status("running")
    observer.on_event(event("Job started."))
    for step in range(1, 1001):
        observer.on_event(
            event(f"Step {step}/1000: loss={1 / step:.3f}", step=step, total_steps=1000)
        )
        observer.on_progress(Stage.FOLLOW, step, 1000, "steps")
    observer.on_event(event("Only 3 rows left.", level="warn"))
    observer.on_stage_end(StageRecord(Stage.FOLLOW, StageStatus.SUCCEEDED, 1, NOW, NOW))


def get_output(mode: Mode, stdout: io.StringIO) -> tuple[str, str]:
    stderr = io.StringIO()
    with show_run_progress(Output(mode, stdout=stdout, stderr=stderr)) as observer:
        report_training(observer)
    return stdout.getvalue(), stderr.getvalue()


def test_control_characters_of_a_provider_are_escaped() -> None:
    terminal = Terminal()
    with show_run_progress(Output(Mode.HUMAN, stdout=terminal, stderr=io.StringIO())) as observer:
        observer.on_stage_start(Stage.FOLLOW, 1)
        observer.on_job_status("\x1b]0;owned\x07\u202erunning")
        observer.on_event(event("\x1b]0;owned\x07", level="\x1b[2J"))
    text = terminal.getvalue()
    assert "\x1b]" not in text
    assert not set(text) & set("\x07\x9b\u202e")
    assert "\\x1b]0;owned" in text


def test_a_pipe_gets_plain_lines_for_some_steps_of_a_long_training() -> None:
    out, err = get_output(Mode.HUMAN, io.StringIO())
    assert err == ""
    assert "\x1b" not in out
    assert "━" not in out
    steps = [line for line in out.splitlines() if "Step " in line]
    assert 10 <= len(steps) <= 14
    assert "Step 1000/1000" in steps[-1]
    assert f"… and {1000 - len(steps)} similar events" in out
    assert out.splitlines()[-1].startswith("  ✓ follow")


@pytest.mark.parametrize(("total", "lines"), [(4, 4), (10, 10), (100, 12)])
def test_a_job_that_reports_only_epochs_gets_a_line_for_each_tenth(total: int, lines: int) -> None:
    stream = io.StringIO()
    with show_run_progress(Output(Mode.HUMAN, stdout=stream, stderr=io.StringIO())) as observer:
        for epoch in range(1, total + 1):
            message = f"Completed epoch {epoch}/{total}"
            observer.on_event(event(message, epoch=epoch, n_epochs=total))
    text = stream.getvalue().splitlines()
    assert len(text) == lines
    assert text[-1].endswith(f"Completed epoch {total}/{total}")


def test_warnings_are_never_skipped() -> None:
    stream = io.StringIO()
    with show_run_progress(Output(Mode.HUMAN, stdout=stream, stderr=io.StringIO())) as observer:
        for number in range(20):
            observer.on_event(event(f"Row {number} was left out.", level="warn"))
    assert stream.getvalue().count("was left out") == 20


def test_a_terminal_gets_a_bar_that_is_erased_at_the_end() -> None:
    out, _ = get_output(Mode.HUMAN, Terminal())
    assert "━" in out
    last_bar, erased = out.rfind("━"), out.rfind("\x1b[2K")
    assert erased > last_bar


def test_json_mode_keeps_stdout_empty_and_quiet_prints_nothing() -> None:
    out, err = get_output(Mode.JSON, io.StringIO())
    assert out == ""
    assert "Job started." in err
    assert get_output(Mode.QUIET, io.StringIO()) == ("", "")


def test_a_closed_pipe_does_not_end_the_run() -> None:
    get_output(Mode.HUMAN, ClosedPipe())


def test_uploaded_bytes_are_shown_with_units() -> None:
    stream = Terminal()
    with show_run_progress(Output(Mode.HUMAN, stdout=stream, stderr=io.StringIO())) as observer:
        observer.on_stage_start(Stage.UPLOAD, 2)
        observer.on_progress(Stage.UPLOAD, 1500, 3_000_000, "bytes")
    assert "1.5 kB of 3.0 MB" in stream.getvalue()
    assert "upload (attempt 2)" in stream.getvalue()
