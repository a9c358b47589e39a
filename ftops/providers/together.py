"""The provider `together`: Together AI, which trains open models and deploys them.

Jobs have no metadata and no idempotency key: the mark at the end of the suffix identifies them.
https://docs.together.ai/reference
"""

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ftops.capabilities import Capabilities
from ftops.errors import (
    InvalidResponse,
    NotFound,
    PermissionRefused,
    ProviderError,
    Rejected,
    Unavailable,
)
from ftops.http.response import JsonObject
from ftops.http.retry import RetryPolicy
from ftops.providers import openai_completions, together_files
from ftops.providers.address import TOGETHER
from ftops.providers.endpoint import build_endpoint, make_http_client
from ftops.providers.model_catalog import ModelCatalog, ModelInfo
from ftops.providers.openai_client import OpenAIClient, make_client
from ftops.providers.openai_response import UNKNOWN_TIME
from ftops.providers.provider import (
    JobFilter,
    OnBytes,
    Provider,
    ProviderContext,
    UploadCheckpoint,
    any_job,
)
from ftops.providers.refused_parameters import RefusedParameters
from ftops.providers.together_client import (
    TogetherClient,
    get_last_part,
    get_root,
    quote_id,
)
from ftops.providers.together_deployments import TogetherDeployments
from ftops.providers.together_request import (
    PRICED_FIELDS,
    ModelLimits,
    is_job_of,
    render_request,
)
from ftops.providers.together_response import (
    find_reason,
    read_checkpoint,
    read_event,
    read_job,
    render_metrics,
)
from ftops.records import (
    Checkpoint,
    Completion,
    Deployment,
    DeploymentRequest,
    Job,
    JobEvent,
    JobRequest,
    Json,
    Model,
    Prompt,
    ProviderSettings,
    RemoteFile,
    Sampling,
)

_CANCELLED = frozenset({"cancelled", "cancel_requested"})
_NEAREST = 3  # models that an error suggests
# The errors of a server that lacks a route, or cannot serve it now.
_NOT_THERE = (NotFound, Rejected, InvalidResponse, Unavailable)


class _ChatClient(OpenAIClient):
    """The SDK's client, with the hints of this service."""

    get_hint = staticmethod(TogetherClient.get_hint)


