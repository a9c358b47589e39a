"""Converts rows of the ledger to records and back."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache, wraps
from typing import Any, Literal, TypeAlias, TypeVar

import orjson

from ftops.errors import LedgerError
from ftops.records import (
    JobEvent,
    Json,
    MultipartUpload,
    ProviderSettings,
    RowFormat,
    Run,
    RunId,
    RunStatus,
    Stage,
    StageRecord,
    StageStatus,
    TunedModel,
)

CallState = Literal["intent", "done", "failed"]
SqlRow: TypeAlias = tuple[Any, ...]
Record = TypeVar("Record")

RUN_COLUMNS = (
    "id, key, name, status, provider_json, model, spec_json, job_file, created_at, updated_at,"
    " overrides_json, job_id, fine_tuned_model, finished_at, error,"
    " force_new_job, pruned_at, job_status"
)
STAGE_COLUMNS = "stage, status, attempts, started_at, finished_at, detail_json, error"
EVENT_COLUMNS = "event_id, at, level, message, type, data_json"
CALL_COLUMNS = "id, run_id, stage, name, state, request_json, remote_id, error, began_at, ended_at"
UPLOAD_COLUMNS = "account, file_id, sha256, filename, bytes, run_id, created_at"
MODEL_COLUMNS = (
    "name, run_id, job_id, base, provider_json, created_at, row_format, separator, stop, deleted_at"
)
DEPLOYMENT_COLUMNS = (
    "account, deployment_id, run_id, provider_json, name, model, call_name, status, hourly_usd,"
    " created_at, ends_at, ended_at"
)
# A lookup is faster than a call of the enum, which matters for ten thousand runs.
_RUN_STATUSES = {status.value: status for status in RunStatus}


@dataclass(frozen=True, slots=True)
class RemoteCall:
    """One request that changes something at a provider.

    `state` is "intent" from before the request is sent until its response is recorded. A request
    that stays an intent may have had its effect.
    """

    id: int
    run_id: RunId
    stage: Stage
    name: str  # upload_file, create_job, cancel_job, delete_file, notify, …
    state: CallState
    request: Mapping[str, Json]
    began_at: datetime
    ended_at: datetime | None = None
    remote_id: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """A request to send, for example because of a change of the run."""

    stage: Stage
    name: str
    request: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Upload:
    """Content that an account has under a file id."""

    account: str
    file_id: str
    sha256: str
    filename: str
    bytes: int
    run_id: RunId
    created_at: datetime


@dataclass(frozen=True, slots=True)
class DeploymentRecord:
    """A deployment of the fine-tuned `model`; requests call it `call_name`.

    It may cost something until `ended_at`. `ends_at` is when the provider or, if that has no
    expiry, ftops ends it.
    """

    account: str
    id: str
    run_id: RunId
    provider: ProviderSettings
    name: str
    model: str
    call_name: str
    status: str
    created_at: datetime
    hourly_usd: float | None = None
    ends_at: datetime | None = None
    ended_at: datetime | None = None

    def get_cost_usd(self, now: datetime) -> float | None:
        """What it has cost until `now`, by its hourly price; None if that is unknown."""
        if self.hourly_usd is None:
            return None
        hours = ((self.ended_at or now) - self.created_at).total_seconds() / 3600
        return self.hourly_usd * max(hours, 0.0)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A job event with its number in the ledger, from which a watcher continues."""

    number: int
    event: JobEvent


@dataclass(frozen=True, slots=True)
class StateChange:
    """One change of state of a run (`stage` is None) or of a stage."""

    at: datetime
    stage: Stage | None
    before: str
    after: str
    attempt: int | None = None  # of the stage
    error: str | None = None


def _reading(convert: Callable[[SqlRow], Record]) -> Callable[[SqlRow], Record]:
    """Raise LedgerError for a row that only a damaged file can contain."""

    @wraps(convert)
    def converted(row: SqlRow) -> Record:
        try:
            return convert(row)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LedgerError(f"the ledger is damaged: {error!r} in a row") from error

    return converted


def to_json(value: Mapping[str, Json] | tuple[str, ...]) -> str:
    """One JSON document; values that JSON cannot represent become null or the nearest value."""
    plain: Json = list(value) if isinstance(value, tuple) else dict(value)
    try:
        return orjson.dumps(plain).decode()
    except TypeError:
        return orjson.dumps(_carriable(plain)).decode()


def to_storable(text: str) -> str:
    """The text, with `?` in place of each unpaired surrogate."""
    return text.encode("utf-8", "replace").decode()


