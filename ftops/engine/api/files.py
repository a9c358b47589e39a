"""`/v1/files`: upload, list, look at, read and delete."""

import os
import tempfile
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Literal

from anyio import to_thread
from fastapi import APIRouter, Query, Request
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, Response

from ftops.engine.api.engine import Engine, TheEngine
from ftops.engine.api.failures import ApiError, not_found
from ftops.engine.api.paging import split_page, unknown_after
from ftops.engine.api.wire import Deleted, FileObject, FilePage
from ftops.engine.ids import new_id
from ftops.engine.multipart import UploadForm, read_upload
from ftops.engine.security import too_large
from ftops.engine.store import FileRow
from ftops.files import storage_error, sync_dir

router = APIRouter(prefix="/v1/files", tags=["files"])
_PURPOSES = ("fine-tune",)
_FORM_SCHEMA = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["purpose", "file"],
                    "properties": {
                        "purpose": {"type": "string", "enum": list(_PURPOSES)},
                        "file": {"type": "string", "format": "binary"},
                    },
                }
            }
        },
    }
}


@router.post("", openapi_extra=_FORM_SCHEMA)
async def create_file(request: Request, engine: TheEngine) -> FileObject:
    """Upload training data: the form fields `purpose` (fine-tune) and `file`."""
    folder = engine.paths.incoming
    part: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(prefix="upload-", dir=folder)
        part = Path(name)
        with os.fdopen(descriptor, "wb") as target:
            kind = request.headers.get("content-type", "")
            form = await read_upload(kind, request.stream(), target)
            _check_form(form, engine.settings.max_upload_bytes)
            target.flush()
            await to_thread.run_sync(os.fsync, descriptor)
        row = await to_thread.run_sync(_keep, engine, part, form)
    except ClientDisconnect:
        raise ApiError(400, "The upload broke off.", code="upload_broke_off") from None
    except OSError as error:
        raise storage_error(error, folder) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
    return file_object(row)


@router.get("")
def list_files(
    engine: TheEngine,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=10000)] = 10000,
    order: Literal["asc", "desc"] = "desc",
    purpose: str | None = None,
) -> FilePage[FileObject]:
    """All files, newest first."""
    if after is not None and engine.store.files.find(after) is None:
        raise unknown_after(after)
    rows = engine.store.files.page(
        after=after, limit=limit + 1, newest_first=order == "desc", purpose=purpose
    )
    data, has_more = split_page(rows, limit, file_object)
    ends = (data[0].id, data[-1].id) if data else (None, None)
    return FilePage(data=data, has_more=has_more, first_id=ends[0], last_id=ends[1])


@router.get("/{file_id}")
def retrieve_file(file_id: str, engine: TheEngine) -> FileObject:
    """One file."""
    return file_object(_get_file(file_id, engine))


@router.get("/{file_id}/content", response_class=Response)
def read_content(file_id: str, engine: TheEngine) -> Response:
    """The file's bytes."""
    row = _get_file(file_id, engine)
    path = engine.paths.file(row.id)
    if not path.is_file():
        raise not_found("content of file", file_id)
    return FileResponse(path, media_type="application/octet-stream", filename=row.filename)


@router.delete("/{file_id}")
def delete_file(file_id: str, engine: TheEngine) -> Deleted:
    """Delete a file; jobs that were created with it keep what they need."""
    if not engine.store.files.remove(file_id):
        raise not_found("file", file_id)
    engine.paths.file(file_id).unlink(missing_ok=True)
    return Deleted(id=file_id, object="file")


def _get_file(file_id: str, engine: Engine) -> FileRow:
    row = engine.store.files.find(file_id)
    if row is None:
        raise not_found("file", file_id)
    return row


def _check_form(form: UploadForm, limit: int) -> None:
    if form.filename is None:
        raise ApiError(
            400, "The form has no file.", param="file", code="missing_required_parameter"
        )
    purpose = form.fields.pop("purpose", None)
    if purpose is None:
        message = "The form has no purpose."
        raise ApiError(400, message, param="purpose", code="missing_required_parameter")
    if purpose not in _PURPOSES:
        message = f"purpose is {purpose!r}; the engine takes {' or '.join(_PURPOSES)}."
        raise ApiError(400, message, param="purpose", code="invalid_value")
    for name in form.fields:
        message = f"Unknown parameter: {name!r}."
        raise ApiError(400, message, param=name, code="unknown_parameter")
    if form.size > limit:
        raise too_large(limit)
    if form.size == 0:
        raise ApiError(400, "The file is empty.", param="file", code="invalid_value")


def _keep(engine: Engine, part: Path, form: UploadForm) -> FileRow:
    """Give the upload its id and its place; known only when it stands there."""
    name = PureWindowsPath(PurePosixPath(form.filename or "").name).name[:255] or "upload"
    row = FileRow(new_id("file"), name, "fine-tune", form.size, engine.store.now())
    final = engine.paths.file(row.id)
    part.replace(final)
    try:
        sync_dir(final.parent)
        engine.store.files.add(row)
    except BaseException:
        final.unlink(missing_ok=True)
        raise
    return row


def file_object(row: FileRow) -> FileObject:
    """The file as the API shows it."""
    return FileObject(
        id=row.id,
        bytes=row.bytes,
        created_at=row.created_at,
        filename=row.filename,
        purpose=row.purpose,
    )
