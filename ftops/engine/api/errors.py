"""Errors of the API: `{"error": {message, type, param, code}}`."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ftops.engine.settings import hide_paths
from ftops.engine.trainer import ModelUnavailable
from ftops.errors import FtopsError, StorageError
from ftops.records import Json

_log = logging.getLogger(__name__)
REQUEST_ID = "ftops.request_id"  # its key in the ASGI scope
UNAVAILABLE = "model_unavailable"  # the code of this error
_SEE_LOG = "See engine.log for details."
_TYPES = {429: "requests"}
_CODES = {404: "unknown_url", 405: "method_not_allowed"}


class ApiError(HTTPException):
    """An error response; its `type` depends on the status."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, dict(headers) if headers else None)
        self.code = code
        self.param = param


def error_body(
    status: int, message: str, *, code: str | None = None, param: str | None = None
) -> dict[str, Json]:
    """The body of an error response."""
    kind = "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_response(error: ApiError) -> Response:
    body = error_body(error.status_code, error.detail, code=error.code, param=error.param)
    return _respond(error.status_code, body, error.headers)


def not_found(what: str, id: str, *, param: str = "id", code: str | None = None) -> ApiError:
    """404 for a file, job or model that does not exist."""
    return ApiError(404, f"There is no {what} {id!r}.", param=param, code=code)


def install_error_handlers(app: FastAPI) -> None:
    """Convert every error of the app to a response of that form."""
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(FtopsError, _on_ftops_error)
    app.add_exception_handler(ModelUnavailable, _on_unavailable_model)
    app.add_exception_handler(Exception, _on_internal_error)


def _respond(
    status: int, body: Mapping[str, Json], headers: Mapping[str, str] | None = None
) -> Response:
    return Response(orjson.dumps(body), status, headers, media_type="application/json")


async def _on_http_exception(request: Request, error: Exception) -> Response:
    if isinstance(error, ApiError):
        return error_response(error)
    assert isinstance(error, HTTPException)
    messages = {
        404: f"Unknown path: {request.method} {request.url.path}",
        405: f"{request.url.path} does not take {request.method}",
    }
    status = error.status_code
    message = messages.get(status, str(error.detail))
    return _respond(status, error_body(status, message, code=_CODES.get(status)), error.headers)


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    kind = request.headers.get("content-type", "")
    if request.method == "POST" and "json" not in kind and "multipart" not in kind:
        error_message = (
            f"The body must be JSON with the content type application/json, not {kind!r}."
        )
        return _respond(415, error_body(415, error_message, code="unsupported_media_type"))
    message, param, code = _explain(error.errors())
    return _respond(400, error_body(400, message, code=code, param=param))


def _explain(errors: Sequence[Any]) -> tuple[str, str | None, str | None]:
    """The first error as message, param and code; those of a union are joined."""
    first = errors[0]
    param = _param(first["loc"])
    if first["type"] == "json_invalid":
        return "The body is not valid JSON.", None, "invalid_json"
    if first["type"] == "extra_forbidden":
        return f"Unknown parameter: {param!r}.", param, "unknown_parameter"
    if first["type"] == "missing":
        missing = param or "the JSON body"
        return f"Missing required parameter: {missing!r}.", param, "missing_required_parameter"
    reasons = dict.fromkeys(item["msg"] for item in errors if _param(item["loc"]) == param)
    message = " or ".join(str(reason).removeprefix("Value error, ") for reason in reasons)
    where = f"Invalid value for {param!r}: " if param else "Invalid request: "
    return where + message, param, "invalid_value"


def _param(location: Sequence[str | int]) -> str | None:
    """`hyperparameters.n_epochs` for a location, without the names of union members."""
    parts: list[str] = []
    for part in location[1:]:
        if isinstance(part, str) and (not part.replace("_", "").isalnum() or part in _TYPE_NAMES):
            break
        parts.append(str(part))
    return ".".join(parts) or None


_TYPE_NAMES = frozenset({"int", "float", "str", "bool", "dict", "list"})


async def _on_ftops_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FtopsError)
    _log.error("%s %s: %s", request.method, request.url.path, error.message)
    is_disk = isinstance(error, StorageError)
    status, code = (507, "storage_error") if is_disk else (500, "engine_error")
    folder = request.app.state.engine.paths.root
    message = f"{hide_paths(error.message, folder)}. {_SEE_LOG}"
    return _respond(status, error_body(status, message, code=code))


async def _on_unavailable_model(request: Request, error: Exception) -> Response:
    _log.error("%s %s: %s", request.method, request.url.path, error)
    return _respond(503, error_body(503, str(error), code=UNAVAILABLE), {"retry-after": "1"})


async def _on_internal_error(request: Request, error: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    message = f"The engine had an internal error. {_SEE_LOG}"
    # The middleware that adds this header to all other responses does not see this one.
    headers = {"x-request-id": str(request.scope.get(REQUEST_ID, ""))}
    return _respond(500, error_body(500, message, code="internal_error"), headers)
