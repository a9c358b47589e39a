"""Fixtures: a home, an engine and a finished run for all end-to-end tests of a module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.sandbox import Result, Sandbox


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    folder: Path = tmp_path_factory.mktemp("sandbox")
    sandbox = Sandbox(folder)
    sandbox.write_data("train.jsonl", ("in the morning", "at noon", "after the rain", "far away"))
    sandbox.write_data("validation.jsonl", ("on the table", "by the door"))
    sandbox.write_job()
    yield sandbox
    sandbox.ftops("engine", "stop")


@pytest.fixture(scope="module")
def first_run(sandbox: Sandbox) -> Result:
    """The result of the first `ftops run`."""
    return sandbox.ftops("run", sandbox.job)
