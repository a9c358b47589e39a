"""Commands that are killed at crash points and repeated: there is one job, and nothing is lost.

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

# Ledger changes that an uninterrupted run does not make.
_OTHER_CHANGES = (
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
    "record_deployment",
    "update_deployment",
    "begin_deletion",
    "mark_pruned",
)
LEDGER_POINTS = [
    point for point in list_crash_points() if point.split(".")[1] not in _OTHER_CHANGES
]
ALL_STEPS = [f"Step {number}/4" for number in range(1, 5)]


class Commands:
    """Runs commands in the process harness."""

    def __init__(self, harness: ProcessHarness, folder: Path) -> None:
        self._harness = harness
        self.folder = folder

    def run(self, action: str, *, point: str = "-", at_s: float = 0.0) -> list[str]:
        """Run one command to its end or until it is killed at `point`; return its output."""
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


def read_records(folder: Path) -> tuple[Run, FakeProvider, list[str]]:
    """The only run, the provider, and the states of the run's calls."""
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
def test_a_killed_run_continues_and_has_one_job_and_one_upload_of_each_file(
    commands: Commands, point: str
) -> None:
    output = commands.run("run", point=point)
    # The next command starts before the provider lists what the killed one created.
    output += commands.run("run", at_s=5.0)
    run, provider, calls = read_records(commands.folder)
    assert (run.status, run.job_id) == (RunStatus.SUCCEEDED, "ftjob-1")
    assert provider.count("create_job") == 1
    assert provider.count("upload_file") == 2
    assert not [call for call in calls if call.endswith("intent")]
    assert output == ALL_STEPS


@pytest.mark.parametrize("point", LEDGER_POINTS)
def test_a_run_that_is_killed_around_a_commit_continues_and_has_one_job(
    commands: Commands, point: str
) -> None:
    commands.run("run", point=point)
    commands.run("run", at_s=5.0)
    run, provider, calls = read_records(commands.folder)
    assert (run.status, run.job_id) == (RunStatus.SUCCEEDED, "ftjob-1")
    assert provider.count("create_job") == 1
    assert provider.count("upload_file") == 2
    assert not [call for call in calls if call.endswith("intent")]


@pytest.mark.parametrize(
    "point", ["create.after_call", "ledger.record_job.after_commit", IN_FOLLOW]
)
def test_a_killed_run_without_its_ledger_finds_its_job_and_its_uploads(
    commands: Commands, point: str
) -> None:
    commands.run("run", point=point)
    shutil.rmtree(commands.folder / "home")
    commands.run("run", at_s=5.0)
    run, provider, _ = read_records(commands.folder)
    assert (run.status, run.job_id) == (RunStatus.SUCCEEDED, "ftjob-1")
    assert provider.count("create_job") == 1
    assert provider.count("upload_file") == 2


@pytest.mark.parametrize(
    "point", ["ledger.record_intent.after_commit", "ledger.record_job.before_commit"]
)
def test_a_run_that_is_killed_while_it_takes_over_a_job_has_one_job(
    commands: Commands, point: str
) -> None:
    commands.run("run", point="create.after_call")
    shutil.rmtree(commands.folder / "home")
    commands.run("run", point=point, at_s=5.0)
    commands.run("run", at_s=65.0)
    run, provider, calls = read_records(commands.folder)
    assert (run.status, run.job_id) == (RunStatus.SUCCEEDED, "ftjob-1")
    assert provider.count("create_job") == 1
    assert not [call for call in calls if call.endswith("intent")]


def test_a_run_that_is_killed_twice_around_its_create_request_has_one_job(
    commands: Commands,
) -> None:
    commands.run("run", point="create.before_call")
    commands.run("run", point="create.after_call", at_s=60.0)
    commands.run("run", at_s=120.0)
    run, provider, calls = read_records(commands.folder)
    assert run.status is RunStatus.SUCCEEDED
    assert provider.count("create_job") == 1
    assert [call for call in calls if "create" in call] == ["create_job failed", "create_job done"]


@pytest.mark.parametrize("point", ["cancel.before_call", "cancel.after_call"])
def test_a_killed_cancel_can_be_repeated(commands: Commands, point: str) -> None:
    commands.run("detach")
    commands.run("cancel", point=point, at_s=5.0)
    commands.run("cancel", at_s=10.0)
    run, provider, _ = read_records(commands.folder)
    assert run.status is RunStatus.CANCELLED
    assert [job.status for job in provider.jobs()] == ["cancelled"]


def test_a_job_that_a_killed_command_did_not_record_can_be_cancelled(commands: Commands) -> None:
    commands.run("run", point="create.after_call")
    commands.run("cancel", at_s=5.0)
    run, provider, _ = read_records(commands.folder)
    assert (run.status, run.job_id) == (RunStatus.CANCELLED, "ftjob-1")
    assert [job.status for job in provider.jobs()] == ["cancelled"]
