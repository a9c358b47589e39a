"""A client that takes a fine-tuning job from its upload to its model, and reads the outcome."""

import hashlib
import json
import random
import re
import sqlite3
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai

from tests.crash.engine_host import EngineHost, wait_until

TRAINING = "training.jsonl"
VALIDATION = "validation.jsonl"
_ENDED = ("succeeded", "failed", "cancelled")
_HYPERPARAMETERS: Any = {"n_epochs": 6, "batch_size": 4}
_ENGINE_FILES = ("address.json", "engine.db", "engine.db-shm", "engine.db-wal", "engine.lock")


def make_rows(count: int, seed: int = 0) -> bytes:
    """Training rows that can be learned, reproducible by the seed."""
    rng = random.Random(seed)
    lines = []
    for _ in range(count):
        word = "".join(rng.choices(string.ascii_lowercase, k=12))
        lines.append(json.dumps({"prompt": f"{word} ->", "completion": f" {word[0]}{word[-1]}"}))
    return ("\n".join(lines) + "\n").encode()


@dataclass(frozen=True)
class Outcome:
    """What the API and the disk show of a job, without random ids."""

    status: str
    events: tuple[str, ...]
    results: bytes
    models: tuple[str, ...]
    files: dict[str, str]  # of the model folder, with their hashes


def create_job(host: EngineHost, number: int = 1, *, model: str = "ada") -> str:
    """Upload both files, one of them in parts, and create the job; repeat requests that fail.

    Calls with the same number create one job.
    """
    training = _upload_in_parts(host, TRAINING, make_rows(80))
    host.call(
        lambda sdk: _find_file(sdk, VALIDATION) or _upload(sdk, VALIDATION, make_rows(12, seed=1))
    )
    validation = host.call(lambda sdk: _find_file(sdk, VALIDATION))
    assert validation is not None
    metadata = {"number": str(number)}
    return host.call(
        lambda sdk: (
            _find_job(sdk, metadata)
            or sdk.fine_tuning.jobs.create(
                model=model,
                training_file=training,
                validation_file=validation,
                hyperparameters=_HYPERPARAMETERS,
                seed=7,
                metadata=metadata,
            ).id
        )
    )


def wait_for_outcome(host: EngineHost, job_id: str) -> Outcome:
    """Wait until the job has ended and the engine has cleaned up, through any restarts."""

    def is_over() -> bool:
        status = host.call(lambda sdk: sdk.fine_tuning.jobs.retrieve(job_id)).status
        has_log = status == "failed"  # its folder holds the log of its worker
        return status in _ENDED and (has_log or not host.paths.job(job_id).root.exists())

    wait_until(is_over, pause_s=0.03)
    return host.call(lambda sdk: _read_outcome(sdk, job_id, host))


def _find_file(sdk: openai.OpenAI, name: str) -> str | None:
    return next((file.id for file in sdk.files.list() if file.filename == name), None)


def _upload(sdk: openai.OpenAI, name: str, data: bytes) -> str:
    return sdk.files.create(file=(name, data), purpose="fine-tune").id


def _upload_in_parts(host: EngineHost, name: str, data: bytes) -> str:
    upload = host.call(
        lambda sdk: sdk.uploads.create(
            bytes=len(data), filename=name, mime_type="application/jsonl", purpose="fine-tune"
        )
    )
    middle = len(data) // 2
    part_range = {"x-part-range": f"0-{middle - 1}"}  # only the first part has its range
    parts = [
        host.call(
            lambda sdk, piece=piece, headers=headers: sdk.uploads.parts.create(  # type: ignore[misc]
                upload.id, data=piece, extra_headers=headers
            )
        ).id
        for piece, headers in ((data[:middle], part_range), (data[middle:], None))
    ]
    digest = hashlib.md5(data).hexdigest()

    def complete(sdk: openai.OpenAI) -> str:
        try:
            file = sdk.uploads.complete(upload.id, part_ids=parts, md5=digest).file
        except openai.BadRequestError as error:
            assert error.code == "upload_completed"  # only the response was lost
            return _find_file(sdk, name) or ""
        return file.id if file else ""

    return host.call(complete)


def _find_job(sdk: openai.OpenAI, metadata: dict[str, str]) -> str | None:
    return next((job.id for job in sdk.fine_tuning.jobs.list(metadata=metadata)), None)


def _read_outcome(sdk: openai.OpenAI, job_id: str, host: EngineHost) -> Outcome:
    job = sdk.fine_tuning.jobs.retrieve(job_id)
    events = list(sdk.fine_tuning.jobs.list_events(job_id, limit=100))
    assert len({event.id for event in events}) == len(events)
    folder = host.paths.model(job_id)
    files = {
        str(path.relative_to(folder)): _digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    models = sorted(model.id for model in sdk.models.list() if model.owned_by == "local")
    checkpoints = [
        checkpoint.fine_tuned_model_checkpoint
        for checkpoint in sdk.fine_tuning.jobs.checkpoints.list(job_id)
    ]

    def replace_ids(text: str) -> str:
        return re.sub(rf"file-\w+|{job_id}|{job_id[-8:]}", "X", text)

    return Outcome(
        status=job.status,
        events=tuple(
            replace_ids(f"{event.level} {event.type} {event.message} {event.data}")
            for event in reversed(events)
        ),
        results=sdk.files.content(job.result_files[0]).content if job.result_files else b"",
        models=tuple(replace_ids(name) for name in (*models, *checkpoints)),
        files=files,
    )


def _digest(path: Path) -> str:
    """The hash of the content; of a manifest, the fields that do not depend on time and job id."""
    data = path.read_bytes()
    if path.name == "manifest.json":
        manifest = json.loads(data)
        return json.dumps([manifest[key] for key in ("base", "row_format", "trained_tokens")])
    return hashlib.sha256(data).hexdigest()


def list_stale_files(host: EngineHost) -> list[str]:
    """Unexpected or missing files of a stopped engine, errors in its log and in its database."""
    paths = host.paths
    with sqlite3.connect(f"file:{paths.database}?mode=ro", uri=True) as database:

        def column(sql: str) -> set[str]:
            return {row[0] for row in database.execute(sql)}

        files = column("SELECT id FROM files")
        uploads = column("SELECT id FROM uploads WHERE status = 'pending'")
        models = column("SELECT job_id FROM models WHERE deleted_at IS NULL")
        jobs = column("SELECT id FROM jobs WHERE status NOT IN ('succeeded', 'cancelled')")
        integrity = column("PRAGMA integrity_check")
    database.close()
    expected = {
        paths.files: files,
        paths.uploads: uploads,
        paths.models: models,
        paths.jobs: jobs,
        paths.incoming: set[str](),
    }
    problems = [
        f"{folder.name}/{path.name}"
        for folder, names in expected.items()
        for path in folder.iterdir()
        if path.name not in names
    ]
    stored = {path.name for path in paths.files.iterdir()}
    problems += [f"{name} is missing" for name in files - stored]
    known = (*(folder.name for folder in expected), *_ENGINE_FILES, "port", "token")
    problems += [path.name for path in paths.root.iterdir() if path.name not in known]
    problems += [line for line in host.log.read_text().splitlines() if "Traceback" in line]
    return problems + [line for line in integrity if line != "ok"]
