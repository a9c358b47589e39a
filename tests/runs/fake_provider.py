"""A fake provider that stores everything in a folder, so that a new process finds it again.

It stores files and runs jobs (each poll of a job moves it to the next status). Its models complete
prompts from their training data. Faults are set by attributes or with `fail`.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ftops.capabilities import Capabilities, EpochRule
from ftops.clock import Clock
from ftops.errors import NotFound, ProviderError, Rejected, Unreachable
from ftops.providers.model_catalog import ModelInfo
from ftops.providers.provider import JobFilter, OnBytes, Provider, UploadCheckpoint, any_job
from ftops.records import (
    Checkpoint,
    Completion,
    Job,
    JobError,
    JobEvent,
    JobRequest,
    Model,
    Prompt,
    RemoteFile,
    RowFormat,
    Sampling,
)

STEPS = 4
STATUSES = ("validating_files", "queued", "running", "paused", "running", "succeeded")
CAPABILITIES = Capabilities(
    suffix_max=40,
    hyperparameters=frozenset({"n_epochs", "batch_size", "learning_rate_multiplier"}),
    min_rows=2,
    needs_key=False,
    poll_every_s=5.0,
    auto_epochs=EpochRule(target=3, least_seen=100, most_seen=25_000, most=25),
)


class FakeProvider(Provider):
    """Implements `Provider`; `count(method)` returns how often a method had its effect."""

    name = "fake"
    account = "fake:acme"

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder = folder
        self.clock = clock
        self.capabilities = CAPABILITIES
        self.format = RowFormat.COMPLETION
        self.price_usd: float | None = 1.0
        self.completion_usd: float | None = None  # for a million prompt or completion tokens
        self.row_limit: int | None = 1_024
        self.statuses: tuple[str, ...] = STATUSES
        self.job_error: JobError | None = None
        self.listing_lag_s = 0.0  # a new job is not file by its metadata for this time
        self.file_lag_s = 0.0  # a new file is not file by its name for this time
        self.results_lag = 0  # polls of an ended job before it has a results file
        self.loading_lag = 0  # requests that a new model answers with 404
        self.repeats_events = False  # known events are listed again
        self.results: bytes | None = None  # other content of the results file
        self.metrics: bytes | None = None  # in no results file
        self.estimated_usd: float | None = None  # the provider's own estimate of a job
        self.job_cost_usd: float | None = None  # as a succeeded job reports it
        self.checkpoints: tuple[Checkpoint, ...] = ()
        self.replies: dict[str, Callable[[Prompt], str]] = {}  # completions of models without a job
        self.loses_response_of: set[str] = (
            set()
        )  # methods with an effect whose response is lost once
        self.errors_after: dict[
            str, list[ProviderError]
        ] = {}  # methods with an effect that then raise these
        self.job_requests: list[JobRequest] = []  # in order of arrival
        self.streams: list[
            Callable[[Sequence[JobEvent]], Iterator[JobEvent]]
        ] = []  # one for each wait
        self.known: list[int] = []  # the number of known events of each listing
        self.refused: dict[str, dict[str, str | None]] = {}  # parameters, by model
        self.completion_requests: list[
            tuple[str, Sampling]
        ] = []  # model and sampling of each request
        self._failures: dict[str, list[ProviderError]] = {}
        self._hooks: dict[str, Callable[[], None]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def fail(self, method: str, *errors: ProviderError) -> None:
        """Let the next calls of `method` raise these errors, without any effect."""
        self._failures.setdefault(method, []).extend(errors)

    def succeed(self, method: str) -> None:
        """Let the next calls of `method` succeed again."""
        self._failures.pop(method, None)

    def before(self, method: str, hook: Callable[[], None]) -> None:
        """Call `hook` at each call of `method`."""
        self._hooks[method] = hook

    def count(self, method: str) -> int:
        """How often the method had its effect, over all processes."""
        calls: dict[str, int] = self._load("calls")
        return calls.get(method, 0)

    def jobs(self) -> list[Job]:
        """All created jobs, oldest first."""
        return [_to_job(value) for value in self._load("jobs").values()]

    def row_format(self, model: str) -> RowFormat:
        return self.format

    def get_model_info(self, model: str) -> ModelInfo:
        return ModelInfo(
            train_usd=self.price_usd,
            input_usd=self.completion_usd,
            output_usd=self.completion_usd,
            max_example_tokens=self.row_limit,
            price_advice="" if self.price_usd is not None else f"Tell the price of {model}.",
        )

    def ensure_ready(self) -> None:
        self._enter("ensure_ready")

    def upload_file(
        self,
        path: Path,
        *,
        filename: str,
        on_bytes: OnBytes,
        checkpoint: UploadCheckpoint | None = None,
    ) -> RemoteFile:
        self._enter("upload_file")
        content = path.read_bytes()
        on_bytes(len(content), len(content))
        file = self._store(filename, content, "fine-tune")
        self._lose_response("upload_file")
        return file

    def cancel_upload(self, upload_id: str) -> None:
        self._enter("cancel_upload")
        self._count("cancel_upload")
        self._lose_response("cancel_upload")

    def find_file(self, filename: str, size: int) -> RemoteFile | None:
        self._enter("find_file")
        listed = self.clock.now() - timedelta(seconds=self.file_lag_s)
        matching = [
            file
            for file in self.list_files()
            if (file.filename, file.bytes) == (filename, size) and file.created_at <= listed
        ]
        return matching[-1] if matching else None

    def get_file(self, file_id: str) -> RemoteFile:
        self._enter("get_file")
        file = next((stored for stored in self.list_files() if stored.id == file_id), None)
        if file is None:
            raise NotFound(f"no such file: {file_id}", status=404)
        return file

    def list_files(self) -> Iterator[RemoteFile]:
        files = self._load("files")
        return iter(
            [
                RemoteFile(**{**value, "created_at": datetime.fromisoformat(value["created_at"])})
                for value in files.values()
            ]
        )

    def read_file(self, file_id: str) -> bytes:
        self._enter("read_file")
        self.get_file(file_id)
        return (self.folder / file_id).read_bytes()

    def delete_file(self, file_id: str) -> None:
        self._enter("delete_file")
        files = self._load("files")
        if files.pop(file_id, None) is None:
            raise NotFound(f"no such file: {file_id}", status=404)
        self._save("files", files)
        self._lose_response("delete_file")

    def create_job(self, request: JobRequest) -> Job:
        self.job_requests.append(request)
        self._enter("create_job")
        for file_id in filter(None, (request.training_file, request.validation_file)):
            self.get_file(file_id)
        jobs = self._load("jobs")
        job = Job(
            id=f"ftjob-{len(jobs) + 1}",
            status=self.statuses[0],
            model=request.model,
            created_at=self.clock.now(),
            training_file=request.training_file,
            validation_file=request.validation_file,
            seed=request.seed,
            metadata=dict(request.metadata),
        )
        self._save_job(job, polls=0)
        self._count("create_job")
        self._lose_response("create_job")
        return job

    def find_job(self, request: JobRequest, *, job_filter: JobFilter = any_job) -> Job | None:
        self._enter("find_job")
        for job in reversed(self.jobs()):
            listed = job.created_at + timedelta(seconds=self.listing_lag_s) <= self.clock.now()
            if listed and self._matches(job, request) and job_filter(job):
                return job
        return None

    def _matches(self, job: Job, request: JobRequest) -> bool:
        if not self.capabilities.metadata:
            return (job.model, job.training_file) == (request.model, request.training_file)
        for mark in ("ftops_run", "ftops_key"):
            if mark in request.metadata:
                return job.metadata.get(mark) == request.metadata[mark]
        return False

    def get_job(self, job_id: str) -> Job:
        self._enter("get_job")
        job, polls = self._get(job_id)
        if job_id in self._load("paused"):
            return replace(job, status="paused")
        if not job.ended:
            polls += 1
            job = replace(job, status=self.statuses[min(polls, len(self.statuses) - 1)])
            if job.status == "succeeded":
                job = self._finish(job)
            elif job.status == "failed":
                job = replace(job, error=self.job_error)
        elif not job.result_files and job.status == "succeeded":
            polls += 1
        if (
            job.status == "succeeded"
            and not job.result_files
            and polls >= len(self.statuses) - 1 + self.results_lag
        ):
            job = replace(job, result_files=(self._store_results(),))
        self._save_job(job, polls=polls)
        return job

    def cancel_job(self, job_id: str) -> Job:
        self._enter("cancel_job")
        job, polls = self._get(job_id)
        if job.ended:
            raise Rejected(f"{job_id} has ended: {job.status}", status=400)
        job = replace(job, status="cancelled")
        self._save_job(job, polls=polls)
        self._count("cancel_job")
        return job

    def pause_job(self, job_id: str) -> Job:
        self._enter("pause_job")
        job, _ = self._get(job_id)
        if job.ended:
            raise Rejected(f"{job_id} has ended: {job.status}", status=400)
        self._save("paused", {**self._load("paused"), job_id: True})
        self._count("pause_job")
        self._lose_response("pause_job")
        return replace(job, status="paused")

    def resume_job(self, job_id: str) -> Job:
        self._enter("resume_job")
        self._save(
            "paused", {paused_id: True for paused_id in self._load("paused") if paused_id != job_id}
        )
        self._count("resume_job")
        return self._get(job_id)[0]

    def list_events(self, job_id: str, *, known: frozenset[str]) -> list[JobEvent]:
        self._enter("list_events")
        self.known.append(len(known))
        events = self._list_all_events(job_id)
        return events if self.repeats_events else [e for e in events if e.id not in known]

    def _list_all_events(self, job_id: str) -> list[JobEvent]:
        job, polls = self._get(job_id)
        return [
            JobEvent(
                id=f"{job_id}-event-{number}",
                created_at=job.created_at + timedelta(seconds=number),
                level="info",
                message=f"Step {number}/{STEPS}",
                type="metrics",
                data={"step": number, "total_steps": STEPS, "train_loss": 1 / number},
            )
            for number in range(1, min(polls, STEPS) + 1)
        ]

    def stream_events(
        self, job_id: str, *, known: frozenset[str], wait_s: float
    ) -> Iterator[JobEvent]:
        if self.streams:
            return self.streams.pop(0)(self._list_all_events(job_id))
        self.clock.sleep(wait_s)
        return iter(())

    @property
    def moderation_model(self) -> str:
        return "nobody"

    def moderate(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        raise Rejected(f"nobody judges {len(texts)} texts here")

    def list_checkpoints(self, job_id: str) -> list[Checkpoint]:
        self._enter("list_checkpoints")
        self._get(job_id)
        return list(self.checkpoints)

    def read_training_metrics(self, job: Job) -> bytes | None:
        self._enter("read_training_metrics")
        return self.metrics

    def estimate_cost(self, request: JobRequest) -> float | None:
        self._enter("estimate_cost")
        return self.estimated_usd

    def list_models(self) -> Iterator[Model]:
        return iter(
            [
                Model(id=job.fine_tuned_model, created_at=job.created_at, owned_by="acme", base="x")
                for job in self.jobs()
                if job.fine_tuned_model
            ]
        )

    def get_model(self, model: str) -> Model:
        return next(listed for listed in self.list_models() if listed.id == model)

    def delete_model(self, model: str) -> None:
        self._enter("delete_model")
        if model in self._load("gone"):
            raise NotFound(f"no such model: {model}", status=404)
        self._save("gone", {**self._load("gone"), model: True})
        self._count("delete_model")

    def complete(
        self, model: str, prompts: Sequence[Prompt], sampling: Sampling
    ) -> list[Completion]:
        self._enter("complete")
        self.completion_requests.append((model, sampling))
        if self.loading_lag > 0:
            self.loading_lag -= 1
            raise NotFound(f"the model {model} does not exist", status=404)
        refused = self.get_refused_parameters(model)
        if model in self.replies:
            return [
                Completion(
                    self.replies[model](prompt),
                    "stop",
                    10,
                    1,
                    refused_parameters=refused,
                    system_fingerprint=sampling.precision,
                )
                for prompt in prompts
            ]
        job = next((job for job in self.jobs() if job.fine_tuned_model == model), None)
        if job is None or job.training_file is None:
            raise NotFound(f"the model {model} does not exist", status=404)
        learned = self._learn(job.training_file)
        usual = Counter(learned.values()).most_common(1)[0][0]
        return [
            Completion(learned.get(_text(prompt), usual), refused_parameters=refused)
            for prompt in prompts
        ]

    def stream(self, model: str, prompt: Prompt, sampling: Sampling) -> Iterator[str]:
        yield self.complete(model, [prompt], sampling)[0].text

    def get_refused_parameters(self, model: str) -> Mapping[str, str | None]:
        return self.refused.get(model, {})

    def close(self) -> None: ...

    def _learn(self, file_id: str) -> dict[str, str]:
        rows = [json.loads(line) for line in (self.folder / file_id).read_text().splitlines()]
        if "messages" in rows[0]:
            return {r["messages"][-2]["content"]: r["messages"][-1]["content"] for r in rows}
        return {row["prompt"]: row["completion"] for row in rows}

    def _finish(self, job: Job) -> Job:
        return replace(
            job,
            fine_tuned_model=f"ft:{job.model}:acme::{job.id}",
            finished_at=self.clock.now(),
            trained_tokens=1234,
            cost_usd=self.job_cost_usd,
            hyperparameters={"n_epochs": 3},
        )

    def _store_results(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["step", "train_loss", "valid_loss", "valid_mean_token_accuracy"])
        writer.writerows([[n, 1 / n, 2 / n if n == 2 else "", 0.5] for n in range(1, STEPS + 1)])
        content = text.getvalue().encode() if self.results is None else self.results
        return self._store("step_metrics.csv", content, "fine-tune-results").id

    def _store(self, filename: str, content: bytes, purpose: str) -> RemoteFile:
        files = self._load("files")
        file = RemoteFile(
            id=f"file-{self.count('store') + 1}",
            filename=filename,
            bytes=len(content),
            purpose=purpose,
            created_at=self.clock.now(),
        )
        (self.folder / file.id).write_bytes(content)
        files[file.id] = {**asdict(file), "created_at": file.created_at.isoformat()}
        self._save("files", files)
        self._count("store")
        if purpose == "fine-tune":
            self._count("upload_file")
        return file

    def _enter(self, method: str) -> None:
        if hook := self._hooks.get(method):
            hook()
        if queued := self._failures.get(method):
            raise queued.pop(0)

    def _lose_response(self, method: str) -> None:
        if errors := self.errors_after.get(method):
            raise errors.pop(0)
        if method in self.loses_response_of:
            self.loses_response_of.remove(method)
            raise Unreachable("the connection was lost before the answer came")

    def _get(self, job_id: str) -> tuple[Job, int]:
        value = self._load("jobs").get(job_id)
        if value is None:
            raise NotFound(f"no such job: {job_id}", status=404)
        return _to_job(value), value["polls"]

    def _save_job(self, job: Job, *, polls: int) -> None:
        moments = {
            "created_at": job.created_at.isoformat(),
            "finished_at": job.finished_at.isoformat() if job.finished_at else None,
        }
        self._save(
            "jobs", {**self._load("jobs"), job.id: {**asdict(job), **moments, "polls": polls}}
        )

    def _count(self, method: str) -> None:
        self._save("calls", {**self._load("calls"), method: self.count(method) + 1})

    def _load(self, name: str) -> dict[str, Any]:
        path = self.folder / f"{name}.json"
        value: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return value

    def _save(self, name: str, value: dict[str, Any]) -> None:
        (self.folder / f"{name}.json").write_text(json.dumps(value))


def _to_job(value: dict[str, Any]) -> Job:
    finished = value["finished_at"]
    error = value["error"]
    fields = {name: item for name, item in value.items() if name != "polls"}
    return Job(
        **{
            **fields,
            "created_at": datetime.fromisoformat(value["created_at"]),
            "finished_at": datetime.fromisoformat(finished) if finished else None,
            "result_files": tuple(value["result_files"]),
            "error": JobError(**error) if error else None,
        }
    )


def _text(prompt: Prompt) -> str:
    return prompt if isinstance(prompt, str) else prompt.messages[-1].content
