"""One home, one engine and one finished run for all end-to-end tests of a module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.sandbox import Answer, Sandbox


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    folder: Path = tmp_path_factory.mktemp("sandbox")
    built = Sandbox(folder)
    built.write_data("train.jsonl", ("in the morning", "at noon", "after the rain", "far away"))
    built.write_data("validation.jsonl", ("on the table", "by the door"))
    built.write_job()
    yield built
    built.ftops("engine", "stop")


@pytest.fixture(scope="module")
def first_run(sandbox: Sandbox) -> Answer:
    """What `ftops run` printed for people, the first time."""
    return sandbox.ftops("run", sandbox.job)
