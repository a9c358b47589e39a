"""Old runs leave their room: which go, what goes with them, and what stays."""

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


def choose(bench: Bench, criteria: Criteria = ALL) -> Selection:
    return select(bench.ledger, bench.home, bench.clock.now(), criteria)


def sweep(bench: Bench, selection: Selection | None = None) -> list[PruneResult]:
    """Prune what is selected; the endings, those of earlier commands' leavings first."""
    selection = selection or choose(bench)
    pruner = Pruner(bench.ledger, bench.home, selection.made_at, lambda _settings: bench.provider)
    finished = [ending for _, ending in pruner.finish(selection)]
    return finished + [pruner.prune(artifacts) for artifacts in selection.artifacts]


def list_uploads(bench: Bench) -> list[str]:
    return [file.id for file in bench.provider.list_files() if file.purpose == "fine-tune"]


def run_named(bench: Bench, name: str, *, rows: int = 4) -> Run:
    """A run of data of its own."""
    job = bench.write_job(name=name, validation_file=None)
    write_rows(bench.folder / "train.jsonl", [(f"{name} {n}\n\n", f" {n}") for n in range(rows)])
    bench.clock.advance(1)
    return bench.run(job)


def test_only_runs_that_ended_long_enough_ago_are_selected(bench: Bench) -> None:
    old = run_named(bench, "old")
    bench.clock.advance(MONTH.total_seconds())
    run_named(bench, "young")
    open_run(bench.write_job(name="open"), bench.context)
    selection = choose(bench, Criteria(MONTH))
    assert [one.run.id for one in selection.artifacts] == [old.id]
    assert choose(bench, Criteria(2 * MONTH)).artifacts == ()


def test_the_last_runs_of_each_name_can_be_kept(bench: Bench) -> None:
    first, second = run_named(bench, "one"), run_named(bench, "one", rows=5)
    other = run_named(bench, "other")
    selection = choose(bench, Criteria(timedelta(0), keep_last=1))
    assert [one.run.id for one in selection.artifacts] == [first.id]
    everything = [one.run.id for one in choose(bench).artifacts]
    assert everything == [first.id, second.id, other.id]


