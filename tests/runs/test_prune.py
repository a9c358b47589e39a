"""Pruning old runs: which runs and files are deleted, and what is kept."""

from datetime import timedelta

import pytest

from ftops.errors import Rejected, Unreachable
from ftops.records import ProviderSettings, Run, RunStatus, Stage
from ftops.run_folder import PRUNED_PREFIX, RunFolder, hold_run
from ftops.runs.open_run import cancel_run, open_run
from ftops.runs.prune import Criteria, Pruner, PruneResult, PruneStatus, Selection, select
from tests.runs.bench import Bench, write_rows

ALL = Criteria(timedelta(0))
MONTH = timedelta(days=30)


def select_runs(bench: Bench, criteria: Criteria = ALL) -> Selection:
    return select(bench.ledger, bench.home, bench.clock.now(), criteria)


def prune(bench: Bench, selection: Selection | None = None) -> list[PruneResult]:
    """Prune the selected runs; the results, those of interrupted prunes first."""
    selection = selection or select_runs(bench)
    pruner = Pruner(bench.ledger, bench.home, selection.made_at, lambda _settings: bench.provider)
    finished = [result for _, result in pruner.finish(selection)]
    return finished + [pruner.prune(artifacts) for artifacts in selection.artifacts]


def list_uploads(bench: Bench) -> list[str]:
    return [file.id for file in bench.provider.list_files() if file.purpose == "fine-tune"]


def run_named_job(bench: Bench, name: str, *, rows: int = 4) -> Run:
    """A run with its own data."""
    job = bench.write_job(name=name, validation_file=None)
    write_rows(bench.folder / "train.jsonl", [(f"{name} {n}\n\n", f" {n}") for n in range(rows)])
    bench.clock.advance(1)
    return bench.run(job)


def test_only_runs_that_ended_long_enough_ago_are_selected(bench: Bench) -> None:
    old = run_named_job(bench, "old")
    bench.clock.advance(MONTH.total_seconds())
    run_named_job(bench, "young")
    open_run(bench.write_job(name="open"), bench.context)
    selection = select_runs(bench, Criteria(MONTH))
    assert [artifacts.run.id for artifacts in selection.artifacts] == [old.id]
    assert select_runs(bench, Criteria(2 * MONTH)).artifacts == ()


def test_the_last_runs_of_each_name_can_be_kept(bench: Bench) -> None:
    first, second = run_named_job(bench, "one"), run_named_job(bench, "one", rows=5)
    other = run_named_job(bench, "other")
    selection = select_runs(bench, Criteria(timedelta(0), keep_last=1))
    assert [artifacts.run.id for artifacts in selection.artifacts] == [first.id]
    all_ids = [artifacts.run.id for artifacts in select_runs(bench).artifacts]
    assert all_ids == [first.id, second.id, other.id]


