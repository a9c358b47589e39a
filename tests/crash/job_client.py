"""One fine-tuning job from its upload to its model, done by a client that does not give up; what
came of it; and what must not be left behind."""

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
_FIGURES: Any = {"n_epochs": 6, "batch_size": 4}
_LEFT_ALONE = ("address.json", "engine.db", "engine.db-shm", "engine.db-wal", "engine.lock")


def rows(count: int, seed: int = 0) -> bytes:
    """Some questions with answers that can be learned, always the same for a seed."""
    dice = random.Random(seed)
    lines = []
    for _ in range(count):
        word = "".join(dice.choices(string.ascii_lowercase, k=12))
        lines.append(json.dumps({"prompt": f"{word} ->", "completion": f" {word[0]}{word[-1]}"}))
    return ("\n".join(lines) + "\n").encode()


@dataclass(frozen=True)
class Outcome:
    """All that a client, and the disk, know about the job; without what is chance in its names."""

    status: str
    events: tuple[str, ...]
    results: bytes
    models: tuple[str, ...]
    files: dict[str, str]  # of the model's folder, with their hashes


def ask_for_job(host: EngineHost, number: int = 1, *, model: str = "ada") -> str:
    """Upload both files, in parts and whole, and create the job; repeated until all is there.

    Errands of the same number are the same one.
    """
    training = _in_parts(host, TRAINING, rows(80))
    host.ask(lambda sdk: _file(sdk, VALIDATION) or _upload(sdk, VALIDATION, rows(12, seed=1)))
    validation = host.ask(lambda sdk: _file(sdk, VALIDATION))
    assert validation is not None
    about = {"errand": str(number)}
    return host.ask(
        lambda sdk: (
            _job(sdk, about)
            or sdk.fine_tuning.jobs.create(
                model=model,
                training_file=training,
                validation_file=validation,
                hyperparameters=_FIGURES,
                seed=7,
                metadata=about,
            ).id
        )
    )


def see_to_end(host: EngineHost, job_id: str) -> Outcome:
    """Wait for the job, whatever happens to its engine, until that has tidied up behind it; what
    came of it."""

    def is_over() -> bool:
        status = host.ask(lambda sdk: sdk.fine_tuning.jobs.retrieve(job_id)).status
        kept = status == "failed"  # what its worker printed
        return status in _ENDED and (kept or not host.paths.job(job_id).root.exists())

    wait_until(is_over, pause_s=0.03)
    return host.ask(lambda sdk: _read_outcome(sdk, job_id, host))


def _file(sdk: openai.OpenAI, name: str) -> str | None:
    return next((file.id for file in sdk.files.list() if file.filename == name), None)


def _upload(sdk: openai.OpenAI, name: str, data: bytes) -> str:
    return sdk.files.create(file=(name, data), purpose="fine-tune").id


def _in_parts(host: EngineHost, name: str, data: bytes) -> str:
    upload = host.ask(
        lambda sdk: sdk.uploads.create(
            bytes=len(data), filename=name, mime_type="application/jsonl", purpose="fine-tune"
        )
    )
    middle = len(data) // 2
    place = {"x-part-range": f"0-{middle - 1}"}  # the one part comes with its place, the other not
    parts = [
        host.ask(
            lambda sdk, piece=piece, headers=headers: sdk.uploads.parts.create(  # type: ignore[misc]
                upload.id, data=piece, extra_headers=headers
            )
        ).id
        for piece, headers in ((data[:middle], place), (data[middle:], None))
    ]
    digest = hashlib.md5(data).hexdigest()

    def complete(sdk: openai.OpenAI) -> str:
        try:
            file = sdk.uploads.complete(upload.id, part_ids=parts, md5=digest).file
        except openai.BadRequestError as error:
            assert error.code == "upload_completed"  # the answer was lost, not the file
            return _file(sdk, name) or ""
        return file.id if file else ""

    return host.ask(complete)


def _job(sdk: openai.OpenAI, about: dict[str, str]) -> str | None:
    return next((job.id for job in sdk.fine_tuning.jobs.list(metadata=about)), None)


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
        one.fine_tuned_model_checkpoint for one in sdk.fine_tuning.jobs.checkpoints.list(job_id)
    ]

    def nameless(text: str) -> str:
        return re.sub(rf"file-\w+|{job_id}|{job_id[-8:]}", "X", text)

    return Outcome(
        status=job.status,
        events=tuple(
            nameless(f"{event.level} {event.type} {event.message} {event.data}")
            for event in reversed(events)
        ),
        results=sdk.files.content(job.result_files[0]).content if job.result_files else b"",
        models=tuple(nameless(name) for name in (*models, *checkpoints)),
        files=files,
    )


def _digest(path: Path) -> str:
    """The content's hash; of a manifest, what does not depend on the hour and the job's name."""
    data = path.read_bytes()
    if path.name == "manifest.json":
        manifest = json.loads(data)
        return json.dumps([manifest[key] for key in ("base", "row_format", "trained_tokens")])
    return hashlib.sha256(data).hexdigest()


def list_stale_files(host: EngineHost) -> list[str]:
    """What a stopped engine has in its folder, or its log, that nobody needs."""
    paths = host.paths
    with sqlite3.connect(f"file:{paths.database}?mode=ro", uri=True) as database:

        def column(sql: str) -> set[str]:
            return {row[0] for row in database.execute(sql)}

        files = column("SELECT id FROM files")
        uploads = column("SELECT id FROM uploads WHERE status = 'pending'")
        models = column("SELECT job_id FROM models WHERE deleted_at IS NULL")
        jobs = column("SELECT id FROM jobs WHERE status NOT IN ('succeeded', 'cancelled')")
        sound = column("PRAGMA integrity_check")
    database.close()
    wanted = {
        paths.files: files,
        paths.uploads: uploads,
        paths.models: models,
        paths.jobs: jobs,
        paths.incoming: set[str](),
    }
    found = [
        f"{folder.name}/{path.name}"
        for folder, names in wanted.items()
        for path in folder.iterdir()
        if path.name not in names
    ]
    there = {path.name for path in paths.files.iterdir()}
    found += [f"{name} is missing" for name in files - there]
    known = (*(folder.name for folder in wanted), *_LEFT_ALONE, "port", "token")
    found += [path.name for path in paths.root.iterdir() if path.name not in known]
    found += [line for line in host.log.read_text().splitlines() if "Traceback" in line]
    return found + [line for line in sound if line != "ok"]
