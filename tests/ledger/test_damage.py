"""Damaged bytes of the file lead to known errors only."""

import contextlib
import random
from pathlib import Path

from ftops.errors import FtopsError
from ftops.ledger.ledger import Ledger
from tests.fakes import FakeClock
from tests.ledger.history import STEPS

COPIES = 60


def read_everything(path: Path) -> int:
    """Call every read method of the ledger; return the number of runs."""
    ledger = Ledger(path, FakeClock())
    with contextlib.closing(ledger):
        runs = ledger.list_runs()
        for run in runs:
            ledger.get_run(run.id)
            ledger.list_stages(run.id)
            ledger.list_stored_events(run.id)
            ledger.list_state_changes(run.id)
            ledger.list_calls(run.id)
        ledger.list_models()
        ledger.find_upload("openai:acme", "b" * 64)
        return len(runs)


def test_a_damaged_ledger_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = Ledger(path, FakeClock())
    for _, change in STEPS:
        change(ledger)
    ledger.close()
    content, rng = path.read_bytes(), random.Random(7)
    assert read_everything(path) == 1
    refused = 0
    for _ in range(COPIES):
        damaged = bytearray(content)
        for _ in range(rng.choice((1, 20, 400))):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            read_everything(path)
        except FtopsError as error:
            refused += 1
            assert error.hint
    assert 0 < refused < COPIES
