"""A curve that grows while the job runs: drawn on a terminal, told in lines elsewhere."""

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

from ftops.cli.output import Mode, Output
from ftops.cli.results import LiveCurve, show_curve
from ftops.ledger.ledger import Ledger
from ftops.records import JobEvent, Stage, StageRecord, StageStatus
from tests.cli.test_progress import Closed, Terminal
from tests.cli.test_show import RUN, render

NOW = datetime(2026, 11, 22, 14, 7, tzinfo=UTC)


def event(step: int, **figures: float) -> JobEvent:
    data = {"step": step, "total_steps": 100, "train_loss": 2 / step, **figures}
    return JobEvent(f"e{step}", NOW, "info", f"Step {step}", "metrics", {**data})


def follow(stdout: io.StringIO, mode: Mode, known: Sequence[JobEvent] = ()) -> str:
    ledger = cast(Ledger, SimpleNamespace(list_events=lambda _run_id: known))
    with show_curve(Output(mode, stdout=stdout, stderr=io.StringIO()), ledger, RUN) as observer:
        observer.on_stage_start(Stage.FOLLOW, 1)
        observer.on_job_status("running")
        for step in range(1, 101):
            observer.on_event(event(step, **({"valid_loss": 1.5} if step == 33 else {})))
        observer.on_event(JobEvent("w", NOW, "warn", "Only 3 rows left."))
        observer.on_stage_end(StageRecord(Stage.FOLLOW, StageStatus.SUCCEEDED, 1, NOW, NOW))
    return stdout.getvalue()


def test_a_pipe_gets_some_twenty_lines_and_each_validation() -> None:
    lines = follow(io.StringIO(), Mode.HUMAN).splitlines()
    steps = [line for line in lines if line.startswith("step ")]
    assert 15 <= len(steps) <= 25
    assert "step 33 of 100  training loss 0.0606  validation loss 1.5000" in steps
    assert steps[-1].startswith("step 100 of 100")
    assert any("Only 3 rows left." in line for line in lines)


def test_a_terminal_sees_a_curve_and_no_lines_of_steps() -> None:
    shown = follow(Terminal(), Mode.HUMAN)
    assert "loss (nats per token)" in shown
    assert "step 100 of 100" in shown  # in the title
    assert "step 33 of 100" not in shown


def test_the_quiet_mode_tells_nothing() -> None:
    assert follow(io.StringIO(), Mode.QUIET) == ""


def test_what_the_ledger_knows_already_is_in_the_curve_and_not_told_again() -> None:
    out = Output(Mode.HUMAN, stdout=io.StringIO(), stderr=io.StringIO())
    curve = LiveCurve(out, RUN)
    assert "no metrics yet" in render(curve.render())
    for step in range(1, 51):
        curve.add(event(step))
    shown = render(curve.render())
    assert "step 50 of 100" in shown
    assert cast(io.StringIO, out.stdout).getvalue() == ""
    assert max(map(len, shown.splitlines())) <= 80


def test_a_closed_pipe_ends_no_run() -> None:
    follow(Closed(), Mode.HUMAN)
