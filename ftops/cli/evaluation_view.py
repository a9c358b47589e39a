"""An evaluation as text: candidates, verdicts, requirements, confusion matrices."""

import textwrap
from collections.abc import Iterator, Sequence

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
    describe_part,
    describe_requirement,
    describe_savings,
    format_result,
    list_notes,
)
from ftops.files import write_atomic
from ftops.metrics.result import Confusion, Verdict, format_value
from ftops.reports.ci_report import render_junit, render_markdown
from ftops.reports.confusion import list_mistakes
from ftops.text import format_count

_MORE_METRICS = 2  # beside the primary metric, in 80 columns
_MATRIX_CLASSES = 8
_MAX_MISTAKES = 8
_SHOWN_CLASSES = 6
_LABEL_COLUMNS = 24
_LETTERS = "ABCDEFGH"  # as many as _MATRIX_CLASSES
_VERDICT_STYLES = {Verdict.BETTER: "green", Verdict.WORSE: "red"}


def render_evaluation(evaluation: Evaluation) -> Iterator[RenderableType]:
    """The evaluation: candidates, verdicts, requirements, notes, classes."""
    rows = format_count(evaluation.rows, "row")
    yield heading(f"Evaluation on {_wrap(evaluation.file)} ({rows})")
    yield indent(render_candidates(evaluation))
    yield from render_verdicts(evaluation)
    yield from _render_requirements(evaluation.requirements)
    yield from _render_notes(evaluation)
    for part in evaluation.parts:
        yield heading(_wrap(describe_part(part)))
        yield indent(render_candidates(part))
        for comparison in part.comparisons:
            style = _VERDICT_STYLES.get(comparison.verdict, "yellow")
            yield _render_sentence(Text("• ", style), describe_comparison(comparison))
        yield from _render_notes(part)
    first = evaluation.candidates[0] if evaluation.candidates else None
    if first is not None:
        yield from render_classes(first)


def render_candidates(evaluation: Evaluation) -> Table:
    """One line per candidate: primary metric with interval, other metrics, cost of its requests."""
    metrics = _choose_metrics(evaluation)
    requests = [
        candidate.requests for candidate in evaluation.candidates if candidate.requests is not None
    ]
    extra = []
    if any(cost.prompt_tokens is not None for cost in requests):
        extra.append("tokens")
    if any(cost.usd_per_1000 for cost in requests):
        extra.append("$/1,000")
    if any(cost.p50_s is not None for cost in requests):
        extra.append("p50")
    columns = [*metrics, *extra]
    table = make_table("candidate", *columns, right=columns, whole=columns)
    for candidate in evaluation.candidates:
        table.add_row(cell(candidate.name), *_list_cells(candidate, metrics, extra))
    return table


def _choose_metrics(evaluation: Evaluation) -> list[str]:
    names = dict.fromkeys(name for candidate in evaluation.candidates for name in candidate.metrics)
    others = [name for name in names if name != evaluation.primary_metric]
    return [evaluation.primary_metric, *others[:_MORE_METRICS]]


def _list_cells(
    candidate: CandidateScore, metrics: Sequence[str], extra: Sequence[str]
) -> Iterator[Text]:
    for number, name in enumerate(metrics):
        result = candidate.metrics.get(name)
        if result is None:
            yield cell("–")
        else:
            yield cell(
                format_result(result) if number == 0 else format_value(result.value, result.unit)
            )
    cost = candidate.requests
    for name in extra:
        if cost is None:
            yield cell("0" if name == "tokens" else "")
        elif name == "tokens":
            tokens = (cost.prompt_tokens or 0) + (cost.completion_tokens or 0)
            mark = "~" if cost.estimated else ""
            yield cell("" if cost.prompt_tokens is None else f"{mark}{tokens:,.0f}")
        elif name == "p50":
            yield cell(render_seconds(cost.p50_s) if cost.p50_s is not None else "")
        else:
            price = cost.usd_per_1000
            yield cell("" if price is None else f"{price:,.3g}")


def render_verdicts(evaluation: Evaluation) -> Iterator[RenderableType]:
    """The comparisons, and the savings of the fine-tuned model."""
    outcome = describe_outcome(evaluation)
    if outcome:
        yield ""
        yield indent(cell(_wrap(outcome), "bold"))
    for comparison in evaluation.comparisons:
        style = _VERDICT_STYLES.get(comparison.verdict, "yellow")
        yield _render_sentence(Text("• ", style), describe_comparison(comparison))
    for savings in evaluation.savings:
        for sentence in describe_savings(savings):
            yield _render_sentence(Text("• "), sentence)


def _render_requirements(requirements: Sequence[RequirementResult]) -> Iterator[RenderableType]:
    if not requirements:
        return
    yield heading("Requirements")
    for requirement in requirements:
        mark = Text("✓ ", "green") if requirement.met else Text("✗ ", "bold red")
        yield _render_sentence(mark, describe_requirement(requirement))


