"""The figures of the proof: only what has passed whole is told."""

import json
from pathlib import Path

import pytest

from tests.crash.figures import PARTS, PATH, ROWS, SINGLES, Figures, Share


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that knows two parts from an earlier time."""
    known = tmp_path / "proof.json"
    figures = Figures()
    for part in (SINGLES, ROWS):
        with figures.enter(part, 0, 1) as entry:
            entry.share = Share(runs=1, kills=1, same=1)
    figures.write(known)
    return known


def read(path: Path) -> dict[str, int]:
    return {part: share["kills"] for part, share in json.loads(path.read_text()).items()}


def test_a_part_that_has_passed_whole_is_renewed_and_the_others_stay(path: Path) -> None:
    figures = Figures()
    for number in range(2):
        with figures.enter(ROWS, number, 2) as entry:
            entry.share = Share(runs=1, kills=5, same=1)
    figures.write(path)
    assert read(path) == {SINGLES: 1, ROWS: 10}


def test_a_part_that_was_not_run_whole_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    figures = Figures()
    with figures.enter(ROWS, 0, 2) as entry:
        entry.share = Share(kills=5)
    with pytest.raises(KeyboardInterrupt), figures.enter(ROWS, 1, 2):
        raise KeyboardInterrupt
    assert figures.write(path) == [f"{ROWS}: not run whole; its figures stay as they were"]
    assert path.read_bytes() == before


@pytest.mark.parametrize("failure", [AssertionError, pytest.fail.Exception])
def test_a_part_of_which_a_share_has_failed_has_no_figures(
    path: Path, failure: type[BaseException]
) -> None:
    figures = Figures()
    with figures.enter(ROWS, 0, 2) as entry:
        entry.share = Share(kills=5)
    with pytest.raises(failure), figures.enter(ROWS, 1, 2):
        raise failure
    assert figures.find_total(ROWS) is None
    figures.write(path)
    assert read(path) == {SINGLES: 1}


def test_the_figures_that_are_told_are_of_parts_that_there_are() -> None:
    assert set(json.loads(PATH.read_text(encoding="utf-8"))) <= set(PARTS)
