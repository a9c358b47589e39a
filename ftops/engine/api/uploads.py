"""`/v1/uploads`: large files in parts, which become one file when they are complete.

Until then each part is in a separate file or, if it has a byte range (`upload_assembly.py`), at its
offset in the assembled file. On completion the assembled file is linked. Separate parts are copied,
not renamed, as they must still be readable after a kill.
"""

import hashlib
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from anyio import to_thread
from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect

from ftops import crashpoints
from ftops.engine.api.engine import Engine, EngineDependency
from ftops.engine.api.errors import ApiError, not_found
from ftops.engine.api.files import clean_filename, file_object, receive_form, store_file
from ftops.engine.api.multipart import UploadForm, read_upload
from ftops.engine.api.routing import JsonRoute
from ftops.engine.api.schema import CompleteUpload, CreateUpload, UploadObject, UploadPartObject
from ftops.engine.ids import new_id
from ftops.engine.security import too_large
from ftops.engine.store import FileRow, PartRow, UploadRow, UploadStatus
from ftops.engine.upload_assembly import (
    ASSEMBLED,
    RANGE_HEADER,
    ByteRange,
    RangeOverflow,
    RangeWriter,
    find_range,
)
from ftops.files import (
    PRIVATE_FILE,
    append_file,
    make_private_dir,
    open_atomic,
    storage_error,
    sync_data,
    sync_dir,
)

router = APIRouter(prefix="/v1/uploads", tags=["uploads"], route_class=JsonRoute)
_UPLOAD_EXPIRES_AFTER_S = 3600
_READ_BYTES = 1 << 20
_PART_SCHEMA = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["data"],
                    "properties": {"data": {"type": "string", "format": "binary"}},
                    "additionalProperties": False,
                }
            }
        },
    }
}


@dataclass(frozen=True, slots=True)
class FileSlice:
    """`bytes` bytes of a file from `start`."""

    path: Path
    start: int
    bytes: int

    def open(self) -> BinaryIO:
        """Open the file at `start`."""
        stream = self.path.open("rb", buffering=0)
        stream.seek(self.start)
        return cast(BinaryIO, stream)


@router.post("")
def create_upload(body: CreateUpload, engine: EngineDependency) -> UploadObject:
    """Create an upload of up to 8 GB, which expires after an hour."""
    if body.bytes > engine.settings.max_multipart_bytes:
        limit = engine.settings.max_multipart_bytes
        message = f"bytes: the maximum is {limit:,}."
        raise ApiError(400, message, param="bytes", code="invalid_value")
    now = engine.store.now()
    row = UploadRow(
        id=new_id("upload"),
        filename=clean_filename(body.filename),
        purpose=body.purpose,
        mime_type=body.mime_type,
        bytes=body.bytes,
        created_at=now,
        expires_at=now + _UPLOAD_EXPIRES_AFTER_S,
        expires_after_s=body.expires_after.seconds if body.expires_after else None,
    )
    engine.delete_expired()
    with engine.store.transaction():  # so that uploads are counted one by one
        engine.quotas.check_upload(engine.store, row.bytes)
        make_private_dir(engine.paths.upload(row.id))
        sync_dir(engine.paths.uploads)
        engine.store.uploads.add(row)
    return _upload_object(row, engine)


@router.post("/{upload_id}/parts", openapi_extra=_PART_SCHEMA)
async def add_part(upload_id: str, request: Request, engine: EngineDependency) -> UploadPartObject:
    """Upload one part of up to 64 MiB in the form field `data`, in any order."""
    upload = await to_thread.run_sync(_get_pending, upload_id, engine)
    byte_range = find_range(request.headers.get(RANGE_HEADER), upload.bytes)
    if byte_range is not None and byte_range.bytes <= engine.settings.max_part_bytes:
        taken = await to_thread.run_sync(_list_ranges, upload_id, engine)
        with engine.upload_assembler.reserved(upload_id, byte_range, taken) as free:
            if free:
                return await _receive_range(request, upload_id, byte_range, engine)
    folder = engine.paths.incoming
    async with receive_form(request, folder, name="data") as (path, form):
        _check_part(form, engine.settings.max_part_bytes)
        row = PartRow(new_id("part"), upload_id, form.size, engine.store.now())
        await to_thread.run_sync(_store_part, row, path, engine)
    return UploadPartObject(id=row.id, created_at=row.created_at, upload_id=upload_id)


