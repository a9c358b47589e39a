"""`/v1/files`: upload, list, retrieve, download and delete."""

import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Literal

from anyio import to_thread
from fastapi import APIRouter, Query, Request
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, Response

from ftops import crashpoints
from ftops.engine.api.engine import Engine, EngineDependency
from ftops.engine.api.errors import ApiError, not_found
from ftops.engine.api.multipart import UploadForm, read_upload
from ftops.engine.api.schema import (
    DeletedObject,
    FileObject,
    FilePage,
    JsonObject,
    page_ends,
    send_list,
    split_page,
    unknown_cursor,
)
from ftops.engine.ids import new_id
from ftops.engine.security import too_large
from ftops.engine.store import FileRow
from ftops.engine.validation import SMALL_BYTES, UPLOADED, validate_file
from ftops.files import storage_error, sync_data, sync_dir

router = APIRouter(prefix="/v1/files", tags=["files"])
MIN_EXPIRES_AFTER_S = 3600
MAX_EXPIRES_AFTER_S = 30 * 24 * 3600
PURPOSES = ("fine-tune",)
_FORM_SCHEMA = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["purpose", "file"],
                    "properties": {
                        "purpose": {"type": "string", "enum": list(PURPOSES)},
                        "file": {"type": "string", "format": "binary"},
                        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
                        "expires_after[seconds]": {
                            "type": "integer",
                            "minimum": MIN_EXPIRES_AFTER_S,
                            "maximum": MAX_EXPIRES_AFTER_S,
                        },
                    },
                    "dependentRequired": {
                        "expires_after[anchor]": ["expires_after[seconds]"],
                        "expires_after[seconds]": ["expires_after[anchor]"],
                    },
                    "additionalProperties": False,
                }
            }
        },
    }
}


@router.post("", openapi_extra=_FORM_SCHEMA)
async def create_file(request: Request, engine: EngineDependency) -> FileObject:
    """Upload training data: the form fields `purpose` (fine-tune) and `file`.

    `expires_after[anchor]` (created_at) and `expires_after[seconds]` set its expiration.
    """
    length = request.headers.get("content-length", "")
    size = int(length) if length.isdecimal() else engine.settings.max_upload_bytes
    async with (
        _reserved(engine, size),
        receive_form(request, engine.paths.incoming) as (part, form),
    ):
        expires_after_s = _check_form(form, engine.settings.max_upload_bytes)
        row = FileRow(
            id=new_id("file"),
            filename=clean_filename(form.filename or ""),
            purpose="fine-tune",
            bytes=form.size,
            created_at=engine.store.now(),
            expires_at=None if expires_after_s is None else engine.store.now() + expires_after_s,
        )
        row = await to_thread.run_sync(store_file, engine, part, row)
    return file_object(row)


@router.get("", response_model=FilePage[FileObject])
def list_files(
    engine: EngineDependency,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=10000)] = 10000,
    order: Literal["asc", "desc"] = "desc",
    purpose: str | None = None,
) -> Response:
    """List files, newest first."""
    engine.delete_expired()
    if after is not None and engine.store.files.find(after) is None:
        raise unknown_cursor(after)
    rows = engine.store.files.list_page(
        after=after, limit=limit + 1, newest_first=order == "desc", purpose=purpose
    )
    data, has_more = split_page(rows, limit, file_document)
    return send_list(data, {"has_more": has_more, **page_ends(data)})


@router.get("/{file_id}")
def retrieve_file(file_id: str, engine: EngineDependency) -> FileObject:
    """Retrieve a file."""
    return file_object(_get_file(file_id, engine))


@router.get(
    "/{file_id}/content",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {"schema": {"type": "string"}}}}},
)
def read_content(file_id: str, engine: EngineDependency) -> Response:
    """Download the content of a file."""
    row = _get_file(file_id, engine)
    path = engine.paths.file(row.id)
    if not path.is_file():
        raise not_found("content of file", file_id)
    return FileResponse(path, media_type="application/octet-stream", filename=row.filename)


@router.delete("/{file_id}")
def delete_file(file_id: str, engine: EngineDependency) -> DeletedObject:
    """Delete a file; jobs that use it keep a link."""
    engine.delete_expired()
    if not engine.store.files.delete(file_id):
        raise not_found("file", file_id)
    crashpoints.reach("engine.files.after_forget")
    engine.paths.file(file_id).unlink(missing_ok=True)
    return DeletedObject(id=file_id, object="file")


@contextlib.asynccontextmanager
async def _reserved(engine: Engine, size: int) -> AsyncIterator[None]:
    """`Quotas.reserved` in a thread, as it reads the database."""
    reserved = engine.quotas.reserved(engine.store, size)
    await to_thread.run_sync(reserved.__enter__)
    try:
        yield
    finally:
        reserved.__exit__(None, None, None)


