"""One run of a job file by the real `ftops`, with planned kills.

Scenarios share only an engine: each has its own home and its own key, so that it sees only its own
files and jobs. `ProviderRecords` holds what must equal the records of a run without kills.
"""

import contextlib
import json
import re
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import openai

from ftops import crashpoints
from ftops.clock import SystemClock
from ftops.engine.keys import create_key
from ftops.engine.settings import EngineFolder
from ftops.engine.store import Store
from ftops.ledger.ledger import Ledger
from tests.crash.command import NO_POINT
from tests.crash.processes import Child, ProcessHarness, send_signal
from tests.fakes import FakeClock

LIMIT_S = 150.0
_POLL_INTERVAL_S = 0.01
_JOB: dict[str, object] = {
    "name": "numbers",
    "provider": "local",
    "model": "ada",
    "training_file": "train.jsonl",
    "validation_file": "validation.jsonl",
    "hyperparameters": {"n_epochs": 1, "batch_size": 4},
    "prepare": {"stop": "\n"},
    "seed": 1,
}


@dataclass(frozen=True)
class Kill:
    """A kill of a command that reaches a point for the `count`th time, or after some seconds."""

    point: str = NO_POINT
    count: int = 1
    after_s: float | None = None


@dataclass(frozen=True)
class ProviderRecords:
    """What the engine, the ledger and the run folder have on record, without random ids."""

    run: str
    jobs: tuple[str, ...]  # the status of each job of this scenario at the engine
    uploads: tuple[str, ...]  # the names of its files at the engine
    events: tuple[str, ...]  # of the ledger, in order
    events_match: bool  # whether they are those of the engine, each once and in order
    stages: tuple[str, ...]
    calls: tuple[str, ...]  # remote calls, without failed ones
    results: bytes
    predictions: tuple[str, ...]


class Scenario:
    """A home with a job file, and an engine key with the name of the folder."""

    program = "tests.crash.command"

    def __init__(self, harness: ProcessHarness, engine: EngineFolder, folder: Path) -> None:
        self.folder = folder
        self.kills = 0
        self.commands = 0
        self._name = folder.name
        self._harness = harness
        self._write(engine)

    def run_to_end(self, plan: Sequence[Kill]) -> ProviderRecords:
        """Run a command for each planned kill, then one without; return the records."""
        for kill in plan:
            if self.run_command(kill) == 0:  # it ended before the kill
                break
        code = self.run_command(Kill())
        assert code == 0, f"{plan}: exit code {code}\n{self.log.read_text()[-3000:]}"
        return self.read()

    def run_command(self, kill: Kill, *flags: str, trace_folder: Path | None = None) -> int:
        """Run `ftops run` once; return its exit code."""
        environment = self.choose_environment()
        if trace_folder:
            environment[crashpoints.VARIABLE] = str(trace_folder)
        command_line = ["--quiet", "run", str(self.folder / "job.yaml"), *flags]
        child = self._harness.start(
            self.program,
            self.choose_arguments(kill, command_line),
            output=self.log,
            environment=environment,
        )
        if kill.after_s is not None:
            threading.Event().wait(kill.after_s)
            send_signal(child.pid, signal.SIGKILL)
        code = _await_end(child)
        self.commands += 1
        self.kills += code == -signal.SIGKILL
        return code

    def choose_environment(self) -> dict[str, str]:
        """The environment variables of a command."""
        return {"FTOPS_HOME": str(self.home), "COLUMNS": "80"}

    def choose_arguments(self, kill: Kill, command_line: list[str]) -> list[str]:
        """The arguments of the program."""
        return [kill.point, str(kill.count), *command_line]

    def read(self) -> ProviderRecords:
        """Read the records of the run."""
        ledger = Ledger(self.home / "ledger.db", FakeClock())
        (run,) = ledger.list_runs()
        events = ledger.list_events(run.id)
        stages = [f"{stage.stage} {stage.status}" for stage in ledger.list_stages(run.id)]
        calls = [call for call in ledger.list_calls(run.id) if call.state != "failed"]
        ledger.close()
        address = json.loads(self.address.read_text())
        with openai.OpenAI(
            base_url=address["base_url"], api_key=address["token"], max_retries=0
        ) as sdk:
            jobs = list(sdk.fine_tuning.jobs.list())
            files = list(sdk.files.list(purpose="fine-tune"))
            newest_first = [
                event.id for job in jobs for event in sdk.fine_tuning.jobs.list_events(job.id)
            ]
        folder = self.home / "runs" / run.id
        random_ids = rf"file-\w+|{run.job_id}|{str(run.job_id)[-8:]}|{self._name}"
        return ProviderRecords(
            run=run.status.value,
            jobs=tuple(job.status for job in jobs),
            uploads=tuple(sorted(file.filename for file in files)),
            events=tuple(
                re.sub(random_ids, "X", f"{e.level} {e.type} {e.message}") for e in events
            ),
            events_match=[event.id for event in events] == newest_first[::-1],
            stages=tuple(stages),
            calls=tuple(sorted(f"{call.name} {call.state}" for call in calls)),
            results=(folder / "results.csv").read_bytes(),
            predictions=_read_predictions(folder / "predictions"),
        )

    def trace(self) -> list[Kill]:
        """Run without kills and list every time that it reaches a point, in order."""
        folder = self.folder / "trace"
        folder.mkdir()
        assert self.run_command(Kill(), trace_folder=folder) == 0, self.log.read_text()
        counts: Counter[str] = Counter()
        kills = []
        for line in (folder / "trace").read_text().splitlines():
            point = line.split()[1]
            counts[point] += 1
            kills.append(Kill(point, counts[point]))
        return kills

    def delete(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def log(self) -> Path:
        return self.folder / "output"

    @property
    def address(self) -> Path:
        """The file with the address of the engine and the key."""
        return self.home / "engine" / "address.json"

    @property
    def job(self) -> dict[str, object]:
        """The content of the job file."""
        return dict(_JOB)

    def _write(self, engine: EngineFolder) -> None:
        """Write the address with a new key, the job file and its data."""
        with contextlib.closing(Store(engine.database, SystemClock())) as store:
            key = create_key(self._name, store)
        address = json.loads(engine.address.read_text()) | {"token": key}
        self.address.parent.mkdir(parents=True, exist_ok=True)
        self.address.write_text(json.dumps(address))
        rows = [{"prompt": f"{number} ->", "completion": f" {number % 3}"} for number in range(12)]
        lines = [json.dumps(row) + "\n" for row in rows]
        (self.folder / "train.jsonl").write_text("".join(lines))
        (self.folder / "validation.jsonl").write_text("".join(lines[:3]))
        (self.folder / "job.yaml").write_text(json.dumps(self.job))


def _await_end(child: Child) -> int:
    pause = threading.Event()
    for _ in range(int(LIMIT_S / _POLL_INTERVAL_S)):
        code = child.poll()
        if code is not None:
            return code
        pause.wait(_POLL_INTERVAL_S)
    send_signal(child.pid, signal.SIGKILL)
    raise AssertionError(f"a command did not end within {LIMIT_S:.0f} s")


def _read_predictions(folder: Path) -> tuple[str, ...]:
    """The predictions of each candidate for each row, without times."""
    return tuple(
        f"{path.name} {row['line']} {row['expected']!r} {row['predicted']!r}"
        for path in sorted(folder.iterdir())
        for row in map(json.loads, path.read_text().splitlines())
    )
