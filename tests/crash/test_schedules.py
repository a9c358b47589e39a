"""Generated schedules of faults, deaths, second commands and cancels: what must hold always holds.

And the proof of the proof: with a bug planted into ftops, the same schedules find it.
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
from tests.crash.schedule_runner import Verdict

FEW = 25
UNTIL_FOUND = 3000
SHARES = range(8)
MANY = 1600  # drawn for each share; of which so many are played that it is ten thousand in all
ANSWERED = {POLLS: polling_schedules(), CREATES: create_schedules()}
ANSWERED_SHARES = range(4)
ANSWERED_MANY = 250  # drawn for each share
# The draws that find a planted bug, where the general ones do not.
FINDS = {"fail_run_by_polling": ANSWERED[POLLS], "resend_after_429": ANSWERED[CREATES]}


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where the system has such: a killed process loses nothing there, either.

    What a power cut would lose is not for these tests (tests/ledger/test_power_cut.py).
    """
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


class Player:
    """The player's other end; counts what was played."""

    def __init__(self, folder: Path, bug: str = "") -> None:
        folder.mkdir(exist_ok=True)
        line = [
            sys.executable,
            "-m",
            "tests.crash.schedule_runner",
            str(folder),
            *([bug] if bug else []),
        ]
        self._process = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.played = Share()

    def play(self, schedule: Schedule) -> str:
        """The violation that came of it, or nothing."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(schedule.to_json()) + "\n")
        self._process.stdin.flush()
        verdict = Verdict(**json.loads(self._process.stdout.readline()))
        self.played = replace(
            self.played,
            runs=self.played.runs + 1,
            commands=self.played.commands + verdict.commands,
            kills=self.played.kills + verdict.kills,
            faults=self.played.faults + verdict.faults,
            same=self.played.same + (not verdict.violation),
        )
        return verdict.violation

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
    """Draw so many schedules, the same for a seed, and play each that was not drawn before.

    AssertionError names the first violation.
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
    """Another course for each seed: hypothesis derives it from the test's own digest."""
    test.hypothesis.inner_test._hypothesis_internal_add_digest = f"schedules {seed}".encode()  # type: ignore[attr-defined]


def test_the_known_schedules_end_as_they_must(memory: Path) -> None:
    with open_player(memory) as player:
        assert [player.play(schedule) for schedule in KNOWN] == [""] * len(KNOWN)


def test_a_few_schedules_end_as_they_must(memory: Path) -> None:
    with open_player(memory) as player:
        play_many(player, FEW, schedules(), phases=(Phase.generate, Phase.shrink))
    assert player.played.kills
    assert player.played.faults


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found_by_a_known_schedule(memory: Path, bug: str) -> None:
    with open_player(memory, bug) as player:
        assert any(player.play(schedule) for schedule in KNOWN)


@pytest.mark.slow_proof
@pytest.mark.timeout(900)
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found_by_schedules_that_nobody_has_thought_of(
    memory: Path, bug: str
) -> None:
    with (
        open_player(memory, bug) as player,
        pytest.raises(AssertionError, match="in Schedule"),
    ):
        play_many(player, UNTIL_FOUND, FINDS.get(bug, schedules()), phases=(Phase.generate,))


@pytest.mark.slow_proof
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", SHARES)
def test_many_schedules_end_as_they_must(memory: Path, figures: Figures, number: int) -> None:
    began_s = time.monotonic()
    with figures.enter(SCHEDULES, number, len(SHARES)) as entry, open_player(memory) as player:
        phases = (Phase.generate, Phase.shrink)
        play_many(player, MANY, schedules(), seed=number + 1, phases=phases)
        assert player.played.runs >= 10_000 / len(SHARES)
        entry.share = replace(player.played, seconds=time.monotonic() - began_s)


@pytest.mark.slow_proof
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", ANSWERED_SHARES)
@pytest.mark.parametrize("part", ANSWERED)
def test_no_answer_to_a_request_about_a_job_leads_to_a_second_job(
    memory: Path, figures: Figures, part: str, number: int
) -> None:
    began_s = time.monotonic()
    shares = len(ANSWERED_SHARES)
    with figures.enter(part, number, shares) as entry, open_player(memory) as player:
        phases = (Phase.generate, Phase.shrink)
        play_many(player, ANSWERED_MANY, ANSWERED[part], seed=number + 1, phases=phases)
        assert player.played.runs >= ANSWERED_MANY / 2
        entry.share = replace(player.played, seconds=time.monotonic() - began_s)
