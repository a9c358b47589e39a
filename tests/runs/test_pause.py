"""Pausing and resuming the job of a run, also with repeated or lost requests."""

from dataclasses import replace

import pytest

from ftops.errors import RunError, Unreachable
from ftops.records import Run, RunStatus
from ftops.runs.open_run import cancel_run, drive, open_run
from ftops.runs.pause import pause_run, resume_run
from tests.runs.bench import Bench


def start(bench: Bench) -> Run:
    """A run with a job that no process follows."""
    bench.provider.statuses = ("queued", *["running"] * 40, "succeeded")
    return drive(open_run(bench.write_job(), bench.context), bench.context, detach=True)


def list_pause_calls(bench: Bench, run: Run) -> list[tuple[str, str]]:
    """The pause and resume calls with their states."""
    named = [(call.name, call.state) for call in bench.ledger.list_calls(run.id)]
    return [call for call in named if call[0] in ("pause_job", "resume_job")]


def test_pausing_twice_and_resuming_twice_sends_two_requests(bench: Bench) -> None:
    run = start(bench)
    assert [pause_run(run, bench.context).status for _ in range(2)] == ["paused", "paused"]
    assert [resume_run(run, bench.context).status for _ in range(2)] == ["running", "running"]
    assert list_pause_calls(bench, run) == [("pause_job", "done"), ("resume_job", "done")]
    assert bench.run(bench.write_job()).status is RunStatus.SUCCEEDED
    assert bench.provider.count("create_job") == 1


def test_a_call_with_a_lost_response_stays_open_until_its_effect_is_known(bench: Bench) -> None:
    run = start(bench)
    bench.provider.fail("pause_job", Unreachable("the network is gone"))
    with pytest.raises(Unreachable):
        pause_run(run, bench.context)
    assert list_pause_calls(bench, run) == [("pause_job", "intent")]
    assert pause_run(run, bench.context).status == "paused"
    assert list_pause_calls(bench, run) == [("pause_job", "done")]


def test_the_next_command_recognizes_a_pause_that_was_not_recorded(bench: Bench) -> None:
    run = start(bench)
    bench.provider.loses_response_of = {"pause_job"}
    with pytest.raises(Unreachable):
        pause_run(run, bench.context)
    assert pause_run(run, bench.context).status == "paused"
    assert (bench.provider.count("pause_job"), list_pause_calls(bench, run)) == (
        1,
        [("pause_job", "done")],
    )


def test_a_pausing_job_is_awaited_before_it_is_resumed(bench: Bench) -> None:
    bench.provider.statuses = ("running", *["pausing"] * 4, "paused", "paused", "paused")
    run = drive(open_run(bench.write_job(), bench.context), bench.context, detach=True)
    resume_run(run, bench.context)
    assert bench.provider.count("resume_job") == 1
    assert bench.clock.slept_s == [1.0] * 4


def test_following_a_paused_job_notes_once_how_to_resume_it(bench: Bench) -> None:
    bench.provider.statuses = ("running", *["paused"] * 20, "running", "succeeded")
    run = bench.run(bench.write_job())
    assert run.status is RunStatus.SUCCEEDED
    notes = [note for note in bench.recorder.notes if "paused" in note]
    assert notes == [f"{run.job_id} is paused; `ftops resume {run.id}` resumes it"]


@pytest.mark.parametrize("change", [pause_run, resume_run])
def test_a_run_without_a_job_or_an_ended_run_is_refused(bench: Bench, change: object) -> None:
    act = pause_run if change is pause_run else resume_run
    run = open_run(bench.write_job(), bench.context)
    with pytest.raises(RunError, match="it has no job yet"):
        act(run, bench.context)
    cancel_run(run, bench.context)
    with pytest.raises(RunError, match="it was cancelled"):
        act(run, bench.context)
    assert list_pause_calls(bench, run) == []


def test_a_provider_that_cannot_pause_gets_no_request(bench: Bench) -> None:
    run = start(bench)
    bench.provider.capabilities = replace(bench.provider.capabilities, pauses=False)
    with pytest.raises(RunError, match="has no way to pause a job") as caught:
        pause_run(run, bench.context)
    assert f"ftops cancel {run.id}" in caught.value.hint
    assert list_pause_calls(bench, run) == []
