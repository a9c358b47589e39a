"""A process that dies before a commit has changed nothing; one that dies after it, all of it."""

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
def deaths(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """The folder of the ledgers, and how each process ended."""
    folder = tmp_path_factory.mktemp("deaths")
    line = [sys.executable, "-m", "tests.ledger.dying", str(folder)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    ends: dict[str, int] = json.loads(done.stdout)
    return folder, ends


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> list[Content]:
    """What a ledger holds before it is made, when it is new, and after each step."""
    path = tmp_path_factory.mktemp("life") / "ledger.db"
    ledger = Ledger(path, FakeClock())
    found = [{}, read_all(path)]
    for _, change in STEPS:
        change(ledger)
        found.append(read_all(path))
    ledger.close()
    return found


@pytest.mark.parametrize("point", list_crash_points())
def test_a_death_around_a_commit_leaves_all_of_the_change_or_nothing(
    point: str, deaths: tuple[Path, dict[str, int]], contents: list[Content]
) -> None:
    folder, ends = deaths
    assert ends[point] == -signal.SIGKILL
    _, change, moment = point.split(".")
    changes: list[str] = ["migrate", *(name for name, _ in STEPS)]
    place = changes.index(change)
    assert contents[place] != contents[place + 1]
    after = moment == "after_commit"
    assert read_all(folder / point / "ledger.db") == contents[place + after]


def test_after_each_death_the_rest_of_the_history_can_be_lived(
    deaths: tuple[Path, dict[str, int]], contents: list[Content]
) -> None:
    folder, _ = deaths
    for point in list_crash_points():
        path = folder / point / "ledger.db"
        here = read_all(path)
        done = max(contents.index(here) - 1, 0)
        ledger = Ledger(path, FakeClock())
        for _, change in STEPS[done:]:
            change(ledger)
        ledger.close()
        assert read_all(path) == contents[-1]