def test_a_selection_has_local_and_remote_bytes_and_changes_nothing(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    before = bench.provider.count("store"), list(bench.home.rglob("*"))
    (artifacts,) = select_runs(bench).artifacts
    folder = RunFolder.of(bench.home, run.id).path
    assert artifacts.folder_bytes == sum(
        path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != "lock"
    )
    assert artifacts.upload_bytes == bench.detail(run, Stage.UPLOAD)["bytes"]
    assert artifacts.models == ()
    assert (bench.provider.count("store"), list(bench.home.rglob("*"))) == before


def test_a_pruned_run_keeps_its_history_and_nothing_else(bench: Bench) -> None:
    job = bench.write_job()
    run = bench.run(job)
    (result,) = prune(bench)
    assert (result.status, len(result.deleted), result.kept) == (PruneStatus.PRUNED, 2, ())
    assert list_uploads(bench) == []
    assert not RunFolder.of(bench.home, run.id).path.exists()
    after = bench.ledger.get_run(run.id)
    assert (after.status, after.pruned_at) == (RunStatus.SUCCEEDED, bench.clock.now())
    assert len(bench.ledger.list_events(run.id)) == 4
    deletions = [c for c in bench.ledger.list_calls(run.id) if c.name == "delete_file"]
    assert [call.state for call in deletions] == ["done", "done"]
    assert select_runs(bench).artifacts == ()
    assert bench.provider.list_models()  # models are kept unless requested


def test_a_pruned_run_is_still_finished_and_a_new_run_uploads_again(bench: Bench) -> None:
    job = bench.write_job()
    run = bench.run(job)
    prune(bench)
    repeated = bench.run(job)
    assert (repeated.id, bench.provider.count("create_job")) == (run.id, 1)
    assert select_runs(bench).artifacts == ()  # showing a run leaves nothing to prune
    fresh = bench.run(job, new=True)
    assert fresh.status is RunStatus.SUCCEEDED
    assert bench.provider.count("upload_file") == 4


def test_evaluating_a_pruned_run_fetches_its_results_again(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    prune(bench)
    repeated = bench.run(bench.write_job(evaluate={"max_rows": 2}))
    assert (repeated.id, repeated.status, repeated.pruned_at) == (run.id, RunStatus.SUCCEEDED, None)
    names = {path.name for path in RunFolder.of(bench.home, run.id).path.iterdir()}
    assert {"results.csv", "predictions", "job.yaml"} <= names


def test_a_pruned_failed_run_can_be_retried(bench: Bench) -> None:
    bench.provider.statuses = ("queued", "failed")
    job = bench.write_job()
    with pytest.raises(Exception, match="failed"):
        bench.run(job)
    prune(bench)
    bench.provider.statuses = ("queued", "succeeded")
    repeated = bench.run(job, retry=True)
    assert (repeated.status, repeated.pruned_at) == (RunStatus.SUCCEEDED, None)
    assert len(list_uploads(bench)) == 2


def test_a_shared_file_is_deleted_with_the_last_run_that_needs_it(bench: Bench) -> None:
    first = bench.run(bench.write_job())
    bench.clock.advance(MONTH.total_seconds())
    second = bench.run(bench.write_job(seed=7))
    assert bench.provider.count("upload_file") == 2
    (only,) = select_runs(bench, Criteria(MONTH)).artifacts
    assert (only.run.id, only.uploads) == (first.id, ())
    assert prune(bench, select_runs(bench, Criteria(MONTH)))[0].status is PruneStatus.PRUNED
    assert len(list_uploads(bench)) == 2
    (last,) = select_runs(bench).artifacts
    assert (last.run.id, len(last.uploads)) == (second.id, 2)
    prune(bench)
    assert list_uploads(bench) == []


def test_two_runs_that_share_a_file_are_pruned_together(bench: Bench) -> None:
    bench.run(bench.write_job())
    bench.clock.advance(1)
    second = bench.run(bench.write_job(seed=7))
    selection = select_runs(bench)
    assert [len(artifacts.uploads) for artifacts in selection.artifacts] == [0, 2]
    assert selection.artifacts[1].run.id == second.id
    prune(bench, selection)
    assert list_uploads(bench) == []


def test_a_running_run_and_its_shared_files_are_kept(bench: Bench) -> None:
    first = bench.run(bench.write_job())
    bench.clock.advance(1)
    bench.run(bench.write_job(seed=7))
    with hold_run(first, bench.home) as is_held:
        assert is_held
        skipped, pruned = prune(bench)
    assert (skipped.status, skipped.message) == (PruneStatus.SKIPPED, "another process drives it")
    assert (pruned.status, pruned.deleted, len(pruned.kept)) == (PruneStatus.PRUNED, (), 2)
    assert RunFolder.of(bench.home, first.id).path.is_dir()
    assert len(list_uploads(bench)) == 2
    prune(bench)
    assert list_uploads(bench) == []


def test_a_run_reopened_after_the_selection_is_kept(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    selection = select_runs(bench)
    bench.ledger.reopen_run(run, ())
    (result,) = prune(bench, selection)
    assert result.status is PruneStatus.SKIPPED
    assert "opened again" in result.message
    assert RunFolder.of(bench.home, run.id).path.is_dir()


def test_a_file_needed_by_a_run_since_the_selection_is_kept(bench: Bench) -> None:
    bench.run(bench.write_job())
    selection = select_runs(bench)
    bench.clock.advance(1)
    bench.run(bench.write_job(seed=7))
    (result,) = prune(bench, selection)
    assert (result.status, result.deleted, len(result.kept)) == (PruneStatus.PRUNED, (), 2)
    assert len(list_uploads(bench)) == 2


def test_files_that_ftops_did_not_upload_are_never_deleted(bench: Bench) -> None:
    data = bench.folder / "mine.jsonl"
    write_rows(data, [("a\n\n", " 1"), ("b\n\n", " 2")])
    mine = bench.provider.upload_file(data, filename="mine.jsonl", on_bytes=lambda *_: None)
    bench.run(bench.write_job(training_file=mine.id, validation_file=None))
    (result,) = prune(bench)
    assert (result.status, result.deleted) == (PruneStatus.PRUNED, ())
    assert list_uploads(bench) == [mine.id]


def test_a_file_named_by_id_in_a_job_file_is_kept(bench: Bench) -> None:
    first = bench.run(bench.write_job(validation_file=None))
    file_id = str(bench.detail(first, Stage.UPLOAD)["training_file"])
    bench.run(bench.write_job(training_file=file_id, validation_file=None))
    prune(bench)
    assert list_uploads(bench) == [file_id]


def test_a_file_uploaded_by_another_ledger_is_kept(bench: Bench) -> None:
    job = bench.write_job()
    run = bench.run(job)
    stranger = Bench(bench.folder / "stranger", bench.clock)
    stranger.provider = bench.provider
    stranger.run(stranger.write_job())
    assert bench.provider.count("upload_file") == 2  # the others are found by name
    (result,) = prune(stranger)
    stranger.ledger.close()
    assert (result.status, result.deleted) == (PruneStatus.PRUNED, ())
    assert len(list_uploads(bench)) == 2
    assert bench.ledger.get_run(run.id).pruned_at is None


def test_models_are_deleted_only_on_request(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    selection = select_runs(bench, Criteria(timedelta(0), models=True))
    assert [model.name for model in selection.artifacts[0].models] == [run.fine_tuned_model]
    prune(bench, selection)
    assert bench.provider.count("delete_model") == 1
    model = bench.ledger.find_model(str(run.fine_tuned_model))
    assert model is not None
    assert model.deleted_at is not None
    assert select_runs(bench, Criteria(timedelta(0), models=True)).artifacts == ()


def test_the_base_model_of_an_open_run_is_kept(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    open_run(bench.write_job(model=run.fine_tuned_model), bench.context)
    (artifacts,) = select_runs(bench, Criteria(timedelta(0), models=True)).artifacts
    assert artifacts.models == ()


def test_a_local_prune_sends_nothing_and_uploads_can_be_deleted_later(bench: Bench) -> None:
    run = bench.run(bench.write_job())

    def never(_settings: ProviderSettings) -> object:
        raise AssertionError("a provider was opened")

    selection = select_runs(bench, Criteria(timedelta(0), local_only=True))
    pruner = Pruner(bench.ledger, bench.home, selection.made_at, never)  # type: ignore[arg-type]
    (result,) = [pruner.prune(artifacts) for artifacts in selection.artifacts]
    assert result.status is PruneStatus.PRUNED
    assert not RunFolder.of(bench.home, run.id).path.exists()
    assert len(list_uploads(bench)) == 2
    prune(bench)
    assert list_uploads(bench) == []


def test_an_unreachable_provider_is_tried_once_and_its_runs_are_kept(bench: Bench) -> None:
    runs = [run_named_job(bench, "one"), run_named_job(bench, "two")]
    selection = select_runs(bench)
    opened: list[ProviderSettings] = []

    def fail(settings: ProviderSettings) -> object:
        opened.append(settings)
        raise Unreachable("no network")

    pruner = Pruner(bench.ledger, bench.home, selection.made_at, fail)  # type: ignore[arg-type]
    results = [pruner.prune(artifacts) for artifacts in selection.artifacts]
    assert [result.status for result in results] == [PruneStatus.FAILED, PruneStatus.FAILED]
    assert "no network" in results[0].message
    assert len(opened) == 1
    assert all(RunFolder.of(bench.home, run.id).path.is_dir() for run in runs)
    assert len(select_runs(bench).artifacts) == 2


def test_a_run_without_remote_files_is_pruned_while_the_provider_is_unreachable(
    bench: Bench,
) -> None:
    job = bench.write_job()
    run = cancel_run(open_run(job, bench.context), bench.context)
    bench.provider.fail("ensure_ready", Unreachable("no network"))
    assert [result.status for result in prune(bench)] == [PruneStatus.PRUNED]
    assert not RunFolder.of(bench.home, run.id).path.exists()


def lose_response(bench: Bench, *, effect: bool) -> None:
    """Lose the response to the next deletion of a file."""
    if effect:
        bench.provider.loses_response_of = {"delete_file"}
    else:
        bench.provider.fail("delete_file", Unreachable("reset"))


@pytest.mark.parametrize("effect", [True, False])
def test_a_deletion_with_a_lost_response_is_completed_by_the_next_prune(
    bench: Bench, effect: bool
) -> None:
    run = bench.run(bench.write_job())
    lose_response(bench, effect=effect)
    (failed,) = prune(bench)
    assert failed.status is PruneStatus.FAILED
    assert bench.ledger.get_run(run.id).pruned_at is None
    # A started deletion is completed with any criteria.
    later = select_runs(bench, Criteria(MONTH))
    assert (len(later.calls), later.artifacts) == (1, ())
    assert [result.status for result in prune(bench, later)] == [PruneStatus.PRUNED]
    assert len(list_uploads(bench)) == 1
    assert [result.status for result in prune(bench)] == [PruneStatus.PRUNED]
    assert list_uploads(bench) == []
    calls = [c.state for c in bench.ledger.list_calls(run.id) if c.name == "delete_file"]
    assert calls == ["done", "done"]


def test_a_refused_deletion_keeps_the_file_and_the_run(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    bench.provider.fail("delete_file", Rejected("it is in use", status=409))
    (result,) = prune(bench)
    assert result.status is PruneStatus.FAILED
    assert "is in use" in result.message
    assert RunFolder.of(bench.home, run.id).path.is_dir()
    assert [result.status for result in prune(bench)] == [PruneStatus.PRUNED]
    assert list_uploads(bench) == []


def test_a_file_being_deleted_is_not_used_by_a_new_run(bench: Bench) -> None:
    job = bench.write_job()
    bench.run(job)
    lose_response(bench, effect=False)
    prune(bench)
    doubtful = select_runs(bench).calls[0].request["id"]
    fresh = bench.run(job, new=True)
    detail = bench.detail(fresh, Stage.UPLOAD)
    assert doubtful not in (detail["training_file"], detail["validation_file"])
    prune(bench, select_runs(bench, Criteria(MONTH)))
    assert bench.provider.get_file(str(detail["training_file"]))


def test_a_partly_removed_folder_is_removed_with_any_criteria(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    pending_delete = bench.home / "runs" / f"{PRUNED_PREFIX}{run.id}"
    RunFolder.of(bench.home, run.id).path.rename(pending_delete)
    selection = select_runs(bench, Criteria(MONTH))
    assert (selection.folders, selection.artifacts) == ((pending_delete,), ())
    assert [result.status for result in prune(bench, selection)] == [PruneStatus.PRUNED]
    assert not pending_delete.exists()
