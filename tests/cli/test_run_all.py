"""Many runs on one screen: a table on a terminal, lines in a pipe, nothing when nobody looks."""

import io

from ftops.cli.output import Mode, Output
from ftops.cli.run_all import MultiRunView, show_runs
from ftops.errors import RunError
from ftops.records import Stage
from ftops.runs.parallel import TaskResult


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def play(mode: Mode, stdout: io.StringIO) -> str:
    board = MultiRunView(Output(mode, stdout=stdout, stderr=io.StringIO()), ["a.yaml", "b.yaml"])
    with show_runs(board):
        board.observe(0).on_stage_start(Stage.UPLOAD, 1)
        board.observe(0).on_progress(Stage.UPLOAD, 500, 1000, "bytes")
        board.refresh()
        board.end(1, TaskResult(error=RunError("no [bold]luck\x1b[2J\nand more")))
        board.refresh()
    return stdout.getvalue()


def test_a_terminal_gets_a_table_that_is_drawn_anew_and_no_lines() -> None:
    shown = play(Mode.HUMAN, Terminal())
    assert "upload: 500 B of 1.0 kB" in shown
    assert "no [bold]luck\\x1b[2J" in shown
    assert "\x1b[2J" not in shown
    assert "b.yaml: failed" not in shown


def test_a_pipe_gets_a_line_for_what_matters_and_quiet_nothing() -> None:
    assert play(Mode.HUMAN, io.StringIO()) == "b.yaml: failed  no [bold]luck\\x1b[2J\n"
    assert play(Mode.QUIET, io.StringIO()) == ""
