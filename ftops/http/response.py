"""Reads JSON responses, lists of several pages and event streams.

Servers omit fields, send null or add their own fields, so only essential fields are required. A
body that is not a JSON object, or lacks a required field, raises an `InvalidResponse` that shows
the start of the body.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from ftops.errors import InvalidResponse
from ftops.records import Json

EXCERPT_CHARS = 200
MAX_PAGES = 1000  # a list with more pages counts as endless
MAX_LINE_BYTES = 1 << 20
_LINE_END = re.compile(rb"[\r\n]")
_BOM = b"\xef\xbb\xbf"


def render_excerpt(content: bytes) -> str:
    """The start of a body, on one line."""
    text = content.decode("utf-8", errors="replace")[: 4 * EXCERPT_CHARS]
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text[:EXCERPT_CHARS] or "(empty)"


@dataclass(frozen=True, slots=True)
class JsonObject:
    """One JSON object of a response; errors name the `action` of the request."""

    values: Mapping[str, Json]
    action: str
    request_id: str | None = None

    def get_text(self, name: str) -> str:
        """A required text field."""
        value = self.values.get(name)
        if isinstance(value, str) and value:
            return value
        raise self.malformed(f"missing {name!r}")

    def find_text(self, name: str) -> str | None:
        value = self.values.get(name)
        return value if isinstance(value, str) and value else None

    def find_int(self, name: str) -> int | None:
        value = self.values.get(name)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            return None
        return int(value)

    def find_time(self, name: str) -> datetime | None:
        """Seconds since 1970, or ISO 8601 text."""
        value = self.values.get(name)
        try:
            if isinstance(value, str):
                time = datetime.fromisoformat(value)
                return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return datetime.fromtimestamp(value, UTC)
        except (ValueError, OverflowError, OSError):
            pass  # an invalid date is no reason for an error
        return None

    def get_object(self, name: str) -> Self:
        """The object in a field; an empty one when there is none."""
        value = self.values.get(name)
        return type(self)(value if isinstance(value, dict) else {}, self.action, self.request_id)

    def get_texts(self, name: str) -> Mapping[str, str]:
        """The text values of an object such as metadata."""
        values = self.get_object(name).values
        return {key: value for key, value in values.items() if isinstance(value, str)}

    def get_objects(self, name: str) -> list[Self]:
        """A required list of objects."""
        items = self.values.get(name)
        if not isinstance(items, list):
            raise self.malformed(f"missing list {name!r}")
        objects = []
        for item in items:
            if not isinstance(item, dict):
                raise self.malformed(f"{name!r} holds other values than objects")
            objects.append(type(self)(item, self.action, self.request_id))
        return objects

    def list_objects(self, name: str) -> list[Self]:
        """A list of objects; an empty one when there is none."""
        return self.get_objects(name) if name in self.values else []

    def malformed(self, reason: str) -> InvalidResponse:
        """The error for a response that does not follow the API."""
        excerpt = render_excerpt(json.dumps(self.values, ensure_ascii=False).encode())
        return _malformed(self.action, reason, excerpt, self.request_id)


def _malformed(action: str, reason: str, excerpt: str, request_id: str | None) -> InvalidResponse:
    return InvalidResponse(
        f"{action}: malformed response: {reason}: {excerpt}", request_id=request_id
    )


def parse_object(content: bytes, action: str, request_id: str | None = None) -> JsonObject:
    """The JSON object in a body."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        excerpt = render_excerpt(content)
        raise _malformed(action, "it is not JSON", excerpt, request_id) from None
    if not isinstance(value, dict):
        excerpt = render_excerpt(content)
        raise _malformed(action, "it is not a JSON object", excerpt, request_id)
    return JsonObject(value, action, request_id)


