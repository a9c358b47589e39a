"""One run of a job file by the real `ftops`, with as many deaths as are asked for.

Lives share an engine over HTTP, and nothing else: each has a home, and a key to the engine by which
it sees what it has made itself, all of it, and nothing that another life has made. What must be the
same in the end as for a life without deaths is in `Books`.
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
from tests.crash.command import NOWHERE
from tests.crash.processes import Child, ProcessHarness, send
from tests.fakes import FakeClock

LIMIT_S = 150.0
_LOOK_EVERY_S = 0.01
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
class Death:
    """Where one command dies: at the `count`th passing of a point, or after some seconds."""

    point: str = NOWHERE
    count: int = 1
    after_s: float | None = None


@dataclass(frozen=True)
class ProviderRecords:
    """What the engine, the ledger and the folder of the run tell, without names made by chance."""

    run: str
    jobs: tuple[str, ...]  # how each job ended that this life has at the engine
    uploads: tuple[str, ...]  # the names of its files at the engine
    events: tuple[str, ...]  # as the ledger has them, in its order
    told: bool  # whether these are the engine's own, each once and in its order
    stages: tuple[str, ...]
    calls: tuple[str, ...]  # what was done at the engine; a request that was lost is not told
    results: bytes
    answers: tuple[str, ...]


class Scenario:
    """A home with a job file in it, and a key to the engine that has the folder's own name."""

    program = "tests.crash.command"

    def __init__(self, harness: ProcessHarness, engine: EngineFolder, folder: Path) -> None:
        self.folder = folder
        self.kills = 0
        self.commands = 0
        self._name = folder.name
        self._harness = harness
        self._write(engine)

    def live(self, deaths: Sequence[Death]) -> ProviderRecords:
        """Die as told, then come to the end undisturbed; what stands in the books then."""
        for death in deaths:
            if self.command(death) == 0:  # it had come to its end before
                break
        code = self.command(Death())
        assert code == 0, f"{deaths}: exit code {code}\n{self.log.read_text()[-3000:]}"
        return self.read()

    def command(self, death: Death, *flags: str, traced: Path | None = None) -> int:
        """Give `ftops run` once; its exit code."""
        environment = self.choose_environment()
        if traced:
            environment[crashpoints.VARIABLE] = str(traced)
        typed = ["--quiet", "run", str(self.folder / "job.yaml"), *flags]
        child = self._harness.start(
            self.program,
            self.choose_arguments(death, typed),
            output=self.log,
            environment=environment,
        )
        if death.after_s is not None:
            threading.Event().wait(death.after_s)
            send(child.pid, signal.SIGKILL)
        code = _await_end(child)
        self.commands += 1
        self.kills += code == -signal.SIGKILL
        return code

    def choose_environment(self) -> dict[str, str]:
        """What a command finds in its environment."""
        return {"FTOPS_HOME": str(self.home), "COLUMNS": "80"}

    def choose_arguments(self, death: Death, typed: list[str]) -> list[str]:
        """What the program is told."""
        return [death.point, str(death.count), *typed]

    def read(self) -> ProviderRecords:
        """What can be known about the run."""
        ledger = Ledger(self.home / "ledger.db", FakeClock())
        (run,) = ledger.list_runs()
        events = ledger.list_events(run.id)
        stages = [f"{one.stage} {one.status}" for one in ledger.list_stages(run.id)]
        calls = [call for call in ledger.list_calls(run.id) if call.state != "failed"]
        ledger.close()
        address = json.loads(self.address.read_text())
        with openai.OpenAI(
            base_url=address["base_url"], api_key=address["token"], max_retries=0
        ) as sdk:
            jobs = list(sdk.fine_tuning.jobs.list())
            files = list(sdk.files.list(purpose="fine-tune"))
            told = [one.id for job in jobs for one in sdk.fine_tuning.jobs.list_events(job.id)]
        folder = self.home / "runs" / run.id
        chance = rf"file-\w+|{run.job_id}|{str(run.job_id)[-8:]}|{self._name}"
        return ProviderRecords(
            run=run.status.value,
            jobs=tuple(job.status for job in jobs),
            uploads=tuple(sorted(file.filename for file in files)),
            events=tuple(re.sub(chance, "X", f"{e.level} {e.type} {e.message}") for e in events),
            told=[event.id for event in events] == told[::-1],
            stages=tuple(stages),
            calls=tuple(sorted(f"{call.name} {call.state}" for call in calls)),
            results=(folder / "results.csv").read_bytes(),
            answers=_read_answers(folder / "predictions"),
        )

    def trace(self) -> list[Death]:
        """Every passing of a point in a life without deaths, in order."""
        stage = self.folder / "trace"
        stage.mkdir()
        assert self.command(Death(), traced=stage) == 0, self.log.read_text()
        passed: Counter[str] = Counter()
        found = []
        for line in (stage / "trace").read_text().splitlines():
            point = line.split()[1]
            passed[point] += 1
            found.append(Death(point, passed[point]))
        return found

    def end(self) -> None:
        """Leave no files behind."""
        shutil.rmtree(self.folder)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def log(self) -> Path:
        return self.folder / "output"

    @property
    def address(self) -> Path:
        """Where the engine is, and the key to it."""
        return self.home / "engine" / "address.json"

    @property
    def job(self) -> dict[str, object]:
        """What the job file says."""
        return dict(_JOB)

    def _write(self, engine: EngineFolder) -> None:
        """A home that finds the yard's engine, with a key to it; a job file and its data."""
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
    for _ in range(int(LIMIT_S / _LOOK_EVERY_S)):
        code = child.poll()
        if code is not None:
            return code
        pause.wait(_LOOK_EVERY_S)
    send(child.pid, signal.SIGKILL)
    raise AssertionError(f"a command did not end within {LIMIT_S:.0f} s")


def _read_answers(folder: Path) -> tuple[str, ...]:
    """What each candidate answered to each row; times are those of the life."""
    return tuple(
        f"{path.name} {answer['line']} {answer['expected']!r} {answer['predicted']!r}"
        for path in sorted(folder.iterdir())
        for answer in map(json.loads, path.read_text().splitlines())
    )
