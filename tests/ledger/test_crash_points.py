"""A process killed before a commit changes nothing; after it, the whole change is stored."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ftops.ledger.file import list_crash_points
from ftops.ledger.ledger import Ledger
from tests.fakes import FakeClock
from tests.ledger.history import STEPS, Content, read_all


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """The folder of the ledgers, and the exit code of each process."""
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-m", "tests.ledger.killed_process", str(folder)]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    exit_codes: dict[str, int] = json.loads(process.stdout)
    return folder, exit_codes


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> list[Content]:
    """The content of a ledger before it exists, when it is new, and after each step."""
    path = tmp_path_factory.mktemp("history") / "ledger.db"
    ledger = Ledger(path, FakeClock())
    contents_by_step = [{}, read_all(path)]
    for _, change in STEPS:
        change(ledger)
        contents_by_step.append(read_all(path))
    ledger.close()
    return contents_by_step


@pytest.mark.parametrize("point", list_crash_points())
def test_a_process_killed_around_a_commit_leaves_the_whole_change_or_nothing(
    point: str, killed: tuple[Path, dict[str, int]], contents: list[Content]
) -> None:
    folder, exit_codes = killed
    assert exit_codes[point] == -signal.SIGKILL
    _, change, moment = point.split(".")
    changes: list[str] = ["migrate", *(name for name, _ in STEPS)]
    index = changes.index(change)
    assert contents[index] != contents[index + 1]
    after = moment == "after_commit"
    assert read_all(folder / point / "ledger.db") == contents[index + after]


def test_the_history_continues_after_each_kill(
    killed: tuple[Path, dict[str, int]], contents: list[Content]
) -> None:
    folder, _ = killed
    for point in list_crash_points():
        path = folder / point / "ledger.db"
        content = read_all(path)
        done = max(contents.index(content) - 1, 0)
        ledger = Ledger(path, FakeClock())
        for _, change in STEPS[done:]:
            change(ledger)
        ledger.close()
        assert read_all(path) == contents[-1]
