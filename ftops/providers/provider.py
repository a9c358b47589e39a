"""What every provider can do; the rest of ftops knows providers by this alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

from ftops.capabilities import Capabilities
from ftops.providers.figures import ModelInfo
from ftops.records import (
    Checkpoint,
    Completion,
    Job,
    JobEvent,
    JobRequest,
    Model,
    MultipartUpload,
    Prompt,
    RemoteFile,
    RowFormat,
    Sampling,
)

# The metadata by which a job is told: which run it was made for, and which key that run has.
RUN_ID_METADATA = "ftops_run"
RUN_KEY_METADATA = "ftops_key"

OnBytes: TypeAlias = Callable[[int, int], None]  # (bytes sent so far, bytes in all)
JobFilter: TypeAlias = Callable[[Job], bool]  # whether a job can be the one that is looked for


def any_job(_job: Job) -> bool:
    """Every job may be the one."""
    return True


class UploadCheckpoint(Protocol):
    """What is remembered of an upload in parts, so that another process can go on with it.

    All methods are called by the thread that called `upload_file`.
    """

    def find(self) -> MultipartUpload | None:
        """The upload that was begun, with the parts that the provider has confirmed."""

    def begun(self, upload: MultipartUpload) -> None:
        """The provider expects parts of this one from now on; an earlier one is of no use."""

    def part_done(self, number: int, part_id: str) -> None:
        """The provider has this part; the first one has the number 0."""

    def completing(self) -> None:
        """The provider is about to be asked to make a file of all parts."""


class NoCheckpoint:
    """Remembers nothing."""

    def find(self) -> MultipartUpload | None:
        return None

    def begun(self, upload: MultipartUpload) -> None: ...
    def part_done(self, number: int, part_id: str) -> None: ...
    def completing(self) -> None: ...


class Provider(Protocol):
    """Whoever trains. Every method raises a `ProviderError` when it cannot do its work.

    Methods that only read are retried inside (see `retry.py`), and so are upload and delete, which
    may safely be done twice. `create_job` is sent once: who calls it reconciles with `find_job`.
    """

    @property
    def name(self) -> str:
        """The provider's name in the registry."""

    @property
    def account(self) -> str:
        """Who pays, as a string that stays the same from day to day and holds no secret."""

    @property
    def capabilities(self) -> Capabilities:
        """What it takes and what it refuses."""

    def row_format(self, model: str) -> RowFormat:
        """The shape of training rows and of prompts that `model` wants."""

    def get_model_info(self, model: str) -> ModelInfo:
        """What `model` costs and takes, as far as that is known; asks nobody.

        ModelsFileError when the user's own figures cannot be read.
        """

    def ensure_ready(self) -> None:
        """Make sure that somebody answers: the local provider starts its engine here."""

    def upload_file(
        self,
        path: Path,
        *,
        filename: str,
        on_bytes: OnBytes,
        memory: UploadCheckpoint | None = None,
    ) -> RemoteFile:
        """Send training data under the name `filename`; returns once the provider has it.

        `on_bytes` is called by one thread at a time, never with fewer bytes than before. A file
        that goes out in parts is gone on with from `memory`; its content must be the same as then.
        """

    def cancel_upload(self, upload_id: str) -> None:
        """Take back an upload in parts; NotFound or Rejected when it has ended otherwise."""

    def find_file(self, filename: str, size: int) -> RemoteFile | None:
        """The uploaded training file of that name and number of bytes, if there is one."""

    def get_file(self, file_id: str) -> RemoteFile: ...

    def list_files(self) -> Iterator[RemoteFile]: ...

    def read_file(self, file_id: str) -> bytes:
        """The content of a file at the provider, as it is stored there."""

    def delete_file(self, file_id: str) -> None: ...

    def create_job(self, request: JobRequest) -> Job:
        """Ask for a job, once.

        After an error that is no refusal (`ProviderError.is_refusal`) it may exist all the same. A
        provider that knows `request.idempotency_key` returns the job that it made for it.
        """

    def find_job(self, request: JobRequest, *, job_filter: JobFilter = any_job) -> Job | None:
        """The newest job that an earlier `create_job(request)` made.

        Told by its metadata `ftops_run`, or `ftops_key` when the request carries that mark alone.
        Where no metadata is kept, the newest job that was asked for in the same words. Jobs for
        which `job_filter` does not hold are passed over.
        """

    def get_job(self, job_id: str) -> Job: ...

    def cancel_job(self, job_id: str) -> Job: ...

    def pause_job(self, job_id: str) -> Job:
        """Let the job wait; one that waits, or is about to, comes back as it is."""

    def resume_job(self, job_id: str) -> Job:
        """Let a paused job go on; one that has not ended and does not wait comes back as it is."""

    def list_events(self, job_id: str, *, known: frozenset[str]) -> list[JobEvent]:
        """The job's events whose ids are not in `known`, oldest first, each once."""

    def stream_events(
        self, job_id: str, *, known: frozenset[str], wait_s: float
    ) -> Iterator[JobEvent]:
        """Let about `wait_s` pass, and hand on what happens to the job, as it happens.

        No event whose id is in `known`. Where events come over a stream, the wait is over when the
        stream ends; a stream that breaks, or is not there, is no error: `list_events` tells all.
        """

    def list_checkpoints(self, job_id: str) -> list[Checkpoint]:
        """The models that the job left on its way, by step; none where the provider keeps none."""

    def list_models(self) -> Iterator[Model]: ...

    def get_model(self, model: str) -> Model: ...

    def delete_model(self, model: str) -> None: ...

    def complete(
        self, model: str, prompts: Sequence[Prompt], sampling: Sampling
    ) -> list[Completion]:
        """One answer a prompt, in the order of the prompts."""

    def stream(self, model: str, prompt: Prompt, sampling: Sampling) -> Iterator[str]:
        """One answer, piece by piece; an error follows the pieces of one that was cut off."""

    def get_refused_parameters(self, model: str) -> Mapping[str, str | None]:
        """The parameters that `model` has refused in this process.

        Each with the name under which it is sent instead, or None where it is left out.
        """

    @property
    def moderation_model(self) -> str:
        """The model that judges texts: what one says is no word of another."""

    def moderate(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        """What is harmful in each text, as the provider's categories; empty where nothing is.

        All texts go in one request, which is retried like every question. Where
        `capabilities.moderation` is False, it raises Rejected and sends nothing.
        """

    def close(self) -> None:
        """Let go of connections; the provider is not used afterwards."""
