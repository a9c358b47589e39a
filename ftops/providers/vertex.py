"""The provider `vertex`: tuning of Gemini models at Google Vertex AI.

Files are objects in a bucket of the user. A tuned model has an endpoint from the start, which is
its name in requests. Jobs are marked by labels. There are no events: they are made from the states
of a job.
https://cloud.google.com/vertex-ai/docs/reference/rest/v1beta1/projects.locations.tuningJobs
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from ftops.capabilities import Capabilities
from ftops.errors import InvalidResponse, NotFound, Rejected, Unavailable
from ftops.http.address import format_origin
from ftops.http.response import JsonObject
from ftops.http.retry import RetryPolicy
from ftops.providers.endpoint import make_trust_check
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
from ftops.providers.vertex_address import VERTEX, get_setting
from ftops.providers.vertex_bucket import StorageBucket
from ftops.providers.vertex_client import GoogleApi, GoogleEndpoint, list_pages
from ftops.providers.vertex_completions import GeminiCompletions
from ftops.providers.vertex_response import (
    SPECS,
    read_checkpoints,
    read_events,
    read_id,
    read_job,
    to_labels,
)
from ftops.providers.vertex_rows import write_rows
from ftops.records import (
    Checkpoint,
    Completion,
    Job,
    JobEvent,
    JobRequest,
    Json,
    Method,
    Model,
    Prompt,
    ProviderSettings,
    RemoteFile,
    Sampling,
)
from ftops.text import find_nearest

_PAGE = 100
_OPERATION_POLL_S = 2.0
_OPERATION_WAIT_S = 600.0  # an endpoint takes minutes to be undeployed
_BASE = re.compile(r"gemini-[a-z0-9][a-z0-9.-]*")
_RESOURCE = re.compile(r"projects/\w[\w:.-]*/locations/\w[\w-]*/(endpoints|models)/\w[\w@-]*")
_HYPERPARAMETERS = {
    "n_epochs": "epochCount",
    "learning_rate_multiplier": "learningRateMultiplier",
    "beta": "beta",
}
_SPECS = {Method.SUPERVISED: SPECS[0], Method.DPO: SPECS[1]}
_ADAPTER_SIZES: Mapping[Json, str] = {
    1: "ONE", 2: "TWO", 4: "FOUR", 8: "EIGHT", 16: "SIXTEEN", 32: "THIRTY_TWO",
}  # fmt: skip


class VertexProvider(Provider):
    """A `Provider` that is reached by Google's REST APIs."""

    def __init__(
        self,
        settings: ProviderSettings,
        capabilities: Capabilities,
        api: GoogleApi,
        bucket: StorageBucket,
        *,
        base_url: str,
        parent: str,
        catalogue: ModelCatalog,
        tables: Sequence[str],
    ) -> None:
        self.name = settings.type
        self.account = f"{settings.type}:{base_url}:{parent}"
        self.capabilities = capabilities
        self.clock = api.clock
        self._api = api
        self._bucket = bucket
        self._base_url = base_url
        self._parent = parent  # the resource that has all jobs, models and endpoints
        self._catalogue = catalogue
        self._tables = tables
        self._completions = GeminiCompletions(api)

    def ensure_ready(self) -> None:
        self._api.connect()

    def close(self) -> None:
        self._api.close()

    def get_model_info(self, model: str) -> ModelInfo:
        return self._catalogue.get_model_info(self._tables, model, self.capabilities.naming)

    def check_model(self, model: str) -> None:
        """Raise NotFound for a model that is not tuned here, ProviderError without a bucket."""
        self._bucket.get_name()
        if _RESOURCE.fullmatch(model):
            return
        info, today = self.get_model_info(model), self.clock.now().date()
        is_closed = (
            info.no_jobs_from is not None
            and info.no_jobs_from <= today
            and info.origins["no_jobs_from"].confirmed
        )
        if _BASE.fullmatch(model) and not is_closed:
            return
        bases = self._list_bases()
        near = find_nearest(model, bases)
        since = f" since {info.no_jobs_from}" if is_closed else ""
        raise NotFound(
            f"{self.name} does not tune {model!r}{since}; nothing was sent",
            hint=(f"Did you mean {near!r}? " if near else "")
            + f"Known base models are {', '.join(bases)}.",
        )

    # Files

    def write_training_file(self, path: Path, into: Path, method: Method) -> Path:  # noqa: ARG002
        target = into / path.name
        write_rows(path, target)
        return target

    def upload_file(
        self,
        path: Path,
        *,
        filename: str,
        on_bytes: OnBytes,
        checkpoint: UploadCheckpoint | None = None,  # noqa: ARG002
    ) -> RemoteFile:
        return self._bucket.upload(path, filename, on_bytes)

    def find_file(self, filename: str, size: int) -> RemoteFile | None:
        file = self._bucket.find_file(filename)
        return file if file and file.bytes == size else None

    def get_file(self, file_id: str) -> RemoteFile:
        return self._bucket.get_file(file_id)

    def list_files(self) -> Iterator[RemoteFile]:
        return self._bucket.list_files()

    def read_file(self, file_id: str) -> bytes:
        return self._bucket.read_file(file_id)

    def delete_file(self, file_id: str) -> None:
        self._bucket.delete_file(file_id)

    # Jobs

    def create_job(self, request: JobRequest) -> Job:
        body = render_job(request, self.capabilities)
        if _RESOURCE.fullmatch(request.model):
            body["preTunedModel"] = {"tunedModelName": self._get_model_name(request.model)}
        action = f"tune {request.model}"
        response = self._api.send_once(
            action,
            lambda client: client.request("POST", self._url("tuningJobs"), json=body),
        )
        return read_job(self._api.parse(response, action))

    def find_job(self, request: JobRequest, *, job_filter: JobFilter = any_job) -> Job | None:
        """The newest job with the label of the run, or with that of its key."""
        labels = dict(list(to_labels(request.metadata).items())[:1])
        if not labels:
            return None
        ((name, value),) = labels.items()
        try:
            listed = list(self._list_jobs(filter=f'labels.{name}="{value}"'))
        except Rejected:  # the service does not know the filter
            listed = list(self._list_jobs())
        marked = [
            _find_job_record(fields)
            for fields in listed
            if labels.items() <= fields.get_texts("labels").items()
        ]
        found = [job for job in marked if job is not None and job_filter(job)]
        return max(found, key=lambda job: job.created_at, default=None)

    def get_job(self, job_id: str) -> Job:
        return read_job(self._fetch_job(job_id))

    def cancel_job(self, job_id: str) -> Job:
        """Cancel the job; a job that is cancelled already is returned unchanged."""
        url = f"{self._locate_job(job_id)}:cancel"
        refused = Rejected(f"cancel the job {job_id}: it has ended already")
        try:
            self._api.send(
                f"cancel the job {job_id}", lambda client: client.request("POST", url, json={})
            )
        except Rejected as error:
            refused = error
        job = self.get_job(job_id)
        if job.ended and job.status != "cancelled":
            raise refused
        return job

    def list_events(self, job_id: str, *, known: frozenset[str]) -> list[JobEvent]:
        return read_events(self._fetch_job(job_id), known)

    def list_checkpoints(self, job_id: str) -> list[Checkpoint]:
        return read_checkpoints(self._fetch_job(job_id))

    # Models

    def list_models(self) -> Iterator[Model]:
        """The known base models, and the tuned models that have an endpoint."""
        for base in self._list_bases():
            yield self._make_base(base)
        endpoints = {
            read_id(fields.get_text("name"))
            for fields in self._list("the endpoints", self._url("endpoints"), "endpoints")
        }
        for fields in self._list_jobs():
            job = _find_job_record(fields)
            if job and job.fine_tuned_model and read_id(job.fine_tuned_model) in endpoints:
                yield self._make_tuned(job, job.fine_tuned_model)

    def get_model(self, model: str) -> Model:
        if model in self._list_bases():
            return self._make_base(model)
        self._fetch("look up the model", model, self._locate_model(model))
        tuned = self._find_tuned(model)
        if tuned is None:
            raise NotFound(f"{model} is not the endpoint of a tuned model")
        return self._make_tuned(read_job(tuned), model)

    def delete_model(self, model: str) -> None:
        """Delete the endpoints of a tuned model, then the model; safe to repeat.

        NotFound if neither exists.
        """
        self._locate_model(model)
        fields = self._find_tuned(model)
        if fields is None:
            raise NotFound(f"there is no tuned model {model!r}")
        tuned = fields.get_object("tunedModel")
        endpoint, name = tuned.find_text("endpoint"), tuned.find_text("model")
        if _shorten(model) not in (_shorten(endpoint or ""), _shorten(name or "")):
            raise Rejected(f"{model} is a checkpoint of {endpoint}, and is deleted with it")
        checkpoints = [checkpoint.model for checkpoint in read_checkpoints(fields)]
        endpoints = dict.fromkeys(filter(None, (endpoint, *checkpoints)))
        deleted = [self._delete_endpoint(endpoint) for endpoint in endpoints]
        deleted.append(name is not None and self._delete_version(name))
        if not any(deleted):
            raise NotFound(f"the model {model} is deleted already")

    def complete(
        self, model: str, prompts: Sequence[Prompt], sampling: Sampling
    ) -> list[Completion]:
        url = self._locate_model(model)
        return [self._completions.complete(url, model, prompt, sampling) for prompt in prompts]

    def get_refused_parameters(self, model: str) -> Mapping[str, str | None]:
        return self._completions.get_refused_parameters(model)

    # Requests

    def _url(self, collection: str) -> str:
        return f"{self._base_url}/{self._parent}/{collection}"

    def _locate_job(self, job_id: str) -> str:
        if not job_id.isascii() or not job_id.isdecimal():
            raise NotFound(f"there is no tuning job {job_id!r}: an id is a number")
        return self._url(f"tuningJobs/{job_id}")

    def _locate_model(self, model: str) -> str:
        """The address of an endpoint, a model or a base model; NotFound for any other name."""
        if _RESOURCE.fullmatch(model):
            return f"{self._base_url}/{model}"
        if _BASE.fullmatch(model):
            return self._url(f"publishers/google/models/{model}")
        raise NotFound(
            f"{model!r} is neither the endpoint of a tuned model nor a Gemini model",
            hint="`ftops models list` shows both.",
        )

    def _fetch(self, verb: str, name: str, url: str, **params: str) -> JsonObject:
        return self._api.fetch(
            f"{verb} {name}", lambda client: client.request("GET", url, params=params)
        )

    def _fetch_job(self, job_id: str) -> JsonObject:
        return self._fetch("look up the job", job_id, self._locate_job(job_id))

    def _list(self, name: str, url: str, key: str, **params: str) -> Iterator[JsonObject]:
        return list_pages(self._api, name, url, key, **params)

    def _list_jobs(self, **params: str) -> Iterator[JsonObject]:
        url = self._url("tuningJobs")
        return self._list("the jobs", url, "tuningJobs", pageSize=str(_PAGE), **params)

    def _list_bases(self) -> list[str]:
        return list(self._catalogue.list_models(self.name))

    def _make_base(self, base: str) -> Model:
        shutdown = self.get_model_info(base).shutdown
        return Model(base, UNKNOWN_TIME, "google", shutdown.isoformat() if shutdown else None)

    def _make_tuned(self, job: Job, name: str) -> Model:
        return Model(name, job.finished_at or job.created_at, self._parent, base=job.model)

    def _find_tuned(self, model: str) -> JsonObject | None:
        """The tuning job of an endpoint or a model; an endpoint may be that of a checkpoint."""
        wanted = _shorten(model)
        for fields in self._list_jobs():
            tuned = fields.get_object("tunedModel")
            names = [tuned.find_text("endpoint"), tuned.find_text("model")]
            names += [checkpoint.model for checkpoint in read_checkpoints(fields)]
            if wanted in [_shorten(name) for name in names if name]:
                return fields
        return None

    def _get_model_name(self, model: str) -> str:
        """The model of an endpoint, from which a job continues."""
        if "/models/" in model:
            return model
        fields = self._find_tuned(model)
        name = fields.get_object("tunedModel").find_text("model") if fields else None
        if name is None:
            raise NotFound(f"{model} is not the endpoint of a tuned model; nothing was sent")
        return name

    def _delete_endpoint(self, endpoint: str) -> bool:
        """Undeploy what the endpoint has, and delete it; False if there is none."""
        url = self._locate_model(endpoint)
        try:
            fields = self._fetch("look up the endpoint", endpoint, url)
        except NotFound:
            return False
        deployed = fields.list_objects("deployedModels")
        for item in deployed:
            body = {"deployedModelId": item.get_text("id")}
            self._operate(f"undeploy {endpoint}", "POST", f"{url}:undeployModel", json=body)
        self._operate(f"delete {endpoint}", "DELETE", url)
        return True

    def _delete_version(self, model: str) -> bool:
        """Delete a version of a model, or the model with its only one; False if there is none."""
        name, _, version = model.partition("@")
        url = self._locate_model(name)
        try:
            listed = list(self._list("the versions", f"{url}:listVersions", "models"))
        except NotFound:
            return False
        versions = [fields.find_text("versionId") for fields in listed]
        if version and version not in versions:
            return False
        if version and len(versions) > 1:
            url = f"{url}@{version}:deleteVersion"
        self._operate(f"delete {model}", "DELETE", url)
        return True

    def _operate(self, action: str, method: str, url: str, **options: Any) -> None:
        """Start an operation, and wait for its end; Rejected with its error."""
        try:
            fields = self._api.fetch(action, lambda client: client.request(method, url, **options))
        except NotFound:  # looked up before: an attempt without a response has deleted it
            return
        until_s = self.clock.monotonic_s() + _OPERATION_WAIT_S
        while fields.values.get("done") is not True:
            if self.clock.monotonic_s() > until_s:
                raise Unavailable(f"{action}: not done after {_OPERATION_WAIT_S:.0f} s")
            self.clock.sleep(_OPERATION_POLL_S)
            name = fields.get_text("name")
            fields = self._fetch("look up", name, f"{self._base_url}/{name}")
        if error := fields.get_object("error").find_text("message"):
            raise Rejected(f"{action}: {error}")


