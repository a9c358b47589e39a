"""Engines that several tests share."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engine.running import Running, animals, greetings, run_engine, table_settings


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """An engine of the test's own whose jobs train tables."""
    with run_engine(table_settings(tmp_path / "engine")) as engine:
        yield engine


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Running]:
    """An engine that starts no job."""
    with run_engine(table_settings(tmp_path / "engine"), schedules=False) as engine:
        yield engine


@dataclass(frozen=True)
class Trained:
    """An engine with trained models that tests share and do not delete."""

    running: Running
    completion_model: str
    chat_model: str


@pytest.fixture(scope="package")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    with run_engine(table_settings(tmp_path_factory.mktemp("trained"))) as running:
        names = []
        for rows in (animals(), greetings()):
            job = running.sdk.fine_tuning.jobs.create(
                model="ada", training_file=running.upload(rows)
            )
            names.append(running.wait_for_end(job.id).fine_tuned_model)
        assert names[0] is not None
        assert names[1] is not None
        yield Trained(running, names[0], names[1])
