"""Lists: pages, and long ones as bytes.

Of a page one row more than asked for is read, to know whether more follow. Lists that may be long
are written from plain documents: making and checking an object of the schema for each row would
take most of the time. The routes declare those schemas, and a test holds the answers to them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import orjson
from starlette.responses import Response

from ftops.engine.api.failures import ApiError

Row = TypeVar("Row")
Item = TypeVar("Item")
Document: TypeAlias = dict[str, Any]  # one object of the API, with its field names


def split_page(
    rows: Sequence[Row], limit: int, render: Callable[[Row], Item]
) -> tuple[list[Item], bool]:
    """The page's items, and whether more follow; `rows` are up to `limit` + 1."""
    return [render(row) for row in rows[:limit]], len(rows) > limit


def ends_of(data: Sequence[Document]) -> Document:
    """The names of a page's ends, as lists of files have them."""
    first_id, last_id = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"first_id": first_id, "last_id": last_id}


def send_list(data: Sequence[Document], more: Mapping[str, Any] | None = None) -> Response:
    """The list, with what it says beside its data."""
    body = orjson.dumps({"object": "list", "data": data, **(more or {})})
    return Response(body, media_type="application/json")


def unknown_after(after: str) -> ApiError:
    """400: the page begins after something that is not in the list."""
    return ApiError(400, f"after: there is no {after!r} in this list.", param="after")