def _render_notes(evaluation: Evaluation) -> Iterator[RenderableType]:
    remarks = list_notes(evaluation)
    if remarks:
        yield heading("Notes")
        for text in remarks:
            yield _render_sentence(Text("• "), text)
    if evaluation.skipped:
        yield heading("Skipped")
        for candidate in evaluation.skipped:
            yield _render_sentence(Text("• "), f"{candidate.name}: {candidate.reason}")


def render_classes(candidate: CandidateScore) -> Iterator[RenderableType]:
    """The metrics of the classes, and their confusion matrix."""
    if len(candidate.classes) < 2:
        return
    worst = sorted(
        candidate.classes, key=lambda scores: scores.f1 if scores.f1 is not None else 2.0
    )
    shown = sorted(worst[:_SHOWN_CLASSES], key=lambda scores: scores.label)
    total = len(candidate.classes)
    which = "Classes" if total <= _SHOWN_CLASSES else f"Worst {_SHOWN_CLASSES} of {total} classes"
    yield heading(f"{which} ({candidate.name})")
    table = make_table(
        "class", "rows", "recall", "precision", "F1", right=("rows", "recall", "precision", "F1")
    )
    for scores in shown:
        values = (scores.recall, scores.precision, scores.f1)
        texts = ["–" if value is None else f"{value:.0%}" for value in values]
        table.add_row(_truncate(scores.label), f"{scores.rows:,}", *texts)
    yield indent(table)
    if candidate.confusion is not None:
        yield from render_confusion(candidate.confusion)


def render_confusion(confusion: Confusion) -> Iterator[RenderableType]:
    """The confusion matrix if it fits, else the most frequent confusions."""
    mistakes = list_mistakes(confusion, _MAX_MISTAKES)
    if not mistakes:
        return
    if len(confusion.labels) <= _MATRIX_CLASSES:
        yield heading("Confusion matrix (rows: expected, columns: predicted)")
        yield indent(_render_matrix(confusion))
        return
    yield heading("Most frequent confusions")
    table = make_table("rows", "of", "expected", "predicted", right=("rows", "of"))
    for mistake in mistakes:
        table.add_row(
            f"{mistake.count:,}",
            f"{mistake.rows:,}",
            _truncate(mistake.expected),
            _truncate(mistake.predicted),
        )
    yield indent(table)


def _render_matrix(confusion: Confusion) -> Table:
    """Render the matrix with labels as column titles if they fit, else letters.

    The rows explain the letters. Numbers are not used, because labels are often numbers.
    """
    has_other = any(line[-1] for line in confusion.counts)
    labels = [_truncate(label) for label in confusion.labels]
    titles = [*labels, Text("none")] if has_other else labels
    if not _fits(labels, [[f"{n:,}" for n in line] for line in confusion.counts], titles):
        titles = [Text(letter) for letter in _LETTERS[: len(labels)]] + titles[len(labels) :]
        labels = [Text.assemble(f"{_LETTERS[n]}  ", label) for n, label in enumerate(labels)]
    table = make_table(
        "", *(title.plain for title in titles), right=[title.plain for title in titles]
    )
    for number, (label, line) in enumerate(zip(labels, confusion.counts, strict=True)):
        cells = []
        for place, count in enumerate(line if has_other else line[:-1]):
            style = "green" if place == number else "red" if count else "dim"
            cells.append(Text(f"{count:,}" if count else "·", style))
        table.add_row(label, *cells)
    return table


def _fits(labels: Sequence[Text], counts: Sequence[Sequence[str]], titles: Sequence[Text]) -> bool:
    """Whether columns with these titles fit next to the labels in 80 columns."""
    widths = [
        max(title.cell_len, *(len(line[place]) for line in counts))
        for place, title in enumerate(titles)
    ]
    label_width = max(label.cell_len for label in labels)
    return label_width + sum(width + 2 for width in widths) <= WIDTH


def _render_sentence(mark: Text, sentence: str) -> RenderableType:
    """A sentence with a hanging indent after its mark, wrapped at 80 columns."""
    return indent(hang(mark, cell(_wrap(sentence))))


def _wrap(text: str) -> str:
    return "\n".join(textwrap.wrap(clean(text), WIDTH - 4))


def _truncate(label: str) -> Text:
    """The label on one line, truncated to the columns of a terminal."""
    line = cell(" ".join(label.split()) or "(empty)")
    line.truncate(_LABEL_COLUMNS, overflow="ellipsis")
    return line


def write_summaries(evaluation: Evaluation, name: str, files: SummaryFiles) -> None:
    """Write the files for CI that the options name; StorageError when that fails."""
    for path, render in ((files.junit, render_junit), (files.markdown, render_markdown)):
        if path is not None:
            text = render(evaluation, name=name)
            write_atomic(path, text.encode("utf-8", "replace"), mode=0o644)
