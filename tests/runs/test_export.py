"""Tools are told of a run when it has ended: once, whatever happens to the commands."""

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


class Died(BaseException):
    """The process ends here, as by a kill: nothing behind it runs."""


@dataclass
class Archive:
    """Remembers what it was told; `acts` happen first, one a telling."""

    told: list[tuple[RunData, ExportTarget]] = field(default_factory=list)
    acts: list[Callable[[], None]] = field(default_factory=list)

    def export(self, run: RunData, target: ExportTarget) -> str:
        if self.acts:
            self.acts.pop(0)()
        self.told.append((run, target))
        return f"at {target.tool}"

    @property
    def statuses(self) -> list[str]:
        return [run.status for run, _ in self.told]


@pytest.fixture
def archive() -> Archive:
    return Archive()


@pytest.fixture
def context(bench: Bench, archive: Archive) -> RunContext:
    return dataclasses.replace(bench.context, exporter=archive)


def run_job(context: RunContext, job: LoadedJob, *, retry: bool = False) -> Run:
    return drive(open_run(job, context, retry=retry), context)


def die() -> None:
    raise Died


def refuse() -> None:
    raise ExportFailed("export: mlflow is away")


def calls(bench: Bench, run: Run) -> list[tuple[str, str | None]]:
    found = bench.ledger.list_calls(run.id)
    return [(call.state, call.remote_id) for call in found if call.name == "export"]


def test_each_tool_is_told_once_when_the_run_has_ended(
    bench: Bench, context: RunContext, archive: Archive
) -> None:
    job = bench.write_job(export=BOTH)
    run = run_job(context, job)
    (first, mlflow), (second, file) = archive.told
    assert mlflow == ExportTarget("mlflow", {}, job.path.parent)
    assert file == ExportTarget("json", {"file": "out.json"}, job.path.parent)
    assert first == second
    assert (first.status, first.lineage.model) == ("succeeded", run.fine_tuned_model)
    assert {curve.name for curve in first.curves} >= {"train_loss"}
    assert first.metrics[0].metric == "exact_match"
    assert first.lineage.training_file_id
    assert calls(bench, run) == [("done", "at mlflow"), ("done", "at json")]
    assert bench.seen.notes[-1] == "json has this run: at json"
    for _ in range(2):
        run_job(context, job)
    assert len(archive.told) == 2


def test_without_a_wish_no_tool_is_told(
    bench: Bench, context: RunContext, archive: Archive
) -> None:
    run = run_job(context, bench.write_job())
    assert (archive.told, calls(bench, run)) == ([], [])


def test_a_failed_run_and_its_second_try_are_told(
    bench: Bench, context: RunContext, archive: Archive
) -> None:
    bench.provider.statuses = ("queued", "failed")
    job = bench.write_job(export=["mlflow"])
    with pytest.raises(JobFailed):
        run_job(context, job)
    bench.provider.statuses = ("queued", "succeeded")
    run_job(context, job, retry=True)
    assert archive.statuses == ["failed", "succeeded"]
    assert archive.told[0][0].lineage.training_sha256


def test_a_cancelled_run_is_told(bench: Bench, context: RunContext, archive: Archive) -> None:
    run = drive(open_run(bench.write_job(export=["mlflow"]), context), context, detach=True)
    assert archive.told == []
    cancel_run(run, context)
    assert archive.statuses == ["cancelled"]
    with pytest.raises(JobCancelled):
        drive(run, context)


def test_another_evaluation_is_told_of_the_same_run(
    bench: Bench, context: RunContext, archive: Archive
) -> None:
    first = run_job(context, bench.write_job(export=["mlflow"]))
    again = run_job(context, bench.write_job(export=["mlflow"], evaluate={"max_rows": 1}))
    assert first.id == again.id
    assert [run.metrics[0].rows for run, _ in archive.told] == [3, 1]


def test_a_tool_that_fails_ends_no_run_and_is_told_with_what_tells_it_later(
    bench: Bench, context: RunContext, archive: Archive
) -> None:
    archive.acts = [refuse]
    job = bench.write_job(export=BOTH)
    run = run_job(context, job)
    assert run.status is RunStatus.SUCCEEDED
    assert [target.tool for _, target in archive.told] == ["json"]
    assert f"export: mlflow is away; `ftops export {run.id} --to mlflow` exports it later" in (
        bench.seen.notes
    )
    run_job(context, job)
    assert len(archive.told) == 1
    assert [state for state, _ in calls(bench, run)] == ["failed", "done"]


def test_what_a_dead_command_left_is_told_by_the_next(
    bench: Bench, context: RunContext, archive: Archive
) -> None:
    archive.acts = [lambda: None, die]
    job = bench.write_job(export=BOTH)
    with pytest.raises(Died):
        run_job(context, job)
    run = run_job(context, job)
    assert [target.tool for _, target in archive.told] == ["mlflow", "json"]
    assert [state for state, _ in calls(bench, run)] == ["done", "done"]
    run_job(context, job)
    assert len(archive.told) == 2


def test_a_run_that_exists_can_be_told_later(
    bench: Bench, context: RunContext, archive: Archive
) -> None:
    run = run_job(context, bench.write_job())
    target = ExportTarget("json", {}, bench.folder)
    for _ in range(2):
        location = export_now(run, bench.ledger, bench.home, archive, target)
    assert (location, len(archive.told)) == ("at json", 2)
    assert calls(bench, run) == [("done", "at json")] * 2


def test_what_a_dead_command_left_open_is_closed_by_telling_the_same_tool_again(
    bench: Bench, context: RunContext, archive: Archive
) -> None:
    run = run_job(context, bench.write_job())
    target = ExportTarget("mlflow", {}, bench.folder)
    archive.acts = [die]
    with pytest.raises(Died):
        export_now(run, bench.ledger, bench.home, archive, target)
    export_now(run, bench.ledger, bench.home, archive, target)
    assert calls(bench, run) == [("done", "at mlflow")]


def test_a_run_that_somebody_drives_is_not_told_beside(
    bench: Bench, context: RunContext, archive: Archive
) -> None:
    run = run_job(context, bench.write_job())
    target = ExportTarget("json", {}, bench.folder)
    with hold_run(run, bench.home), pytest.raises(ExportFailed, match="another process"):
        export_now(run, bench.ledger, bench.home, archive, target)
    assert (archive.told, calls(bench, run)) == ([], [])


def test_a_run_that_has_not_ended_is_told_to_nobody(
    bench: Bench, context: RunContext, archive: Archive
) -> None:
    job = bench.write_job(export=["mlflow"])
    run = drive(open_run(job, context), context, detach=True)
    (target,) = list_export_targets(job.spec, run.job_file)
    with pytest.raises(ExportFailed, match="running: a run is exported when it has ended"):
        export_now(run, bench.ledger, bench.home, archive, target)
    assert archive.told == []


def test_a_real_file_is_written_beside_the_job_file(bench: Bench) -> None:
    context = dataclasses.replace(bench.context, exporter=SubprocessExporter({}))
    run = run_job(context, bench.write_job(export=[{"json": {"file": "out.json"}}]))
    document = json.loads((bench.folder / "out.json").read_text())
    assert document["id"] == run.id
    assert [Path(path).name for path in document["files"]] == [
        "job.yaml", "results.csv", "evaluation.json",
    ]  # fmt: skip