async def _receive_range(
    request: Request, upload_id: str, byte_range: ByteRange, engine: Engine
) -> UploadPartObject:
    """Write the part to its range of the assembled file, then record it."""
    try:
        assembled = await to_thread.run_sync(_open_assembled, upload_id, engine)
    except FileNotFoundError:
        await to_thread.run_sync(_get_pending, upload_id, engine)  # raises if it has ended
        raise
    try:
        with assembled:
            kind = request.headers.get("content-type", "")
            form = await read_upload(
                kind, request.stream(), RangeWriter(assembled, byte_range), name="data"
            )
            assembled.flush()
            await to_thread.run_sync(sync_data, assembled.fileno())
    except ClientDisconnect:
        raise ApiError(400, "The upload was interrupted.", code="upload_interrupted") from None
    except RangeOverflow:
        raise _wrong_size(byte_range) from None
    except OSError as error:
        raise storage_error(error, engine.paths.upload(upload_id)) from error
    _check_part(form, engine.settings.max_part_bytes)
    if form.size != byte_range.bytes:
        raise _wrong_size(byte_range)
    row = PartRow(new_id("part"), upload_id, form.size, engine.store.now(), byte_range.start)
    crashpoints.reach("engine.uploads.after_placing")
    await to_thread.run_sync(_record_range, row, engine)
    return UploadPartObject(id=row.id, created_at=row.created_at, upload_id=upload_id)


@router.post("/{upload_id}/complete")
def complete_upload(upload_id: str, body: CompleteUpload, engine: EngineDependency) -> UploadObject:
    """Assemble the parts in the order of `part_ids`."""
    upload = _get_pending(upload_id, engine)
    parts = _choose_parts(upload, body.part_ids, engine)
    now = engine.store.now()
    file = FileRow(
        id=new_id("file"),
        filename=upload.filename,
        purpose=upload.purpose,
        bytes=upload.bytes,
        created_at=now,
        expires_at=None if upload.expires_after_s is None else now + upload.expires_after_s,
    )
    assembled = engine.paths.incoming / file.id
    try:
        with engine.upload_assembler.sealed(upload_id) as quiet:
            if not (quiet and _link_assembled(upload, parts, assembled, body.md5, engine)):
                _copy_slices(_list_slices(parts, engine), assembled, upload_id, body.md5)
            crashpoints.reach("engine.uploads.after_join")
            store_file(
                engine, assembled, file, lambda row: engine.store.complete_upload(upload_id, row)
            )
            crashpoints.reach("engine.uploads.after_completion")
            _clear(upload_id, engine)  # before another request can write to the file
    finally:
        assembled.unlink(missing_ok=True)
    return _upload_object(_get_upload(upload_id, engine), engine)


@router.post("/{upload_id}/cancel")
def cancel_upload(upload_id: str, engine: EngineDependency) -> UploadObject:
    """Cancel the upload and delete its parts."""
    _get_pending(upload_id, engine)
    if not engine.store.uploads.finish(upload_id, UploadStatus.CANCELLED):
        _get_pending(upload_id, engine)
    _clear(upload_id, engine)
    return _upload_object(_get_upload(upload_id, engine), engine)


def _get_upload(upload_id: str, engine: Engine) -> UploadRow:
    engine.delete_expired()
    row = engine.store.uploads.find(upload_id)
    if row is None:
        raise not_found("upload", upload_id)
    return row


def _get_pending(upload_id: str, engine: Engine) -> UploadRow:
    row = _get_upload(upload_id, engine)
    if row.status is not UploadStatus.PENDING:
        what = f"is {row.status}" if row.status is not UploadStatus.EXPIRED else "has expired"
        file = f" as {row.file_id}" if row.file_id else ""
        message = f"The upload {upload_id} {what} already{file}."
        raise ApiError(400, message, param="upload_id", code=f"upload_{row.status}")
    return row


def _clear(upload_id: str, engine: Engine) -> None:
    shutil.rmtree(engine.paths.upload(upload_id), ignore_errors=True)
    engine.upload_assembler.forget(upload_id)


def _list_ranges(upload_id: str, engine: Engine) -> Sequence[ByteRange]:
    return [
        ByteRange(part.start, part.start + part.bytes)
        for part in engine.store.uploads.list_parts(upload_id)
        if part.start is not None
    ]


