"""`ftops results`: one run or several, as curve, findings, table and files."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftops.cli.training_view import choose_loss
from ftops.errors import JobCancelled
from ftops.records import Checkpoint, Run
from ftops.reports.results import ResultRow, parse_results, render_csv
from ftops.reports.training import create_training
from tests.cli.running import ftops
from tests.reports.training_curves import decay, make_training
from tests.runs.bench import Bench


def rising(share: float) -> float:
    return decay(2.1, 0.6, 6.0)(share) + max(0.0, share - 1 / 3) * 0.6


OVER_FITTED = make_training(decay(2.0, 0.05, 5.0), rising, is_full=True, valid_every=30, epochs=10)
CLEAN = make_training(
    decay(2.0, 0.4, 6.0), decay(2.1, 0.6, 6.0), is_full=True, valid_every=30, epochs=10
)


@pytest.fixture
def runs(temporary_home: Path, tmp_path: Path) -> Iterator[tuple[Run, Run]]:
    """Two finished runs: an overfitted one with a better checkpoint, and one without findings."""
    bench = Bench(tmp_path)
    bench.provider.results = render_csv(OVER_FITTED.rows).encode()
    bench.provider.checkpoints = (
        Checkpoint("c1", 120, "ft:ada:ckpt-step-120"),
        Checkpoint("c2", 270, "ft:ada:ckpt-step-270"),
    )
    over_fitted = bench.run(bench.write_job(validation_file=None))
    bench.provider.results = render_csv(CLEAN.rows).encode()
    bench.provider.checkpoints = ()
    clean = bench.run(bench.write_job(validation_file=None, suffix="other"))
    bench.ledger.close()
    bench.home.rename(temporary_home)
    yield over_fitted, clean


def test_overfitting_is_reported_with_the_better_checkpoint(
    runs: tuple[Run, Run],
) -> None:
    shown = ftops("results", runs[0].id).out
    assert "! overfitting: Validation loss rose from" in shown
    assert "ft:ada:ckpt-step-120" in shown
    assert "┴ end of epoch   ▲ best checkpoint" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_a_run_without_findings_has_no_diagnostics(runs: tuple[Run, Run]) -> None:
    shown = ftops("results", runs[1].id).out
    assert "Training" in shown
    assert "Diagnostics" not in shown


def test_json_has_steps_checkpoints_and_findings(runs: tuple[Run, Run]) -> None:
    document = json.loads(ftops("results", runs[0].id, "--json").out)
    (finding,) = document["findings"]
    assert finding["code"] == "overfitting"
    assert finding["checkpoint"]["model"] == "ft:ada:ckpt-step-120"
    assert (len(document["steps"]), len(document["checkpoints"])) == (300, 2)


def test_several_runs_share_one_curve_and_one_table(runs: tuple[Run, Run]) -> None:
    shown = ftops("results", runs[0].id, runs[1].id).out
    assert "full validation loss" in shown
    assert f"o {runs[0].id}   x {runs[1].id}" in shown
    assert f"Diagnostics of {runs[0].id}" in shown
    assert f"Diagnostics of {runs[1].id}" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    documents = json.loads(ftops("results", runs[0].id, runs[1].id, "--json").out)
    assert [document["run_id"] for document in documents] == [run.id for run in runs]


def test_runs_with_one_full_validation_are_compared_by_their_curves() -> None:
    rows = [ResultRow(step, 2.0 / step, valid_loss=2.5 / step) for step in range(1, 6)]
    rows[-1] = rows[-1]._replace(full_valid_loss=0.6)
    training = create_training(rows)
    assert choose_loss([training, training]) == ("valid_loss", "validation loss")
    short_training = create_training([ResultRow(1, 2.0), ResultRow(2, 1.0, full_valid_loss=0.6)])
    assert choose_loss([short_training, training]) == ("full_valid_loss", "full validation loss")


def test_a_run_without_results_has_its_status_in_the_message(
    temporary_home: Path, tmp_path: Path
) -> None:
    bench = Bench(tmp_path)
    bench.provider.statuses = ("queued", "cancelled")
    with pytest.raises(JobCancelled):
        bench.run(bench.write_job(validation_file=None))
    (run,) = bench.ledger.list_runs()
    bench.ledger.close()
    bench.home.rename(temporary_home)
    shown = ftops("results", run.id).out
    assert f"No results: the run is {run.status.value}. `ftops show {run.id}` shows more." in shown
    assert "step" not in shown


def test_a_duplicate_run_is_shown_once(runs: tuple[Run, Run]) -> None:
    assert ftops("results", runs[0].id, runs[0].id).out == ftops("results", runs[0].id).out


def test_csv_is_the_normalized_table_and_raw_the_file_of_the_provider(
    runs: tuple[Run, Run], tmp_path: Path
) -> None:
    table, raw = tmp_path / "table.csv", tmp_path / "own.csv"
    assert ftops("results", runs[0].id, "--csv", table).code == 0
    assert [row.step for row in parse_results(table.read_bytes())] == list(range(1, 301))
    assert (
        parse_results(table.read_bytes())[-1].tokens_seen == 1234
    )  # the job reports only the total
    assert ftops("results", runs[0].id, "--raw", raw).code == 0
    assert raw.read_bytes() == render_csv(OVER_FITTED.rows).encode()
    assert ftops("results", runs[0].id, "--raw", "-").out.encode() == raw.read_bytes()


def test_csv_of_several_runs_has_the_run_in_each_line(runs: tuple[Run, Run]) -> None:
    lines = ftops("results", runs[0].id, runs[1].id, "--csv", "-").out.splitlines()
    assert lines[0].startswith("run,step,train_loss")
    assert {line.split(",")[0] for line in lines[1:]} == {run.id for run in runs}


@pytest.mark.parametrize(
    "options", [("--follow",), ("--raw", "x.csv"), ("--raw", "x.csv", "--csv", "y.csv")]
)
def test_conflicting_options_are_a_usage_error(
    runs: tuple[Run, Run], options: tuple[str, ...]
) -> None:
    result = ftops("results", runs[0].id, runs[1].id, *options)
    assert result.code == 2
    assert result.out == ""
