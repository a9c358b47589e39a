"""The interface of providers; the rest of ftops uses providers only through `Provider`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from ftops.capabilities import Capabilities, DeploymentRule
from ftops.clock import Clock
from ftops.errors import Rejected
from ftops.http.request_log import RequestLog
from ftops.providers.model_catalog import ModelInfo
from ftops.records import (
    Checkpoint,
    Completion,
    Deployment,
    DeploymentRequest,
    Job,
    JobEvent,
    JobRequest,
    Json,
    Method,
    Model,
    MultipartUpload,
    Prompt,
    ProviderSettings,
    RemoteFile,
    RowFormat,
    Sampling,
)

# Metadata of a job: the id of the run that created it, and the key of that run.
RUN_ID_METADATA = "ftops_run"
RUN_KEY_METADATA = "ftops_key"

OnBytes: TypeAlias = Callable[[int, int], None]  # (bytes sent so far, bytes in all)
JobFilter: TypeAlias = Callable[[Job], bool]


def any_job(_job: Job) -> bool:
    """The `JobFilter` that accepts every job."""
    return True


def find_no_deployment(_account: str, _model: str) -> str | None:
    """The `ProviderContext.find_deployed` without a ledger."""
    return None


@dataclass(frozen=True, slots=True)
class ProviderContext:
    """Environment variables, the home folder, the clock, and how requests are sent.

    `http_client` replaces the connections of providers that are reached over the network; the
    caller closes it. Requests over a provider's own connections are logged in `request_log`.
    `typed` is the provider that the command's options name: its address needs no approval.
    `find_deployed` returns the name in requests of a deployed model, by account and model; None for
    a model without a deployment.
    """

    environ: Mapping[str, str]
    home: Path
    clock: Clock
    http_client: object | None = None
    request_log: RequestLog | None = None
    typed: ProviderSettings | None = None
    find_deployed: Callable[[str, str], str | None] = find_no_deployment


class UploadCheckpoint(Protocol):
    """The recorded state of an upload in parts, so that another process can continue it.

    All methods are called by the thread that called `upload_file`.
    """

    def find(self) -> MultipartUpload | None:
        """The started upload, with the parts that the provider has confirmed."""

    def begun(self, upload: MultipartUpload) -> None:
        """Record a new upload that the provider has created; earlier uploads are obsolete."""

    def part_done(self, number: int, part_id: str) -> None:
        """Record a part that the provider has confirmed; numbers start at 0."""

    def completing(self) -> None:
        """Record that the request that completes the upload is sent next."""


class NoCheckpoint:
    """An `UploadCheckpoint` that keeps nothing."""

    def find(self) -> MultipartUpload | None:
        return None

    def begun(self, upload: MultipartUpload) -> None: ...
    def part_done(self, number: int, part_id: str) -> None: ...
    def completing(self) -> None: ...


class Provider(ABC):
    """A service or server that trains.

    Abstract methods are required; the others have a default for providers that lack the feature.
    Every method raises a `ProviderError` when it fails. Methods that only read retry internally
    (see `http/retry.py`), and so do upload and delete, which are safe to repeat. `create_job` sends
    one request: its caller reconciles with `find_job`.
    """

    name: str  # in the registry
    account: str  # the account that pays: stable, without a secret
    capabilities: Capabilities
    clock: Clock

    # Required: files

    @abstractmethod
    def upload_file(
        self,
        path: Path,
        *,
        filename: str,
        on_bytes: OnBytes,
        checkpoint: UploadCheckpoint | None = None,
    ) -> RemoteFile:
        """Send training data under the name `filename`; returns once the provider has it.

        `on_bytes` is called by one thread at a time, never with fewer bytes than before. An upload
        in parts continues from `checkpoint`; the content of the file must be unchanged.
        """

    @abstractmethod
    def find_file(self, filename: str, size: int) -> RemoteFile | None:
        """The uploaded training file with that name and size in bytes."""

    @abstractmethod
    def get_file(self, file_id: str) -> RemoteFile: ...

    @abstractmethod
    def list_files(self) -> Iterator[RemoteFile]: ...

    @abstractmethod
    def read_file(self, file_id: str) -> bytes:
        """The content of a file at the provider, unchanged."""

    @abstractmethod
    def delete_file(self, file_id: str) -> None: ...

    # Required: jobs

    @abstractmethod
    def create_job(self, request: JobRequest) -> Job:
        """Create a job, with one request.

        After an error that is no refusal (`ProviderError.is_refusal`) the job may exist. A provider
        that knows `request.idempotency_key` returns the job that it created for it.
        """

    @abstractmethod
    def find_job(self, request: JobRequest, *, job_filter: JobFilter = any_job) -> Job | None:
        """The newest job that an earlier `create_job(request)` created.

        Jobs are identified by the metadata `ftops_run`, or `ftops_key` if the request has only
        that; without metadata, by the same parameters. `job_filter` excludes jobs.
        """

    @abstractmethod
    def get_job(self, job_id: str) -> Job: ...

    @abstractmethod
    def cancel_job(self, job_id: str) -> Job: ...

    # Required: models

    @abstractmethod
    def list_models(self) -> Iterator[Model]: ...

    @abstractmethod
    def get_model(self, model: str) -> Model: ...

    @abstractmethod
    def delete_model(self, model: str) -> None: ...

    @abstractmethod
    def complete(
        self, model: str, prompts: Sequence[Prompt], sampling: Sampling
    ) -> list[Completion]:
        """One completion for each prompt, in their order."""

    # Optional

    def ensure_ready(self) -> None:
        """Make sure that a server runs: the local provider starts its engine here."""

    def close(self) -> None:
        """Close connections; the provider is not used afterwards."""

    def row_format(self, model: str) -> RowFormat:
        """The shape of training rows and of prompts for `model`."""
        return RowFormat.CHAT

    def check_model(self, model: str) -> None:
        """Raise NotFound for a model that cannot be trained for certain; sends no request."""

    def get_model_info(self, model: str) -> ModelInfo:
        """The known prices and limits of `model`; sends no request.

        ModelsFileError when the user's own `models.toml` cannot be read.
        """
        return ModelInfo()

    def cancel_upload(self, upload_id: str) -> None:
        """Cancel an upload in parts; NotFound or Rejected when it has already ended."""
        raise self._unsupported("has no uploads in parts")

    def pause_job(self, job_id: str) -> Job:
        """Pause the job; a paused or pausing job is returned unchanged."""
        raise self._unsupported(f"cannot pause the job {job_id}")

    def resume_job(self, job_id: str) -> Job:
        """Resume a paused job; a running job is returned unchanged."""
        raise self._unsupported(f"cannot resume the job {job_id}")

    def list_events(self, job_id: str, *, known: frozenset[str]) -> list[JobEvent]:
        """The job's events whose ids are not in `known`, oldest first, each once."""
        return []

    def stream_events(
        self, job_id: str, *, known: frozenset[str], wait_s: float
    ) -> Iterator[JobEvent]:
        """Wait for about `wait_s`, and yield events of the job as they happen.

        Events whose ids are in `known` are skipped. A stream that ends early ends the wait. A
        broken or missing stream is no error, because `list_events` returns all events.
        """
        self.clock.sleep(wait_s)
        return iter(())

    def list_checkpoints(self, job_id: str) -> list[Checkpoint]:
        """The models that the job saved during training, by step."""
        return []

    def stream(self, model: str, prompt: Prompt, sampling: Sampling) -> Iterator[str]:
        """Stream one completion; if it is cut off, an error follows its pieces."""
        yield self.complete(model, [prompt], sampling)[0].text

    def get_refused_parameters(self, model: str) -> Mapping[str, str | None]:
        """The parameters that `model` has refused in this process.

        Each maps to the name under which it is sent instead, or None if it is left out.
        """
        return {}

    @property
    def moderation_model(self) -> str:
        """The model that `moderate` uses; results of different models are not comparable."""
        return ""

    def moderate(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        """The harmful categories of each text, by the provider's names; empty for harmless texts.

        All texts are sent in one request.
        """
        raise self._unsupported("has no moderation endpoint")

    def write_training_file(self, path: Path, into: Path, method: Method) -> Path:
        """The prepared rows of `path` in the format that is uploaded, in the folder `into`.

        Returns `path` unchanged for a provider that takes chats or prompts and completions.
        """
        return path

    def read_training_metrics(self, job: Job) -> bytes | None:
        """The metrics of an ended job by step, as a CSV table like OpenAI's results file.

        None for a provider whose jobs have `result_files`, or that has no metrics.
        """
        return None

    def estimate_cost(self, request: JobRequest) -> float | None:
        """The price of the job in US dollars, as the provider itself estimates it.

        The files of the request are uploaded. None for a provider without such a request.
        """
        return None

    def estimate_hourly_cost(self, request: DeploymentRequest) -> float | None:
        """The price of an hour of the deployment in US dollars, from the provider if it tells.

        None if unknown.
        """
        return None

    def find_deployment_rule(
        self, sections: Mapping[str, Mapping[str, Json]]
    ) -> DeploymentRule | None:
        """How models are deployed with these sections of the job file; None: they need not be."""
        return self.capabilities.deployment

    def is_served(self, model: str, sections: Mapping[str, Mapping[str, Json]]) -> bool:
        """Whether models that were fine-tuned from `model` can answer requests there."""
        return self.capabilities.serves

    def check_deployment(self, sections: Mapping[str, Mapping[str, Json]]) -> None:
        """Raise ProviderError if settings for a deployment are missing; sends nothing."""

    def create_deployment(self, request: DeploymentRequest) -> Deployment:
        """Deploy a model, with one request; it is rarely ready at once.

        After an error that is no refusal, the deployment may exist (`find_deployment`).
        """
        raise self._unsupported("deploys no models")

    def find_deployment(self, request: DeploymentRequest) -> Deployment | None:
        """The deployment that an earlier `create_deployment(request)` created."""
        raise self._unsupported("deploys no models")

    def get_deployment(self, deployment_id: str) -> Deployment:
        """The deployment; NotFound once it is deleted."""
        raise self._unsupported("deploys no models")

    def list_deployments(self) -> Iterator[Deployment]:
        """Every deployment of the account that may cost something."""
        return iter(())

    def delete_deployment(self, deployment_id: str) -> None:
        """Delete a deployment, and end its costs; the model itself is kept.

        Returns once the provider has accepted it; NotFound if there is none.
        """
        raise self._unsupported("deploys no models")

    def download_weights(self, job: Job, folder: Path) -> list[Path]:
        """Write the weights of the model of a succeeded job to `folder`; returns the files."""
        raise self._unsupported(f"does not offer the weights of {job.id} for download")

    def _unsupported(self, reason: str) -> Rejected:
        return Rejected(f"the provider {self.name!r} {reason}; nothing was sent")
