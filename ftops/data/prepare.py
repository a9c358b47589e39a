"""Writes the file that is sent, out of the file that the user has; that one is never changed.

The same rows and recipe always give the same bytes, so that an upload is found again by its hash.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

import orjson

from ftops.data.convert import make_chat
from ftops.data.plans.inference import get_separator_and_stop
from ftops.data.plans.planner import open_for_plan, write_prepared
from ftops.data.plans.runner import PlanRunner
from ftops.data.reading.options import ReadOptions, options_from_plan
from ftops.data.rows import Row, RowErrors, read_rows
from ftops.data.summary import ContentHasher, DataSummary, SummaryBuilder
from ftops.errors import DatasetError
from ftops.files import open_atomic
from ftops.records import DataPlan, Json, RowFormat
from ftops.rows.messages import InvalidRow, JsonObject
from ftops.rows.tools import find_tool_use


@dataclass(frozen=True, slots=True)
class Recipe:
    """How rows are made ready.

    Completion rows: `separator` is appended to prompts and `stop` to completions that do not end
    with it. Chat and preference rows: both are left out, and `system` is put before chats that have
    no system message. A `plan` is carried out before; `options` say how the data is read. Where
    `no_tools` is not empty, rows with tools are refused, and it says who takes none.
    """

    format: RowFormat
    separator: str = ""
    stop: str | None = None
    system: str | None = None
    plan: DataPlan | None = None
    options: ReadOptions = field(default_factory=ReadOptions)
    no_tools: str = ""


class PrepareOptions(Protocol):
    """The options of a recipe, as the section `prepare` of a job file has them."""

    @property
    def separator(self) -> str | None: ...
    @property
    def stop(self) -> str | None: ...
    @property
    def system(self) -> str | None: ...
    @property
    def reading(self) -> dict[str, str]: ...


def make_recipe(options: PrepareOptions, row_format: RowFormat, plan: DataPlan | None) -> Recipe:
    """The recipe for rows of this format; separator and stop are those of the plan if given."""
    separator, stop = get_separator_and_stop(plan) if plan else (options.separator, options.stop)
    return Recipe(
        format=row_format,
        separator=separator or "",
        stop=stop,
        system=options.system,
        plan=plan,
        options=options_from_plan(options.reading),
    )


def prepare_file(source: Path, target: Path, recipe: Recipe) -> DataSummary:
    """Write `source`, made ready, to `target`, whole or not at all; returns what `target` holds.

    DatasetError when rows are bad or cannot take the wanted shape, StorageError when the disk
    refuses.
    """
    meter, tally, bad = ContentHasher(), SummaryBuilder(), RowErrors(source)
    with open_atomic(target) as stream, _planned(source, target, recipe) as rows:
        for row in rows:
            _check_format(row, recipe.format, source)
            _check_tool_use(row, recipe.no_tools, source)
            try:
                raw = prepare_row(row, recipe)
            except InvalidRow as error:
                bad.add(row.line, str(error))
                continue
            bad.good += 1
            line = orjson.dumps(raw) + b"\n"
            stream.write(line)
            meter.add(line)
            tally.add(Row(bad.good, recipe.format, raw))
        if bad.bad:
            raise bad.error()
    return tally.summary(target, meter.bytes, meter.sha256)


@contextlib.contextmanager
def _planned(source: Path, target: Path, recipe: Recipe) -> Iterator[Iterator[Row]]:
    """The rows of `source`; where there is a plan, once it is carried out, in a file beside."""
    if recipe.plan is None:
        yield read_rows(source, recipe.options)
        return
    between = target.with_name(f".{target.name}.planned.part")
    try:
        write_prepared(open_for_plan(source, recipe.options, recipe.plan), recipe.plan, between)
        yield read_rows(between)
    finally:
        between.unlink(missing_ok=True)


def get_row_format(source: Path, options: ReadOptions, plan: DataPlan | None) -> RowFormat:
    """The shape of the first row that there is once the plan is carried out.

    DatasetError when there is none.
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
    """DatasetError when the row cannot become one of the wanted shape."""
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
    """DatasetError when the row has tools, and who trains takes none."""
    where = find_tool_use(row.raw) if no_tools else None
    if where:
        raise DatasetError(
            f"{source}:{row.line}: {where}: {no_tools} does not train the use of tools",
            hint="Name a provider that does, such as openai, or take rows with tools out.",
        )


def prepare_row(row: Row, recipe: Recipe) -> JsonObject:
    """The JSON object that `row` becomes; InvalidRow when nothing useful is left of it."""
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