@contextlib.asynccontextmanager
async def receive_form(
    request: Request, folder: Path, *, name: str = "file"
) -> AsyncIterator[tuple[Path, UploadForm]]:
    """A form with its file `name` in `folder`, flushed; the file is deleted at the end."""
    part: Path | None = None
    try:
        descriptor, part_name = tempfile.mkstemp(prefix="upload-", dir=folder)
        part = Path(part_name)
        with os.fdopen(descriptor, "wb") as target:
            kind = request.headers.get("content-type", "")
            form = await read_upload(kind, request.stream(), target, name=name)
            target.flush()
            await to_thread.run_sync(sync_data, descriptor)
        yield part, form
    except ClientDisconnect:
        raise ApiError(400, "The upload was interrupted.", code="upload_interrupted") from None
    except OSError as error:
        raise storage_error(error, folder) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def _get_file(file_id: str, engine: Engine) -> FileRow:
    engine.delete_expired()
    row = engine.store.files.find(file_id)
    if row is None:
        raise not_found("file", file_id)
    return row


def _check_form(form: UploadForm, limit: int) -> int | None:
    """The seconds until the file expires; ApiError for an invalid form."""
    if form.filename is None:
        raise ApiError(
            400, "The form has no file.", param="file", code="missing_required_parameter"
        )
    purpose = form.fields.pop("purpose", None)
    if purpose is None:
        message = "The form has no purpose."
        raise ApiError(400, message, param="purpose", code="missing_required_parameter")
    if purpose not in PURPOSES:
        message = f"purpose is {purpose!r}; the engine accepts {' or '.join(PURPOSES)}."
        raise ApiError(400, message, param="purpose", code="invalid_value")
    expires_after_s = _pop_expires_after(form.fields)
    for name in form.fields:
        message = f"Unknown parameter: {name!r}."
        raise ApiError(400, message, param=name, code="unknown_parameter")
    if form.size > limit:
        raise too_large(limit)
    if form.size == 0:
        raise ApiError(400, "The file is empty.", param="file", code="invalid_value")
    return expires_after_s


def _pop_expires_after(fields: dict[str, str]) -> int | None:
    """The seconds of `expires_after`; removes its fields."""
    anchor = fields.pop("expires_after[anchor]", None)
    seconds = fields.pop("expires_after[seconds]", None)
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        message = "expires_after needs the anchor 'created_at'."
        raise ApiError(400, message, param="expires_after.anchor", code="invalid_value")
    value = int(seconds) if seconds and seconds.isdecimal() and len(seconds) < 10 else 0
    if not MIN_EXPIRES_AFTER_S <= value <= MAX_EXPIRES_AFTER_S:
        message = f"expires_after.seconds: {MIN_EXPIRES_AFTER_S} to {MAX_EXPIRES_AFTER_S} seconds."
        raise ApiError(400, message, param="expires_after.seconds", code="invalid_value")
    return value


def clean_filename(name: str) -> str:
    """The name of a client's file without its folder and unprintable characters."""
    shown = "".join(character for character in name if character.isprintable())
    last = PureWindowsPath(PurePosixPath(shown).name).name[:255]
    return "upload" if last in ("", "..") else last


def store_file(
    engine: Engine, part: Path, row: FileRow, record: Callable[[FileRow], bool] | None = None
) -> FileRow:
    """Move an uploaded file to its path and record it. Small ones are validated first.

    `record` adds the row when other tables change, too; ApiError 409 if it returns False.
    """
    final = engine.paths.file(row.id)
    status, details = UPLOADED, None
    if row.bytes <= SMALL_BYTES:
        status, details = validate_file(part, engine.file_validator.summaries)
    row = replace(row, status=status, status_details=details)
    crashpoints.reach("engine.files.before_rename")
    part.replace(final)
    crashpoints.reach("engine.files.after_rename")
    try:
        sync_dir(final.parent)
        if record is None:
            engine.store.files.add(row)
        elif not record(row):
            raise ApiError(409, "The upload has ended in the meantime.", code="upload_ended")
    except BaseException:
        final.unlink(missing_ok=True)
        raise
    crashpoints.reach("engine.files.after_record")
    if status == UPLOADED:
        engine.file_validator.wake()
    return row


def file_object(row: FileRow) -> FileObject:
    """The file as an object of the API."""
    return FileObject(**file_document(row))


def file_document(row: FileRow) -> JsonObject:
    """The file as a dictionary."""
    return {
        "id": row.id,
        "object": "file",
        "bytes": row.bytes,
        "created_at": row.created_at,
        "filename": row.filename,
        "purpose": row.purpose,
        "status": row.status,
        "status_details": row.status_details,
        "expires_at": row.expires_at,
    }