def parse_objects(content: bytes, action: str) -> list[JsonObject]:
    """The objects of a body that is a list, or an object with one list."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        value = next((item for item in value.values() if isinstance(item, list)), None)
    if not isinstance(value, list):
        raise _malformed(action, "it is not a list", render_excerpt(content), None)
    return [JsonObject(item, action) for item in value if isinstance(item, dict)]


def find_error(values: Mapping[str, Json]) -> Mapping[str, Json] | None:
    """The error in a body with a success status; None when it is a normal response.

    Gateways send `{"error": …}`, `{"detail": …}`, the error's own fields, or an `error` inside a
    choice. A job, a file or a model may have its own `error` field, which does not count.
    """
    if _is_resource(values):
        return None
    error = values.get("error")
    if not error and not any(values.get(name) for name in ("id", "choices", "data", "results")):
        error = values.get("detail")
        named = ("code", "status", "type", "object")
        if not error and values.get("message") and any(name in values for name in named):
            return values
    choices = values.get("choices")
    if not error and isinstance(choices, list):
        errors = [choice.get("error") for choice in choices if isinstance(choice, dict)]
        error = next((item for item in errors if item), None)
    if not error:
        return None
    return error if isinstance(error, dict) else {"message": _render_reason(error)}


def find_error_text(error: Mapping[str, Json]) -> str | None:
    """The message of an error object, under any of its names."""
    for name in ("message", "detail", "msg"):
        value = error.get(name)
        text = _render_reason(value).strip() if isinstance(value, str | list) else ""
        if text:
            return text
    return None


def _is_resource(values: Mapping[str, Json]) -> bool:
    # A job or an operation of Google.
    if values.get("name") and (isinstance(values.get("state"), str) or "done" in values):
        return True
    kind = values.get("object")
    responses = ("chat.completion", "text_completion", "list", "error")
    is_named = isinstance(kind, str) and not kind.startswith(responses)
    has_status = isinstance(values.get("status"), str) and "choices" not in values
    return bool(values.get("id")) and (is_named or has_status)


def _render_reason(error: Json) -> str:
    """The text of an error that is not an object, such as the list of problems from FastAPI."""
    if not isinstance(error, list):
        return str(error)
    problems = []
    for item in error:
        location = item.get("loc") if isinstance(item, dict) else None
        where = ".".join(map(str, location)) if isinstance(location, list) else ""
        reason = item.get("msg") if isinstance(item, dict) else item
        problems.append(f"{where}: {reason}" if where else str(reason))
    return "; ".join(problems)


def read_pages(
    fetch: Callable[[str | None], JsonObject],
    *,
    is_last: Callable[[list[JsonObject]], bool] = lambda _items: True,
) -> Iterator[list[JsonObject]]:
    """The pages of a list, without items of an earlier page.

    `fetch` takes the id of the last item of the previous page (None at first). Some servers omit
    `has_more`, set it on an empty page, or ignore the id and always send the first page: a page
    without new items is the end. `is_last` sees every page; `has_more: false` ends the list only
    when `is_last` agrees.
    """
    after: str | None = None
    seen: set[str] = set()
    for _ in range(MAX_PAGES):
        page = fetch(after)
        items = page.get_objects("data")
        fresh = [item for item in items if item.find_text("id") not in seen]
        seen.update(item.find_text("id") or "" for item in items)
        if fresh:
            yield fresh
        after = items[-1].find_text("id") if items else None
        may_end = is_last(items)  # called for every page
        if not fresh or after is None or (may_end and page.values.get("has_more") is False):
            return
    raise InvalidResponse(f"{page.action}: the list does not end after {MAX_PAGES} pages")


def read_event_data(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The data of server-sent events where each line `data: …` is a complete event.

    Other lines (comments that keep the connection alive, `event:`, `id:`, blank ones) are skipped.
    A line counts only once its end has arrived, so a truncated line is dropped. Raises
    InvalidResponse for a line that does not end within MAX_LINE_BYTES.
    """
    rest = b""
    for piece in pieces:
        *lines, rest = _LINE_END.split(rest + piece)
        for line in lines:
            line = line.removeprefix(_BOM)
            if line.startswith(b"data:"):
                yield line.removeprefix(b"data:").removeprefix(b" ")
        if len(rest) > MAX_LINE_BYTES:
            raise InvalidResponse(
                f"a line of the event stream is longer than {MAX_LINE_BYTES} bytes"
            )
