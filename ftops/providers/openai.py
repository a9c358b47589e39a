"""The provider `openai`: OpenAI, and every server that implements its fine-tuning API.

`OpenAILegacyProvider` (`openai_legacy.py`) overrides the methods that differ in the legacy
protocol; `local.py` points both at the built-in engine.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import openai

from ftops.capabilities import Capabilities, DeploymentRule
from ftops.errors import InvalidResponse, NotFound, ProviderError, Rejected
from ftops.http.api_client import RawResponse
from ftops.http.client import make_timeout
from ftops.http.response import JsonObject, read_pages
from ftops.http.retry import RetryPolicy
from ftops.providers import openai_completions, openai_files, openai_uploads
from ftops.providers.endpoint import build_endpoint
from ftops.providers.model_catalog import ModelCatalog, ModelInfo
from ftops.providers.openai_client import OpenAIClient, make_client
from ftops.providers.openai_quirks import QUIRKS
from ftops.providers.openai_request import (
    get_identifying_metadata,
    is_same,
    render_headers,
    render_request,
)
from ftops.providers.openai_response import (
    read_checkpoint,
    read_event,
    read_file,
    read_job,
    read_model,
    read_price,
)
from ftops.providers.openai_server import PAGE, OpenAIQuirks, OpenAIServer
from ftops.providers.openai_uploads import UploadLimits, choose_limits
from ftops.providers.provider import (
    JobFilter,
    OnBytes,
    Provider,
    ProviderContext,
    UploadCheckpoint,
    any_job,
)
from ftops.providers.refused_parameters import RefusedParameters
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
    RowFormat,
    Sampling,
)

CREATE_TIMEOUT_S = 120.0
MODERATION_MODEL = "omni-moderation-latest"
_UNNAMED_CATEGORY = "unnamed"  # of a text that is flagged without a category
_COMPLETION_BASES = ("babbage-002", "davinci-002")
_PAUSED = frozenset({"pausing", "paused"})
_MAX_JOBS_SEARCHED = 500


class OpenAIProvider(Provider):
    """A `Provider` that is reached through the OpenAI SDK."""

    def __init__(
        self,
        settings: ProviderSettings,
        capabilities: Capabilities,
        api: OpenAIClient,
        *,
        account: str,
        get_model_info: Callable[[str], ModelInfo],
        upload_limits: UploadLimits,
        check_model: Callable[[str], None] = lambda _: None,
        quirks: OpenAIQuirks = QUIRKS["openai"],
        server: OpenAIServer | None = None,
        inference_api: OpenAIClient | None = None,
    ) -> None:
        self.name = settings.type
        self.account = account
        self.capabilities = capabilities
        self.clock = api.clock
        self._api = api
        self._get_model_info = get_model_info
        self._upload_limits = upload_limits
        self._check_model = check_model
        self._refused = RefusedParameters()
        self._quirks = quirks
        self._server = server or OpenAIServer(api, settings)
        self._names = quirks.model_names(self._server)
        self._inference_api = inference_api or api
        self._deployments = quirks.deployments(self._server) if quirks.deployments else None

    def ensure_ready(self) -> None:
        self._api.connect()

    def close(self) -> None:
        self._api.close()
        self._inference_api.close()

    def check_model(self, model: str) -> None:
        self._check_model(model)

    def row_format(self, model: str) -> RowFormat:
        if self.capabilities.any_row_format or not self.capabilities.chats:
            return RowFormat.COMPLETION
        base = self.capabilities.naming.find_base_model(model) or model
        return RowFormat.COMPLETION if base in _COMPLETION_BASES else RowFormat.CHAT

    def get_model_info(self, model: str) -> ModelInfo:
        return self._get_model_info(model)

    def upload_file(
        self,
        path: Path,
        *,
        filename: str,
        on_bytes: OnBytes,
        checkpoint: UploadCheckpoint | None = None,
    ) -> RemoteFile:
        upload = openai_uploads.open_upload(path, filename, on_bytes, checkpoint)
        return openai_uploads.send_file(self._api, upload, self._upload_limits)

    def cancel_upload(self, upload_id: str) -> None:
        self._api.fetch(
            f"cancel the upload {upload_id}",
            lambda sdk: sdk.uploads.with_raw_response.cancel(upload_id),
        )

    def find_file(self, filename: str, size: int) -> RemoteFile | None:
        return openai_files.find_file(self._api, filename, size)

    def get_file(self, file_id: str) -> RemoteFile:
        return read_file(openai_files.fetch_file(self._api, file_id))

    def list_files(self) -> Iterator[RemoteFile]:
        return openai_files.list_files(self._api)

    def read_file(self, file_id: str) -> bytes:
        return self._api.send(
            f"read the file {file_id}",
            lambda sdk: sdk.files.with_raw_response.content(file_id).content,
        )

    def delete_file(self, file_id: str) -> None:
        self._api.delete(
            f"delete the file {file_id}", lambda sdk: sdk.files.with_raw_response.delete(file_id)
        )

    def create_job(self, request: JobRequest) -> Job:
        action = f"create a job on {request.model}"
        body = self._render(request)
        response = self._api.send_once(
            action,
            lambda sdk: sdk.fine_tuning.jobs.with_raw_response.create(
                model=request.model,
                training_file=request.training_file,
                extra_body=body,  # the method of the SDK lacks some fields
                extra_headers=render_headers(request),
                timeout=make_timeout(CREATE_TIMEOUT_S),
            ),
        )
        return self._read_job(self._api.parse(response, action))

    def find_job(self, request: JobRequest, *, job_filter: JobFilter = any_job) -> Job | None:
        """The newest job that this request created.

        Jobs are identified by their metadata: the run's id, or its key if the request has only the
        key; or by the mark in their suffix. If a provider keeps neither, the newest job with the
        same parameters that has not failed.
        """
        metadata = get_identifying_metadata(request)
        if self.capabilities.metadata and metadata:
            listed = self._list_jobs_with(metadata)
            marked = [
                fields
                for fields in listed
                if metadata.items() <= fields.get_texts("metadata").items()
            ]
            if marked:
                return next(filter(job_filter, map(self._read_job, marked)), None)
            listed = listed or self._list_jobs(PAGE, None)
            if any(fields.get_texts("metadata") for fields in listed):
                return None
        else:
            listed = self._list_jobs(_MAX_JOBS_SEARCHED, None)
        request = replace(request, model=self._names.get_id(request.model))
        same = (
            self._read_job(fields)
            for fields in listed
            if is_same(fields, request, self.capabilities)
        )
        return next(filter(job_filter, same), None)

    def get_job(self, job_id: str) -> Job:
        job = self._fetch_job(job_id)
        if job.id != job_id:  # such as a gateway's own record: it must not end a run
            raise InvalidResponse(f"look up the job {job_id}: the response is about {job.id!r}")
        if self._quirks.names_models or job.fine_tuned_model or job.status != "succeeded":
            return job
        checkpoints = self.list_checkpoints(job_id)
        return replace(job, fine_tuned_model=checkpoints[-1].model if checkpoints else None)

    def cancel_job(self, job_id: str) -> Job:
        """Cancel the job; a cancelled job is returned unchanged, so this is safe to repeat."""
        return self._change_job(
            job_id,
            "cancel",
            lambda sdk: sdk.fine_tuning.jobs.with_raw_response.cancel(job_id),
            lambda job: job.status == "cancelled",
        )

    def pause_job(self, job_id: str) -> Job:
        return self._change_job(
            job_id,
            "pause",
            lambda sdk: sdk.fine_tuning.jobs.with_raw_response.pause(job_id),
            lambda job: job.status in _PAUSED,
        )

    def resume_job(self, job_id: str) -> Job:
        return self._change_job(
            job_id,
            "resume",
            lambda sdk: sdk.fine_tuning.jobs.with_raw_response.resume(job_id),
            lambda job: not job.ended and job.status not in _PAUSED,
        )

    def list_events(self, job_id: str, *, known: frozenset[str]) -> list[JobEvent]:
        """The events that are not in `known`, oldest first, each once.

        Pages come newest first; reading stops at the page with a known event, because later pages
        are older. A server that lists the oldest first is read to the end. A page counts as the
        last only when there is no gap before the known events: otherwise a wrong `has_more` would
        lose the events in between.
        """
        events, is_complete = self._read_events(job_id, known)
        if not is_complete:  # events that a page omits are lost once newer events are known
            events, _ = self._read_events(job_id, known)
        return events

    def list_checkpoints(self, job_id: str) -> list[Checkpoint]:
        return [read_checkpoint(fields) for fields in self._server.list_checkpoints(job_id)]

    def list_models(self) -> Iterator[Model]:
        # This endpoint has no pages; one request returns all models.
        fields = self._api.fetch("list the models", lambda sdk: sdk.models.with_raw_response.list())
        return iter([self._read_model(item) for item in fields.get_objects("data")])

    def get_model(self, model: str) -> Model:
        model_id = self._names.get_id(model)
        return self._read_model(
            self._api.fetch(
                f"look up the model {model}",
                lambda sdk: sdk.models.with_raw_response.retrieve(model_id),
            )
        )

    def delete_model(self, model: str) -> None:
        self._api.delete(
            f"delete the model {model}", lambda sdk: sdk.models.with_raw_response.delete(model)
        )

    def complete(
        self, model: str, prompts: Sequence[Prompt], sampling: Sampling
    ) -> list[Completion]:
        return openai_completions.complete(
            self._inference_api, self._refused, self._get_call_name(model), prompts, sampling
        )

    def stream(self, model: str, prompt: Prompt, sampling: Sampling) -> Iterator[str]:
        return openai_completions.stream(
            self._inference_api, self._refused, self._get_call_name(model), prompt, sampling
        )

    def get_refused_parameters(self, model: str) -> Mapping[str, str | None]:
        return self._refused.get(self._get_call_name(model))

    @property
    def moderation_model(self) -> str:
        return MODERATION_MODEL

    def moderate(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        """The categories in which each text is flagged, from one request for all texts.

        InvalidResponse when the number of results differs from the number of texts.
        https://platform.openai.com/docs/api-reference/moderations
        """
        if not self.capabilities.moderation:
            return super().moderate(texts)
        fields = self._api.fetch(
            f"moderate {len(texts)} texts",
            lambda sdk: sdk.moderations.with_raw_response.create(
                model=MODERATION_MODEL, input=[*texts]
            ),
        )
        results = fields.get_objects("results")
        if len(results) != len(texts):
            raise fields.malformed(f"{len(results)} results for {len(texts)} texts")
        return [_read_categories(result) for result in results]

    def read_training_metrics(self, job: Job) -> bytes | None:
        return self._quirks.read_metrics(self._server, job) if self._quirks.read_metrics else None

    def download_weights(self, job: Job, folder: Path) -> list[Path]:
        if self._quirks.download_weights is None:
            return super().download_weights(job, folder)
        return self._quirks.download_weights(self._server, job, folder)

    def estimate_cost(self, request: JobRequest) -> float | None:
        if not self._quirks.price_route:
            return None
        try:
            return read_price(
                self._server.fetch(
                    "estimate the price", "POST", self._quirks.price_route, self._render(request)
                )
            )
        except NotFound:  # the server has no such route
            return None

    def estimate_hourly_cost(self, request: DeploymentRequest) -> float | None:
        return self._deployments.estimate_hourly_cost(request) if self._deployments else None

    def find_deployment_rule(
        self, sections: Mapping[str, Mapping[str, Json]]
    ) -> DeploymentRule | None:
        section = sections.get(self._quirks.section, {})
        for (name, value), rule in self._quirks.deployment_rules.items():
            if section.get(name) == value:
                return rule
        return super().find_deployment_rule(sections)

    def is_served(self, model: str, sections: Mapping[str, Mapping[str, Json]]) -> bool:
        if self._deployments is None:
            return super().is_served(model, sections)
        return self._deployments.is_served(model, sections)

    def check_deployment(self, sections: Mapping[str, Mapping[str, Json]]) -> None:
        if self._deployments is not None:
            self._deployments.check_deployment(sections)

    def create_deployment(self, request: DeploymentRequest) -> Deployment:
        if self._deployments is None:
            return super().create_deployment(request)
        return self._deployments.create_deployment(request)

    def find_deployment(self, request: DeploymentRequest) -> Deployment | None:
        if self._deployments is None:
            return super().find_deployment(request)
        return self._deployments.find_deployment(request)

    def get_deployment(self, deployment_id: str) -> Deployment:
        if self._deployments is None:
            return super().get_deployment(deployment_id)
        return self._deployments.get_deployment(deployment_id)

    def list_deployments(self) -> Iterator[Deployment]:
        return self._deployments.list_deployments() if self._deployments else iter(())

    def delete_deployment(self, deployment_id: str) -> None:
        if self._deployments is None:
            return super().delete_deployment(deployment_id)
        return self._deployments.delete_deployment(deployment_id)

    def _get_call_name(self, model: str) -> str:
        """The name of the model in requests: that of its deployment, if it has one."""
        context = self._server.context
        if self._deployments is None or context is None:
            return model
        return context.find_deployed(self.account, model) or model

    def _render(self, request: JobRequest) -> dict[str, Json]:
        request = replace(request, model=self._names.get_trainable_id(request.model))
        return render_request(request, self.capabilities, self._quirks)

    def _read_job(self, fields: JsonObject) -> Job:
        job = read_job(fields)
        return replace(job, model=self._names.get_name(job.model))

    def _read_model(self, fields: JsonObject) -> Model:
        model = read_model(fields, self.capabilities.naming)
        return replace(model, id=self._names.get_name(model.id))

    def _fetch_job(self, job_id: str) -> Job:
        return self._read_job(
            self._api.fetch(
                f"look up the job {job_id}",
                lambda sdk: sdk.fine_tuning.jobs.with_raw_response.retrieve(job_id),
            )
        )

    def _change_job(
        self,
        job_id: str,
        verb: str,
        send: Callable[[openai.OpenAI], RawResponse],
        is_changed: Callable[[Job], bool],
    ) -> Job:
        """Request a change; a refusal is no error if the job is already as requested."""
        try:
            return self._read_job(self._api.fetch(f"{verb} the job {job_id}", send))
        except Rejected:
            job = self._fetch_job(job_id)
            if is_changed(job):
                return job
            raise

    def _list_jobs_with(self, metadata: dict[str, str]) -> list[JsonObject]:
        """Jobs with the metadata; some servers list all jobs regardless."""
        try:
            return self._list_jobs(_MAX_JOBS_SEARCHED, metadata)
        except Rejected:  # the server does not know the filter
            return self._list_jobs(_MAX_JOBS_SEARCHED, None)

    def _list_jobs(self, limit: int, metadata: dict[str, str] | None) -> list[JsonObject]:
        """The latest jobs, newest first."""
        pages = read_pages(
            lambda after: self._api.fetch(
                "list the jobs",
                lambda sdk: sdk.fine_tuning.jobs.with_raw_response.list(
                    limit=PAGE, after=after or openai.omit, metadata=metadata or openai.omit
                ),
            )
        )
        return list(itertools.islice(itertools.chain.from_iterable(pages), limit))

    def _read_events(self, job_id: str, known: frozenset[str]) -> tuple[list[JobEvent], bool]:
        """The events, and whether they reach back to known ones; False without any events."""
        events: list[JobEvent] = []
        if not self._quirks.orders_events:
            for page in self._read_event_pages(job_id, frozenset()):
                events += [event for event in page if event.id not in known]
            return sorted({event.id: event for event in events}.values(), key=_get_order), True
        oldest_first = reached = False
        for page in self._read_event_pages(job_id, known):
            oldest_first = oldest_first or page[0].created_at < page[-1].created_at
            events += [event for event in page if event.id not in known]
            reached = reached or any(event.id in known for event in page)
            if reached and not oldest_first:
                break
        if not oldest_first:
            events.reverse()
        is_complete = reached if known else bool(events)
        return list({event.id: event for event in events}.values()), is_complete

    def _read_event_pages(self, job_id: str, known: frozenset[str]) -> Iterator[list[JobEvent]]:
        reached = False

        def is_last(items: list[JsonObject]) -> bool:
            nonlocal reached
            reached = reached or any(read_event(fields).id in known for fields in items)
            return reached if known else len(items) < PAGE

        pages = read_pages(
            lambda after: self._api.fetch(
                f"list the events of {job_id}",
                lambda sdk: sdk.fine_tuning.jobs.with_raw_response.list_events(
                    job_id, limit=PAGE, after=after or openai.omit
                ),
            ),
            is_last=is_last,
        )
        has_page = False
        try:
            for page in pages:
                has_page = True
                yield [read_event(fields) for fields in page]
        except (Rejected, NotFound):
            if not has_page:
                raise
            # The server refuses the cursor of a later page: the list ends with the pages so far.


def build_openai(
    settings: ProviderSettings,
    capabilities: Capabilities,
    context: ProviderContext,
    *,
    provider_class: type[OpenAIProvider] = OpenAIProvider,
) -> OpenAIProvider:
    """The provider for `settings`; sends nothing, and reports a missing key when it needs one."""
    environ, quirks = context.environ, QUIRKS[settings.type]
    address = quirks.address
    base_url = address.get_destination(settings, environ).base_url
    if settings.protocol == "legacy" and address.is_own(base_url):
        raise _switched_off(base_url)
    organization = _get_account_setting("organization", settings, quirks, environ)
    project = _get_account_setting("project", settings, quirks, environ)

    def connect(base_url: str | None = None) -> OpenAIClient:
        endpoint = build_endpoint(
            *(address, settings, context, make_client),
            organization=organization,
            project=project,
            base_url=base_url,
        )
        return OpenAIClient(endpoint, clock=context.clock, retries=RetryPolicy())

    api = connect()
    is_own = address.is_own(base_url)
    inference_url = quirks.inference_url if is_own else ""
    account = f"{organization or ''}:{project or ''}"
    return provider_class(
        settings,
        capabilities,
        api,
        account=f"{settings.type}:{base_url}:{account}",
        get_model_info=partial(
            ModelCatalog(context.home, context.clock).get_model_info,
            address.list_catalog_tables(settings, environ),
        ),
        upload_limits=choose_limits(environ, listing_wait_s=capabilities.file_listing_lag_s),
        quirks=quirks,
        server=OpenAIServer(api, settings, base_url, is_own, context),
        inference_api=connect(inference_url) if inference_url else None,
    )


def _get_account_setting(
    name: str, settings: ProviderSettings, quirks: OpenAIQuirks, environ: Mapping[str, str]
) -> str | None:
    """The organization or the project, if the server gets it as a header."""
    for variable, (_meaning, setting) in quirks.address.account_variables.items():
        if setting == name:
            return getattr(settings, name) or environ.get(variable) or None
    return None


def _get_order(event: JobEvent) -> tuple[datetime, int]:
    """The time of an event and the number at the end of its id."""
    number = re.search(r"[0-9]+$", event.id)
    return event.created_at, int(number[0]) if number else 0


def _read_categories(result: JsonObject) -> tuple[str, ...]:
    flagged = result.values.get("flagged")
    if not isinstance(flagged, bool):
        raise result.malformed("a result does not say whether the text was flagged")
    if not flagged:
        return ()
    categories = result.get_object("categories").values
    names = sorted(name for name, is_flagged in categories.items() if is_flagged is True)
    return tuple(names) or (_UNNAMED_CATEGORY,)


def _switched_off(base_url: str) -> ProviderError:
    return ProviderError(
        f"{base_url} no longer speaks the legacy protocol: OpenAI switched /v1/fine-tunes off in"
        " January 2024",
        hint="Leave `protocol: legacy` out; or name another `base_url` or `type: local`, whose"
        " engine still speaks it.",
    )
