"""A run's job waits and goes on, whatever is repeated or lost."""

from dataclasses import replace

import pytest

from ftops.errors import RunError, Unreachable
from ftops.records import Run, RunStatus
from ftops.runs.open_run import cancel_run, drive, open_run
from ftops.runs.pause import pause_run, resume_run
from tests.runs.bench import Bench


def start(bench: Bench) -> Run:
    """A run with a job that nobody follows."""
    bench.provider.statuses = ("queued", *["running"] * 40, "succeeded")
    return drive(open_run(bench.write_job(), bench.context), bench.context, detach=True)


def calls(bench: Bench, run: Run) -> list[tuple[str, str]]:
    """The requests that were to pause or resume, with what became of them."""
    named = [(call.name, call.state) for call in bench.ledger.list_calls(run.id)]
    return [call for call in named if call[0] in ("pause_job", "resume_job")]


def test_pausing_and_resuming_twice_each_sends_two_requests_in_all(bench: Bench) -> None:
    run = start(bench)
    assert [pause_run(run, bench.context).status for _ in range(2)] == ["paused", "paused"]
    assert [resume_run(run, bench.context).status for _ in range(2)] == ["running", "running"]
    assert calls(bench, run) == [("pause_job", "done"), ("resume_job", "done")]
    assert bench.run(bench.write_job()).status is RunStatus.SUCCEEDED
    assert bench.provider.count("create_job") == 1


def test_a_request_whose_answer_was_lost_stays_open_until_it_is_known(bench: Bench) -> None:
    run = start(bench)
    bench.provider.fail("pause_job", Unreachable("the network is gone"))
    with pytest.raises(Unreachable):
        pause_run(run, bench.context)
    assert calls(bench, run) == [("pause_job", "intent")]
    assert pause_run(run, bench.context).status == "paused"
    assert calls(bench, run) == [("pause_job", "done")]


def test_a_pause_that_died_before_it_was_written_down_is_known_by_the_next(bench: Bench) -> None:
    run = start(bench)
    bench.provider.loses_answer_to = {"pause_job"}
    with pytest.raises(Unreachable):
        pause_run(run, bench.context)
    assert pause_run(run, bench.context).status == "paused"
    assert (bench.provider.count("pause_job"), calls(bench, run)) == (1, [("pause_job", "done")])


def test_a_job_that_is_about_to_pause_is_waited_for_before_it_is_resumed(bench: Bench) -> None:
    bench.provider.statuses = ("running", *["pausing"] * 4, "paused", "paused", "paused")
    run = drive(open_run(bench.write_job(), bench.context), bench.context, detach=True)
    resume_run(run, bench.context)
    assert bench.provider.count("resume_job") == 1
    assert bench.clock.slept_s == [1.0] * 4


def test_whoever_follows_is_told_once_how_a_paused_job_goes_on(bench: Bench) -> None:
    bench.provider.statuses = ("running", *["paused"] * 20, "running", "succeeded")
    run = bench.run(bench.write_job())
    assert run.status is RunStatus.SUCCEEDED
    told = [note for note in bench.seen.notes if "paused" in note]
    assert told == [f"{run.job_id} is paused; `ftops resume {run.id}` resumes it"]


@pytest.mark.parametrize("change", [pause_run, resume_run])
def test_a_run_that_has_no_job_or_has_ended_is_refused(bench: Bench, change: object) -> None:
    act = pause_run if change is pause_run else resume_run
    run = open_run(bench.write_job(), bench.context)
    with pytest.raises(RunError, match="it has no job yet"):
        act(run, bench.context)
    cancel_run(run, bench.context)
    with pytest.raises(RunError, match="it was cancelled"):
        act(run, bench.context)
    assert calls(bench, run) == []


def test_a_provider_that_cannot_pause_is_not_asked(bench: Bench) -> None:
    run = start(bench)
    bench.provider.capabilities = replace(bench.provider.capabilities, pauses=False)
    with pytest.raises(RunError, match="has no way to pause a job") as caught:
        pause_run(run, bench.context)
    assert f"ftops cancel {run.id}" in caught.value.hint
    assert calls(bench, run) == []
