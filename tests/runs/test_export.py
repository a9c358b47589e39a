"""An ended run is exported once to each tool, also when commands are killed."""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ftops.errors import ExportFailed, JobCancelled, JobFailed
from ftops.exports.exporter import ExportTarget, SubprocessExporter
from ftops.exports.run_data import RunData
from ftops.records import Run, RunStatus
from ftops.run_folder import hold_run
from ftops.runs.context import RunContext
from ftops.runs.export import export_now, list_export_targets
from ftops.runs.open_run import cancel_run, drive, open_run
from ftops.spec.job_file import LoadedJob
from tests.runs.bench import Bench

BOTH = ["mlflow", {"json": {"file": "out.json"}}]


class Killed(BaseException):
    """The process ends here, as after a kill."""


@dataclass
class FakeExporter:
    """Records its exports; each export first calls the next of `hooks`."""

    exports: list[tuple[RunData, ExportTarget]] = field(default_factory=list)
    hooks: list[Callable[[], None]] = field(default_factory=list)

    def export(self, run: RunData, target: ExportTarget) -> str:
        if self.hooks:
            self.hooks.pop(0)()
        self.exports.append((run, target))
        return f"at {target.tool}"

    @property
    def statuses(self) -> list[str]:
        return [run.status for run, _ in self.exports]


@pytest.fixture
def exporter() -> FakeExporter:
    return FakeExporter()


@pytest.fixture
def context(bench: Bench, exporter: FakeExporter) -> RunContext:
    return dataclasses.replace(bench.context, exporter=exporter)


def run_job(context: RunContext, job: LoadedJob, *, retry: bool = False) -> Run:
    return drive(open_run(job, context, retry=retry), context)


def kill() -> None:
    raise Killed


def refuse() -> None:
    raise ExportFailed("export: mlflow is away")


def list_export_calls(bench: Bench, run: Run) -> list[tuple[str, str | None]]:
    calls = bench.ledger.list_calls(run.id)
    return [(call.state, call.remote_id) for call in calls if call.name == "export"]


def test_an_ended_run_is_exported_once_to_each_tool(
    bench: Bench, context: RunContext, exporter: FakeExporter
) -> None:
    job = bench.write_job(export=BOTH)
    run = run_job(context, job)
    (first, mlflow), (second, file) = exporter.exports
    assert mlflow == ExportTarget("mlflow", {}, job.path.parent)
    assert file == ExportTarget("json", {"file": "out.json"}, job.path.parent)
    assert first == second
    assert (first.status, first.lineage.model) == ("succeeded", run.fine_tuned_model)
    assert {curve.name for curve in first.curves} >= {"train_loss"}
    assert first.metrics[0].metric == "exact_match"
    assert first.lineage.training_file_id
    assert list_export_calls(bench, run) == [("done", "at mlflow"), ("done", "at json")]
    assert bench.recorder.notes[-1] == "json has this run: at json"
    for _ in range(2):
        run_job(context, job)
    assert len(exporter.exports) == 2


def test_without_export_settings_nothing_is_exported(
    bench: Bench, context: RunContext, exporter: FakeExporter
) -> None:
    run = run_job(context, bench.write_job())
    assert (exporter.exports, list_export_calls(bench, run)) == ([], [])


def test_a_failed_run_and_its_retry_are_exported(
    bench: Bench, context: RunContext, exporter: FakeExporter
) -> None:
    bench.provider.statuses = ("queued", "failed")
    job = bench.write_job(export=["mlflow"])
    with pytest.raises(JobFailed):
        run_job(context, job)
    bench.provider.statuses = ("queued", "succeeded")
    run_job(context, job, retry=True)
    assert exporter.statuses == ["failed", "succeeded"]
    assert exporter.exports[0][0].lineage.training_sha256


def test_a_cancelled_run_is_exported(
    bench: Bench, context: RunContext, exporter: FakeExporter
) -> None:
    run = drive(open_run(bench.write_job(export=["mlflow"]), context), context, detach=True)
    assert exporter.exports == []
    cancel_run(run, context)
    assert exporter.statuses == ["cancelled"]
    with pytest.raises(JobCancelled):
        drive(run, context)


