"""Progress of requests: a bar on a terminal, lines in a pipe, nothing for programs."""

import io

import pytest

from ftops.cli.errors import Interrupted
from ftops.cli.output import Mode, Output
from ftops.cli.progress import show_request_progress
from ftops.errors import Unreachable
from tests.fakes import FakeClock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def get_output(mode: Mode, stdout: io.StringIO) -> tuple[str, str]:
    """Output of an evaluation that takes ten seconds."""
    stderr, clock = io.StringIO(), FakeClock()
    with show_request_progress(Output(mode, stdout=stdout, stderr=stderr), clock) as view:
        for done in range(0, 101, 10):
            view.on_progress(done, 100)
            clock.sleep(1)
        view.on_note("kept in a folder")
    return stdout.getvalue(), stderr.getvalue()


def test_a_terminal_gets_a_bar_with_the_number_of_responses() -> None:
    stdout_text, stderr_text = get_output(Mode.HUMAN, Terminal())
    assert "100/100 responses" in stdout_text
    assert "kept in a folder" in stdout_text
    assert stderr_text == ""


def test_a_pipe_gets_plain_lines_at_intervals() -> None:
    stdout_text, stderr_text = get_output(Mode.HUMAN, io.StringIO())
    assert stdout_text == ""
    assert stderr_text == "50 of 100 responses received\nkept in a folder\n"


@pytest.mark.parametrize("mode", [Mode.QUIET, Mode.JSON])
def test_programs_get_no_progress(mode: Mode) -> None:
    stdout_text, stderr_text = get_output(mode, Terminal())
    assert stdout_text == ""
    assert "answers" not in stderr_text


def test_ctrl_c_reports_the_cached_responses_and_how_to_continue() -> None:
    out = Output(Mode.HUMAN, stdout=io.StringIO(), stderr=io.StringIO())
    with pytest.raises(Interrupted) as caught, show_request_progress(out, FakeClock()) as view:
        view.on_progress(1200, 3000)
        raise KeyboardInterrupt
    assert caught.value.message == "interrupted; 1,200 of 3,000 responses are cached"
    assert caught.value.hint == "Run the same command again to continue."


def test_an_error_reports_the_cached_responses() -> None:
    stderr = io.StringIO()
    out = Output(Mode.HUMAN, stdout=io.StringIO(), stderr=stderr)
    with pytest.raises(Unreachable), show_request_progress(out, FakeClock()) as view:
        view.on_progress(5, 10)
        raise Unreachable("gone")
    assert (
        stderr.getvalue()
        == "5 of 10 responses are cached: run the same command again to continue\n"
    )


def test_an_error_before_the_first_response_reports_zero() -> None:
    stderr = io.StringIO()
    out = Output(Mode.HUMAN, stdout=io.StringIO(), stderr=stderr)
    with pytest.raises(Unreachable), show_request_progress(out, FakeClock()) as view:
        view.on_progress(0, 5)
        raise Unreachable("gone")
    assert stderr.getvalue() == "0 of 5 responses are cached\n"
