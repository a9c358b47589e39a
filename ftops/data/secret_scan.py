"""Refuses data with secrets in its first rows: they would be uploaded, and models repeat data."""

import contextlib
import shlex
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice
from pathlib import Path

from ftops.data.checks.pii import RULES_BY_KIND
from ftops.data.plans.planner import open_for_plan
from ftops.data.plans.runner import PlanRunner
from ftops.data.reading.options import ReadOptions
from ftops.data.rows import read_rows
from ftops.data.screening.pii import list_pii, mask
from ftops.data.screening.pii_kind import PiiKind, PiiMatch
from ftops.errors import DatasetError
from ftops.records import DataPlan, Json, RowFormat

ROWS = 1000  # to search, so that a large file costs no more
_SHOWN = 5
_SEAM = "\t"  # white space, so that a key is found even if its lines are separate texts or rows
_KEYS = frozenset({PiiKind.PRIVATE_KEY, PiiKind.WEB_TOKEN, PiiKind.API_KEY})


def check_for_secrets(path: Path, options: ReadOptions, plan: DataPlan | None) -> None:
    """DatasetError with the lines of API keys, tokens and private keys in the first 1,000 rows.

    Rows are searched as they are uploaded, after the plan. Invalid rows are not reported here, but
    by the code that reads all rows.
    """
    texts: list[str] = []
    lines: list[int] = []
    with contextlib.suppress(DatasetError):
        for line, text in islice(_list_rows(path, options, plan), ROWS):
            lines.append(line)
            texts.append(text)
    joined = _SEAM.join(texts)
    ends = list(accumulate(len(text) + 1 for text in texts))
    found = [place for place in list_pii(joined) if place.kind in _KEYS]
    if not found:
        return
    shown = [
        f"{path}:{lines[bisect_right(ends, place.start)]}: {RULES_BY_KIND[place.kind].title}"
        f" ({place.of}): {mask(joined[place.start : place.end])}"
        for place in found[:_SHOWN]
    ]
    if len(found) > _SHOWN:
        shown.append(f"… and {len(found) - _SHOWN} more")
    keys = "a key" if len(found) == 1 else f"{len(found)} keys"
    raise DatasetError(
        f"{path}: its first {ROWS:,} rows hold {keys}, which would be sent\n" + "\n".join(shown),
        hint=f"{_say_remedy(path, joined, found)} If these are no secrets, --allow-private sends"
        " them as they are.",
    )


def _say_remedy(path: Path, joined: str, found: Sequence[PiiMatch]) -> str:
    if any(_SEAM in joined[place.start : place.end] for place in found):
        return "Take these rows out."  # a fix sees one text at a time, and no key in parts
    command = shlex.join(("ftops", "data", "prepare", str(path), "--redact"))
    return f"Put placeholders in their place: `{command} -o OUT`, and name OUT in the job file."


def _list_rows(
    path: Path, options: ReadOptions, plan: DataPlan | None
) -> Iterator[tuple[int, str]]:
    """The line of each row and all of its texts that are uploaded."""
    if plan is None:
        for row in read_rows(path, options):
            pair = row.format is RowFormat.COMPLETION
            yield row.line, _join([row.raw["prompt"], row.raw["completion"]] if pair else row.raw)
        return
    source = open_for_plan(path, options, plan)
    runner = PlanRunner(plan, source.name, source.unit)
    for batch in source.batches():
        rows = runner.apply(batch)
        values: list[Json] = [*rows.raws]
        if rows.format is RowFormat.COMPLETION:
            pairs = zip(rows.prompts, rows.completions, strict=True)
            values = [[prompt, completion] for prompt, completion in pairs]
        yield from zip(rows.places, map(_join, values), strict=True)


def _join(value: Json) -> str:
    return _SEAM.join(_list_strings(value))


def _list_strings(value: Json) -> Iterator[str]:
    """All texts in a row: of messages, tools, calls and other content."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _list_strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _list_strings(one)
