"""Parallel runs: a table on a terminal, lines in a pipe, nothing in quiet mode."""

import io

from ftops.cli.output import Mode, Output
from ftops.cli.run_all import MultiRunView, show_runs
from ftops.errors import RunError
from ftops.records import Stage
from ftops.runs.parallel import TaskResult


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def get_output(mode: Mode, stdout: io.StringIO) -> str:
    view = MultiRunView(Output(mode, stdout=stdout, stderr=io.StringIO()), ["a.yaml", "b.yaml"])
    with show_runs(view):
        view.observe(0).on_stage_start(Stage.UPLOAD, 1)
        view.observe(0).on_progress(Stage.UPLOAD, 500, 1000, "bytes")
        view.refresh()
        view.end(1, TaskResult(error=RunError("no [bold]luck\x1b[2J\nand more")))
        view.refresh()
    return stdout.getvalue()


def test_a_terminal_gets_a_live_table_and_no_lines() -> None:
    shown = get_output(Mode.HUMAN, Terminal())
    assert "upload: 500 B of 1.0 kB" in shown
    assert "no [bold]luck\\x1b[2J" in shown
    assert "\x1b[2J" not in shown
    assert "b.yaml: failed" not in shown


def test_a_pipe_gets_lines_for_important_events_and_quiet_prints_nothing() -> None:
    assert get_output(Mode.HUMAN, io.StringIO()) == "b.yaml: failed  no [bold]luck\\x1b[2J\n"
    assert get_output(Mode.QUIET, io.StringIO()) == ""