class TogetherProvider(Provider):
    """Trains at Together, with requests of its own; chats go through the OpenAI SDK."""

    def __init__(
        self,
        settings: ProviderSettings,
        capabilities: Capabilities,
        api: TogetherClient,
        chat: OpenAIClient,
        *,
        account: str,
        get_model_info: Callable[[str], ModelInfo],
        find_deployed: Callable[[str, str], str | None],
    ) -> None:
        self.name = settings.type
        self.account = account
        self.capabilities = capabilities
        self.clock = api.clock
        self._api = api
        self._chat = chat
        self._get_model_info = get_model_info
        self._find_deployed = find_deployed
        self._deployments = TogetherDeployments(api)
        self._refused = RefusedParameters()

    def ensure_ready(self) -> None:
        self._api.connect()

    def close(self) -> None:
        self._api.close()
        self._chat.close()

    def get_model_info(self, model: str) -> ModelInfo:
        return self._get_model_info(model)

    def upload_file(
        self,
        path: Path,
        *,
        filename: str,
        on_bytes: OnBytes,
        checkpoint: UploadCheckpoint | None = None,  # noqa: ARG002
    ) -> RemoteFile:
        return together_files.upload_file(self._api, path, filename, on_bytes)

    def find_file(self, filename: str, size: int) -> RemoteFile | None:
        return together_files.find_file(self._api, filename, size)

    def get_file(self, file_id: str) -> RemoteFile:
        return together_files.get_file(self._api, file_id)

    def list_files(self) -> Iterator[RemoteFile]:
        return together_files.list_files(self._api)

    def read_file(self, file_id: str) -> bytes:
        path = f"/v1/files/{quote_id(file_id)}/content"
        return self._api.send(f"read {file_id}", self._api.prepare("GET", path)).content

    def delete_file(self, file_id: str) -> None:
        path = f"/v1/files/{quote_id(file_id)}"
        self._api.delete(f"delete the file {file_id}", self._api.prepare("DELETE", path))

    def create_job(self, request: JobRequest) -> Job:
        """Create a job, with one request after those that only read.

        They wait until the files are checked, and refuse what the model's limits or the account's
        credit exclude.
        """
        body = self._render(request)
        for file_id in filter(None, (request.training_file, request.validation_file)):
            together_files.wait_until_processed(self._api, file_id)
        self._check_credit(body)
        return self._read_job(self._api.post_once("create the job", "/v1/fine-tunes", body))

    def find_job(self, request: JobRequest, *, job_filter: JobFilter = any_job) -> Job | None:
        jobs = [
            self._read_job(fields)
            for fields in self._list_jobs()
            if is_job_of(fields, request, self.capabilities)
        ]
        return max(filter(job_filter, jobs), key=lambda job: job.created_at, default=None)

    def get_job(self, job_id: str) -> Job:
        job = self._read_job(self._fetch_job(job_id))
        if job.id != job_id:
            raise InvalidResponse(f"look up the job {job_id}: the response is about {job.id!r}")
        if job.status != "failed":
            return job
        try:  # the job itself has no reason
            return replace(job, error=find_reason(self.list_events(job_id, known=frozenset())))
        except ProviderError:
            return job

    def cancel_job(self, job_id: str) -> Job:
        """Cancel the job; a cancelled job is returned unchanged, so this is safe to repeat."""
        path = f"/v1/fine-tunes/{quote_id(job_id)}/cancel"
        try:
            return self._read_job(self._api.post(f"cancel the job {job_id}", path))
        except Rejected:
            job = self._read_job(self._fetch_job(job_id))
            if job.status in _CANCELLED:
                return job
            raise

    def list_events(self, job_id: str, *, known: frozenset[str]) -> list[JobEvent]:
        path = f"/v1/fine-tunes/{quote_id(job_id)}/events"
        listed = map(read_event, self._api.list_entries(f"list the events of {job_id}", path))
        events = {event.id: event for event in listed if event.id not in known}
        return sorted(events.values(), key=lambda event: event.created_at)

    def list_checkpoints(self, job_id: str) -> list[Checkpoint]:
        path = f"/v1/fine-tunes/{quote_id(job_id)}/checkpoints"
        by_step: dict[int, Checkpoint] = {}
        for fields in self._api.list_entries(f"list the checkpoints of {job_id}", path):
            checkpoint = read_checkpoint(fields, job_id)
            # A step may have the merged model and the adapter: the model is what answers.
            if checkpoint and (
                checkpoint.step not in by_step or fields.values.get("checkpoint") == "model"
            ):
                by_step[checkpoint.step] = checkpoint
        return [by_step[step] for step in sorted(by_step)]

    def read_training_metrics(self, job: Job) -> bytes | None:
        path = f"/v1/fine-tunes/{quote_id(job.id)}/metrics"
        fields = self._api.get(f"read the metrics of {job.id}", path)
        return render_metrics(fields.get_objects("metrics") if fields.values.get("metrics") else ())

    def estimate_cost(self, request: JobRequest) -> float | None:
        """The price that the service expects; None if it has none."""
        price = self._estimate(self._render(request)).values.get("estimated_total_price")
        return float(price) if isinstance(price, int | float) else None

    def list_models(self) -> Iterator[Model]:
        """The trained models of the project, and the base models."""
        jobs = {get_last_part(job.fine_tuned_model or ""): job for job in self._read_jobs()}
        models: dict[str, Model] = {}
        for fields in self._deployments.list_registered_models():
            model = _read_tuned_model(fields, jobs.get(get_last_part(fields.get_text("name"))))
            models[model.id] = model
        for fields in self._api.list_entries("list the models", "/v1/models"):
            models.setdefault(fields.get_text("id"), _read_base_model(fields))
        return iter(models.values())

    def get_model(self, model: str) -> Model:
        for listed in self.list_models():
            if listed.id == model:
                return listed
        raise NotFound(f"there is no model {model!r}")

    def delete_model(self, model: str) -> None:
        fields = self._deployments.get_registered_model(model)
        path = (
            f"/v2/projects/{quote_id(self._api.project)}/models/{quote_id(fields.get_text('id'))}"
        )
        self._api.delete(f"delete the model {model}", self._api.prepare("DELETE", path))

    def download_weights(self, job: Job, folder: Path) -> list[Path]:
        name = job.fine_tuned_model or job.id
        return [together_files.download_weights(self._api, job.id, name, folder)]

    def create_deployment(self, request: DeploymentRequest) -> Deployment:
        return self._deployments.create(request)

    def find_deployment(self, request: DeploymentRequest) -> Deployment | None:
        return self._deployments.find(request)

    def get_deployment(self, deployment_id: str) -> Deployment:
        return self._deployments.get(deployment_id)

    def list_deployments(self) -> Iterator[Deployment]:
        return self._deployments.list()

    def delete_deployment(self, deployment_id: str) -> None:
        self._deployments.delete(deployment_id)

    def estimate_hourly_cost(self, request: DeploymentRequest) -> float | None:
        return self._deployments.estimate_hourly_cost(request)

    def complete(
        self, model: str, prompts: Sequence[Prompt], sampling: Sampling
    ) -> list[Completion]:
        name = self._get_call_name(model)
        return openai_completions.complete(self._chat, self._refused, name, prompts, sampling)

    def stream(self, model: str, prompt: Prompt, sampling: Sampling) -> Iterator[str]:
        name = self._get_call_name(model)
        return openai_completions.stream(self._chat, self._refused, name, prompt, sampling)

    def get_refused_parameters(self, model: str) -> dict[str, str | None]:
        return self._refused.get(self._get_call_name(model))

    def _get_call_name(self, model: str) -> str:
        """The name in requests: that of the model's deployment, if it has one."""
        return self._find_deployed(self.account, model) or model

    def _render(self, request: JobRequest) -> dict[str, Json]:
        """The body of the request, checked against the limits of the model."""
        is_tuned = self._check_is_tuned(request.model)
        path = "/v1/fine-tunes/models/limits"
        params = {"model_name": request.model.partition(":")[0]}
        limits = self._find("read the limits of the model", path, params)
        return render_request(
            request,
            self.capabilities,
            ModelLimits(limits.values if limits else {}),
            is_tuned=is_tuned,
        )

    def _check_is_tuned(self, model: str) -> bool:
        """Whether the model is the result of a job; NotFound if it cannot be trained at all."""
        names = self._list_trainable_models()
        if model in names:
            return False
        name = model.partition(":")[0]  # without the step of a checkpoint
        if any(name in (job.id, job.fine_tuned_model) for job in self._read_jobs()):
            return True
        if not names:
            return False
        by_lower = {name.lower(): name for name in names}
        near = difflib.get_close_matches(model.lower(), by_lower, _NEAREST, cutoff=0.4)
        raise NotFound(
            f"{model!r} cannot be trained at Together; nothing was sent",
            hint=f"Similar models that can: {', '.join(by_lower[name] for name in near)}."
            if near
            else f"It trains {len(names)} models, such as {names[0]}.",
        )

    def _list_trainable_models(self) -> list[str]:
        """The base models, from version 1 of the API or else 2; empty if neither lists them."""
        action = "list the trainable models"
        fields = self._find(action, "/v1/fine-tunes/models/supported", {})
        listed = fields.values.get("models") if fields else None
        if isinstance(listed, list):
            return [name for name in listed if isinstance(name, str)]
        try:
            return [model.get_text("name") for model in self._deployments.list_base_models()]
        except _NOT_THERE:
            return []

    def _estimate(self, body: dict[str, Json]) -> JsonObject:
        priced = {name: value for name, value in body.items() if name in PRICED_FIELDS}
        return self._api.post("estimate the price", "/v1/fine-tunes/estimate-price", json=priced)

    def _check_credit(self, body: dict[str, Json]) -> None:
        """Raise PermissionRefused if the service would cancel the job for a lack of credit."""
        try:
            estimate = self._estimate(body).values
        except _NOT_THERE:
            return
        if estimate.get("allowed_to_proceed") is not False:
            return
        price, limit = estimate.get("estimated_total_price"), estimate.get("user_limit")
        costs = f"about ${price:,.2f}" if isinstance(price, int | float) else "more"
        has = f" of ${limit:,.2f}" if isinstance(limit, int | float) else ""
        raise PermissionRefused(
            f"the job costs {costs}, and the credit{has} of the account is too low; nothing was"
            " sent",
            hint="Add credit at https://api.together.ai/settings/billing.",
        )

    def _find(self, action: str, path: str, params: dict[str, str]) -> JsonObject | None:
        """The object at a path; None from a server that does not have it."""
        try:
            return self._api.get(action, path, params=params)
        except _NOT_THERE:
            return None

    def _fetch_job(self, job_id: str) -> JsonObject:
        return self._api.get(f"look up the job {job_id}", f"/v1/fine-tunes/{quote_id(job_id)}")

    def _list_jobs(self) -> Iterator[JsonObject]:
        """The jobs that can be read: an odd one must not hide the others."""
        for fields in self._api.list_entries("list the jobs", "/v1/fine-tunes"):
            try:
                self._read_job(fields)
            except InvalidResponse:
                continue
            yield fields

    def _read_jobs(self) -> Iterator[Job]:
        return map(self._read_job, self._list_jobs())

    def _read_job(self, fields: JsonObject) -> Job:
        return read_job(fields, self.clock.now())


