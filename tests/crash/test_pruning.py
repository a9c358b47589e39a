"""A prune that is killed between two steps: the next prune finishes it."""

import signal
from pathlib import Path

import pytest

from ftops.ledger.ledger import Ledger
from ftops.runs.open_run import drive, open_run
from tests.crash.processes import ProcessHarness
from tests.fakes import FakeClock
from tests.runs.bench import Bench
from tests.runs.fake_provider import FakeProvider

POINTS = [
    *(f"pruning.{when}_{what}" for what in ("call", "rename") for when in ("before", "after")),
    *(
        f"ledger.{change}.{when}_commit"
        for change in (
            "begin_deletion",
            "record_intent",
            "mark_model_deleted",
            "record_done",
            "mark_pruned",
        )
        for when in ("before", "after")
    ),
]


def prune(harness: ProcessHarness, folder: Path, point: str = "-") -> None:
    """Run one command to its end or until it is killed."""
    output = folder / "output"
    child = harness.start("tests.crash.prune_worker", [str(folder), point], output=output)
    assert child.wait() == (0 if point == "-" else -signal.SIGKILL), output.read_text()


def run_jobs(folder: Path) -> None:
    """Complete two runs that share their data."""
    bench = Bench(folder)
    drive(open_run(bench.write_job(), bench.context), bench.context)
    bench.clock.advance(1)
    drive(open_run(bench.write_job(seed=7), bench.context), bench.context)
    bench.ledger.close()


@pytest.mark.parametrize("point", POINTS)
def test_the_next_prune_finishes_a_killed_prune(
    harness: ProcessHarness, tmp_path: Path, point: str
) -> None:
    run_jobs(tmp_path)
    prune(harness, tmp_path, point)
    prune(harness, tmp_path)
    provider = FakeProvider(tmp_path / "provider", FakeClock())
    ledger = Ledger(tmp_path / "home" / "ledger.db", FakeClock())
    runs = ledger.list_runs()
    calls = [call for run in runs for call in ledger.list_calls(run.id)]
    models = ledger.list_models()
    ledger.close()
    assert list((tmp_path / "home" / "runs").iterdir()) == []
    assert [file.purpose for file in provider.list_files()] == ["fine-tune-results"] * 2
    assert len(runs) == 2
    assert all(run.pruned_at for run in runs)
    assert len(models) == 2
    assert all(model.deleted_at for model in models)
    assert not [call for call in calls if call.state == "intent"]
    deleted = {call.remote_id for call in calls if call.name == "delete_file"}
    assert deleted == {call.remote_id for call in calls if call.name == "upload_file"}
