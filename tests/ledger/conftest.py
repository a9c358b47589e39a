"""A fresh ledger for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftops.ledger.ledger import Ledger
from tests.fakes import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ledger(tmp_path: Path, clock: FakeClock) -> Iterator[Ledger]:
    opened = Ledger(tmp_path / "home" / "ledger.db", clock)
    yield opened
    opened.close()
