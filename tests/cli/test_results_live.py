"""The training curve of a running job: a plot on a terminal, lines elsewhere."""

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

from ftops.cli.output import Mode, Output
from ftops.cli.results import LiveCurve, show_curve
from ftops.ledger.ledger import Ledger
from ftops.records import JobEvent, Stage, StageRecord, StageStatus
from tests.cli.test_progress import ClosedPipe, Terminal
from tests.cli.test_show import RUN, render

NOW = datetime(2026, 11, 22, 14, 7, tzinfo=UTC)


def event(step: int, **figures: float) -> JobEvent:
    data = {"step": step, "total_steps": 100, "train_loss": 2 / step, **figures}
    return JobEvent(f"e{step}", NOW, "info", f"Step {step}", "metrics", {**data})


def get_output(stdout: io.StringIO, mode: Mode, stored: Sequence[JobEvent] = ()) -> str:
    ledger = cast(Ledger, SimpleNamespace(list_events=lambda _run_id: stored))
    with show_curve(Output(mode, stdout=stdout, stderr=io.StringIO()), ledger, RUN) as observer:
        observer.on_stage_start(Stage.FOLLOW, 1)
        observer.on_job_status("running")
        for step in range(1, 101):
            observer.on_event(event(step, **({"valid_loss": 1.5} if step == 33 else {})))
        observer.on_event(JobEvent("w", NOW, "warn", "Only 3 rows left."))
        observer.on_stage_end(StageRecord(Stage.FOLLOW, StageStatus.SUCCEEDED, 1, NOW, NOW))
    return stdout.getvalue()


def test_a_pipe_gets_some_twenty_lines_and_each_validation() -> None:
    lines = get_output(io.StringIO(), Mode.HUMAN).splitlines()
    steps = [line for line in lines if line.startswith("step ")]
    assert 15 <= len(steps) <= 25
    assert "step 33 of 100  training loss 0.0606  validation loss 1.5000" in steps
    assert steps[-1].startswith("step 100 of 100")
    assert any("Only 3 rows left." in line for line in lines)


def test_a_terminal_gets_a_curve_and_no_lines_of_steps() -> None:
    shown = get_output(Terminal(), Mode.HUMAN)
    assert "loss (nats per token)" in shown
    assert "step 100 of 100" in shown  # in the title
    assert "step 33 of 100" not in shown


def test_quiet_mode_prints_nothing() -> None:
    assert get_output(io.StringIO(), Mode.QUIET) == ""


def test_stored_events_are_in_the_curve_and_not_printed_again() -> None:
    out = Output(Mode.HUMAN, stdout=io.StringIO(), stderr=io.StringIO())
    curve = LiveCurve(out, RUN)
    assert "no metrics yet" in render(curve.render())
    for step in range(1, 51):
        curve.add(event(step))
    shown = render(curve.render())
    assert "step 50 of 100" in shown
    assert cast(io.StringIO, out.stdout).getvalue() == ""
    assert max(map(len, shown.splitlines())) <= 80


def test_a_closed_pipe_does_not_end_the_run() -> None:
    get_output(ClosedPipe(), Mode.HUMAN)
