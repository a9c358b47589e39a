"""A report as Markdown, without curves, for merge requests and wikis."""

import re
from collections.abc import Iterable, Sequence

from ftops import __version__
from ftops.metrics.result import Unit, format_value
from ftops.reports.confusion import ConfusionMatrix
from ftops.reports.contents import (
    MAX_CLASSES,
    CandidateLine,
    Contents,
    EvaluationPart,
    RunPart,
    Sentence,
)
from ftops.reports.example_rows import DiffSegment
from ftops.reports.format import format_moment, format_rows, show
from ftops.reports.run_facts import UNTRAINED_BASE_NOTE

# active characters of Markdown and HTML
_ACTIVE = re.compile(r"([\\`*_{}\[\]<>#|~&$])")
_LIST_MARK = re.compile(r"^([-+=:]+|\d+(?=[.)](?:\s|$)))")  # starts a list, a rule or a table
_FENCE = re.compile("`{3,}")
_MARKS = {"good": "✓", "bad": "✗", "warn": "!", "open": "·"}
_WORST, _EXAMPLES = 10, 6


def render_markdown(contents: Contents) -> str:
    """The report as text; texts of the data are escaped."""
    return "\n".join(_render(contents)).rstrip("\n") + "\n"


def escape(text: str) -> str:
    """A text on one line, escaped for Markdown."""
    flat = " ".join(show(text).split())
    escaped = _ACTIVE.sub(r"\\\1", flat)
    # prevent links, and notifications of names after an @
    escaped = escaped.replace("://", ":\u200b//").replace("www.", "www\u200b.")
    escaped = escaped.replace("@", "@\u200b")
    return _LIST_MARK.sub(_quote_mark, escaped)


def _quote_mark(found: re.Match[str]) -> str:
    mark = found.group()
    return f"{mark}\\" if mark[0].isdigit() else f"\\{mark}"


def _render(contents: Contents) -> Iterable[str]:
    yield f"# {escape(contents.title)}"
    yield ""
    yield f"Fine-tuning report, made {format_moment(contents.made_at)} by ftops {__version__}."
    if len(contents.leaderboard) > 1:
        yield from _render_leaderboard(contents)
    for run in contents.runs:
        yield from _render_short(contents, run)
    yield from _render_facts(contents)
    yield from _render_training(contents)
    for run in contents.runs:
        if run.scores is not None:
            yield from _render_scores(contents, run, run.scores)
    for run in contents.runs:
        yield from _heading(contents, run, "Data")
        nothing = "Nothing was found that is wrong with it, or it is not there to be looked at."
        yield from _list(run.data) if run.data else (nothing,)
        yield from _heading(contents, run, "Lineage")
        for link in run.lineage:
            details = "".join(f", {escape(text)}" for text in link.details)
            yield f"1. {escape(link.kind)}: {escape(link.name)}{details}"


def _heading(contents: Contents, run: RunPart, title: str) -> Iterable[str]:
    yield ""
    yield f"## {title}{f': {escape(run.name)}' if contents.several else ''}"
    yield ""


def _render_short(contents: Contents, run: RunPart) -> Iterable[str]:
    yield from _heading(contents, run, "In short")
    if run.scores is not None:
        yield escape(run.scores.headline)
        yield ""
        first = [*run.scores.verdicts[:5], *run.scores.asides, *run.scores.requirements]
        yield from _list(first)
    yield from _list(run.warnings)
    yield from _list([Sentence("warn", text) for text in run.missing])
    if run.is_untrained:
        yield f"- {UNTRAINED_BASE_NOTE}"


def _render_leaderboard(contents: Contents) -> Iterable[str]:
    yield ""
    yield "## Runs compared"
    yield ""
    rows = [
        [one.run, one.candidate, one.metric, format_value(one.result.value, one.result.unit)]
        for one in contents.leaderboard
    ]
    yield from _table(["run", "candidate", "metric", "value"], rows)
    yield ""
    yield contents.leaderboard_note
    yield ""
    yield from _list(contents.versus)


def _render_facts(contents: Contents) -> Iterable[str]:
    yield ""
    yield "## What was run"
    yield ""
    known = [dict(run.pairs) for run in contents.runs]
    labels = list(dict.fromkeys(label for one in known for label in one))
    rows = [[label, *(one.get(label, "") for one in known)] for label in labels]
    named = [row for row in rows if any(row[1:])]
    yield from _table(["fact", *(run.name for run in contents.runs)], named)
    for run in contents.runs:
        if run.facts.job_text:
            text = show(run.facts.job_text).rstrip("\n")
            longest = max((len(found) for found in _FENCE.findall(text)), default=2)
            fence = "`" * (longest + 1)
            yield from ("", f"{escape(run.name)}, the job file as it was run:", "")
            yield from (f"{fence}yaml", text, fence)


