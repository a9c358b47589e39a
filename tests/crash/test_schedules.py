"""Generated schedules of faults, kills, second commands and cancels violate no invariant.

The same schedules find each bug that is planted into ftops.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.crash.bugs import BUGS
from tests.crash.figures import CREATES, POLLS, SCHEDULES, Figures, Share
from tests.crash.schedule import (
    KNOWN,
    Schedule,
    create_schedules,
    polling_schedules,
    schedules,
)
from tests.crash.schedule_runner import ScheduleResult

FEW_SCHEDULES = 25
MAX_SCHEDULES = 3000
SHARES = range(8)
MANY_SCHEDULES = 1600  # drawn per share; without repeated ones at least 10,000 in total
ERRORS = {POLLS: polling_schedules(), CREATES: create_schedules()}
ERROR_SHARES = range(4)
ERRORS_PER_SHARE = 250  # drawn per share
# The strategies that find a planted bug where `schedules()` does not.
STRATEGIES = {"fail_run_by_polling": ERRORS[POLLS], "resend_after_429": ERRORS[CREATES]}


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where the system has one, as it survives a killed process, too.

    tests/ledger/test_power_cut.py tests what a power cut loses.
    """
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


class Player:
    """A client of the schedule runner; counts what it plays."""

    def __init__(self, folder: Path, bug: str = "") -> None:
        folder.mkdir(exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "tests.crash.schedule_runner",
            str(folder),
            *([bug] if bug else []),
        ]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.played = Share()

    def play(self, schedule: Schedule) -> str:
        """Play the schedule; return the violation, or an empty text."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(schedule.to_json()) + "\n")
        self._process.stdin.flush()
        result = ScheduleResult(**json.loads(self._process.stdout.readline()))
        self.played = replace(
            self.played,
            runs=self.played.runs + 1,
            commands=self.played.commands + result.commands,
            kills=self.played.kills + result.kills,
            faults=self.played.faults + result.faults,
            same=self.played.same + (not result.violation),
        )
        return result.violation

    def close(self) -> None:
        self._process.communicate()


@contextmanager
def open_player(folder: Path, bug: str = "") -> Iterator[Player]:
    player = Player(folder, bug)
    try:
        yield player
    finally:
        player.close()


def play_many(
    player: Player,
    count: int,
    drawn: st.SearchStrategy[Schedule],
    *,
    seed: int = 0,
    phases: tuple[Phase, ...],
) -> None:
    """Draw `count` schedules, reproducible by the seed, and play each different one.

    Raises AssertionError with the first violation.
    """
    verdicts: dict[Schedule, str] = {}

    @settings(
        max_examples=count,
        phases=phases,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(drawn)
    def play(schedule: Schedule) -> None:
        if schedule not in verdicts:
            verdicts[schedule] = player.play(schedule)
        assert not verdicts[schedule], f"{verdicts[schedule]}\nin {schedule}"

    _vary(play, seed)
    play()


def _vary(test: Callable[[], None], seed: int) -> None:
    """Draw other schedules for each seed: Hypothesis derives them from the digest of the test."""
    test.hypothesis.inner_test._hypothesis_internal_add_digest = f"schedules {seed}".encode()  # type: ignore[attr-defined]


def test_known_schedules_violate_no_invariant(memory: Path) -> None:
    with open_player(memory) as player:
        assert [player.play(schedule) for schedule in KNOWN] == [""] * len(KNOWN)


def test_a_few_schedules_violate_no_invariant(memory: Path) -> None:
    with open_player(memory) as player:
        play_many(player, FEW_SCHEDULES, schedules(), phases=(Phase.generate, Phase.shrink))
    assert player.played.kills
    assert player.played.faults


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found_by_a_known_schedule(memory: Path, bug: str) -> None:
    with open_player(memory, bug) as player:
        assert any(player.play(schedule) for schedule in KNOWN)


@pytest.mark.slow_proof
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found_by_generated_schedules(memory: Path, bug: str) -> None:
    with (
        open_player(memory, bug) as player,
        pytest.raises(AssertionError, match="in Schedule"),
    ):
        play_many(player, MAX_SCHEDULES, STRATEGIES.get(bug, schedules()), phases=(Phase.generate,))


@pytest.mark.slow_proof
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("number", SHARES)
def test_many_schedules_violate_no_invariant(memory: Path, figures: Figures, number: int) -> None:
    began_s = time.monotonic()
    with figures.enter(SCHEDULES, number, len(SHARES)) as entry, open_player(memory) as player:
        phases = (Phase.generate, Phase.shrink)
        play_many(player, MANY_SCHEDULES, schedules(), seed=number + 1, phases=phases)
        assert player.played.runs >= 10_000 / len(SHARES)
        entry.share = replace(player.played, seconds=time.monotonic() - began_s)


@pytest.mark.slow_proof
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("number", ERROR_SHARES)
@pytest.mark.parametrize("part", ERRORS)
def test_no_error_response_about_a_job_leads_to_a_second_job(
    memory: Path, figures: Figures, part: str, number: int
) -> None:
    began_s = time.monotonic()
    shares = len(ERROR_SHARES)
    with figures.enter(part, number, shares) as entry, open_player(memory) as player:
        phases = (Phase.generate, Phase.shrink)
        play_many(player, ERRORS_PER_SHARE, ERRORS[part], seed=number + 1, phases=phases)
        assert player.played.runs >= ERRORS_PER_SHARE / 2
        entry.share = replace(player.played, seconds=time.monotonic() - began_s)
