"""Commands that are killed while they send a file in parts: the next one sends the rest."""

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
N_UPLOADS = 60  # of the long test
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
    with open_engine_host(harness, tmp_path_factory.mktemp("engine")) as engine_host:
        yield engine_host
        engine_host.stop()


@dataclass
class Commands:
    """Runs commands in one folder; all folders share the engine."""

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

    def run(self, point: str = "-", threads: int = 4) -> int:
        """Run one command to its end or until it is killed; return how many parts it sent."""
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

    def run_until_killed(self, point: str) -> bool:
        """Run one command; return whether it was killed at the point before its end."""
        child = self.harness.start(
            "tests.crash.upload_worker",
            [str(self.folder), point, "4"],
            output=self.folder / "output",
        )
        return child.wait() == -signal.SIGKILL

    def count_confirmed(self) -> int:
        """The number of uploaded parts that the ledger has on record."""
        ledger = Ledger(self.folder / "home" / "ledger.db", FakeClock())
        (run,) = ledger.list_runs()
        calls = [call for call in ledger.list_calls(run.id) if call.state == "intent"]
        upload = ledger.find_parts(calls[0]) if calls else None
        ledger.close()
        return len(upload.parts) if upload else 0

    def list_uploaded_files(self) -> list[RemoteFile]:
        """The files with this name at the engine; asserts that their content is complete."""
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
def test_the_next_command_sends_the_missing_parts_of_a_killed_one(
    commands: Commands, threads: int
) -> None:
    commands.run(f"bytes:{2 * PART + PART // 2}", threads)
    confirmed = commands.count_confirmed()
    assert confirmed == 2 if threads == 1 else confirmed <= 2
    assert commands.run(threads=threads) == PARTS - confirmed
    assert len(commands.list_uploaded_files()) == 1


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_point_leaves_one_file_and_repeats_no_confirmed_part(
    commands: Commands, point: str
) -> None:
    commands.run(point)
    confirmed = commands.count_confirmed()
    sent = commands.run()
    assert sent in (PARTS - confirmed, 0)
    assert len(commands.list_uploaded_files()) == 1


def test_commands_that_are_killed_after_each_part_complete_the_upload(commands: Commands) -> None:
    for _ in range(PARTS):
        commands.run("ledger.add_part.after_commit", threads=1)
    assert commands.count_confirmed() == PARTS
    assert commands.run() == 0
    assert len(commands.list_uploaded_files()) == 1


@pytest.mark.slow_proof
@pytest.mark.timeout(600)
def test_an_upload_that_is_killed_at_random_times_leaves_one_file(
    harness: ProcessHarness, host: EngineHost, tmp_path: Path, figures: Figures
) -> None:
    rng = random.Random(0)
    start_s, kills, count = time.monotonic(), 0, 0
    with figures.enter(UPLOADS, 0, 1) as entry:
        for number in range(N_UPLOADS):
            folder = tmp_path / str(number)
            folder.mkdir()
            commands = Commands(harness, host, folder, f"file {number}")
            for _ in range(rng.randint(2, 5)):
                some_bytes = f"bytes:{rng.randrange(PARTS * PART)}"
                kills += commands.run_until_killed(rng.choice([some_bytes, *POINTS]))
                count += 1
            commands.run()
            assert len(commands.list_uploaded_files()) == 1
        entry.share = Share(
            runs=N_UPLOADS,
            commands=count + N_UPLOADS,
            kills=kills,
            same=N_UPLOADS,
            seconds=time.monotonic() - start_s,
        )