def _read_base_model(fields: JsonObject) -> Model:
    return Model(
        id=fields.get_text("id"),
        created_at=fields.find_time("created") or UNKNOWN_TIME,
        owned_by=fields.find_text("organization") or "",
    )


def _read_tuned_model(fields: JsonObject, job: Job | None) -> Model:
    """A model in the registry, under the name that its job reports."""
    name = fields.get_text("name")
    return Model(
        id=(job.fine_tuned_model if job else None) or name,
        created_at=(job.finished_at if job else None) or UNKNOWN_TIME,
        owned_by=name.partition("/")[0],
        base=job.model if job else fields.find_text("baseModel"),
    )


def build_together(
    settings: ProviderSettings, capabilities: Capabilities, context: ProviderContext
) -> TogetherProvider:
    """The provider for `settings`; sends nothing, and reports a missing key when it needs one."""
    root = get_root(TOGETHER.get_base_url(settings, context.environ))
    build = partial(build_endpoint, TOGETHER, settings, context)
    return TogetherProvider(
        settings,
        capabilities,
        TogetherClient(
            build(make_http_client),
            root=root,
            project=settings.project,
            clock=context.clock,
            retries=RetryPolicy(),
        ),
        _ChatClient(
            build(make_client, base_url=f"{root}/v1"), clock=context.clock, retries=RetryPolicy()
        ),
        account=f"together:{root}:{settings.project or ''}",
        get_model_info=partial(
            ModelCatalog(context.home, context.clock).get_model_info,
            TOGETHER.list_catalog_tables(settings, context.environ),
        ),
        find_deployed=context.find_deployed,
    )
