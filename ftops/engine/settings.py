"""The settings of an engine, and the paths of its files."""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30
WORKER_COMMAND = (sys.executable, "-P", "-m", "ftops.engine.worker")
SERVING_COMMAND = (sys.executable, "-P", "-m", "ftops.engine.lora.serving_worker")
_ABSOLUTE_PATH = re.compile(r"(?<![\w./:])(?:/|[A-Za-z]:[\\/])[\w.~+-]+[/\\][^\s'\",;:)]*")
CHECKPOINTS = "checkpoints"  # in the folder of a finished model


def step_folder(step: int) -> str:
    return f"step-{step}"


def hide_paths(text: str, folder: Path) -> str:
    """The text for clients: paths in `folder` become relative, other absolute paths `…`."""
    text = text.replace(f"{folder}{os.sep}", "").replace(str(folder), "the engine's folder")
    return _ABSOLUTE_PATH.sub("…", text)


@dataclass(frozen=True, slots=True)
class JobFolder:
    """The paths in the folder of a job; most files are deleted when it has ended."""

    root: Path

    @property
    def lock(self) -> Path:
        """Held by the worker while it runs."""
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
        """Reserved disk space, deleted to record the failure of a job on a full disk."""
        return self.root / "reserve"

    @property
    def steps(self) -> Path:
        return self.root / "steps.csv"

    @property
    def epochs(self) -> Path:
        """The checkpoints of the last epochs, in a folder for each."""
        return self.root / "epochs"

    @property
    def model(self) -> Path:
        """The model until it is published."""
        return self.root / "model"


@dataclass(frozen=True, slots=True)
class EngineFolder:
    """The paths in the engine's folder."""

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
        """Files that are being received; on start an engine deletes stale ones."""
        return self.root / "incoming"

    @property
    def uploads(self) -> Path:
        """The parts of pending uploads, in a folder for each."""
        return self.root / "uploads"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def base_models(self) -> Path:
        """The registered base models, in a folder for each."""
        return self.root / "base_models"

    @property
    def jobs(self) -> Path:
        return self.root / "jobs"

    def file(self, file_id: str) -> Path:
        return self.files / file_id

    def upload(self, upload_id: str) -> Path:
        return self.uploads / upload_id

    def model(self, job_id: str, step: int | None = None) -> Path:
        """The model of a job, or its checkpoint after a step."""
        final = self.models / job_id
        return final if step is None else final / CHECKPOINTS / step_folder(step)

    def job(self, job_id: str) -> JobFolder:
        return JobFolder(self.jobs / job_id)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The settings of `serve`; `port` None: the last one if it is free, or any free one."""

    folder: Path
    host: str = "127.0.0.1"
    port: int | None = None
    idle_s: float | None = None  # exits after this time without requests and jobs
    max_concurrent_jobs: int = 1
    max_upload_bytes: int = 512 * MEBIBYTE
    max_part_bytes: int = 64 * MEBIBYTE
    max_multipart_bytes: int = 8192 * MEBIBYTE
    max_body_bytes: int = 5 * MEBIBYTE  # JSON with the most prompts of a request
    max_loaded_models: int = 2
    max_requests_per_model: int = 512  # concurrent
    max_jobs_per_owner: int = 200  # unfinished, paused ones included
    max_jobs_per_key: int = 20  # the same for owners other than `local`
    max_stored_bytes: int = 10 * GIBIBYTE  # of one owner, as the two below
    max_files: int = 1000
    max_pending_uploads: int = 8
    keep_alive_interval_s: float = 15.0  # of comments in a stream without events
    max_connections: int = 600
    header_timeout_s: float = 30.0  # for all headers of a request
    body_timeout_s: float = 30.0  # for the next chunk of a body
    write_timeout_s: float = 60.0  # for a client to read the response
    worker_command: tuple[str, ...] = WORKER_COMMAND
    serving_command: tuple[str, ...] = SERVING_COMMAND
    vllm_url: str = ""  # of a vLLM server that answers with the base model that it has
    model_idle_s: float = 600.0  # a process that serves models ends after this without a request

    @property
    def paths(self) -> EngineFolder:
        return EngineFolder(self.folder)