def _render_training(contents: Contents) -> Iterable[str]:
    yield ""
    yield "## Training"
    yield ""
    trainings = [
        (run.name, run.learning.to_json()) for run in contents.runs if run.facts.training.rows
    ]
    names = ("steps", "train_loss", "valid_loss", "lowest_valid_loss", "lowest_valid_loss_step")
    rows = [[name, *(_figure(values[key]) for key in names)] for name, values in trainings]
    if not rows:
        yield "There are no training curves."
    else:
        titles = ("steps", "training loss", "validation loss", "lowest of it", "at step")
        yield from _table(["run", *titles], rows)
    for run in contents.runs:
        yield ""
        yield from _list(run.findings)


def _render_scores(contents: Contents, run: RunPart, scores: EvaluationPart) -> Iterable[str]:
    yield from _heading(contents, run, "Evaluation")
    evaluation = scores.evaluation
    yield f"{format_rows(evaluation.rows)} of {escape(evaluation.file)}; intervals hold 95%."
    yield ""
    titles = ["candidate", *scores.metrics, "problems", "cost of 1,000", "p50"]
    rows = [
        [
            one.name,
            *_join_results(one),
            one.problems,
            one.requests[2],
            one.requests[3],
        ]
        for one in scores.candidates
    ]
    yield from _table(titles, rows)
    yield ""
    for table in scores.tables:
        yield from ("", f"### {escape(table.title)}", "")
        rows = [[one.name, *_join_results(one)] for one in table.candidates]
        yield from _table(["candidate", *table.metrics], rows)
        yield ""
    yield from _list(scores.verdicts)
    yield from _list([Sentence("open", text) for text in scores.savings])
    yield from _list([Sentence("warn", text) for text in scores.remarks])
    for name, matrix in scores.matrices[:1]:
        yield from _render_matrix(name, matrix)
    if scores.classes:
        yield from _render_classes(scores)
    if scores.worst:
        yield from ("", "### The worst rows", "")
        worst = [
            [str(row.line), row.prompt, _join(row.expected), _join(row.predicted), row.remark]
            for row in scores.worst[:_WORST]
        ]
        yield from _table(["line", "prompt", "expected", "answered", "remark"], worst)
    if scores.examples:
        yield from ("", "### Side by side", "")
        names = [name for name, _, _ in scores.examples[0].answers]
        shown = [
            [
                str(row.line),
                row.prompt,
                row.expected,
                *(f"{'✓' if correct else '✗'} {given}" for _, given, correct in row.answers),
            ]
            for row in scores.examples[:_EXAMPLES]
        ]
        yield from _table(["line", "prompt", "expected", *names], shown)


def _join_results(line: CandidateLine) -> list[str]:
    return [f"{value} ({interval})" if interval else value for value, interval in line.results]


def _render_matrix(name: str, matrix: ConfusionMatrix) -> Iterable[str]:
    if matrix.pairs:
        yield from ("", f"### What {escape(name)} takes for what", "")
        rows = [
            [one.expected, one.predicted, f"{one.count:,} of {one.rows:,}", f"{one.share:.0%}"]
            for one in matrix.pairs
        ]
        yield from _table(["expected", "answered", "rows", "share"], rows)
    yield ""
    counts = [
        [label, *(str(cell.count) if cell.count else "" for cell in cells)]
        for label, cells in zip(matrix.labels, matrix.cells, strict=True)
    ]
    yield from _table(["expected ↓ answered →", *matrix.columns], counts)


def _render_classes(scores: EvaluationPart) -> Iterable[str]:
    yield from ("", "### By label", "")
    rows = []
    for one in scores.classes[:MAX_CLASSES]:
        shares = [
            "" if value is None else format_value(value, Unit.SHARE)
            for value in (one.precision, one.recall, one.f1)
        ]
        rows.append(
            [show(one.label, 60), str(one.rows), str(one.predicted), str(one.correct), *shares]
        )
    yield from _table(["label", "rows", "answered", "right", "precision", "recall", "F1"], rows)


def _list(sentences: Sequence[Sentence]) -> Iterable[str]:
    return [f"- {_MARKS[one.mark]} {escape(one.text)}" for one in sentences]


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterable[str]:
    yield f"| {' | '.join(escape(title) for title in titles)} |"
    yield f"|{' --- |' * len(titles)}"
    for row in rows:
        yield f"| {' | '.join(escape(value) for value in row)} |"


def _join(pieces: Sequence[DiffSegment]) -> str:
    return "".join(piece.text for piece in pieces)


def _figure(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
