"""What people see: headers, stage lines, tables, the closing summary of a run.

Everything fits 80 columns. Texts from outside pass through `cell`, which makes them harmless.
"""

import shlex
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ftops.cli.outcomes import describe_outcome
from ftops.cli.output import clean, hang
from ftops.records import (
    JobEvent,
    Run,
    RunStatus,
    StageRecord,
    StageStatus,
)

if TYPE_CHECKING:
    from ftops.reporting.evaluation import Evaluation

WIDTH = 78
CURVE_HEIGHT = 12
BUILT_IN_SIZES = {
    "ada": "0.2 million",
    "babbage": "1 million",
    "curie": "5 million",
    "davinci": "10 million",
}
_STATUS_STYLES = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "running": "cyan"}
_STAGE_MARKS = {
    StageStatus.SUCCEEDED: ("✓", "green"),
    StageStatus.FAILED: ("✗", "red"),
    StageStatus.SKIPPED: ("–", "dim"),
    StageStatus.RUNNING: ("…", "cyan"),
    StageStatus.PENDING: ("·", "dim"),
}


def cell(value: object, style: str = "") -> Text:
    """A text for a table or a line, literally; empty for None."""
    return Text("" if value is None else clean(str(value)), style=style)


def describe_status(status: str) -> Text:
    return cell(status, _STATUS_STYLES.get(status, ""))


def indent(renderable: RenderableType) -> Padding:
    return Padding(renderable, (0, 0, 0, 2))


def heading(title: str) -> Text:
    return Text(f"\n{title}", style="bold")


def render_pairs(pairs: Iterable[tuple[str, object]]) -> Padding:
    """Names and values in two columns; pairs without a value are left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        if value is not None:
            table.add_row(name, value if isinstance(value, Text) else cell(value))
    return indent(table)


def render_path(path: str | Path) -> str:
    """The path as seen from here, where it lies below."""
    absolute, here = Path(path), Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(absolute)


def render_moment(moment: datetime | None) -> str:
    """A time of the user's own zone, to the minute."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M")


def render_seconds(seconds: float | None) -> str:
    """A duration: 0.31 s, 12.4 s, 3 min 05 s, 2 h 10 min."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def render_header(run: Run, *, resumed: bool) -> RenderableType:
    """Which run of which job file this is."""
    title = Text.assemble((clean(run.name), "bold"), "  ", (run.id, "cyan"))
    if resumed:
        title.append(f"  {_describe_resumed(run)}", style="dim")
    suffix = run.spec.get("suffix")
    return Group(
        title,
        render_pairs(
            [
                ("job file", render_path(run.job_file)),
                ("provider", describe_provider(run)),
                ("model", describe_model(run) + (f", suffix {suffix}" if suffix else "")),
                ("training", run.spec.get("training_file")),
                ("validation", run.spec.get("validation_file")),
            ]
        ),
        "",
    )


def _describe_resumed(run: Run) -> str:
    return {
        RunStatus.SUCCEEDED: "(done before)",
        RunStatus.FAILED: "(failed before)",
        RunStatus.CANCELLED: "(cancelled before)",
    }.get(run.status, "(goes on)")


def describe_provider(run: Run) -> str:
    name, url = run.provider.type, run.provider.base_url
    if is_built_in(run):
        name = "local, the built-in engine on this machine"
    elif url:
        name = f"{name} at {url}"
    return name if run.provider.protocol == "current" else f"{name}, legacy protocol"


def describe_model(run: Run) -> str:
    size = BUILT_IN_SIZES.get(run.model) if is_built_in(run) else None
    return f"{run.model} ({size} parameters)" if size else run.model


def is_built_in(run: Run) -> bool:
    """Whether the built-in engine trained it, from random weights."""
    return run.provider.type == "local"


def describe_stage(record: StageRecord) -> RenderableType:
    """Mark, name, time, what came out."""
    mark, style = _STAGE_MARKS[record.status]
    line = Text.assemble((f"  {mark} ", style), f"{record.stage.value:<9}")
    line.append(f"{render_seconds(record.seconds):>11}   ", style="dim")
    if record.status is StageStatus.FAILED:
        return hang(line, Text("failed", style="red"))  # the reason follows as the error
    return hang(line, cell(describe_outcome(record)))


def describe_event(event: JobEvent) -> RenderableType:
    """Time of day and the provider's message."""
    style = {"warn": "yellow", "error": "red"}.get(event.level, "")
    moment = f"    {event.created_at.astimezone():%H:%M:%S}  "
    return hang(Text(moment, style="dim"), cell(event.message, style))


def render_stage_times(records: Sequence[StageRecord]) -> RenderableType:
    """The stages side by side with their times and the sum; attempts where one was not enough."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for record in records:
        table.add_column(record.stage.value, justify="right", no_wrap=True)
    table.add_column("total", justify="right", no_wrap=True)
    times = [_describe_time(record) for record in records]
    total = sum(record.seconds or 0.0 for record in records)
    table.add_row(*times, cell(render_seconds(total)))
    if any(record.attempts > 1 for record in records):
        table.add_row(*(cell(_count(record.attempts, "attempt"), "dim") for record in records))
    return indent(table)


def _describe_time(record: StageRecord) -> Text:
    if record.status is StageStatus.SUCCEEDED:
        return cell(render_seconds(record.seconds))
    return cell(record.status.value, _STAGE_MARKS[record.status][1])


def describe_accuracy(evaluation: "Evaluation") -> Text:
    """Exact matches, beside what always giving the most frequent answer would reach."""
    text = Text.assemble(
        (f"{evaluation.accuracy:.1%}", "bold"),
        f" of the answers are right, word for word"
        f" ({evaluation.correct} of {_count(evaluation.rows, 'row')})",
    )
    if evaluation.majority is not None and evaluation.majority_accuracy is not None:
        text.append(f"\n{evaluation.majority_accuracy:.1%}", style="bold")
        text.append(f" would be right by always answering {clean(evaluation.majority)!r},")
        text.append(" the most frequent one")
    return text


def render_commands(commands: Iterable[str]) -> list[Text]:
    """Commands to type next; each stays on one line, so that it can be copied."""
    return [cell(f"  {line}", "cyan") for line in commands]


def quote(*words: str) -> str:
    """A command line that a shell reads as these words."""
    return shlex.join(words)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
