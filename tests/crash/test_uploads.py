"""Commands that die while they send a file in parts: the next one sends what is missing."""

import json
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ftops import crashpoints
from ftops.ledger.ledger import Ledger
from ftops.records import RemoteFile, Stage, StageStatus
from ftops.run_folder import RunFolder
from tests.crash.engine_host import EngineHost, open_engine_host
from tests.crash.figures import UPLOADS, Figures, Share
from tests.crash.processes import ProcessHarness
from tests.crash.upload_worker import PART, build_provider
from tests.fakes import FakeClock

PARTS = 6
LIVES = 60  # of one upload each, in the long form
POINTS = [
    *(
        f"upload.{when}_{what}"
        for what in ("part", "complete", "call")
        for when in ("before", "after")
    ),
    *(
        f"ledger.{change}.{when}_commit"
        for change in ("begin_parts", "add_part", "mark_completing")
        for when in ("before", "after")
    ),
]


@pytest.fixture(scope="module")
def host(harness: ProcessHarness, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineHost]:
    with open_engine_host(harness, tmp_path_factory.mktemp("engine")) as made:
        yield made
        made.stop()


@dataclass
class Commands:
    """Gives the command for a folder of its own; all of them share the engine."""

    harness: ProcessHarness
    host: EngineHost
    folder: Path
    text: str

    def __post_init__(self) -> None:
        (self.folder / "engine").symlink_to(self.host.paths.root)
        row = json.dumps({"prompt": f"{self.text} ->", "completion": " yes " * 400})
        count = (PARTS * PART - PART // 2) // len(row)
        rows = [row.replace("yes", f"{n:03}", 1) for n in range(count)]
        (self.folder / "large.jsonl").write_text("\n".join(rows) + "\n")

    def give(self, point: str = "-", threads: int = 4) -> int:
        """Run one command to its end or its death; how many parts it began to send."""
        trace = self.folder / "crash" / "trace"
        trace.parent.mkdir(exist_ok=True)
        trace.unlink(missing_ok=True)
        output = self.folder / "output"
        child = self.harness.start(
            "tests.crash.upload_worker",
            [str(self.folder), point, str(threads)],
            output=output,
            environment={crashpoints.VARIABLE: str(trace.parent)},
        )
        assert child.wait() == (0 if point == "-" else -signal.SIGKILL), output.read_text()
        return trace.read_text().count("upload.before_part")

    def give_up(self, point: str) -> bool:
        """Run one command that dies at the point, if it comes there; whether it did."""
        child = self.harness.start(
            "tests.crash.upload_worker",
            [str(self.folder), point, "4"],
            output=self.folder / "output",
        )
        return child.wait() == -signal.SIGKILL

    def count_confirmed(self) -> int:
        """The parts that the ledger knows to be there."""
        ledger = Ledger(self.folder / "home" / "ledger.db", FakeClock())
        (run,) = ledger.list_runs()
        calls = [call for call in ledger.list_calls(run.id) if call.state == "intent"]
        known = ledger.find_parts(calls[0]) if calls else None
        ledger.close()
        return len(known.parts) if known else 0

    def look(self) -> list[RemoteFile]:
        """The files with this content at the engine; all of them hold every byte of it."""
        ledger = Ledger(self.folder / "home" / "ledger.db", FakeClock())
        (run,) = ledger.list_runs()
        assert ledger.get_stage(run.id, Stage.UPLOAD).status is StageStatus.SUCCEEDED
        (call,) = ledger.list_calls(run.id)
        assert (call.state, ledger.find_parts(call)) == ("done", None)
        ledger.close()
        prepared = (RunFolder.of(self.folder / "home", run.id).path / "train.jsonl").read_bytes()
        assert (PARTS - 1) * PART < len(prepared) <= PARTS * PART
        provider = build_provider(self.folder / "engine", 1)
        name = call.request["filename"]
        files = [file for file in provider.list_files() if file.filename == name]
        assert all(provider.read_file(file.id) == prepared for file in files)
        assert [file.id for file in files] == [call.remote_id]
        provider.close()
        return files


@pytest.fixture
def commands(
    harness: ProcessHarness, host: EngineHost, tmp_path: Path, request: pytest.FixtureRequest
) -> Commands:
    return Commands(harness, host, tmp_path, request.node.name)


@pytest.mark.parametrize("threads", [1, 4])
def test_a_command_that_dies_in_the_third_part_of_six_leaves_the_rest_to_the_next(
    commands: Commands, threads: int
) -> None:
    commands.give(f"bytes:{2 * PART + PART // 2}", threads)
    confirmed = commands.count_confirmed()
    assert confirmed == 2 if threads == 1 else confirmed <= 2
    assert commands.give(threads=threads) == PARTS - confirmed
    assert len(commands.look()) == 1


@pytest.mark.parametrize("point", POINTS)
def test_a_death_at_any_point_leaves_one_file_and_repeats_no_confirmed_part(
    commands: Commands, point: str
) -> None:
    commands.give(point)
    confirmed = commands.count_confirmed()
    sent = commands.give()
    assert sent in (PARTS - confirmed, 0)
    assert len(commands.look()) == 1


def test_a_command_that_dies_again_and_again_still_comes_to_its_end(commands: Commands) -> None:
    for _ in range(PARTS):
        commands.give("ledger.add_part.after_commit", threads=1)
    assert commands.count_confirmed() == PARTS
    assert commands.give() == 0
    assert len(commands.look()) == 1


@pytest.mark.slow_proof
@pytest.mark.timeout(600)
def test_killed_at_any_moment_an_upload_leaves_one_file(
    harness: ProcessHarness, host: EngineHost, tmp_path: Path, figures: Figures
) -> None:
    dice = random.Random(0)
    began_s, kills, given = time.monotonic(), 0, 0
    with figures.enter(UPLOADS, 0, 1) as entry:
        for number in range(LIVES):
            folder = tmp_path / str(number)
            folder.mkdir()
            commands = Commands(harness, host, folder, f"file {number}")
            for _ in range(dice.randint(2, 5)):
                some_bytes = f"bytes:{dice.randrange(PARTS * PART)}"
                kills += commands.give_up(dice.choice([some_bytes, *POINTS]))
                given += 1
            commands.give()
            assert len(commands.look()) == 1
        entry.share = Share(
            runs=LIVES,
            commands=given + LIVES,
            kills=kills,
            same=LIVES,
            seconds=time.monotonic() - began_s,
        )
