"""Pages of lists: one row more than asked for is read, to know whether more follow."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from ftops.engine.api.failures import ApiError

Row = TypeVar("Row")
Item = TypeVar("Item")


def split_page(
    rows: Sequence[Row], limit: int, render: Callable[[Row], Item]
) -> tuple[list[Item], bool]:
    """The page's items, and whether more follow; `rows` are up to `limit` + 1."""
    return [render(row) for row in rows[:limit]], len(rows) > limit


def unknown_after(after: str) -> ApiError:
    """400: the page begins after something that is not in the list."""
    return ApiError(400, f"after: there is no {after!r} in this list.", param="after")
