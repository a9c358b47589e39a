"""The provider `huggingface`: jobs at Hugging Face, in which TRL trains open models.

Rows and models are in private repositories of the user or an organization. A label identifies the
job of a run, and its model has a repository whose name no other job has.
https://huggingface.co/docs/huggingface_hub/guides/jobs
"""

import contextlib
import difflib
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ftops.capabilities import Capabilities
from ftops.errors import InvalidResponse, NotFound, ProviderError, Rejected
from ftops.files import make_private_dir
from ftops.http.response import JsonObject, parse_objects
from ftops.http.retry import RetryPolicy
from ftops.providers.address import HUGGING_FACE
from ftops.providers.endpoint import build_endpoint, make_http_client
from ftops.providers.huggingface_client import INSTALL, HubClient, quote_path
from ftops.providers.huggingface_job import (
    COMPLETED,
    JobLog,
    estimate_timeout_s,
    get_flavor,
    make_file_id,
    make_repository_name,
    read_job,
    render_job,
    split_file_id,
    to_labels,
)
from ftops.providers.huggingface_rows import check_rows, write_preferences
from ftops.providers.model_catalog import ModelCatalog, ModelInfo
from ftops.providers.openai_response import UNKNOWN_TIME
from ftops.providers.provider import (
    JobFilter,
    OnBytes,
    Provider,
    ProviderContext,
    UploadCheckpoint,
    any_job,
)
from ftops.records import (
    Completion,
    Job,
    JobError,
    JobEvent,
    JobRequest,
    Method,
    Model,
    Prompt,
    ProviderSettings,
    RemoteFile,
    Sampling,
)

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_DATA_NAME = "ftops-data"  # of the repository for training files
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_BASE_TAG = re.compile(r"base_model:(?:adapter:|finetune:)?([^:]+)")
_WEIGHTS = ".safetensors"
_MODEL_FILES = (_WEIGHTS, ".json", ".jinja", ".model", ".txt")
# A model is stored before its job ends; the Hub may show it some seconds later.
_STORED_WITHIN_S = 300.0
_UNIT_S = {"second": 1.0, "minute": 60.0, "hour": 3600.0}
_NEAREST = 3  # flavors that an error suggests


