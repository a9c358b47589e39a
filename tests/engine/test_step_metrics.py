"""The file of steps, and the results made of it."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from ftops.engine.step_metrics import (
    StepMetricsFile,
    StepsMissingError,
    read_steps,
    render_results,
    result_columns,
)
from ftops.engine.trainer import StepMetrics


def step(number: int, valid_loss: float | None = None) -> StepMetrics:
    return StepMetrics(
        step=number,
        total_steps=9,
        epoch=(number + 2) // 3,
        elapsed_examples=2 * number,
        elapsed_tokens=10 * number,
        train_loss=1 / number,
        train_token_accuracy=0.5,
        train_sequence_accuracy=0.25,
        valid_loss=valid_loss,
    )


def test_steps_come_back_after_a_death_and_repeated_ones_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "steps.csv"
    with StepMetricsFile(path) as steps:
        assert [steps.add(step(n)) for n in (1, 2, 3)] == [True, True, True]
    before = path.read_bytes()
    path.write_bytes(before + b"4,2,40")  # a line that a death cut off
    with StepMetricsFile(path) as steps:
        assert steps.last_step == 3
        assert [steps.add(step(n)) for n in (2, 3, 4)] == [False, False, True]
    assert path.read_bytes().startswith(before)
    assert [row[0] for row in read_steps(path)] == ["1", "2", "3", "4"]


def test_a_gap_is_noticed(tmp_path: Path) -> None:
    with StepMetricsFile(tmp_path / "steps.csv") as steps:
        steps.add(step(1))
        with pytest.raises(StepsMissingError):
            steps.add(step(3))


def test_the_results_have_a_header_all_steps_and_extra_figures_in_the_last_row(
    tmp_path: Path,
) -> None:
    with StepMetricsFile(tmp_path / "steps.csv") as steps:
        steps.add(step(1))
        steps.add(step(2, valid_loss=0.75))
    text = render_results(
        read_steps(tmp_path / "steps.csv"),
        {"classification/accuracy": 0.5},
        result_columns([], by_preference=False),
    )
    first, last = csv.DictReader(text.splitlines())
    assert text.startswith("step,epoch,elapsed_tokens,elapsed_examples,train_loss,train_accuracy,")
    assert (first["valid_loss"], first["classification/accuracy"]) == ("", "")
    assert (last["valid_loss"], last["classification/accuracy"]) == ("0.75", "0.5")
    assert float(last["train_loss"]) == 0.5


def test_the_learning_rate_is_a_column_where_the_trainer_reports_it(tmp_path: Path) -> None:
    with StepMetricsFile(tmp_path / "steps.csv") as steps:
        steps.add(replace(step(1), learning_rate=2e-4, tokens_per_second=9.5, memory_bytes=1))
    rows = read_steps(tmp_path / "steps.csv")
    columns = result_columns(rows, by_preference=False)
    (row,) = csv.DictReader(render_results(rows, {}, columns).splitlines())
    assert row["learning_rate"] == "0.0002"
    assert not {"tokens_per_second", "memory_bytes"} & set(row)  # they differ after a resume
    older = [cells[:-1] for cells in rows]
    assert "learning_rate" not in result_columns(older, by_preference=False)
