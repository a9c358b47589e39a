"""The curves of trainings and what they say, for a screen of 80 columns."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from ftops.cli.output import clean, hang
from ftops.cli.views import CURVE_HEIGHT, WIDTH, cell, heading, indent
from ftops.reports.curve import Series, Ticks, render_curve
from ftops.reports.results import ResultRow
from ftops.reports.training import Training
from ftops.reports.training_findings import Finding, find_all

if TYPE_CHECKING:
    from rich.table import Table

    from ftops.metrics.evaluation import Evaluation

_MOST_EPOCHS_MARKED = 30  # more of them leave no axis to be seen
_MOST_MARKS = 40  # of one run among others
_FINDING_SIGN = "  ! "


def list_findings(training: Training, evaluation: "Evaluation | None") -> list[Finding]:
    """What training and evaluation say together."""
    first = evaluation.candidates[0] if evaluation and evaluation.candidates else None
    return find_all(training, first.classes if first else ())


def render_training_curve(
    training: Training, findings: Sequence[Finding] = (), *, height: int = CURVE_HEIGHT
) -> str:
    """Training and validation loss with epochs and the checkpoint to prefer; "" without losses."""
    series = [Series("training", _list_points(training.rows, "train_loss"))]
    for label, name in (("validation", "valid_loss"), ("full validation", "full_valid_loss")):
        points = _list_points(training.rows, name)
        if points:
            series.append(Series(label, points))
    ends = training.epoch_ends
    chosen = [finding.checkpoint.step for finding in findings if finding.checkpoint]
    return render_curve(
        series,
        width=WIDTH - 2,
        height=height,
        ticks=[
            Ticks("┴", "an epoch ends", ends if len(ends) <= _MOST_EPOCHS_MARKED else ()),
            Ticks("▲", "checkpoint to prefer", chosen),
        ],
    )


def render_findings(findings: Sequence[Finding], *, of: str = "") -> Iterator[RenderableType]:
    """A paragraph for each: its name and sentence, then what to do; `of` names the run."""
    if not findings:
        return
    yield heading(f"What the curves of {clean(of)} say" if of else "What the curves say")
    for finding in findings:
        said = _wrap(f"{finding.code}: {clean(finding.message)}")
        text = Text.assemble((finding.code, "bold yellow"), said.removeprefix(finding.code))
        text.append(f"\n{_wrap(clean(finding.advice))}", style="dim")
        yield hang(Text(_FINDING_SIGN, style="yellow"), text)


def render_overlay(runs: Sequence[tuple[str, Training]], *, height: int = CURVE_HEIGHT) -> str:
    """One loss of several runs, by marks: validation if each of them has it, else training."""
    name, words = choose_loss([training for _, training in runs])
    series = [Series(label, _thin(_list_points(training.rows, name))) for label, training in runs]
    label = f"{words} (nats a token)"
    return render_curve(series, width=WIDTH - 2, height=height, lines=0, y_label=label)


def choose_loss(trainings: Sequence[Training]) -> tuple[str, str]:
    """The loss by which these trainings can be compared: its column, and its name.

    One point each is no curve: that is taken only where there is nothing better of validation.
    """
    validation = (("full_valid_loss", "full validation loss"), ("valid_loss", "validation loss"))
    for least in (2, 1):
        for name, words in validation:
            if all(len(_list_points(one.rows, name)) >= least for one in trainings):
                return name, words
    return "train_loss", "training loss"


def render_compared(runs: Sequence[tuple[str, str, Training]]) -> "Table":
    """One line a run: its lowest and its last loss, and after how many steps."""
    from ftops.cli.tables import make_table

    name, words = choose_loss([training for _, _, training in runs])
    right = ("steps", "epochs", "lowest", "at step", "last")
    table = make_table("run", "name", *right, right=right, whole=("run",))
    for run_id, run_name, training in runs:
        points = _list_points(training.rows, name)
        step, lowest = min(points, key=lambda point: point[1]) if points else (0, None)
        table.add_row(
            cell(run_id, "cyan"),
            cell(run_name),
            str(training.rows[-1].step if training.rows else ""),
            cell(training.rows[-1].epoch if training.rows else None),
            "" if lowest is None else f"{lowest:.4f}",
            f"{step:g}" if points else "",
            f"{points[-1][1]:.4f}" if points else "",
        )
    table.title, table.title_justify, table.title_style = words.capitalize(), "left", "bold"
    return table


def render_single(
    training: Training, findings: Sequence[Finding], *, height: int = CURVE_HEIGHT
) -> Iterator[RenderableType]:
    """The curve under its heading, then the findings; nothing where there are no losses."""
    curve = render_training_curve(training, findings, height=height)
    if curve:
        yield heading("Training")
        yield indent(Text(curve))
    yield from render_findings(findings)


def _wrap(text: str) -> str:
    """The text in lines; no name in it is broken, so that it can be copied."""
    width = WIDTH - len(_FINDING_SIGN)
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines)


def _list_points(rows: Sequence[ResultRow], name: str) -> list[tuple[float, float]]:
    return [(row.step, value) for row in rows if (value := getattr(row, name)) is not None]


def _thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most so many points that they can be told apart: means of neighbours."""
    size = -(-len(points) // _MOST_MARKS) or 1
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]