class HuggingFaceProvider(Provider):
    """Trains in jobs at Hugging Face; trained models are downloaded, not served."""

    def __init__(
        self,
        settings: ProviderSettings,
        capabilities: Capabilities,
        api: HubClient,
        *,
        account: str,
        get_model_info: Callable[[str], ModelInfo],
    ) -> None:
        self.name = settings.type
        self.account = account
        self.capabilities = capabilities
        self.clock = api.clock
        self._api = api
        self._get_model_info = get_model_info
        self._completed_s: dict[str, float] = {}  # when a job without a model was seen first

    def ensure_ready(self) -> None:
        self._api.connect()

    def close(self) -> None:
        self._api.close()

    def get_model_info(self, model: str) -> ModelInfo:
        return self._get_model_info(model)

    def check_model(self, model: str) -> None:
        if not _REPOSITORY.fullmatch(model):
            raise NotFound(
                f"{model!r} is not the name of a model at the Hub; nothing was sent",
                hint="Write the owner, too, such as HuggingFaceTB/SmolLM2-135M-Instruct.",
            )

    # Files

    def write_training_file(self, path: Path, into: Path, method: Method) -> Path:
        if method is not Method.DPO:
            check_rows(path)
            return path
        target = into / path.name
        write_preferences(path, target)
        return target

    def upload_file(
        self,
        path: Path,
        *,
        filename: str,
        on_bytes: OnBytes,
        checkpoint: UploadCheckpoint | None = None,  # noqa: ARG002
    ) -> RemoteFile:
        """Store the file in the private repository for data, which is created if it is missing."""
        size, repository = path.stat().st_size, self._data_repository
        on_bytes(0, size)
        self._ensure_private(repository)
        self._api.use_library(
            f"upload {filename}",
            lambda hub: hub.upload_file(
                path_or_fileobj=path,
                path_in_repo=filename,
                repo_id=repository,
                repo_type="dataset",
                commit_message=f"Add {filename}",
            ),
        )
        on_bytes(size, size)
        return self.get_file(make_file_id(repository, filename))

    def find_file(self, filename: str, size: int) -> RemoteFile | None:
        try:
            file = self.get_file(make_file_id(self._data_repository, filename))
        except NotFound:
            return None
        return file if file.bytes == size else None

    def get_file(self, file_id: str) -> RemoteFile:
        repository, path = _split(file_id)
        action = f"look up {file_id}"
        content = self._api.post(
            action,
            f"/api/datasets/{quote_path(repository)}/paths-info/main",
            {"paths": [path], "expand": True},
        )
        for fields in parse_objects(content, action):
            if fields.find_text("path") == path and fields.find_text("type") == "file":
                return _read_file(fields, repository)
        raise NotFound(f"there is no file {file_id}")

    def list_files(self) -> Iterator[RemoteFile]:
        repository = self._data_repository
        path = f"/api/datasets/{quote_path(repository)}/tree/main"
        try:
            for fields in self._api.list_entries("list the files", path, expand="true"):
                if fields.find_text("type") == "file":
                    yield _read_file(fields, repository)
        except NotFound:  # nothing was uploaded yet
            return

    def read_file(self, file_id: str) -> bytes:
        repository, path = _split(file_id)
        place = f"/datasets/{quote_path(repository)}/resolve/main/{quote_path(path)}"
        return self._api.read_file(f"read {file_id}", place)

    def delete_file(self, file_id: str) -> None:
        """Delete the file; the history of its repository keeps the content."""
        repository, path = _split(file_id)
        self.get_file(file_id)  # the library does not report a missing one
        self._api.use_library(
            f"delete {file_id}",
            lambda hub: hub.delete_file(path, repository, repo_type="dataset"),
        )

    # Jobs

    def create_job(self, request: JobRequest) -> Job:
        """Create a job, with one request after those that only read.

        They refuse a machine that does not exist, and look up the size of the training file, from
        which the time follows after which the job is stopped.
        """
        self._get_flavor(request)
        timeout_s = estimate_timeout_s(request, self.get_file(request.training_file).bytes)
        body = render_job(
            request,
            self.capabilities,
            repository=f"{self._api.namespace}/{make_repository_name(request)}",
            timeout_s=timeout_s,
            token=self._api.secret,
        )
        return read_job(self._api.post_once("create the job", self._jobs_path, body))

    def find_job(self, request: JobRequest, *, job_filter: JobFilter = any_job) -> Job | None:
        """The newest job with the label of the run, or with that of its key."""
        labels = list(to_labels(request.metadata).items())[:1]
        if not labels:
            return None
        ((name, value),) = labels
        listed = self._api.list_entries("list the jobs", self._jobs_path, label=f"{name}={value}")
        jobs = [job for job in map(_find_job_record, listed) if job is not None]
        marked = [job for job in jobs if job.metadata.get(name) == value and job_filter(job)]
        return max(marked, key=lambda job: job.created_at, default=None)

    def get_job(self, job_id: str) -> Job:
        """The job; a completed one has succeeded once its repository has a model."""
        fields = self._fetch_job(job_id)
        job = read_job(fields)
        if job.id != job_id:
            raise InvalidResponse(f"look up the job {job_id}: the response is about {job.id!r}")
        if fields.get_object("status").find_text("stage") == COMPLETED:
            return self._check_model(fields)
        if job.status == "failed" and job.error:
            return replace(job, error=self._explain(job, job.error))
        return job

    def cancel_job(self, job_id: str) -> Job:
        """Cancel the job; a cancelled job is returned unchanged, so this is safe to repeat."""
        if not self.get_job(job_id).ended:
            with contextlib.suppress(Rejected):  # it has ended since
                self._api.post(f"cancel the job {job_id}", f"{self._locate_job(job_id)}/cancel")
        job = self.get_job(job_id)
        if job.ended and job.status != "cancelled":
            raise Rejected(f"cancel the job {job_id}: it has ended already: {job.status}")
        return job

    def list_events(self, job_id: str, *, known: frozenset[str]) -> list[JobEvent]:
        return [event for event in self._read_log(job_id).events if event.id not in known]

    def read_training_metrics(self, job: Job) -> bytes | None:
        return self._read_log(job.id).render_table()

    def estimate_cost(self, request: JobRequest) -> float | None:
        """The price of the machine until the job is stopped: the most that it can cost."""
        flavor = self._get_flavor(request)
        price = flavor.values.get("unitCostUSD")
        unit_s = _UNIT_S.get(flavor.find_text("unitLabel") or "")
        if isinstance(price, bool) or not isinstance(price, int | float) or unit_s is None:
            return None
        size = self.get_file(request.training_file).bytes
        return price * estimate_timeout_s(request, size) / unit_s

    # Models

    def list_models(self) -> Iterator[Model]:
        """The models of the user or organization."""
        listed = self._api.list_entries(
            "list the models", "/api/models", author=self._api.namespace, limit="100"
        )
        return map(_read_model, listed)

    def get_model(self, model: str) -> Model:
        return _read_model(self._fetch_model(model))

    def delete_model(self, model: str) -> None:
        """Delete the repository of the model, with all its checkpoints."""
        self._fetch_model(model)
        self._api.use_library(
            f"delete the model {model}", lambda hub: hub.delete_repo(model, missing_ok=True)
        )

    def download_weights(self, job: Job, folder: Path) -> list[Path]:
        """Write the model's files to the folder; an interrupted download continues."""
        model = job.fine_tuned_model
        names = [
            name
            for name in (self._list_model_files(model) if model else ())
            if name.endswith(_MODEL_FILES) and "/" not in name
        ]
        if model is None or not names:
            raise Rejected(f"the job {job.id} has stored no model; nothing was sent")
        make_private_dir(folder)
        paths = [
            self._api.use_library(
                f"download {name} of {model}",
                partial(_download, model=model, name=name, folder=folder),
            )
            for name in names
        ]
        shutil.rmtree(folder / ".cache" / "huggingface", ignore_errors=True)
        with contextlib.suppress(OSError):  # other programs may use the folder, too
            (folder / ".cache").rmdir()
        return paths

    def complete(
        self,
        model: str,
        prompts: Sequence[Prompt],  # noqa: ARG002
        sampling: Sampling,  # noqa: ARG002
    ) -> list[Completion]:
        raise Rejected(
            f"Hugging Face does not serve {model}; nothing was sent",
            hint="`ftops models download` writes the weights of the model to a folder.",
        )

    # All of them

    @property
    def _data_repository(self) -> str:
        return f"{self._api.namespace}/{_DATA_NAME}"

    @property
    def _jobs_path(self) -> str:
        return f"/api/jobs/{quote_path(self._api.namespace)}"

    def _locate_job(self, job_id: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", job_id):
            raise NotFound(f"there is no job {job_id!r}")
        return f"{self._jobs_path}/{job_id}"

    def _fetch_job(self, job_id: str) -> JsonObject:
        return self._api.get(f"look up the job {job_id}", self._locate_job(job_id))

    def _read_log(self, job_id: str) -> JobLog:
        action = f"read the log of {job_id}"
        return JobLog.read(self._api.read_lines(action, f"{self._locate_job(job_id)}/logs"))

    def _explain(self, job: Job, error: JobError) -> JobError:
        """The error with the last line of the log, which has the reason."""
        try:
            last = self._read_log(job.id).last_text
        except ProviderError:
            return error
        return replace(error, message=": ".join(filter(None, (error.message, last))))

    def _check_model(self, fields: JsonObject) -> Job:
        """A completed job by what its repository has; without a model it has failed."""
        completed = read_job(fields, has_model=True)
        model = completed.fine_tuned_model
        try:
            names = self._list_model_files(model) if model else []
        except NotFound:
            names = []
        if any(name.endswith(_WEIGHTS) for name in names):
            return completed
        if self._may_appear(completed):
            return replace(completed, status="storing", fine_tuned_model=None)
        reason = f"the job completed, and {model or 'no repository'} has no model"
        return replace(
            completed,
            status="failed",
            fine_tuned_model=None,
            error=self._explain(completed, JobError("no_model", reason)),
        )

    def _may_appear(self, job: Job) -> bool:
        """Whether the model of a completed job may still appear: for some minutes, by any clock."""
        now_s = self.clock.monotonic_s()
        seen_s = now_s - self._completed_s.setdefault(job.id, now_s)
        ended_s = (self.clock.now() - job.finished_at).total_seconds() if job.finished_at else 0.0
        return max(seen_s, ended_s) < _STORED_WITHIN_S

    def _get_flavor(self, request: JobRequest) -> JsonObject:
        """The machine of the request; Rejected, with similar ones, if there is none."""
        name = get_flavor(request)
        listed = self._api.list_entries("list the machines", "/api/jobs/hardware")
        flavors = {fields.find_text("name") or "": fields for fields in listed}
        if name in flavors:
            return flavors[name]
        near = difflib.get_close_matches(name, flavors, _NEAREST, cutoff=0.4)
        raise Rejected(
            f"there is no flavor {name!r} at Hugging Face; nothing was sent",
            hint=f"Flavors are {', '.join(near or sorted(flavors))}.",
        )

    def _ensure_private(self, repository: str) -> None:
        """Create the repository for data; Rejected if it exists and is public."""
        path = f"/api/datasets/{quote_path(repository)}"
        try:
            fields = self._api.get(f"look up {repository}", path)
        except NotFound:
            self._api.use_library(
                f"create {repository}",
                lambda hub: hub.create_repo(
                    repository, repo_type="dataset", private=True, exist_ok=True
                ),
            )
            fields = self._api.get(f"look up {repository}", path)
        if fields.values.get("private") is not True:
            raise Rejected(
                f"the repository {repository} for training data is public; nothing was sent",
                hint=f"Make it private at {self._api.root}/datasets/{repository}/settings.",
            )

    def _fetch_model(self, model: str) -> JsonObject:
        if not _REPOSITORY.fullmatch(model):
            raise NotFound(f"there is no model {model!r}: a name is like acme/model")
        return self._api.get(f"look up the model {model}", f"/api/models/{quote_path(model)}")

    def _list_model_files(self, model: str) -> list[str]:
        siblings = self._fetch_model(model).list_objects("siblings")
        return [name for fields in siblings if (name := fields.find_text("rfilename"))]


def _download(hub: "HfApi", *, model: str, name: str, folder: Path) -> Path:
    return Path(hub.hf_hub_download(model, name, local_dir=folder))


def _split(file_id: str) -> tuple[str, str]:
    parts = split_file_id(file_id)
    if parts is None:
        raise NotFound(
            f"there is no file {file_id!r}: an id is like {make_file_id('acme/data', 'a.jsonl')}"
        )
    return parts


def _read_file(fields: JsonObject, repository: str) -> RemoteFile:
    path = fields.get_text("path")
    return RemoteFile(
        id=make_file_id(repository, path),
        filename=path,
        bytes=fields.find_int("size") or 0,
        purpose="fine-tune",
        created_at=fields.get_object("lastCommit").find_time("date") or UNKNOWN_TIME,
    )


def _read_model(fields: JsonObject) -> Model:
    model, listed = fields.get_text("id"), fields.values.get("tags")
    tags = listed if isinstance(listed, list) else []
    matches = [_BASE_TAG.fullmatch(tag) for tag in tags if isinstance(tag, str)]
    return Model(
        id=model,
        created_at=fields.find_time("createdAt") or UNKNOWN_TIME,
        owned_by=model.partition("/")[0],
        base=next((match[1] for match in matches if match), None),
    )


def _find_job_record(fields: JsonObject) -> Job | None:
    """The job in a list; None for a malformed one, which must not hide the others."""
    try:
        return read_job(fields)
    except InvalidResponse:
        return None


def build_huggingface(
    settings: ProviderSettings, capabilities: Capabilities, context: ProviderContext
) -> HuggingFaceProvider:
    """The provider for `settings`; sends nothing, and reports a missing key when it needs one.

    ProviderError, with the command that installs it, without `huggingface_hub`.
    """
    if find_spec("huggingface_hub") is None:
        raise ProviderError(
            f"the provider {settings.type!r} needs huggingface_hub, which is not installed",
            hint=f"Install it with the extra: {INSTALL}",
        )
    root = HUGGING_FACE.get_base_url(settings, context.environ)
    return HuggingFaceProvider(
        settings,
        capabilities,
        HubClient(
            build_endpoint(HUGGING_FACE, settings, context, make_http_client),
            root=root,
            namespace=settings.organization,
            clock=context.clock,
            retries=RetryPolicy(),
        ),
        account=f"{settings.type}:{root}:{settings.organization or ''}",
        get_model_info=partial(
            ModelCatalog(context.home, context.clock).get_model_info,
            HUGGING_FACE.list_catalog_tables(settings, context.environ),
        ),
    )
