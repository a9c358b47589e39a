"""Bytes of the file that went bad: known errors, never anything else."""

import contextlib
import random
from pathlib import Path

from ftops.errors import FtopsError
from ftops.ledger.ledger import Ledger
from tests.fakes import FakeClock
from tests.ledger.history import STEPS

COPIES = 60


def read_everything(path: Path) -> int:
    """Ask the ledger all that it can be asked; how many runs it still tells."""
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


def test_a_ledger_with_bad_bytes_is_read_or_refused_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = Ledger(path, FakeClock())
    for _, change in STEPS:
        change(ledger)
    ledger.close()
    good, chance = path.read_bytes(), random.Random(7)
    assert read_everything(path) == 1
    refused = 0
    for _ in range(COPIES):
        bad = bytearray(good)
        for _ in range(chance.choice((1, 20, 400))):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        path.write_bytes(bad)
        try:
            read_everything(path)
        except FtopsError as error:
            refused += 1
            assert error.hint
    assert 0 < refused < COPIES
