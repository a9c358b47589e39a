"""`ftops cancel` and `ftops pause` of finished runs."""

from pathlib import Path

import pytest

from ftops.clock import SystemClock
from ftops.ledger.ledger import Ledger
from ftops.records import RunId, RunStatus
from tests.cli.running import ftops
from tests.ledger.rows import make_run


@pytest.fixture
def run_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunId:
    """A running run."""
    monkeypatch.setenv("FTOPS_HOME", str(tmp_path))
    ledger = Ledger(tmp_path / "ledger.db", SystemClock())
    run = ledger.move_run(ledger.add_run(make_run(), if_absent=False), RunStatus.RUNNING)
    ledger.close()
    return run.id


def set_status(home: Path, run_id: RunId, status: RunStatus) -> None:
    ledger = Ledger(home / "ledger.db", SystemClock())
    ledger.move_run(ledger.get_run(run_id), status)
    ledger.close()


@pytest.mark.parametrize("command", ["cancel", "pause", "resume"])
def test_each_command_refuses_a_succeeded_run(tmp_path: Path, run_id: RunId, command: str) -> None:
    set_status(tmp_path, run_id, RunStatus.SUCCEEDED)
    result = ftops(command, run_id)
    assert result.code == 1
    expected = {"cancel": "cancelled", "pause": "paused", "resume": "resumed"}[command]
    assert f"{run_id} cannot be {expected}: it has succeeded" in result.err
    assert f"ftops show {run_id}" in result.err


def test_a_cancelled_run_stays_cancelled(tmp_path: Path, run_id: RunId) -> None:
    set_status(tmp_path, run_id, RunStatus.CANCELLED)
    result = ftops("cancel", run_id)
    assert (result.code, result.out) == (0, f"{run_id} was cancelled.\n")