def to_text(moment: datetime) -> str:
    """The time in UTC, formatted so that texts sort in order of time."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def to_provider_json(provider: ProviderSettings) -> str:
    return orjson.dumps(asdict(provider)).decode()


@_reading
def to_run(row: SqlRow) -> Run:
    return Run(
        id=RunId(row[0]),
        key=row[1],
        name=row[2],
        status=_RUN_STATUSES[row[3]],
        provider=_provider(row[4]),
        model=row[5],
        spec=_object(row[6]),
        job_file=row[7],
        created_at=_moment(row[8]),
        updated_at=_moment(row[9]),
        overrides=_texts(row[10]),
        job_id=row[11],
        fine_tuned_model=row[12],
        finished_at=_moment_or_none(row[13]),
        error=row[14],
        force_new_job=bool(row[15]),
        pruned_at=_moment_or_none(row[16]),
        job_status=row[17],
    )


@_reading
def to_stage(row: SqlRow) -> StageRecord:
    return StageRecord(
        stage=Stage(row[0]),
        status=StageStatus(row[1]),
        attempts=row[2],
        started_at=_moment_or_none(row[3]),
        finished_at=_moment_or_none(row[4]),
        detail=_object(row[5]),
        error=row[6],
    )


@_reading
def to_event(row: SqlRow) -> JobEvent:
    return JobEvent(
        id=row[0],
        created_at=_moment(row[1]),
        level=row[2],
        message=row[3],
        type=row[4],
        data=_object(row[5]),
    )


@_reading
def to_call(row: SqlRow) -> RemoteCall:
    return RemoteCall(
        id=row[0],
        run_id=RunId(row[1]),
        stage=Stage(row[2]),
        name=row[3],
        state=row[4],
        request=_object(row[5]),
        remote_id=row[6],
        error=row[7],
        began_at=_moment(row[8]),
        ended_at=_moment_or_none(row[9]),
    )


@_reading
def to_upload(row: SqlRow) -> Upload:
    return Upload(
        account=row[0],
        file_id=row[1],
        sha256=row[2],
        filename=row[3],
        bytes=row[4],
        run_id=RunId(row[5]),
        created_at=_moment(row[6]),
    )


@_reading
def to_multipart_upload(row: SqlRow) -> MultipartUpload:
    return MultipartUpload(
        id=row[0],
        part_bytes=row[1],
        expires_at=_moment(row[2]),
        completing=bool(row[3]),
        parts=row[4],
    )


@_reading
def to_model(row: SqlRow) -> TunedModel:
    return TunedModel(
        name=row[0],
        run_id=RunId(row[1]),
        job_id=row[2],
        base=row[3],
        provider=_provider(row[4]),
        created_at=_moment(row[5]),
        row_format=RowFormat(row[6]),
        separator=row[7],
        stop=row[8],
        deleted_at=_moment_or_none(row[9]),
    )


@_reading
def to_deployment(row: SqlRow) -> DeploymentRecord:
    return DeploymentRecord(
        account=row[0],
        id=row[1],
        run_id=RunId(row[2]),
        provider=_provider(row[3]),
        name=row[4],
        model=row[5],
        call_name=row[6],
        status=row[7],
        hourly_usd=row[8],
        created_at=_moment(row[9]),
        ends_at=_moment_or_none(row[10]),
        ended_at=_moment_or_none(row[11]),
    )


@_reading
def to_state_change(row: SqlRow) -> StateChange:
    data = _object(row[1])
    stage, attempt, error = data.get("stage"), data.get("attempt"), data.get("error")
    return StateChange(
        at=_moment(row[0]),
        stage=Stage(str(stage)) if stage is not None else None,
        before=str(data.get("before")),
        after=str(data.get("after")),
        attempt=attempt if isinstance(attempt, int) else None,
        error=error if isinstance(error, str) else None,
    )


def run_values(run: Run) -> SqlRow:
    """The values of RUN_COLUMNS, in order."""
    return (
        run.id,
        run.key,
        run.name,
        run.status.value,
        to_provider_json(run.provider),
        run.model,
        to_json(run.spec),
        run.job_file,
        to_text(run.created_at),
        to_text(run.updated_at),
        to_json(run.overrides),
        run.job_id,
        run.fine_tuned_model,
        to_text(run.finished_at) if run.finished_at else None,
        run.error,
        run.force_new_job,
        to_text(run.pruned_at) if run.pruned_at else None,
        run.job_status,
    )


def model_values(model: TunedModel) -> SqlRow:
    """The values of MODEL_COLUMNS, in order."""
    return (
        model.name,
        model.run_id,
        model.job_id,
        model.base,
        to_provider_json(model.provider),
        to_text(model.created_at),
        model.row_format.value,
        model.separator,
        model.stop,
        to_text(model.deleted_at) if model.deleted_at else None,
    )


def deployment_values(deployment: DeploymentRecord) -> SqlRow:
    """The values of DEPLOYMENT_COLUMNS, in order."""
    return (
        deployment.account,
        deployment.id,
        deployment.run_id,
        to_provider_json(deployment.provider),
        deployment.name,
        deployment.model,
        deployment.call_name,
        deployment.status,
        deployment.hourly_usd,
        to_text(deployment.created_at),
        to_text(deployment.ends_at) if deployment.ends_at else None,
        to_text(deployment.ended_at) if deployment.ended_at else None,
    )


def _carriable(value: Json) -> Json:
    if isinstance(value, dict):
        return {to_storable(key): _carriable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_carriable(item) for item in value]
    if isinstance(value, str):
        return to_storable(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return float(value) if abs(value) < 2**1023 else None
    return value


def _object(text: str) -> dict[str, Json]:
    value = _parse(text)
    if not isinstance(value, dict):
        raise LedgerError(f"the ledger is damaged: {text[:40]!r} is not an object")
    return value


def _texts(text: str) -> tuple[str, ...]:
    if text == "[]":  # nearly always
        return ()
    value = _parse(text)
    if not isinstance(value, list):
        raise LedgerError(f"the ledger is damaged: {text[:40]!r} is not a list")
    return tuple(map(str, value))


def _parse(text: str) -> Json:
    try:
        value: Json = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise LedgerError(f"the ledger is damaged: {error} in {text[:40]!r}") from error
    return value


@lru_cache(maxsize=64)  # thousands of runs use few providers
def _provider(text: str) -> ProviderSettings:
    value = _object(text)
    try:
        return ProviderSettings(**value)  # type: ignore[arg-type]  # what asdict() wrote
    except TypeError as error:
        raise LedgerError(f"the ledger is damaged: {error}") from error


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _moment_or_none(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
