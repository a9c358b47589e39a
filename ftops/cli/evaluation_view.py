"""An evaluation as text: candidates, verdicts, requirements, confusion matrices."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ftops.cli.format import WIDTH, cell, heading, indent, make_table, render_seconds
from ftops.cli.options import SummaryFiles
from ftops.cli.output import clean, hang
from ftops.evaluation.result import CandidateScore, Evaluation, RequirementResult
from ftops.evaluation.text import (
    describe_comparison,
    describe_outcome,
    describe_requirement,
    describe_savings,
    format_result,
    format_value,
    list_notes,
)
from ftops.files import write_atomic
from ftops.metrics.result import Confusion, Verdict
from ftops.reports.ci_report import render_junit, render_markdown

_MORE_METRICS = 2  # beside the headline, as many as 80 columns hold
_MATRIX_CLASSES = 8
_SHOWN_PAIRS = 8
_SHOWN_CLASSES = 6
_LABEL_COLUMNS = 24
_LETTERS = "ABCDEFGH"  # as many as _MATRIX_CLASSES
_VERDICT_STYLES = {Verdict.BETTER: "green", Verdict.WORSE: "red"}


def render_evaluation(evaluation: Evaluation) -> Iterator[RenderableType]:
    """All of it, the answer to "was it worth it?" first."""
    rows = f"{evaluation.rows:,} row{'' if evaluation.rows == 1 else 's'}"
    yield heading(f"Evaluation on {_wrap(evaluation.file)} ({rows})")
    yield indent(render_candidates(evaluation))
    yield from render_verdicts(evaluation)
    yield from _render_gate(evaluation.requirements)
    yield from _render_remarks(evaluation)
    first = evaluation.candidates[0] if evaluation.candidates else None
    if first is not None:
        yield from render_classes(first)


def render_candidates(evaluation: Evaluation) -> Table:
    """One line a candidate: headline with its interval, other figures, what asking took."""
    metrics = _choose_metrics(evaluation)
    asked = [one.requests for one in evaluation.candidates if one.requests is not None]
    extra = []
    if any(one.prompt_tokens is not None for one in asked):
        extra.append("tokens")
    if any(one.usd_per_1000 for one in asked):
        extra.append("$/1,000")
    if any(one.p50_s is not None for one in asked):
        extra.append("p50")
    columns = [*metrics, *extra]
    table = make_table("candidate", *columns, right=columns, whole=columns)
    for one in evaluation.candidates:
        table.add_row(cell(one.name), *_cells(one, metrics, extra))
    return table


def _choose_metrics(evaluation: Evaluation) -> list[str]:
    names = dict.fromkeys(name for one in evaluation.candidates for name in one.metrics)
    others = [name for name in names if name != evaluation.primary_metric]
    return [evaluation.primary_metric, *others[:_MORE_METRICS]]


def _cells(one: CandidateScore, metrics: Sequence[str], extra: Sequence[str]) -> Iterator[Text]:
    for number, name in enumerate(metrics):
        figure = one.metrics.get(name)
        if figure is None:
            yield cell("–")
        else:
            yield cell(
                format_result(figure) if number == 0 else format_value(figure.value, figure.unit)
            )
    spent = one.requests
    for name in extra:
        if spent is None:
            yield cell("0" if name == "tokens" else "")
        elif name == "tokens":
            tokens = (spent.prompt_tokens or 0) + (spent.completion_tokens or 0)
            mark = "~" if spent.estimated else ""
            yield cell("" if spent.prompt_tokens is None else f"{mark}{tokens:,.0f}")
        elif name == "p50":
            yield cell(render_seconds(spent.p50_s) if spent.p50_s is not None else "")
        else:
            price = spent.usd_per_1000
            yield cell("" if price is None else f"{price:,.3g}")


def render_verdicts(evaluation: Evaluation) -> Iterator[RenderableType]:
    """Who is better than whom, and how sure that is."""
    outcome = describe_outcome(evaluation)
    if outcome:
        yield ""
        yield indent(cell(_wrap(outcome), "bold"))
    for one in evaluation.comparisons:
        style = _VERDICT_STYLES.get(one.verdict, "yellow")
        yield _say(Text("• ", style), describe_comparison(one))
    for saved in evaluation.savings:
        for sentence in describe_savings(saved):
            yield _say(Text("• "), sentence)


def _render_gate(requirements: Sequence[RequirementResult]) -> Iterator[RenderableType]:
    if not requirements:
        return
    yield heading("Required")
    for one in requirements:
        mark = Text("✓ ", "green") if one.met else Text("✗ ", "bold red")
        yield _say(mark, describe_requirement(one))


def _render_remarks(evaluation: Evaluation) -> Iterator[RenderableType]:
    remarks = list_notes(evaluation)
    if remarks:
        yield heading("Notes")
        for text in remarks:
            yield _say(Text("• "), text)
    if evaluation.skipped:
        yield heading("Left out")
        for gone in evaluation.skipped:
            yield _say(Text("• "), f"{gone.name}: {gone.reason}")


def render_classes(candidate: CandidateScore) -> Iterator[RenderableType]:
    """How the classes did, and which of them are mistaken for which."""
    if len(candidate.classes) < 2:
        return
    worst = sorted(candidate.classes, key=lambda one: one.f1 if one.f1 is not None else 2.0)
    shown = sorted(worst[:_SHOWN_CLASSES], key=lambda one: one.label)
    total = len(candidate.classes)
    which = "Classes" if total <= _SHOWN_CLASSES else f"Worst {_SHOWN_CLASSES} of {total} classes"
    yield heading(f"{which} ({candidate.name})")
    table = make_table(
        "class", "rows", "recall", "precision", "F1", right=("rows", "recall", "precision", "F1")
    )
    for one in shown:
        figures = (one.recall, one.precision, one.f1)
        texts = ["–" if value is None else f"{value:.0%}" for value in figures]
        table.add_row(_cut(one.label), f"{one.rows:,}", *texts)
    yield indent(table)
    if candidate.confusion is not None:
        yield from render_confusion(candidate.confusion)


def render_confusion(confusion: Confusion) -> Iterator[RenderableType]:
    """The whole matrix where it fits; else the pairs that are mistaken most often."""
    pairs = _find_pairs(confusion)
    if not pairs:
        return
    if len(confusion.labels) <= _MATRIX_CLASSES:
        yield heading("What was answered (columns) where what was expected (lines)")
        yield indent(_render_matrix(confusion))
        return
    yield heading("Mistaken most often")
    table = make_table("rows", "of", "expected", "answered", right=("rows", "of"))
    for pair in pairs[:_SHOWN_PAIRS]:
        table.add_row(f"{pair.count:,}", f"{pair.rows:,}", _cut(pair.expected), _cut(pair.given))
    yield indent(table)


def _render_matrix(confusion: Confusion) -> Table:
    """Columns carry the labels where there is room for them, else letters that the lines explain.

    Never numbers: labels often are numbers themselves.
    """
    outside = any(line[-1] for line in confusion.counts)
    labels = [_cut(label) for label in confusion.labels]
    ends = [*labels, Text("none")] if outside else labels
    if not _fits(labels, [[f"{n:,}" for n in line] for line in confusion.counts], ends):
        ends = [Text(letter) for letter in _LETTERS[: len(labels)]] + ends[len(labels) :]
        labels = [Text.assemble(f"{_LETTERS[n]}  ", label) for n, label in enumerate(labels)]
    table = make_table("", *(end.plain for end in ends), right=[end.plain for end in ends])
    for number, (label, line) in enumerate(zip(labels, confusion.counts, strict=True)):
        cells = []
        for place, count in enumerate(line if outside else line[:-1]):
            style = "green" if place == number else "red" if count else "dim"
            cells.append(Text(f"{count:,}" if count else "·", style))
        table.add_row(label, *cells)
    return table


def _fits(labels: Sequence[Text], counts: Sequence[Sequence[str]], ends: Sequence[Text]) -> bool:
    """Whether columns that carry these ends stand beside the labels in 80 screen columns."""
    widths = [
        max(end.cell_len, *(len(line[place]) for line in counts)) for place, end in enumerate(ends)
    ]
    side = max(label.cell_len for label in labels)
    return side + sum(width + 2 for width in widths) <= WIDTH


@dataclass(frozen=True, slots=True)
class _Pair:
    """So many of the rows that expect one label were answered another."""

    count: int
    rows: int
    expected: str
    given: str


def _find_pairs(confusion: Confusion) -> list[_Pair]:
    """Mistakes by how often they were made."""
    given = [*confusion.labels, "none of the classes"]
    pairs = [
        _Pair(count, sum(line), expected, given[place])
        for number, (expected, line) in enumerate(
            zip(confusion.labels, confusion.counts, strict=True)
        )
        for place, count in enumerate(line)
        if count and place != number
    ]
    return sorted(pairs, key=lambda pair: (-pair.count, pair.expected, pair.given))


def _say(mark: Text, sentence: str) -> RenderableType:
    """A sentence to the right of its mark, in lines of 80 columns also where none are asked for."""
    return indent(hang(mark, cell(_wrap(sentence))))


def _wrap(text: str) -> str:
    """The text in lines that leave room for a mark; cleaned, since what is cleaned is longer."""
    return "\n".join(textwrap.wrap(clean(text), WIDTH - 4))


def _cut(label: str) -> Text:
    """The label on one line of few screen columns, of which wide characters take two each."""
    line = cell(" ".join(label.split()) or "(empty)")
    line.truncate(_LABEL_COLUMNS, overflow="ellipsis")
    return line


def write_summaries(evaluation: Evaluation, name: str, files: SummaryFiles) -> None:
    """Write the files for CI, as far as they are named; StorageError when the disk refuses."""
    for path, render in ((files.junit, render_junit), (files.markdown, render_markdown)):
        if path is not None:
            text = render(evaluation, name=name)
            write_atomic(path, text.encode("utf-8", "replace"), mode=0o644)
