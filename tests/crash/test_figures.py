"""The figures of the crash tests: only complete parts are recorded."""

import json
from pathlib import Path

import pytest

from tests.crash.figures import PARTS, PATH, POINT_SEQUENCES, SINGLE_POINTS, Figures, Share


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with the figures of two parts."""
    proof_path = tmp_path / "proof.json"
    figures = Figures()
    for part in (SINGLE_POINTS, POINT_SEQUENCES):
        with figures.enter(part, 0, 1) as entry:
            entry.share = Share(runs=1, kills=1, same=1)
    figures.write(proof_path)
    return proof_path


def read(path: Path) -> dict[str, int]:
    return {part: share["kills"] for part, share in json.loads(path.read_text()).items()}


def test_a_complete_part_is_updated_and_the_others_stay(path: Path) -> None:
    figures = Figures()
    for number in range(2):
        with figures.enter(POINT_SEQUENCES, number, 2) as entry:
            entry.share = Share(runs=1, kills=5, same=1)
    figures.write(path)
    assert read(path) == {SINGLE_POINTS: 1, POINT_SEQUENCES: 10}


def test_an_incomplete_part_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    figures = Figures()
    with figures.enter(POINT_SEQUENCES, 0, 2) as entry:
        entry.share = Share(kills=5)
    with pytest.raises(KeyboardInterrupt), figures.enter(POINT_SEQUENCES, 1, 2):
        raise KeyboardInterrupt
    assert figures.write(path) == [f"{POINT_SEQUENCES}: incomplete; its figures stay as they are"]
    assert path.read_bytes() == before


@pytest.mark.parametrize("failure", [AssertionError, pytest.fail.Exception])
def test_a_part_with_a_failed_share_has_no_figures(
    path: Path, failure: type[BaseException]
) -> None:
    figures = Figures()
    with figures.enter(POINT_SEQUENCES, 0, 2) as entry:
        entry.share = Share(kills=5)
    with pytest.raises(failure), figures.enter(POINT_SEQUENCES, 1, 2):
        raise failure
    assert figures.find_total(POINT_SEQUENCES) is None
    figures.write(path)
    assert read(path) == {SINGLE_POINTS: 1}


def test_the_recorded_figures_belong_to_known_parts() -> None:
    assert set(json.loads(PATH.read_text(encoding="utf-8"))) <= set(PARTS)
