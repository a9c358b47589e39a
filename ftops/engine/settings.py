"""What an engine is told when it starts, and where it keeps things."""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30
WORKER_COMMAND = (sys.executable, "-P", "-m", "ftops.engine.worker")
_ABSOLUTE_PATH = re.compile(r"(?<![\w./:])(?:/|[A-Za-z]:[\\/])[\w.~+-]+[/\\][^\s'\",;:)]*")
CHECKPOINTS = "checkpoints"  # in the folder of a finished model


def step_folder(step: int) -> str:
    return f"step-{step}"


def hide_paths(text: str, folder: Path) -> str:
    """The text for clients, who are not to see where the engine keeps things.

    Paths in its folder lose their beginning, all others are left out.
    """
    text = text.replace(f"{folder}{os.sep}", "").replace(str(folder), "the engine's folder")
    return _ABSOLUTE_PATH.sub("…", text)


@dataclass(frozen=True, slots=True)
class JobFolder:
    """What one job needs while it is under way; most of it is removed when it has ended."""

    root: Path

    @property
    def lock(self) -> Path:
        """Held by the worker for as long as it lives."""
        return self.root / "lock"

    @property
    def log(self) -> Path:
        return self.root / "worker.log"

    @property
    def training(self) -> Path:
        return self.root / "training.jsonl"

    @property
    def validation(self) -> Path:
        return self.root / "validation.jsonl"

    @property
    def checkpoint(self) -> Path:
        return self.root / "checkpoint"

    @property
    def reserve(self) -> Path:
        """Room on the disk, given up so that a full one can still take down that the job failed."""
        return self.root / "reserve"

    @property
    def steps(self) -> Path:
        return self.root / "steps.csv"

    @property
    def epochs(self) -> Path:
        """The models at the ends of the last epochs, a folder each."""
        return self.root / "epochs"

    @property
    def model(self) -> Path:
        """The model until it is whole."""
        return self.root / "model"


@dataclass(frozen=True, slots=True)
class EngineFolder:
    """The engine's folder: every path in it is built here and nowhere else."""

    root: Path

    @property
    def database(self) -> Path:
        return self.root / "engine.db"

    @property
    def lock(self) -> Path:
        return self.root / "engine.lock"

    @property
    def address(self) -> Path:
        return self.root / "address.json"

    @property
    def last_port(self) -> Path:
        return self.root / "port"

    @property
    def token(self) -> Path:
        return self.root / "token"

    @property
    def files(self) -> Path:
        return self.root / "files"

    @property
    def incoming(self) -> Path:
        """Uploads on their way; whatever stands here when an engine starts is a leftover."""
        return self.root / "incoming"

    @property
    def uploads(self) -> Path:
        """The parts of pending uploads, a folder each."""
        return self.root / "uploads"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def jobs(self) -> Path:
        return self.root / "jobs"

    def file(self, file_id: str) -> Path:
        return self.files / file_id

    def upload(self, upload_id: str) -> Path:
        return self.uploads / upload_id

    def model(self, job_id: str, step: int | None = None) -> Path:
        """The finished model of a job, or the one that it was after a step."""
        final = self.models / job_id
        return final if step is None else final / CHECKPOINTS / step_folder(step)

    def job(self, job_id: str) -> JobFolder:
        return JobFolder(self.jobs / job_id)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What `serve` is told; `port` None: the last one if it is free, or any free one."""

    folder: Path
    host: str = "127.0.0.1"
    port: int | None = None
    idle_s: float | None = None  # ends itself after that long without requests and jobs
    max_concurrent_jobs: int = 1
    max_upload_bytes: int = 512 * MEBIBYTE
    max_part_bytes: int = 64 * MEBIBYTE
    max_multipart_bytes: int = 8192 * MEBIBYTE
    max_body_bytes: int = 5 * MEBIBYTE  # JSON with all the prompts that a request may have
    max_loaded_models: int = 2
    max_requests_per_model: int = 512  # of one model, at the same time
    max_jobs_per_owner: int = 200  # of one owner, paused ones included
    max_jobs_per_key: int = 20  # the same, of a key that was made for others
    max_stored_bytes: int = 10 * GIBIBYTE  # of one owner, like the two below
    max_files: int = 1000
    max_pending_uploads: int = 8
    keep_alive_interval_s: float = 15.0  # a stream of events without news says that it is alive
    max_connections: int = 600
    header_timeout_s: float = 30.0  # for a whole request head
    body_timeout_s: float = 30.0  # for the next piece of a body
    write_timeout_s: float = 60.0  # for a client to read its answer
    worker_command: tuple[str, ...] = WORKER_COMMAND

    @property
    def paths(self) -> EngineFolder:
        return EngineFolder(self.folder)
