"""Writes the file to upload from the user's file, which is never changed.

The same rows and recipe always give the same bytes, so that an earlier upload can be found by its
hash.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Protocol, cast

import orjson

from ftops.data.batch_parser import RowBatch, gather_rows
from ftops.data.convert import make_chat
from ftops.data.plans.inference import get_separator_and_stop
from ftops.data.plans.planner import open_for_plan, write_prepared
from ftops.data.plans.runner import PlanRunner
from ftops.data.reading.options import ReadOptions, options_from_plan
from ftops.data.reading.source import open_source
from ftops.data.rows import Row, RowErrors, read_batches, read_rows
from ftops.data.summary import ContentHasher, DataSummary, SummaryBuilder
from ftops.errors import DatasetError
from ftops.files import open_atomic
from ftops.records import DataPlan, Json, RowFormat
from ftops.rows.messages import InvalidRow, JsonObject
from ftops.rows.tools import find_tool_use


@dataclass(frozen=True, slots=True)
class Recipe:
    """How rows are prepared.

    Completion rows: `separator` is appended to prompts and `stop` to completions that do not end
    with it. Chat and preference rows: both are ignored, and `system` is added to chats without a
    system message. A `plan` is applied first; `options` are the options for reading the data. If
    `no_tools` is not empty, rows with tools are refused; it names the trainer that does not support
    them.
    """

    format: RowFormat
    separator: str = ""
    stop: str | None = None
    system: str | None = None
    plan: DataPlan | None = None
    options: ReadOptions = field(default_factory=ReadOptions)
    no_tools: str = ""


class PrepareOptions(Protocol):
    """The options of a recipe, as in the section `prepare` of a job file."""

    @property
    def separator(self) -> str | None: ...
    @property
    def stop(self) -> str | None: ...
    @property
    def system(self) -> str | None: ...
    @property
    def reading(self) -> dict[str, str]: ...


def make_recipe(options: PrepareOptions, row_format: RowFormat, plan: DataPlan | None) -> Recipe:
    """The recipe for rows of this format; a plan sets the separator and the stop sequence."""
    separator, stop = get_separator_and_stop(plan) if plan else (options.separator, options.stop)
    return Recipe(
        format=row_format,
        separator=separator or "",
        stop=stop,
        system=options.system,
        plan=plan,
        options=options_from_plan(options.reading),
    )


def prepare_file(
    source: Path,
    target: Path,
    recipe: Recipe,
    on_batch: Callable[[RowBatch], None] = lambda _batch: None,
) -> DataSummary:
    """Write the prepared rows of `source` to `target`, atomically; returns a summary of `target`.

    `on_batch` gets the prepared rows. DatasetError if rows are invalid or cannot have the requested
    format, StorageError if writing fails.
    """
    hasher, builder, bad = ContentHasher(), SummaryBuilder(), RowErrors(source)
    with open_atomic(target) as stream, _planned(source, target, recipe) as batches:
        for batch in batches:
            raws = _prepare_batch(batch, recipe, source, bad)
            places = range(bad.good + 1, bad.good + 1 + len(raws))
            prepared = gather_rows(recipe.format, raws, places)
            bad.good += len(raws)
            lines = b"".join(orjson.dumps(raw, option=orjson.OPT_APPEND_NEWLINE) for raw in raws)
            stream.write(lines)
            hasher.add(lines)
            builder.add(prepared)
            on_batch(prepared)
        if bad.bad:
            raise bad.error()
    return builder.summary(target, hasher.bytes, hasher.sha256)


def _prepare_batch(
    batch: RowBatch, recipe: Recipe, source: Path, bad: RowErrors
) -> list[JsonObject]:
    """The prepared rows of a batch; rows without content left are added to `bad`."""
    raws = []
    for row in map(Row, batch.places, repeat(batch.format), batch.raws):
        _check_format(row, recipe.format, source)
        _check_tool_use(row, recipe.no_tools, source)
        try:
            raws.append(prepare_row(row, recipe))
        except InvalidRow as error:
            bad.add(row.line, str(error))
    return raws


@contextlib.contextmanager
def _planned(source: Path, target: Path, recipe: Recipe) -> Iterator[Iterator[RowBatch]]:
    """The rows of `source`; with a plan, of a temporary file next to `target` with the result."""
    if recipe.plan is None:
        yield read_batches(open_source(source, recipe.options))
        return
    between = target.with_name(f".{target.name}.planned.part")
    try:
        write_prepared(open_for_plan(source, recipe.options, recipe.plan), recipe.plan, between)
        yield read_batches(open_source(between))
    finally:
        between.unlink(missing_ok=True)


def get_row_format(source: Path, options: ReadOptions, plan: DataPlan | None) -> RowFormat:
    """The format of the first row after the plan.

    DatasetError if there is no row.
    """
    if plan is None:
        return next(read_rows(source, options)).format
    opened = open_for_plan(source, options, plan)
    runner = PlanRunner(plan, opened.name, opened.unit)
    for batch in opened.batches():
        rows = runner.apply(batch)
        if rows.places:
            return rows.format
    if runner.bad.bad:
        raise runner.bad.error()
    raise DatasetError(f"{source}: the plan leaves no row")


def _check_format(row: Row, wanted: RowFormat, source: Path) -> None:
    """DatasetError if the row cannot be converted to the requested format."""
    found = row.format
    if found is RowFormat.CHAT and wanted is RowFormat.COMPLETION:
        raise DatasetError(
            f"{source}: the rows are chats, but the model takes prompt and completion",
            hint="Name a chat model, or write the data as prompt and completion.",
        )
    if wanted is RowFormat.PREFERENCE and found is not wanted:
        raise DatasetError(
            f"{source}:{row.line}: a {found} row, and method: dpo learns of preferences",
            hint="Write rows of input, preferred_output and non_preferred_output, "
            "or take that method out of the job file.",
        )
    if found is RowFormat.PREFERENCE and wanted is not found:
        raise DatasetError(
            f"{source}:{row.line}: a preference row, and only method: dpo learns of those",
            hint="Add `method: dpo` to the job file.",
        )


def _check_tool_use(row: Row, no_tools: str, source: Path) -> None:
    """DatasetError if the row has tools and `no_tools` is set."""
    where = find_tool_use(row.raw) if no_tools else None
    if where:
        raise DatasetError(
            f"{source}:{row.line}: {where}: {no_tools} does not train the use of tools",
            hint="Name a provider that does, such as openai, or take rows with tools out.",
        )


def prepare_row(row: Row, recipe: Recipe) -> JsonObject:
    """The JSON object to upload for `row`; InvalidRow if no useful content is left."""
    if row.format is RowFormat.PREFERENCE:
        asked = cast(JsonObject, row.raw["input"])
        return {**row.raw, "input": _with_system(asked, row, recipe.system)}
    if row.format is RowFormat.CHAT:
        if recipe.format is not RowFormat.CHAT:
            raise InvalidRow("a chat cannot be turned into prompt and completion without guessing")
        return _with_system(row.raw, row, recipe.system)
    prompt, completion = str(row.raw["prompt"]), str(row.raw["completion"])
    if recipe.format is RowFormat.CHAT:
        return _to_chat(prompt, completion, recipe)
    return {
        "prompt": _ending_in(prompt, recipe.separator),
        "completion": _ending_in(completion, recipe.stop or ""),
    }


def _ending_in(text: str, end: str) -> str:
    return text if text.endswith(end) else text + end


def _with_system(chat: JsonObject, row: Row, system: str | None) -> JsonObject:
    """`chat`, which holds the row's messages, with the system message if it has none."""
    roles = {message["role"] for message in row.messages}
    if system is None or roles & {"system", "developer"}:
        return chat
    messages = cast(list[Json], chat["messages"])
    return {**chat, "messages": [{"role": "system", "content": system}, *messages]}


def _to_chat(prompt: str, completion: str, recipe: Recipe) -> JsonObject:
    return make_chat(
        prompt, completion, recipe.system, separator=recipe.separator, stop=recipe.stop or ""
    )
