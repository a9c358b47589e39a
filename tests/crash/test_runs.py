"""Commands that die at the worst moments and are given again: one job, nothing lost.

Each command is a real process, killed by SIGKILL; the provider keeps its state in a folder.
"""

import shutil
import signal
from pathlib import Path

import pytest

from ftops.ledger.file import list_crash_points
from ftops.ledger.ledger import Ledger
from ftops.records import Run, RunStatus
from tests.crash.processes import ProcessHarness
from tests.crash.run_worker import IN_FOLLOW
from tests.fakes import FakeClock
from tests.runs.fake_provider import FakeProvider

# Changes of the ledger that an undisturbed run does not make.
_RARE = (
    "migrate",
    "reopen_run",
    "update_spec",
    "ask_cancel",
    "record_done",
    "record_failed",
    "close_calls",
    "begin_parts",
    "add_part",
    "mark_completing",
    "add_upload",
    "forget_upload",
    "mark_model_deleted",
    "begin_deletion",
    "mark_pruned",
)
LEDGER_POINTS = [point for point in list_crash_points() if point.split(".")[1] not in _RARE]
ALL_STEPS = [f"Step {number}/4" for number in range(1, 5)]


class Commands:
    """Gives commands to the process harness."""

    def __init__(self, harness: ProcessHarness, folder: Path) -> None:
        self._harness = harness
        self.folder = folder

    def give(self, action: str, *, point: str = "-", at_s: float = 0.0) -> list[str]:
        """Run one command to its end, or to its death at `point`; what it put out."""
        output = self.folder / "output"
        output.unlink(missing_ok=True)
        arguments = [str(self.folder), action, point, str(at_s)]
        child = self._harness.start("tests.crash.run_worker", arguments, output=output)
        code = child.wait()
        assert code == (0 if point == "-" else -signal.SIGKILL), output.read_text()
        return output.read_text().splitlines()


@pytest.fixture
def commands(harness: ProcessHarness, tmp_path: Path) -> Commands:
    return Commands(harness, tmp_path)


def look(folder: Path) -> tuple[Run, FakeProvider, list[str]]:
    """The only run, the provider, and how the run's calls ended."""
    ledger = Ledger(folder / "home" / "ledger.db", FakeClock())
    (run,) = ledger.list_runs()
    calls = [f"{call.name} {call.state}" for call in ledger.list_calls(run.id)]
    ledger.close()
    return run, FakeProvider(folder / "provider", FakeClock()), calls


@pytest.mark.parametrize(
    "point",
    [
        "upload.before_call",
        "upload.after_call",
        "create.before_call",
        "create.after_call",
        IN_FOLLOW,
    ],
)
def test_a_run_that_died_goes_on_and_leaves_one_job_and_one_upload_of_each_file(
    commands: Commands, point: str
) -> None:
    shown = commands.give("run", point=point)
    # The next command comes before the provider lists what the dead one has made.
    shown += commands.give("run", at_s=5.0)
    run, provider, calls = look(commands.folder)
    assert (run.status, run.job_id) == (RunStatus.SUCCEEDED, "ftjob-1")
    assert provider.count("create_job") == 1
    assert provider.count("upload_file") == 2
    assert not [call for call in calls if call.endswith("intent")]
    assert shown == ALL_STEPS


@pytest.mark.parametrize("point", LEDGER_POINTS)
def test_a_run_that_died_around_a_commit_goes_on_and_leaves_one_job(
    commands: Commands, point: str
) -> None:
    commands.give("run", point=point)
    commands.give("run", at_s=5.0)
    run, provider, calls = look(commands.folder)
    assert (run.status, run.job_id) == (RunStatus.SUCCEEDED, "ftjob-1")
    assert provider.count("create_job") == 1
    assert provider.count("upload_file") == 2
    assert not [call for call in calls if call.endswith("intent")]


@pytest.mark.parametrize(
    "point", ["create.after_call", "ledger.record_job.after_commit", IN_FOLLOW]
)
def test_a_run_that_died_and_lost_its_ledger_finds_its_job_and_its_uploads_again(
    commands: Commands, point: str
) -> None:
    commands.give("run", point=point)
    shutil.rmtree(commands.folder / "home")
    commands.give("run", at_s=5.0)
    run, provider, _ = look(commands.folder)
    assert (run.status, run.job_id) == (RunStatus.SUCCEEDED, "ftjob-1")
    assert provider.count("create_job") == 1
    assert provider.count("upload_file") == 2


@pytest.mark.parametrize(
    "point", ["ledger.record_intent.after_commit", "ledger.record_job.before_commit"]
)
def test_a_death_while_a_found_job_is_taken_over_leaves_one_job(
    commands: Commands, point: str
) -> None:
    commands.give("run", point="create.after_call")
    shutil.rmtree(commands.folder / "home")
    commands.give("run", point=point, at_s=5.0)
    commands.give("run", at_s=65.0)
    run, provider, calls = look(commands.folder)
    assert (run.status, run.job_id) == (RunStatus.SUCCEEDED, "ftjob-1")
    assert provider.count("create_job") == 1
    assert not [call for call in calls if call.endswith("intent")]


def test_a_run_that_dies_twice_at_its_worst_moment_still_makes_one_job(commands: Commands) -> None:
    commands.give("run", point="create.before_call")
    commands.give("run", point="create.after_call", at_s=60.0)
    commands.give("run", at_s=120.0)
    run, provider, calls = look(commands.folder)
    assert run.status is RunStatus.SUCCEEDED
    assert provider.count("create_job") == 1
    assert [call for call in calls if "create" in call] == ["create_job failed", "create_job done"]


@pytest.mark.parametrize("point", ["cancel.before_call", "cancel.after_call"])
def test_a_cancel_that_died_can_be_given_again(commands: Commands, point: str) -> None:
    commands.give("detach")
    commands.give("cancel", point=point, at_s=5.0)
    commands.give("cancel", at_s=10.0)
    run, provider, _ = look(commands.folder)
    assert run.status is RunStatus.CANCELLED
    assert [job.status for job in provider.jobs()] == ["cancelled"]


def test_a_job_whose_creator_died_before_recording_it_can_be_cancelled(commands: Commands) -> None:
    commands.give("run", point="create.after_call")
    commands.give("cancel", at_s=5.0)
    run, provider, _ = look(commands.folder)
    assert (run.status, run.job_id) == (RunStatus.CANCELLED, "ftjob-1")
    assert [job.status for job in provider.jobs()] == ["cancelled"]