def test_a_selection_tells_the_bytes_here_and_there_and_changes_nothing(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    before = bench.provider.count("store"), list(bench.home.rglob("*"))
    (artifacts,) = choose(bench).artifacts
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
    (ending,) = sweep(bench)
    assert (ending.status, len(ending.deleted), ending.kept) == (PruneStatus.PRUNED, 2, ())
    assert list_uploads(bench) == []
    assert not RunFolder.of(bench.home, run.id).path.exists()
    after = bench.ledger.get_run(run.id)
    assert (after.status, after.pruned_at) == (RunStatus.SUCCEEDED, bench.clock.now())
    assert len(bench.ledger.list_events(run.id)) == 4
    deletions = [c for c in bench.ledger.list_calls(run.id) if c.name == "delete_file"]
    assert [call.state for call in deletions] == ["done", "done"]
    assert choose(bench).artifacts == ()
    assert bench.provider.list_models()  # models stay unless they are asked for


def test_the_same_job_file_is_still_known_as_done_and_new_data_goes_up_again(bench: Bench) -> None:
    job = bench.write_job()
    run = bench.run(job)
    sweep(bench)
    again = bench.run(job)
    assert (again.id, bench.provider.count("create_job")) == (run.id, 1)
    assert choose(bench).artifacts == ()  # to show a run leaves nothing to prune
    fresh = bench.run(job, new=True)
    assert fresh.status is RunStatus.SUCCEEDED
    assert bench.provider.count("upload_file") == 4


def test_a_pruned_run_that_is_evaluated_anew_fetches_its_results_again(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    sweep(bench)
    again = bench.run(bench.write_job(evaluate={"max_rows": 2}))
    assert (again.id, again.status, again.pruned_at) == (run.id, RunStatus.SUCCEEDED, None)
    names = {path.name for path in RunFolder.of(bench.home, run.id).path.iterdir()}
    assert {"results.csv", "predictions", "job.yaml"} <= names


def test_a_pruned_run_that_failed_can_be_tried_again(bench: Bench) -> None:
    bench.provider.statuses = ("queued", "failed")
    job = bench.write_job()
    with pytest.raises(Exception, match="failed"):
        bench.run(job)
    sweep(bench)
    bench.provider.statuses = ("queued", "succeeded")
    again = bench.run(job, retry=True)
    assert (again.status, again.pruned_at) == (RunStatus.SUCCEEDED, None)
    assert len(list_uploads(bench)) == 2


def test_a_shared_file_goes_with_the_last_run_that_needs_it(bench: Bench) -> None:
    first = bench.run(bench.write_job())
    bench.clock.advance(MONTH.total_seconds())
    second = bench.run(bench.write_job(seed=7))
    assert bench.provider.count("upload_file") == 2
    (only,) = choose(bench, Criteria(MONTH)).artifacts
    assert (only.run.id, only.uploads) == (first.id, ())
    assert sweep(bench, choose(bench, Criteria(MONTH)))[0].status is PruneStatus.PRUNED
    assert len(list_uploads(bench)) == 2
    (last,) = choose(bench).artifacts
    assert (last.run.id, len(last.uploads)) == (second.id, 2)
    sweep(bench)
    assert list_uploads(bench) == []


def test_two_runs_that_share_a_file_go_together(bench: Bench) -> None:
    bench.run(bench.write_job())
    bench.clock.advance(1)
    second = bench.run(bench.write_job(seed=7))
    selection = choose(bench)
    assert [len(one.uploads) for one in selection.artifacts] == [0, 2]
    assert selection.artifacts[1].run.id == second.id
    sweep(bench, selection)
    assert list_uploads(bench) == []


def test_a_run_that_is_driven_is_left_and_so_are_the_files_it_shares(bench: Bench) -> None:
    first = bench.run(bench.write_job())
    bench.clock.advance(1)
    bench.run(bench.write_job(seed=7))
    with hold_run(first, bench.home) as held:
        assert held
        skipped, pruned = sweep(bench)
    assert (skipped.status, skipped.message) == (PruneStatus.SKIPPED, "another process drives it")
    assert (pruned.status, pruned.deleted, len(pruned.kept)) == (PruneStatus.PRUNED, (), 2)
    assert RunFolder.of(bench.home, first.id).path.is_dir()
    assert len(list_uploads(bench)) == 2
    sweep(bench)
    assert list_uploads(bench) == []


def test_a_run_that_was_opened_again_after_the_selection_is_left(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    selection = choose(bench)
    bench.ledger.reopen_run(run, ())
    (ending,) = sweep(bench, selection)
    assert ending.status is PruneStatus.SKIPPED
    assert "opened again" in ending.message
    assert RunFolder.of(bench.home, run.id).path.is_dir()


def test_a_run_that_has_come_to_need_the_file_since_the_selection_keeps_it(bench: Bench) -> None:
    bench.run(bench.write_job())
    selection = choose(bench)
    bench.clock.advance(1)
    bench.run(bench.write_job(seed=7))
    (ending,) = sweep(bench, selection)
    assert (ending.status, ending.deleted, len(ending.kept)) == (PruneStatus.PRUNED, (), 2)
    assert len(list_uploads(bench)) == 2


def test_files_that_ftops_did_not_upload_are_never_deleted(bench: Bench) -> None:
    data = bench.folder / "mine.jsonl"
    write_rows(data, [("a\n\n", " 1"), ("b\n\n", " 2")])
    mine = bench.provider.upload_file(data, filename="mine.jsonl", on_bytes=lambda *_: None)
    bench.run(bench.write_job(training_file=mine.id, validation_file=None))
    (ending,) = sweep(bench)
    assert (ending.status, ending.deleted) == (PruneStatus.PRUNED, ())
    assert list_uploads(bench) == [mine.id]


def test_a_file_that_a_job_file_names_by_its_id_stays(bench: Bench) -> None:
    first = bench.run(bench.write_job(validation_file=None))
    file_id = str(bench.detail(first, Stage.UPLOAD)["training_file"])
    bench.run(bench.write_job(training_file=file_id, validation_file=None))
    sweep(bench)
    assert list_uploads(bench) == [file_id]


def test_a_file_that_another_ledger_has_uploaded_stays(bench: Bench) -> None:
    job = bench.write_job()
    run = bench.run(job)
    stranger = Bench(bench.folder / "stranger", bench.clock)
    stranger.provider = bench.provider
    stranger.run(stranger.write_job())
    assert bench.provider.count("upload_file") == 2  # found by their names
    (ending,) = sweep(stranger)
    stranger.ledger.close()
    assert (ending.status, ending.deleted) == (PruneStatus.PRUNED, ())
    assert len(list_uploads(bench)) == 2
    assert bench.ledger.get_run(run.id).pruned_at is None


def test_models_go_only_when_they_are_asked_for(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    selection = choose(bench, Criteria(timedelta(0), models=True))
    assert [model.name for model in selection.artifacts[0].models] == [run.fine_tuned_model]
    sweep(bench, selection)
    assert bench.provider.count("delete_model") == 1
    model = bench.ledger.find_model(str(run.fine_tuned_model))
    assert model is not None
    assert model.deleted_at is not None
    assert choose(bench, Criteria(timedelta(0), models=True)).artifacts == ()


def test_a_model_from_which_an_open_run_starts_stays(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    open_run(bench.write_job(model=run.fine_tuned_model), bench.context)
    (artifacts,) = choose(bench, Criteria(timedelta(0), models=True)).artifacts
    assert artifacts.models == ()


def test_locally_nothing_is_asked_of_a_provider_and_the_uploads_can_go_later(bench: Bench) -> None:
    run = bench.run(bench.write_job())

    def never(_settings: ProviderSettings) -> object:
        raise AssertionError("a provider was opened")

    selection = choose(bench, Criteria(timedelta(0), local_only=True))
    pruner = Pruner(bench.ledger, bench.home, selection.made_at, never)  # type: ignore[arg-type]
    (ending,) = [pruner.prune(one) for one in selection.artifacts]
    assert ending.status is PruneStatus.PRUNED
    assert not RunFolder.of(bench.home, run.id).path.exists()
    assert len(list_uploads(bench)) == 2
    sweep(bench)
    assert list_uploads(bench) == []


def test_a_provider_that_is_away_is_asked_once_and_its_runs_stay_whole(bench: Bench) -> None:
    runs = [run_named(bench, "one"), run_named(bench, "two")]
    selection = choose(bench)
    asked: list[ProviderSettings] = []

    def away(settings: ProviderSettings) -> object:
        asked.append(settings)
        raise Unreachable("no network")

    pruner = Pruner(bench.ledger, bench.home, selection.made_at, away)  # type: ignore[arg-type]
    endings = [pruner.prune(one) for one in selection.artifacts]
    assert [ending.status for ending in endings] == [PruneStatus.FAILED, PruneStatus.FAILED]
    assert "no network" in endings[0].message
    assert len(asked) == 1
    assert all(RunFolder.of(bench.home, run.id).path.is_dir() for run in runs)
    assert len(choose(bench).artifacts) == 2


def test_a_run_without_anything_at_the_provider_is_pruned_while_that_is_away(bench: Bench) -> None:
    job = bench.write_job()
    run = cancel_run(open_run(job, bench.context), bench.context)
    bench.provider.fail("ensure_ready", Unreachable("no network"))
    assert [ending.status for ending in sweep(bench)] == [PruneStatus.PRUNED]
    assert not RunFolder.of(bench.home, run.id).path.exists()


def lose_the_answer(bench: Bench, *, effect: bool) -> None:
    """To the next deletion of a file."""
    if effect:
        bench.provider.loses_answer_to = {"delete_file"}
    else:
        bench.provider.fail("delete_file", Unreachable("reset"))


@pytest.mark.parametrize("effect", [True, False])
def test_a_deletion_whose_answer_was_lost_is_finished_by_the_next_prune(
    bench: Bench, effect: bool
) -> None:
    run = bench.run(bench.write_job())
    lose_the_answer(bench, effect=effect)
    (failed,) = sweep(bench)
    assert failed.status is PruneStatus.FAILED
    assert bench.ledger.get_run(run.id).pruned_at is None
    # Whatever the criteria are now: it was begun.
    later = choose(bench, Criteria(MONTH))
    assert (len(later.calls), later.artifacts) == (1, ())
    assert [ending.status for ending in sweep(bench, later)] == [PruneStatus.PRUNED]
    assert len(list_uploads(bench)) == 1
    assert [ending.status for ending in sweep(bench)] == [PruneStatus.PRUNED]
    assert list_uploads(bench) == []
    calls = [c.state for c in bench.ledger.list_calls(run.id) if c.name == "delete_file"]
    assert calls == ["done", "done"]


def test_a_deletion_that_is_refused_leaves_the_file_known_and_the_run_whole(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    bench.provider.fail("delete_file", Rejected("it is in use", status=409))
    (ending,) = sweep(bench)
    assert ending.status is PruneStatus.FAILED
    assert "is in use" in ending.message
    assert RunFolder.of(bench.home, run.id).path.is_dir()
    assert [one.status for one in sweep(bench)] == [PruneStatus.PRUNED]
    assert list_uploads(bench) == []


def test_a_file_that_is_being_deleted_is_not_relied_on_by_a_new_run(bench: Bench) -> None:
    job = bench.write_job()
    bench.run(job)
    lose_the_answer(bench, effect=False)
    sweep(bench)
    doubtful = choose(bench).calls[0].request["id"]
    fresh = bench.run(job, new=True)
    detail = bench.detail(fresh, Stage.UPLOAD)
    assert doubtful not in (detail["training_file"], detail["validation_file"])
    sweep(bench, choose(bench, Criteria(MONTH)))
    assert bench.provider.get_file(str(detail["training_file"]))


def test_a_folder_that_was_half_removed_is_removed_whatever_the_criteria(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    pending_delete = bench.home / "runs" / f"{PRUNED_PREFIX}{run.id}"
    RunFolder.of(bench.home, run.id).path.rename(pending_delete)
    selection = choose(bench, Criteria(MONTH))
    assert (selection.folders, selection.artifacts) == ((pending_delete,), ())
    assert [ending.status for ending in sweep(bench, selection)] == [PruneStatus.PRUNED]
    assert not pending_delete.exists()