def test_another_evaluation_exports_the_run_again(
    bench: Bench, context: RunContext, exporter: FakeExporter
) -> None:
    first = run_job(context, bench.write_job(export=["mlflow"]))
    second = run_job(context, bench.write_job(export=["mlflow"], evaluate={"max_rows": 1}))
    assert first.id == second.id
    assert [run.metrics[0].rows for run, _ in exporter.exports] == [3, 1]


def test_a_failing_tool_ends_no_run_and_is_noted_with_the_command_to_repeat(
    bench: Bench, context: RunContext, exporter: FakeExporter
) -> None:
    exporter.hooks = [refuse]
    job = bench.write_job(export=BOTH)
    run = run_job(context, job)
    assert run.status is RunStatus.SUCCEEDED
    assert [target.tool for _, target in exporter.exports] == ["json"]
    assert f"export: mlflow is away; `ftops export {run.id} --to mlflow` exports it later" in (
        bench.recorder.notes
    )
    run_job(context, job)
    assert len(exporter.exports) == 1
    assert [state for state, _ in list_export_calls(bench, run)] == ["failed", "done"]


def test_the_next_command_exports_what_a_killed_one_did_not(
    bench: Bench, context: RunContext, exporter: FakeExporter
) -> None:
    exporter.hooks = [lambda: None, kill]
    job = bench.write_job(export=BOTH)
    with pytest.raises(Killed):
        run_job(context, job)
    run = run_job(context, job)
    assert [target.tool for _, target in exporter.exports] == ["mlflow", "json"]
    assert [state for state, _ in list_export_calls(bench, run)] == ["done", "done"]
    run_job(context, job)
    assert len(exporter.exports) == 2


def test_an_existing_run_can_be_exported_later(
    bench: Bench, context: RunContext, exporter: FakeExporter
) -> None:
    run = run_job(context, bench.write_job())
    target = ExportTarget("json", {}, bench.folder)
    for _ in range(2):
        location = export_now(run, bench.ledger, bench.home, exporter, target)
    assert (location, len(exporter.exports)) == ("at json", 2)
    assert list_export_calls(bench, run) == [("done", "at json")] * 2


def test_an_open_export_of_a_killed_command_is_closed_by_exporting_again(
    bench: Bench, context: RunContext, exporter: FakeExporter
) -> None:
    run = run_job(context, bench.write_job())
    target = ExportTarget("mlflow", {}, bench.folder)
    exporter.hooks = [kill]
    with pytest.raises(Killed):
        export_now(run, bench.ledger, bench.home, exporter, target)
    export_now(run, bench.ledger, bench.home, exporter, target)
    assert list_export_calls(bench, run) == [("done", "at mlflow")]


def test_a_run_that_another_process_drives_is_not_exported(
    bench: Bench, context: RunContext, exporter: FakeExporter
) -> None:
    run = run_job(context, bench.write_job())
    target = ExportTarget("json", {}, bench.folder)
    with hold_run(run, bench.home), pytest.raises(ExportFailed, match="another process"):
        export_now(run, bench.ledger, bench.home, exporter, target)
    assert (exporter.exports, list_export_calls(bench, run)) == ([], [])


def test_a_run_that_has_not_ended_is_not_exported(
    bench: Bench, context: RunContext, exporter: FakeExporter
) -> None:
    job = bench.write_job(export=["mlflow"])
    run = drive(open_run(job, context), context, detach=True)
    (target,) = list_export_targets(job.spec, run.job_file)
    with pytest.raises(ExportFailed, match="running: a run is exported when it has ended"):
        export_now(run, bench.ledger, bench.home, exporter, target)
    assert exporter.exports == []


def test_a_real_file_is_written_next_to_the_job_file(bench: Bench) -> None:
    context = dataclasses.replace(bench.context, exporter=SubprocessExporter({}))
    run = run_job(context, bench.write_job(export=[{"json": {"file": "out.json"}}]))
    document = json.loads((bench.folder / "out.json").read_text())
    assert document["id"] == run.id
    assert [Path(path).name for path in document["files"]] == [
        "job.yaml", "results.csv", "evaluation.json",
    ]  # fmt: skip
