"""Which deaths of a worker cost its job, and what the job then says."""

from pathlib import Path

import pytest

from ftops.engine.settings import JobFolder
from ftops.engine.store import JobRow, JobStatus
from ftops.engine.worker_process import CrashPolicy


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    (tmp_path / "worker.log").write_text("I tried\n")
    return JobFolder(tmp_path)


def job(crash_policy: int = 0) -> JobRow:
    return JobRow(
        id="ftjob-1",
        status=JobStatus.RUNNING,
        model="ada",
        base="ada",
        training_file="file-1",
        validation_file=None,
        suffix=None,
        seed=1,
        metadata={},
        hyperparameters={},
        created_at=0,
        crashes=crash_policy,
    )


def come_to(folder: JobFolder, step: int) -> None:
    folder.steps.write_text(f"{step},1,1,1,1,1,,,1,\n")


@pytest.mark.parametrize("exit_code", [1, -11])
def test_the_third_worker_that_breaks_off_fails_the_job_with_its_last_words(
    folder: JobFolder, exit_code: int
) -> None:
    crash_policy = CrashPolicy()
    for before in (0, 1):
        come_to(folder, 10 * before)
        death = crash_policy.decide(job(before), folder, exit_code)
        assert (death.is_crash, death.failure) == (True, None)
    death = crash_policy.decide(job(2), folder, exit_code)
    assert death.failure == "Training crashed 3 times. The end of its log:\nI tried"


@pytest.mark.parametrize("exit_code", [-9, -15, None])
def test_kills_cost_nothing_as_long_as_the_job_comes_further(
    folder: JobFolder, exit_code: int | None
) -> None:
    crash_policy = CrashPolicy()
    for step in range(1, 10):
        come_to(folder, step)
        for _ in range(2):
            death = crash_policy.decide(job(), folder, exit_code)
            assert (death.is_crash, death.failure) == (False, None)


def test_three_kills_at_the_same_step_fail_the_job_and_name_the_likely_reason(
    folder: JobFolder,
) -> None:
    crash_policy = CrashPolicy()
    come_to(folder, 5)
    verdicts = [crash_policy.decide(job(), folder, -9).failure for _ in range(3)]
    assert verdicts[:2] == [None, None]
    assert verdicts[2] is not None
    assert verdicts[2].startswith("The training process was killed 3 times at step 5.")
    assert "memory" in verdicts[2]
    assert verdicts[2].endswith("I tried")
