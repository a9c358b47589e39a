"""Uploads the prepared files to the provider, each content once.

A file is identified by its content: the ledger is searched first, then the provider's files, whose
names contain the hash. Only a file that is not found is uploaded. After a request that may have
created the file, the search lasts for the lag of the provider's list of files. For a provider with
its own format of rows, all of this is about the file in that format.
"""

import itertools
from dataclasses import dataclass

from ftops import crashpoints
from ftops.errors import InvalidResponse, NotFound, PermissionRefused, Rejected, RunError
from ftops.files import sha256_file
from ftops.ledger.ledger import Ledger
from ftops.ledger.records import RemoteCall, Upload
from ftops.records import Method, MultipartUpload, RemoteFile, Stage
from ftops.runs.commands import format_run_command
from ftops.runs.context import StageContext, StageResult
from ftops.runs.poll import schedule_polls
from ftops.runs.preprocessing import FileToUpload, write_upload
from ftops.stage_results import PreparedFile, UploadResult

_CALL = "upload_file"
_FIRST_PAUSE_S = 1.0  # between polls of a list that may lag; doubles each time
# Errors of a server without the file, or without this endpoint; the list of files decides then.
_NOT_SHOWN = (NotFound, Rejected, PermissionRefused, InvalidResponse)
_GONE = frozenset({"error", "failed", "deleting", "deleted", "cancelled"})


@dataclass(frozen=True, slots=True)
class CallMemory:
    """The `UploadCheckpoint` of a call: stores its multipart upload in the ledger."""

    ledger: Ledger
    call: RemoteCall

    def find(self) -> MultipartUpload | None:
        return self.ledger.find_parts(self.call)

    def begun(self, upload: MultipartUpload) -> None:
        self.ledger.begin_parts(self.call, upload)

    def part_done(self, number: int, part_id: str) -> None:
        self.ledger.add_part(self.call, number, part_id)

    def completing(self) -> None:
        self.ledger.mark_completing(self.call)


def upload(stage: StageContext) -> StageResult:
    """Upload the prepared files, each content once; the result is an `UploadResult`."""
    prepared = stage.get_prepared()
    files = [_write(stage, file) for file in prepared.files]  # all, before anything is sent
    stage.provider.ensure_ready()
    total = sum(file.record.bytes for file in files if file.record.file_id is None)
    before, sent = 0, 0
    ids: dict[str, str] = {}
    for file in files:
        record = file.record
        if record.file_id is not None:
            stage.provider.get_file(record.file_id)  # raises NotFound
            ids[record.role] = record.file_id
            continue
        ids[record.role], sent_now = _upload(stage, file, before, total)
        sent += sent_now
        before += record.bytes
        stage.observer.on_progress(Stage.UPLOAD, before, total, "bytes")
    return StageResult(UploadResult(ids["train"], ids.get("validation"), total, sent).to_json())


def _write(stage: StageContext, file: PreparedFile) -> FileToUpload:
    """The file in the provider's format, from the rows that were prepared for this run."""
    path = stage.folder.path / file.filename
    is_own = file.file_id is None
    if is_own and not (path.is_file() and sha256_file(path) == file.sha256):
        raise RunError(
            f"{path} is not the file that was prepared for {stage.run.id}",
            hint=f"Delete it; {format_run_command(stage.run)} then prepares it again.",
        )
    return write_upload(file, stage.folder, stage.provider, Method(stage.spec.method))


def _upload(stage: StageContext, file: FileToUpload, before: int, total: int) -> tuple[str, int]:
    """The id of the file at the provider, and the number of bytes sent for it."""
    record = file.record
    if file_id := _find_known(stage, record):
        return file_id, 0
    call = _find_open_call(stage, record.remote_name)
    if there := _find_there(stage, record.remote_name, record.bytes, call):
        upload = _to_upload(stage, record, there)
        if call:
            stage.ledger.record_upload(call, upload)
        else:
            stage.ledger.add_upload(upload)
        return there.id, 0
    return _send(stage, file, call, (before, total)), record.bytes


def _find_there(
    stage: StageContext, name: str, size: int, call: RemoteCall | None
) -> RemoteFile | None:
    """The file at the provider; waits for its listing if an earlier request may have created it."""
    ledger = stage.ledger
    parted = ledger.find_parts(call) if call else None
    may_be_young = call is not None and (parted is None or parted.completing)
    lag_s = stage.provider.capabilities.file_listing_lag_s if may_be_young else 0.0
    pauses_s = (_FIRST_PAUSE_S * 2**attempt for attempt in itertools.count())
    for _ in schedule_polls(stage.clock, pauses_s, timeout_s=lag_s, sleep=stage.sleep):
        there = stage.provider.find_file(name, size)
        if there and not ledger.is_deletion_begun(there.id):
            return there
    return None


def _find_known(stage: StageContext, file: PreparedFile) -> str | None:
    """A recorded upload of this content that the provider shows; others are forgotten."""
    ledger, provider = stage.ledger, stage.provider
    while known := ledger.find_upload(provider.account, file.sha256):
        try:
            if provider.get_file(known.file_id).status not in _GONE:
                return known.file_id
        except _NOT_SHOWN:
            pass
        ledger.forget_upload(known.file_id)
    return None


def _find_open_call(stage: StageContext, name: str) -> RemoteCall | None:
    for call in stage.ledger.list_calls(stage.run.id):
        if call.name == _CALL and call.state == "intent" and call.request.get("filename") == name:
            return call
    return None


def _send(
    stage: StageContext, file: FileToUpload, call: RemoteCall | None, window: tuple[int, int]
) -> str:
    record = file.record
    if call is None:
        call = stage.ledger.record_intent(
            stage.run.id,
            Stage.UPLOAD,
            _CALL,
            {"filename": record.remote_name, "bytes": record.bytes, "sha256": record.sha256},
        )
    before, total = window

    def on_bytes(sent: int, _: int) -> None:
        stage.observer.on_progress(Stage.UPLOAD, before + min(sent, record.bytes), total, "bytes")

    crashpoints.reach("upload.before_call")
    there = stage.provider.upload_file(
        file.path,
        filename=record.remote_name,
        on_bytes=on_bytes,
        checkpoint=CallMemory(stage.ledger, call),
    )
    crashpoints.reach("upload.after_call")
    stage.ledger.record_upload(call, _to_upload(stage, record, there))
    return there.id


def _to_upload(stage: StageContext, file: PreparedFile, there: RemoteFile) -> Upload:
    return Upload(
        account=stage.provider.account,
        file_id=there.id,
        sha256=file.sha256,
        filename=there.filename,
        bytes=file.bytes,
        run_id=stage.run.id,
        created_at=stage.clock.now(),
    )