def _open_assembled(upload_id: str, engine: Engine) -> BinaryIO:
    folder = engine.paths.upload(upload_id)
    descriptor = os.open(folder / ASSEMBLED, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
    sync_dir(folder)
    return os.fdopen(descriptor, "r+b")


def _record_range(row: PartRow, engine: Engine) -> None:
    if not engine.store.uploads.add_part(row):
        _get_pending(row.upload_id, engine)
        raise ApiError(409, "The upload has ended in the meantime.", code="upload_ended")
    assembled = engine.paths.upload(row.upload_id) / ASSEMBLED
    engine.upload_assembler.hash_received(
        row.upload_id, assembled, _list_ranges(row.upload_id, engine)
    )


def _wrong_size(byte_range: ByteRange) -> ApiError:
    message = f"The part does not have the {byte_range.bytes:,} bytes of {RANGE_HEADER}."
    return ApiError(400, message, param=RANGE_HEADER, code="size_mismatch")


def _check_part(form: UploadForm, limit: int) -> None:
    for name in form.fields:
        message = f"Unknown parameter: {name!r}."
        raise ApiError(400, message, param=name, code="unknown_parameter")
    if form.filename is None:
        message = "The form has no field 'data'."
        raise ApiError(400, message, param="data", code="missing_required_parameter")
    if form.size > limit:
        raise too_large(limit)
    if form.size == 0:
        raise ApiError(400, "The part is empty.", param="data", code="invalid_value")


def _store_part(row: PartRow, path: Path, engine: Engine) -> None:
    received = sum(part.bytes for part in engine.store.uploads.list_parts(row.upload_id))
    if received + row.bytes > engine.settings.max_multipart_bytes:
        raise too_large(engine.settings.max_multipart_bytes)
    announced = _get_pending(row.upload_id, engine).bytes
    engine.quotas.check_part(engine.store, min(row.bytes, received + row.bytes - announced))
    final = engine.paths.upload(row.upload_id) / row.id
    try:
        path.replace(final)
        sync_dir(final.parent)
    except FileNotFoundError:
        _get_pending(row.upload_id, engine)  # raises if it has ended
        raise
    crashpoints.reach("engine.uploads.after_part_rename")
    if not engine.store.uploads.add_part(row):
        final.unlink(missing_ok=True)
        _get_pending(row.upload_id, engine)
        raise ApiError(409, "The upload has ended in the meantime.", code="upload_ended")


def _choose_parts(upload: UploadRow, part_ids: Sequence[str], engine: Engine) -> Sequence[PartRow]:
    known = {part.id: part for part in engine.store.uploads.list_parts(upload.id)}
    for part_id in part_ids:
        if part_id not in known:
            message = f"The upload {upload.id} has no part {part_id!r}."
            raise ApiError(400, message, param="part_ids", code="part_not_found")
    if len(set(part_ids)) < len(part_ids):
        message = "part_ids has a part twice."
        raise ApiError(400, message, param="part_ids", code="invalid_value")
    parts = [known[part_id] for part_id in part_ids]
    total = sum(part.bytes for part in parts)
    if total != upload.bytes:
        message = f"The parts have {total:,} bytes; the upload has {upload.bytes:,}."
        raise ApiError(400, message, param="part_ids", code="size_mismatch")
    return parts


def _link_assembled(
    upload: UploadRow, parts: Sequence[PartRow], target: Path, md5: str | None, engine: Engine
) -> bool:
    """Link the assembled file to `target`; False when it does not have these parts in order."""
    end = 0
    for part in parts:
        if part.start != end:
            return False
        end += part.bytes
    assembled = engine.paths.upload(upload.id) / ASSEMBLED
    try:
        if md5 is not None:
            _check_md5(md5, engine.upload_assembler.compute_md5(upload.id, assembled, upload.bytes))
        target.hardlink_to(assembled)
    except OSError:  # the upload has ended, or the file system has no links
        return False
    return True


def _list_slices(parts: Sequence[PartRow], engine: Engine) -> list[FileSlice]:
    return [
        FileSlice(
            engine.paths.upload(part.upload_id) / (part.id if part.start is None else ASSEMBLED),
            part.start or 0,
            part.bytes,
        )
        for part in parts
    ]


def _check_md5(expected: str, actual: str | None) -> None:
    if expected.lower() != actual:
        message = f"The parts together have the MD5 {actual}, not {expected}."
        raise ApiError(400, message, param="md5", code="checksum_mismatch")


def _copy_slices(
    slices: Sequence[FileSlice], target: Path, upload_id: str, md5: str | None
) -> None:
    """Copy all parts into `target`; ApiError when their MD5 is not `md5`.

    The hash takes longer than the copy, so both run at the same time.
    """
    with ThreadPoolExecutor(1) as pool, open_atomic(target) as assembled:
        digest = pool.submit(_hash_slices, slices) if md5 is not None else None
        try:
            for piece in slices:
                with piece.open() as part:
                    append_file(part, assembled, piece.bytes)
            sync_data(assembled.fileno())
            actual = digest.result() if digest else None
        except FileNotFoundError:
            message = f"The upload {upload_id} has ended in the meantime."
            raise ApiError(409, message, code="upload_ended") from None
        if md5 is not None:
            _check_md5(md5, actual)


def _hash_slices(slices: Sequence[FileSlice]) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for piece in slices:
        left = piece.bytes
        with piece.open() as part:
            while chunk := part.read(min(_READ_BYTES, left)):
                digest.update(chunk)
                left -= len(chunk)
    return digest.hexdigest()


def _upload_object(row: UploadRow, engine: Engine) -> UploadObject:
    file = engine.store.files.find(row.file_id) if row.file_id else None
    return UploadObject(
        id=row.id,
        bytes=row.bytes,
        created_at=row.created_at,
        expires_at=row.expires_at,
        filename=row.filename,
        purpose=row.purpose,
        status=row.status,
        file=file_object(file) if file else None,
    )
