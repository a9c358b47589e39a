"""The adapter for everything that speaks OpenAI's fine-tuning API.

`Traits` say what sets one such provider apart, a `Caller` reaches it; `openai` and `local` are the
same adapter with different traits and endpoints. Files, models and answers are the same in both
protocols; what is said about jobs is in `jobs.py` (current) and in `fine_tunes.py` (legacy).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from ftops.capabilities import Capabilities
from ftops.clock import Clock
from ftops.errors import BadAnswer, ProviderError, Rejected
from ftops.http.retry import RetryPolicy
from ftops.providers import answers, fine_tunes, jobs, moderation, remote_files
from ftops.providers.address import find_destination, is_official, list_catalog_tables
from ftops.providers.calls import Caller
from ftops.providers.context import ProviderContext
from ftops.providers.endpoint import Access, KeyedEndpoint
from ftops.providers.figures import ModelInfo
from ftops.providers.model_catalog import ModelCatalog
from ftops.providers.parameters import RefusedParameters
from ftops.providers.parts import UploadLimits, cancel_upload, choose_limits
from ftops.providers.provider import JobFilter, OnBytes, UploadCheckpoint, any_job
from ftops.providers.trust import Trust, TrustFile
from ftops.providers.uploads import open_upload, send_file
from ftops.providers.wire import find_base_model, read_file, read_model
from ftops.records import (
    Checkpoint,
    Completion,
    Job,
    JobEvent,
    JobProtocol,
    JobRequest,
    Model,
    Prompt,
    ProviderSettings,
    RemoteFile,
    RowFormat,
    Sampling,
)

_COMPLETION_BASES = ("babbage-002", "davinci-002")


class JobCalls(Protocol):
    """What can be asked about jobs; a module of functions for each protocol."""

    def create_job(
        self, caller: Caller, request: JobRequest, capabilities: Capabilities, /
    ) -> Job: ...

    def find_job(
        self,
        caller: Caller,
        request: JobRequest,
        capabilities: Capabilities,
        job_filter: JobFilter,
        /,
    ) -> Job | None: ...

    def fetch_job(self, caller: Caller, job_id: str, /) -> Job: ...

    def cancel_job(self, caller: Caller, job_id: str, /) -> Job: ...

    def pause_job(self, caller: Caller, job_id: str, /) -> Job: ...

    def resume_job(self, caller: Caller, job_id: str, /) -> Job: ...

    def list_events(
        self, caller: Caller, job_id: str, known: frozenset[str], /
    ) -> list[JobEvent]: ...

    def stream_events(
        self, caller: Caller, clock: Clock, job_id: str, known: frozenset[str], wait_s: float, /
    ) -> Iterator[JobEvent]: ...

    def list_checkpoints(self, caller: Caller, job_id: str, /) -> list[Checkpoint]: ...


JOB_CALLS: Mapping[JobProtocol, JobCalls] = {"current": jobs, "legacy": fine_tunes}


@dataclass(frozen=True, slots=True)
class Traits:
    """What sets one provider of this API apart from another."""

    name: str
    account: str
    capabilities: Capabilities
    row_format: Callable[[str], RowFormat]
    get_model_info: Callable[[str], ModelInfo]
    jobs: JobCalls
    uploads: UploadLimits


class OpenAIProvider:
    """A `Provider` that is reached through the OpenAI client."""

    def __init__(self, traits: Traits, caller: Caller, clock: Clock) -> None:
        self._traits = traits
        self._caller = caller
        self._clock = clock
        self._refused = RefusedParameters()

    @property
    def name(self) -> str:
        return self._traits.name

    @property
    def account(self) -> str:
        return self._traits.account

    @property
    def capabilities(self) -> Capabilities:
        return self._traits.capabilities

    def row_format(self, model: str) -> RowFormat:
        return self._traits.row_format(model)

    def get_model_info(self, model: str) -> ModelInfo:
        return self._traits.get_model_info(model)

    def ensure_ready(self) -> None:
        self._caller.connect()

    def upload_file(
        self,
        path: Path,
        *,
        filename: str,
        on_bytes: OnBytes,
        memory: UploadCheckpoint | None = None,
    ) -> RemoteFile:
        upload = open_upload(path, filename, on_bytes, memory)
        return send_file(self._caller, self._clock, upload, self._traits.uploads)

    def cancel_upload(self, upload_id: str) -> None:
        cancel_upload(self._caller, upload_id)

    def find_file(self, filename: str, size: int) -> RemoteFile | None:
        return remote_files.find_file(self._caller, filename, size)

    def get_file(self, file_id: str) -> RemoteFile:
        return read_file(remote_files.fetch_file(self._caller, file_id))

    def list_files(self) -> Iterator[RemoteFile]:
        return remote_files.list_files(self._caller)

    def read_file(self, file_id: str) -> bytes:
        return self._caller.repeat(
            f"read the file {file_id}",
            lambda client: client.files.with_raw_response.content(file_id).content,
        )

    def delete_file(self, file_id: str) -> None:
        self._caller.delete(
            f"delete the file {file_id}",
            lambda client: client.files.with_raw_response.delete(file_id),
        )

    def create_job(self, request: JobRequest) -> Job:
        return self._traits.jobs.create_job(self._caller, request, self.capabilities)

    def find_job(self, request: JobRequest, *, job_filter: JobFilter = any_job) -> Job | None:
        return self._traits.jobs.find_job(self._caller, request, self.capabilities, job_filter)

    def get_job(self, job_id: str) -> Job:
        job = self._traits.jobs.fetch_job(self._caller, job_id)
        if job.id != job_id:  # a gateway's own record, say: it must not end a run
            raise BadAnswer(f"look up the job {job_id}: the answer is about {job.id!r}")
        return job

    def cancel_job(self, job_id: str) -> Job:
        return self._traits.jobs.cancel_job(self._caller, job_id)

    def pause_job(self, job_id: str) -> Job:
        return self._traits.jobs.pause_job(self._caller, job_id)

    def resume_job(self, job_id: str) -> Job:
        return self._traits.jobs.resume_job(self._caller, job_id)

    def list_events(self, job_id: str, *, known: frozenset[str]) -> list[JobEvent]:
        return self._traits.jobs.list_events(self._caller, job_id, known)

    def stream_events(
        self, job_id: str, *, known: frozenset[str], wait_s: float
    ) -> Iterator[JobEvent]:
        return self._traits.jobs.stream_events(self._caller, self._clock, job_id, known, wait_s)

    def list_checkpoints(self, job_id: str) -> list[Checkpoint]:
        return self._traits.jobs.list_checkpoints(self._caller, job_id)

    def list_models(self) -> Iterator[Model]:
        # The API has no pages here; one request gives all models.
        answer = self._caller.fetch(
            "list the models", lambda client: client.models.with_raw_response.list()
        )
        return iter([read_model(fields) for fields in answer.get_objects("data")])

    def get_model(self, model: str) -> Model:
        return read_model(
            self._caller.fetch(
                f"look up the model {model}",
                lambda client: client.models.with_raw_response.retrieve(model),
            )
        )

    def delete_model(self, model: str) -> None:
        self._caller.delete(
            f"delete the model {model}",
            lambda client: client.models.with_raw_response.delete(model),
        )

    def complete(
        self, model: str, prompts: Sequence[Prompt], sampling: Sampling
    ) -> list[Completion]:
        return answers.complete(self._caller, self._refused, model, prompts, sampling)

    def stream(self, model: str, prompt: Prompt, sampling: Sampling) -> Iterator[str]:
        return answers.stream(self._caller, self._refused, model, prompt, sampling)

    def get_refused_parameters(self, model: str) -> Mapping[str, str | None]:
        return self._refused.find(model)

    @property
    def moderation_model(self) -> str:
        return moderation.MODEL

    def moderate(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        if not self.capabilities.moderation:
            raise Rejected(f"the provider {self.name!r} judges no texts")
        return moderation.moderate(self._caller, texts)

    def close(self) -> None:
        self._caller.close()


def build_openai(
    settings: ProviderSettings, capabilities: Capabilities, context: ProviderContext
) -> OpenAIProvider:
    """The provider for `settings`; nothing is sent, and a missing key is told when it is needed."""
    environ = context.environ
    destination = find_destination(settings, environ)
    assert destination is not None  # it is no built-in engine
    base_url, key_variable = destination.base_url, destination.key_variable
    if settings.protocol == "legacy" and is_official(base_url):
        raise _switched_off(base_url)
    typed = find_destination(context.typed, environ) if context.typed else None
    trust = Trust(TrustFile(context.home), environ, typed)
    access = Access(
        base_url=base_url,
        key=environ.get(key_variable, "").strip() if key_variable else "",
        organization=settings.organization or environ.get("OPENAI_ORG_ID") or None,
        project=settings.project or environ.get("OPENAI_PROJECT_ID") or None,
        http_client=context.http_client,
        request_log=context.request_log,
    )
    traits = Traits(
        name=settings.type,
        account=f"openai:{base_url}:{access.organization or ''}:{access.project or ''}",
        capabilities=capabilities,
        row_format=(lambda _model: RowFormat.COMPLETION)
        if settings.protocol == "legacy"
        else choose_row_format,
        get_model_info=partial(
            ModelCatalog(context.home, context.clock).get_model_info,
            list_catalog_tables(settings, environ),
        ),
        jobs=JOB_CALLS[settings.protocol],
        uploads=choose_limits(environ, listing_wait_s=capabilities.file_listing_lag_s),
    )
    endpoint = KeyedEndpoint(
        access, key_variable=key_variable, check_trust=partial(trust.check, destination)
    )
    caller = Caller(endpoint, clock=context.clock, retries=RetryPolicy())
    return OpenAIProvider(traits, caller, context.clock)


def choose_row_format(model: str) -> RowFormat:
    """Chat rows, but for the two bases of the completions age and what was tuned from them."""
    base = find_base_model(model) or model
    return RowFormat.COMPLETION if base in _COMPLETION_BASES else RowFormat.CHAT


def _switched_off(base_url: str) -> ProviderError:
    return ProviderError(
        f"{base_url} speaks the legacy protocol no more: OpenAI switched /v1/fine-tunes off in"
        " January 2024",
        hint="Leave `protocol: legacy` out; or name another `base_url` or `type: local`, whose"
        " engine still speaks it.",
    )