def _shorten(name: str) -> str:
    """A resource name without its project, which has a number and a name, and its version."""
    return name.partition("/locations/")[2].partition("@")[0]


def _find_job_record(fields: JsonObject) -> Job | None:
    """The job in a list; None for a malformed one, which must not hide the others."""
    try:
        return read_job(fields)
    except InvalidResponse:
        return None


def render_job(request: JobRequest, capabilities: Capabilities) -> dict[str, Json]:
    """The body of the request that creates a job; "auto" and unset fields are left out.

    Raises Rejected for a method or a hyperparameter that the provider would ignore.
    """
    if request.method not in capabilities.methods:
        raise Rejected(f"this provider has no method {request.method}; nothing was sent")
    options = request.sections.get("vertex", {})  # a `VertexOptions`, without its defaults
    hyperparameters: dict[str, Json] = {}
    for name, value in asdict(request.hyperparameters).items():
        if value in (None, "auto"):
            continue
        if name not in capabilities.hyperparameters:
            raise Rejected(f"this provider takes no hyperparameter {name!r}; nothing was sent")
        hyperparameters[_HYPERPARAMETERS[name]] = value
    if size := _ADAPTER_SIZES.get(options.get("adapter_size")):
        hyperparameters["adapterSize"] = f"ADAPTER_SIZE_{size}"
    spec: dict[str, Json] = {"trainingDatasetUri": request.training_file}
    if request.validation_file:
        spec["validationDatasetUri"] = request.validation_file
    if options.get("export_last_checkpoint_only"):
        spec["exportLastCheckpointOnly"] = True
    if hyperparameters:
        spec["hyperParameters"] = hyperparameters
    body: dict[str, Json] = {_SPECS[request.method]: spec}
    if not _RESOURCE.fullmatch(request.model):
        body["baseModel"] = request.model
    if request.suffix:
        body["tunedModelDisplayName"] = request.suffix
    if labels := to_labels(request.metadata):
        body["labels"] = dict(labels)
    return body


def build_vertex(
    settings: ProviderSettings, capabilities: Capabilities, context: ProviderContext
) -> VertexProvider:
    """The provider for `settings`; sends nothing, and reads a token when it needs one.

    ProviderError for a missing project; the bucket is needed for files alone.
    """
    environ = context.environ
    destination = VERTEX.get_destination(settings, environ)
    endpoint = GoogleEndpoint(
        destination,
        environ,
        context.clock,
        check_trust=make_trust_check(VERTEX, settings, context),
        http_client=context.http_client,
        request_log=context.request_log,
    )
    base_url = destination.base_url
    api = GoogleApi(endpoint, clock=context.clock, retries=RetryPolicy())
    storage_url = destination.storage_url or format_origin(destination.origin)
    project = get_setting("project", settings, environ)
    location = get_setting("location", settings, environ)
    return VertexProvider(
        settings,
        capabilities,
        api,
        StorageBucket(api, storage_url, partial(get_setting, "bucket", settings, environ)),
        base_url=base_url,
        parent=f"projects/{project}/locations/{location}",
        catalogue=ModelCatalog(context.home, context.clock),
        tables=VERTEX.list_catalog_tables(settings, environ),
    )
